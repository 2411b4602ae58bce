"""Reading stored chunks, whole or in parts; see :mod:`passerby.city.gallery.records`."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from passerby.city.gallery import records
from passerby.city.gallery.port import DamagedError
from passerby.city.gallery.records import SLOT_BITS, SLOTS, Batch, HalfArray, Layout, Record
from passerby.city.gallery.store import Database
from passerby.retrieval.screening import Codes

WHOLE = 8  # a part of a chunk is read at once when more than one in so many of its rows is wanted


class ChunkReader:
    """Reads parts of chunks without the rest; use it as a context.

    Attributes:
        at: the layout of the chunk.
    """

    def __init__(self, database: Database, chunk: int, table: str = "contents") -> None:
        """Open the blob of a chunk in a table of blobs."""
        self._blob = database.blob_open("main", table, "data", chunk, False)
        try:
            self.at = Layout.of(self._read(records.MARGIN, records.HEAD.stop))
        except BaseException:
            self._blob.close(True)
            raise

    def __enter__(self) -> "ChunkReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._blob.close(True)

    def _read(self, start: int, stop: int) -> bytes:
        self._blob.seek(start)
        return self._blob.read(stop - start)

    def _parts(self, start: int, edges: Sequence[int], rows: Sequence[int]) -> list[bytes]:
        """Return the bytes of some rows; row r lies between edges r and r + 1, after ``start``."""
        if len(rows) * WHOLE <= self.at.rows:
            return [self._read(start + edges[row], start + edges[row + 1]) for row in rows]
        data = self._read(start, start + edges[self.at.rows])
        return [data[edges[row] : edges[row + 1]] for row in rows]

    def move(self, chunk: int, at: Layout | None = None) -> None:
        """Go to another chunk; its layout is read unless it is given."""
        self._blob.reopen(chunk)
        self.at = at or Layout.of(self._read(records.MARGIN, records.HEAD.stop))

    def table(self) -> tuple[NDArray[Any], dict[str, list[str]]]:
        """Return the table, and for each of :data:`NAMED` the texts that its column numbers."""
        data = self._read(self.at.names, self.at.codes)
        start = self.at.table - self.at.names
        texts = dict(zip(records.NAMED, orjson.loads(data[:start]), strict=True))
        return np.frombuffer(data, records.COLUMNS, self.at.rows, start), texts

    def slots(self) -> NDArray[np.int64]:
        """Return the (n,) slots, ascending."""
        slots: NDArray[np.int64] = self.table()[0]["slot"].astype(np.int64)
        return slots

    def codes(self, out: Codes) -> None:
        """Fill in the codes (n, D)."""
        table, _ = self.table()
        out.scales[:], out.errors[:] = table["scale"], table["error"]
        self._blob.seek(self.at.codes)
        self._blob.read_into(out.values.reshape(-1).data)

    def vectors(self, rows: Sequence[int]) -> list[bytes]:
        """Return the vectors of some rows, each as D little-endian float16."""
        size = 2 * self.at.dimension
        return self._parts(self.at.vectors, range(0, size * self.at.rows + 1, size), rows)

    def records(self, rows: Sequence[int]) -> list[Record]:
        """Return the records of some rows."""
        ends = self._read(self.at.ends, self.at.records)
        edges = memoryview(bytes(4) + ends).cast("I")
        return [tuple(orjson.loads(text)) for text in self._parts(self.at.records, edges, rows)]


def empty_codes(rows: int, dimension: int) -> Codes:
    """Return room for the codes of some rows."""
    values = np.empty((rows, dimension), np.int8)
    return Codes(values, np.empty(rows, np.float32), np.empty(rows, np.float32))


def as_vectors(parts: Sequence[bytes], D: int) -> HalfArray:
    """Return (m, D) vectors from the bytes of each."""
    vectors: HalfArray = np.frombuffer(b"".join(parts), "<f2").reshape(-1, D)
    return vectors


def by_chunk(places: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    """Group ascending places: yield each chunk with its slots."""
    for number, some in groupby(places, lambda place: place >> SLOT_BITS):
        yield number, [place & SLOTS for place in some]


def records_at(database: Database, places: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """Yield (place, record) for ascending places."""
    if not places:
        return
    with ChunkReader(database, places[0] >> SLOT_BITS) as reader:
        for number, slots in by_chunk(places):
            reader.move(number)
            held = reader.slots()
            rows = np.searchsorted(held, slots).tolist()
            if not np.isin(slots, held).all():
                raise DamagedError(
                    f"{database.filename}: the index names sightings that chunk {number} does not "
                    "hold; restore the gallery from a backup"
                )
            for slot, values in zip(slots, reader.records(rows), strict=True):
                yield number << SLOT_BITS | slot, values


def read_chunk(database: Database, number: int, *, staged: bool = False) -> Batch:
    """Read a whole chunk and compare it with its checksum.

    Raises:
        DamagedError: it does not match its checksum.
    """
    table, entries = ("staged_contents", "staged") if staged else ("contents", "chunks")
    rows = database.ask(
        f"SELECT data, crc FROM {table} JOIN {entries} USING (chunk) WHERE chunk = ?", (number,)
    )
    try:
        if not rows or records.checksum_of(rows[0][0]) != rows[0][1]:
            raise ValueError("checksum")
        return Batch.unpack(rows[0][0])
    except ValueError:
        raise DamagedError(
            f"chunk {number} in the table {table} of {database.filename} does not match its "
            "checksum; restore the gallery from a backup"
        ) from None
