"""A chunk: some hundred sightings of one day as one blob, by unit, camera and time.

The blob holds, one after another: :data:`MARGIN` zeros; a head; the names of cameras, units and
attributes as JSON; a table of :data:`COLUMNS`; int8 codes (n, D); float16 vectors (n, D); where
each record ends; the records as JSON. What a scope is answered from comes first, so that each part
is read without the others.

SQLite keeps the first bytes of a blob in a page of its tree, which it copies when the tree grows;
the margin takes these bytes. All that follows lies in pages that belong to this blob alone and are
zeroed with it. So no byte of a sighting is left behind when its chunk is rewritten or deleted.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw
import numpy as np
import orjson
from numpy.typing import NDArray

from passerby.city.gallery.records import Batch, HalfArray
from passerby.errors import InputError
from passerby.retrieval.screening import Codes, encode

ROWS = 512  # of a full chunk
SLOT_BITS = 10
SLOTS = (1 << SLOT_BITS) - 1  # the bits of a place that are its slot
MARGIN = 8192  # as long as a page of the file
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
_HEAD = struct.Struct("<4sIII")  # mark, rows, dimension, bytes of the names


class Layout(NamedTuple):
    """Where the parts of a blob begin, from its head."""

    rows: int
    dimension: int
    names: int
    table: int
    codes: int
    vectors: int
    ends: int
    records: int

    @classmethod
    def of(cls, head: bytes) -> "Layout":
        """Read a head.

        Raises:
            ValueError: these bytes are no chunk.
        """
        if len(head) < _HEAD.size or not head.startswith(_MARK):
            raise ValueError("not a chunk")
        _, n, D, length = _HEAD.unpack(head)
        names = MARGIN + _HEAD.size
        table = names + length
        codes = table + n * COLUMNS.itemsize
        vectors = codes + n * D
        ends = vectors + 2 * n * D
        return cls(n, D, names, table, codes, vectors, ends, ends + 4 * n)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of a chunk in memory.

    Attributes:
        table: (n,) of :data:`COLUMNS`; the sighting in slot s of chunk c has the place
            ``c << SLOT_BITS | s``. Slots ascend; those of deleted sightings are missing.
        names: the texts that the columns of :data:`NAMED` number.
        codes: (n, D) int8.
        vectors: (n, D) float16 unit rows.
        records: n records of :mod:`passerby.city.gallery.records` as JSON.
    """

    table: NDArray[Any]
    names: dict[str, list[str]]
    codes: NDArray[np.int8]
    vectors: HalfArray
    records: list[bytes]

    @classmethod
    def of(cls, batch: Batch) -> "Chunk":
        """Encode n sightings, in slots from 0 on.

        Raises:
            InputError: a text is no Unicode.
        """
        columns = batch.columns
        table = np.empty(len(batch), COLUMNS)
        table["time"], table["quality"] = columns["time"], columns["quality"]
        table["slot"] = np.arange(len(batch))
        names: dict[str, list[str]] = {}
        for name in NAMED:
            known: dict[str, int] = {}
            table[name] = [known.setdefault(text, len(known)) for text in columns[name]]
            names[name] = list(known)
        try:
            texts = [orjson.dumps(one) for one in batch.records()]
        except orjson.JSONEncodeError as error:  # half a surrogate pair
            raise InputError(
                f"a text of a sighting is no Unicode, nothing was stored: {error}"
            ) from None
        chunk = cls(table, names, np.empty((0, 0), np.int8), batch.vectors, texts)
        return chunk.with_vectors(batch.vectors)

    def with_vectors(self, vectors: HalfArray) -> "Chunk":
        """The same rows with other vectors (n, D)."""
        table, codes = self.table.copy(), encode(vectors)
        table["scale"], table["error"] = codes.scales, codes.errors
        return Chunk(table, self.names, codes.values, vectors, self.records)

    def take(self, rows: NDArray[np.int64]) -> "Chunk":
        """Some rows by number; they keep their slots. Names that no row has are forgotten."""
        table, names = self.table[rows], {}
        for name, texts in self.names.items():
            used, table[name] = np.unique(table[name], return_inverse=True)
            names[name] = [texts[at] for at in used.tolist()]
        records = [self.records[row] for row in rows.tolist()]
        return Chunk(table, names, self.codes[rows], self.vectors[rows], records)

    def __len__(self) -> int:
        return len(self.table)

    def decoded(self) -> list[tuple[Any, ...]]:
        """The records."""
        return [tuple(orjson.loads(text)) for text in self.records]

    def column(self, name: str) -> list[Any]:
        """The values of one column of the table, as records hold them."""
        values = self.table[name].tolist()
        return [self.names[name][at] for at in values] if name in NAMED else values

    def pack(self) -> bytes:
        """The blob."""
        names = orjson.dumps([self.names[name] for name in NAMED])
        head = _HEAD.pack(_MARK, len(self), self.vectors.shape[1], len(names))
        ends = np.cumsum([len(text) for text in self.records], dtype="<u4")
        parts = [self.table, self.codes, self.vectors.astype("<f2", copy=False), ends]
        arrays = [np.ascontiguousarray(part).data.cast("B") for part in parts]
        return b"".join([bytes(MARGIN), head, names, *arrays, *self.records])

    @classmethod
    def unpack(cls, blob: bytes) -> "Chunk":
        """The chunk of a blob.

        Raises:
            ValueError: these bytes are no chunk.
        """
        at = Layout.of(blob[MARGIN : MARGIN + _HEAD.size])
        n, D = at.rows, at.dimension
        texts = orjson.loads(blob[at.names : at.table])
        ends = np.frombuffer(blob, "<u4", n, at.ends) + at.records
        starts = [at.records, *ends[:-1].tolist()]
        return cls(
            np.frombuffer(blob, COLUMNS, n, at.table),
            dict(zip(NAMED, texts, strict=True)),
            np.frombuffer(blob, np.int8, n * D, at.codes).reshape(n, D),
            np.frombuffer(blob, "<f2", n * D, at.vectors).reshape(n, D),
            [blob[a:b] for a, b in zip(starts, ends.tolist(), strict=True)],
        )


def checksum_of(blob: bytes) -> int:
    """CRC32 of a chunk's blob; the margin is not part of it."""
    return zlib.crc32(memoryview(blob)[MARGIN:])


class ChunkReader:
    """Reads parts of chunks without the rest; use it as a context."""

    def __init__(self, database: apsw.Connection, chunk: int, table: str = "contents") -> None:
        """Open the blob of a chunk in a table of blobs."""
        self._blob = database.blob_open("main", table, "data", chunk, False)
        try:
            self.at = self._layout()
        except BaseException:
            self._blob.close(True)
            raise

    def __enter__(self) -> "ChunkReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._blob.close(True)

    def _layout(self) -> Layout:
        return Layout.of(self._read(MARGIN, _HEAD.size))

    def _read(self, start: int, length: int) -> bytes:
        self._blob.seek(start)
        return self._blob.read(length)

    def move(self, chunk: int, at: Layout | None = None) -> None:
        """Go to another chunk, whose layout may be known."""
        self._blob.reopen(chunk)
        self.at = at or self._layout()

    def table(self) -> tuple[NDArray[Any], dict[str, list[str]]]:
        """Table and names."""
        data = self._read(self.at.names, self.at.codes - self.at.names)
        texts = orjson.loads(data[: self.at.table - self.at.names])
        table = np.frombuffer(data, COLUMNS, self.at.rows, self.at.table - self.at.names)
        return table, dict(zip(NAMED, texts, strict=True))

    def slots(self) -> NDArray[np.int64]:
        """(n,) slots, ascending."""
        slots: NDArray[np.int64] = self.table()[0]["slot"].astype(np.int64)
        return slots

    def codes(self, out: Codes) -> None:
        """Fill in the codes (n, D)."""
        table, _ = self.table()
        out.scales[:], out.errors[:] = table["scale"], table["error"]
        self._blob.seek(self.at.codes)
        self._blob.read_into(out.values.reshape(-1).data)

    def vectors(self, rows: Sequence[int]) -> list[bytes]:
        """The bytes of the vectors of some rows, D little-endian float16 each."""
        start, size = self.at.vectors, 2 * self.at.dimension
        if len(rows) * 8 > self.at.rows:
            data = self._read(start, self.at.rows * size)
            return [data[row * size : (row + 1) * size] for row in rows]
        return [self._read(start + row * size, size) for row in rows]

    def records(self, rows: Sequence[int]) -> list[tuple[Any, ...]]:
        """Records of some rows."""
        if len(rows) * 8 > self.at.rows:
            data = self._read(self.at.ends, self._blob.length() - self.at.ends)
            start = self.at.records - self.at.ends
            ends = [0, *np.frombuffer(data, "<u4", self.at.rows).tolist()]
            return [
                tuple(orjson.loads(data[start + ends[row] : start + ends[row + 1]])) for row in rows
            ]
        found = []
        for row in rows:
            near = self._read(self.at.ends + 4 * max(row - 1, 0), 8 if row else 4)
            *first, last = struct.unpack(f"<{len(near) // 4}I", near)
            start = first[0] if first else 0
            found.append(tuple(orjson.loads(self._read(self.at.records + start, last - start))))
        return found


def as_vectors(parts: Sequence[bytes], D: int) -> HalfArray:
    """(m, D) vectors from the bytes of each."""
    vectors: HalfArray = np.frombuffer(b"".join(parts), "<f2").reshape(-1, D)
    return vectors
