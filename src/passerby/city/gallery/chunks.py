"""A chunk: some hundred sightings of one day as one blob, by unit, camera and time.

The blob holds, one after another: :data:`MARGIN` zeros; a head; the names of cameras, units and
attributes as JSON; a table of :data:`COLUMNS`; int8 codes (n, D); float16 vectors (n, D). What a
scope is answered from comes first, the long vectors last, so that each part is read without the
others.

SQLite keeps the first bytes of a blob in a page of its tree, which it copies when the tree grows;
the margin takes these bytes. All that follows lies in pages that belong to this blob alone and are
zeroed with it.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.records import HalfArray
from passerby.retrieval.screening import Codes, encode

ROWS = 512  # of a full chunk
SLOT_BITS = 10
MARGIN = 4096  # as long as a page of the file
_HEAD = struct.Struct("<4sIII")  # mark, rows, dimension, bytes of the names
_MARK = b"PBC1"
COLUMNS = np.dtype(
    [
        ("time", "<i8"),
        ("quality", "<f8"),
        ("slot", "<u2"),
        ("camera", "<u2"),
        ("unit", "<u2"),
        ("attributes", "<u2"),
        ("scale", "<f4"),
        ("error", "<f4"),
    ]
)
NAMED = ("camera", "unit", "attributes")  # columns that number the chunk's own names


@dataclass(frozen=True, slots=True)
class Chunk:
    """The decoded rows of a chunk.

    Attributes:
        table: (n,) of :data:`COLUMNS`; the sighting in slot s of chunk c has the place
            ``c << SLOT_BITS | s``. Slots of deleted sightings are missing.
        names: the texts that the columns of :data:`NAMED` number.
        codes: (n, D).
        vectors: (n, D) float16 unit rows.
    """

    table: NDArray[Any]
    names: dict[str, list[str]]
    codes: NDArray[np.int8]
    vectors: HalfArray

    @classmethod
    def of(cls, facts: Sequence[Sequence[Any]], vectors: HalfArray) -> "Chunk":
        """Encode n rows.

        Args:
            facts: n rows (time, quality, camera, unit, attributes as text).
            vectors: (n, D) unit rows.
        """
        table = np.empty(len(facts), COLUMNS)
        time, quality, *texts = zip(*facts, strict=True)
        table["time"], table["quality"], table["slot"] = time, quality, np.arange(len(facts))
        names: dict[str, list[str]] = {}
        for name, values in zip(NAMED, texts, strict=True):
            known: dict[str, int] = {}
            table[name] = [known.setdefault(value, len(known)) for value in values]
            names[name] = list(known)
        return cls(table, names, np.empty((0, 0), np.int8), vectors).with_vectors(vectors)

    def with_vectors(self, vectors: HalfArray) -> "Chunk":
        """The same rows with other vectors (n, D)."""
        table, codes = self.table.copy(), encode(vectors)
        table["scale"], table["error"] = codes.scales, codes.errors
        return Chunk(table, self.names, codes.values, vectors)

    def take(self, rows: Any) -> "Chunk":
        """Some rows, by mask or number; they keep their slots."""
        return Chunk(self.table[rows], self.names, self.codes[rows], self.vectors[rows])

    def __len__(self) -> int:
        return len(self.table)

    def pack(self) -> bytes:
        """The blob."""
        names = json.dumps([self.names[name] for name in NAMED], ensure_ascii=False).encode()
        head = _HEAD.pack(_MARK, len(self), self.vectors.shape[1], len(names))
        parts = [self.table, self.codes, self.vectors.astype("<f2", copy=False)]
        return b"".join([bytes(MARGIN), head, names, *(part.tobytes() for part in parts)])

    @classmethod
    def unpack(cls, blob: bytes) -> "Chunk":
        """The chunk of a blob.

        Raises:
            ValueError: these bytes are no chunk.
        """
        n, D, names, at = _head(blob[MARGIN : MARGIN + _HEAD.size])
        texts = json.loads(blob[at : at + names])
        table = np.frombuffer(blob, COLUMNS, n, at + names)
        at += names + table.nbytes
        codes = np.frombuffer(blob, np.int8, n * D, at).reshape(n, D)
        vectors = np.frombuffer(blob, "<f2", n * D, at + codes.nbytes).reshape(n, D)
        return cls(table, dict(zip(NAMED, texts, strict=True)), codes, vectors)


def _head(data: bytes) -> tuple[int, int, int, int]:
    """(rows, dimension, bytes of the names, where they begin)."""
    if len(data) < _HEAD.size:
        raise ValueError("too short")
    mark, n, D, names = _HEAD.unpack(data)
    if mark != _MARK:
        raise ValueError("not a chunk")
    return n, D, names, MARGIN + _HEAD.size


def read_table(blob: apsw.Blob) -> tuple[NDArray[Any], dict[str, list[str]]]:
    """Table and names of a chunk whose blob is open."""
    blob.seek(MARGIN)
    n, _, names, _ = _head(blob.read(_HEAD.size))
    texts = json.loads(blob.read(names))
    table = np.frombuffer(blob.read(n * COLUMNS.itemsize), COLUMNS)
    return table, dict(zip(NAMED, texts, strict=True))


def read_codes(blob: apsw.Blob, table: NDArray[Any], out: Codes) -> None:
    """Fill in the codes (n, D) of a chunk whose blob is open."""
    n, D = out.values.shape
    blob.seek(blob.length() - 3 * n * D)
    blob.read_into(out.values.reshape(-1))
    out.scales[:], out.errors[:] = table["scale"], table["error"]


def read_vectors(blob: apsw.Blob, rows: NDArray[np.int64], count: int, D: int) -> HalfArray:
    """(m, D) vectors of m rows of an open chunk of ``count`` rows."""
    start = blob.length() - 2 * count * D
    if len(rows) * 8 > count:
        blob.seek(start)
        whole: HalfArray = np.frombuffer(blob.read(2 * count * D), "<f2").reshape(count, D)
        return whole[rows]
    out = np.empty((len(rows), D), "<f2")
    for row, target in zip(rows.tolist(), out, strict=True):
        blob.seek(start + 2 * D * row)
        blob.read_into(target)
    return out
