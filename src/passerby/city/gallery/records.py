"""The codec of sightings: records, batches of them, and a batch as one blob (a chunk).

A record is a tuple of numbers and texts in the order of :data:`FIELDS`. It holds what a store keeps
of a sighting beside its vector and its model.

A chunk is a blob of some hundred sightings of one day. It holds, one after another: :data:`MARGIN`
zeros; a head; the names of cameras, units and attributes as JSON; a table of :data:`COLUMNS`; int8
codes (n, D); float16 vectors (n, D); the end of each record; the records as JSON.

SQLite keeps the first bytes of a blob in a page of its tree, and copies them when the tree grows.
The margin fills these bytes. The rest of the blob lies in pages that belong to this blob alone, and
SQLite zeroes them with it. So a rewritten or deleted chunk leaves no byte of a sighting behind.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from passerby.city.sightings import FloatArray, Pairs, Sighting
from passerby.errors import InputError
from passerby.retrieval.screening import encode

HalfArray = NDArray[np.float16]
NEAR = 2.0**-10  # of a length to 1: more than the rounding to half precision makes
FAR = 1 << 62  # milliseconds: the largest time in either direction
BLOCK = 1024  # vectors brought to unit length at once
FIELDS = ("id", "camera", "unit", "time", "tracklet", "box", "crop", "quality", "attributes")
POSITION = {name: number for number, name in enumerate(FIELDS)}  # of a field in a record
SLOT_BITS = 10  # the sighting in slot s of chunk c has the place c << SLOT_BITS | s
SLOTS = (1 << SLOT_BITS) - 1  # the bits of a place that are its slot
MARGIN = 16384  # as long as a page of the file
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
NAMED = ("camera", "unit", "attributes")  # columns of numbers into the chunk's own names
_MARK = b"PBC1"
_HEAD = struct.Struct("<4sIII")  # mark, rows, dimension, bytes of the names
HEAD = slice(MARGIN, MARGIN + _HEAD.size)  # of a blob

Record = tuple[Any, ...]
Columns = Mapping[str, Sequence[Any]]  # by name of FIELDS


def record(one: Sighting) -> Record:
    """Return the fields of a sighting in the order of :data:`FIELDS`; box, attributes as JSON."""
    return (
        one.id,
        one.camera,
        one.unit,
        int(one.time),
        one.tracklet,
        box_text(one.box),
        one.crop,
        float(one.quality),
        attributes_text(one.attributes),
    )


def sighting(values: Sequence[Any], model: str, vector: FloatArray | None = None) -> Sighting:
    """Return the sighting of a record; without a vector unless it is given."""
    fields = dict(zip(FIELDS, values, strict=True))
    fields["box"] = tuple(json.loads(fields["box"])) if fields["box"] else None
    fields["attributes"] = attributes_of(fields["attributes"])
    return Sighting(**fields, model=model, vector=vector)


def box_text(box: Sequence[float] | None) -> str:
    """Return a box as JSON; empty for none."""
    return "" if box is None else json.dumps([float(side) for side in box])


def attributes_text(attributes: Pairs) -> str:
    """Return attributes in order of name as one JSON object; empty for none."""
    if not attributes:
        return ""
    return json.dumps(dict(attributes), ensure_ascii=False, separators=(",", ":"))


def attributes_of(text: str) -> Pairs:
    """Return the attributes of a JSON text."""
    return tuple(json.loads(text).items()) if text else ()


def checksum(one: Sighting, vector: NDArray[Any]) -> int:
    """Return the CRC32 of all fields of a sighting and of its (D,) vector in half precision.

    It is the same in every store and every version, so that galleries can be compared.
    """
    box = None if one.box is None else [float(side) for side in one.box]
    fields = [
        one.id, one.camera, one.time, one.model, one.unit, one.tracklet, box, one.crop,
        float(one.quality), one.attributes,
    ]  # fmt: skip
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    half = np.ascontiguousarray(vector, dtype="<f2")
    return zlib.crc32(half.tobytes(), zlib.crc32(text.encode()))


def unit_half(vectors: NDArray[Any], ids: Sequence[str]) -> HalfArray:
    """Bring rows (N, D) of any float type to unit length and round them to half precision.

    Rows whose length is 1 up to rounding stay as they are, so that storing a stored vector again
    does not change it.

    Raises:
        InputError: a row is zero or not finite; its id is named.
    """
    wide = vectors.astype(np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    if not (norms.min(initial=1) > 1e-15 and norms.max(initial=1) < 1e15):  # NaN too
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        raise InputError(
            f"the vector of sighting '{ids[int(bad[0])]}' is zero or not finite; "
            "embed its picture again"
        )
    norms[np.abs(norms - 1) < NEAR] = 1
    if vectors.dtype == np.float16 and (norms == 1).all():
        return vectors
    half: HalfArray = (vectors / norms).astype(np.float16)
    return half


class Layout(NamedTuple):
    """Sizes of a chunk, and where the parts of its blob begin."""

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
        names = HEAD.stop
        table = names + length
        codes = table + n * COLUMNS.itemsize
        vectors = codes + n * D
        ends = vectors + 2 * n * D
        return cls(n, D, names, table, codes, vectors, ends, ends + 4 * n)


@dataclass(frozen=True, slots=True)
class Batch:
    """Sightings of one model, column by column; iterates over :class:`Sighting` objects.

    Attributes:
        model: id of the network that made the vectors; empty in a batch of :meth:`unpack`.
        columns: the N values of each of :data:`FIELDS`, as records hold them.
        vectors: (N, D) rows of any float type; float16 unit rows in a batch of :meth:`of`.
        slots: (N,) ascending slots in the stored chunk; None for 0 to N - 1.
    """

    model: str
    columns: dict[str, list[Any]]
    vectors: NDArray[Any]
    slots: Any = None

    @classmethod
    def of(cls, sightings: Iterable[Sighting]) -> "Batch":
        """Check and normalise sightings; of several with one id the first is taken.

        Args:
            sightings: objects, or a batch, which is faster.

        Raises:
            InputError: an empty id, camera or unit; vectors missing, zero, not finite, of several
                dimensions or several models.
        """
        given = sightings if isinstance(sightings, Batch) else _columns_of(list(sightings))
        rows = {name: row for row, name in reversed(list(enumerate(given.ids)))}
        batch = given if len(rows) == len(given) else given.take(sorted(rows.values()))
        _check_columns(batch.columns)
        return cls(batch.model, batch.columns, _unit_blocks(batch.vectors, batch.ids))

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Sighting]:
        vectors = self.vectors.astype(np.float32)
        for values, vector in zip(self.records(), vectors, strict=True):
            yield sighting(values, self.model, vector)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return self.columns["id"]

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def records(self) -> list[Record]:
        """Return the N records."""
        return list(zip(*self.columns.values(), strict=True))

    def with_column(self, name: str, values: list[Any]) -> "Batch":
        """Return the same sightings with other values of a field."""
        return Batch(self.model, {**self.columns, name: values}, self.vectors)

    def take(self, rows: Sequence[int]) -> "Batch":
        """Return some rows, in the order given; they keep their slots."""
        columns = {name: [column[r] for r in rows] for name, column in self.columns.items()}
        at = np.array(rows, np.int64)
        slots = None if self.slots is None else self.slots[at]
        return Batch(self.model, columns, self.vectors[at], slots)

    def without(self, ids: Iterable[str]) -> "Batch":
        """Return the batch without some ids."""
        gone = set(ids)
        return self.take([row for row, name in enumerate(self.ids) if name not in gone])

    def pack(self) -> bytes:
        """Return the blob of a chunk that holds these sightings.

        Raises:
            InputError: a text is no Unicode.
        """
        codes = encode(self.vectors)
        table = np.empty(len(self), COLUMNS)
        table["time"], table["quality"] = self.columns["time"], self.columns["quality"]
        table["slot"] = np.arange(len(self)) if self.slots is None else self.slots
        table["scale"], table["error"] = codes.scales, codes.errors
        names = []
        for name in NAMED:
            numbers: dict[str, int] = {}
            table[name] = [numbers.setdefault(text, len(numbers)) for text in self.columns[name]]
            names.append(list(numbers))
        try:
            texts = [orjson.dumps(one) for one in self.records()]
        except orjson.JSONEncodeError as error:  # half a surrogate pair
            raise InputError(
                f"a text of a sighting is no Unicode, nothing was stored: {error}"
            ) from None
        named = orjson.dumps(names)
        head = _HEAD.pack(_MARK, len(self), self.dimension, len(named))
        ends = np.cumsum([len(text) for text in texts], dtype="<u4")
        parts = [table, codes.values, self.vectors.astype("<f2", copy=False), ends]
        arrays = [np.ascontiguousarray(part).data.cast("B") for part in parts]
        return b"".join([bytes(MARGIN), head, named, *arrays, *texts])

    @classmethod
    def unpack(cls, blob: bytes) -> "Batch":
        """Return the sightings of a chunk.

        Raises:
            ValueError: these bytes are no chunk.
        """
        at = Layout.of(blob[HEAD])
        n, D = at.rows, at.dimension
        ends = (np.frombuffer(blob, "<u4", n, at.ends) + at.records).tolist()
        texts = [orjson.loads(blob[a:b]) for a, b in pairwise([at.records, *ends])]
        vectors = np.frombuffer(blob, "<f2", n * D, at.vectors).reshape(n, D)
        slots = np.frombuffer(blob, COLUMNS, n, at.table)["slot"]
        return cls("", columns_of(texts), vectors, slots)


def checksum_of(blob: bytes) -> int:
    """Return the CRC32 of a chunk's blob; the margin is not part of it."""
    return zlib.crc32(memoryview(blob)[MARGIN:])


def columns_of(records: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return records as columns by name of :data:`FIELDS`."""
    columns = [list(column) for column in zip(*records, strict=True)]
    return dict(zip(FIELDS, columns or [[] for _ in FIELDS], strict=True))


def _columns_of(sightings: list[Sighting]) -> Batch:
    """Return checked objects column by column."""
    for one in sightings:
        _check(one, sightings[0])
    vectors = np.array([one.vector for one in sightings])
    return Batch(
        sightings[0].model if sightings else "", columns_of(map(record, sightings)), vectors
    )


def _unit_blocks(vectors: NDArray[Any], ids: list[str]) -> HalfArray:
    """Apply :func:`unit_half` to vectors (N, D), some at a time so that they stay in the cache."""
    starts = range(0, len(ids), BLOCK)
    parts = [unit_half(vectors[a : a + BLOCK], ids[a : a + BLOCK]) for a in starts]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float16)


def _check(one: Sighting, first: Sighting) -> None:
    """Refuse a sighting whose vector or time does not fit those of the first."""
    if not isinstance(one.time, int | np.integer):
        raise InputError(f"sighting '{one.id}' has the time {one.time}; give whole milliseconds")
    if one.vector is None or one.vector.ndim != 1:
        raise InputError(f"sighting '{one.id}' has no vector; embed its picture first")
    if first.vector is not None and one.vector.size != first.vector.size:
        raise InputError(
            f"sightings '{first.id}' and '{one.id}' have vectors of {first.vector.size} and "
            f"{one.vector.size} dimensions; use one model"
        )
    if one.model != first.model:
        raise InputError(
            f"sightings '{first.id}' and '{one.id}' come from the models '{first.model}' and "
            f"'{one.model}'; add them to galleries of their own"
        )


def _check_columns(columns: Columns) -> None:
    """Refuse records without an id, camera or unit, and impossible numbers."""
    ids = columns["id"]
    for name in ("id", "camera", "unit"):
        if not all(columns[name]):
            row = columns[name].index("")
            raise InputError(f"sighting '{ids[row]}' lacks an id, a camera or a unit")
    for name, time, quality in zip(ids, columns["time"], columns["quality"], strict=True):
        if not -FAR <= time <= FAR:
            raise InputError(f"sighting '{name}' has the time {time}; give whole milliseconds")
        if not math.isfinite(quality):
            raise InputError(f"sighting '{name}' has the quality {quality}; give a number")
