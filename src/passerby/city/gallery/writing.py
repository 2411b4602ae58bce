"""Changes of a gallery, each within a transaction that the caller has begun.

Beside the chunks stands one index: a number for each id, tracklet and crop, with the place of the
sighting (:func:`terms_of`). It holds no text, so what SQLite may leave of it in half filled pages
tells nothing.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain, groupby
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import (
    NAMED,
    ROWS,
    SLOT_BITS,
    SLOTS,
    Chunk,
    ChunkReader,
    checksum_of,
)
from passerby.city.gallery.port import DamagedError
from passerby.city.gallery.records import POSITION, Batch, check_model, columns_of
from passerby.city.gallery.store import Database, get_meta, set_meta
from passerby.retrieval.screening import encode
from passerby.times import day_of

TIERS = (64, 384)  # rows: chunks below the first, and below the second, are merged with their like
FANOUT = 16  # so many chunks of one tier and day
_REPEATED = ("time", "quality", *NAMED)  # columns of a chunk that repeat its records
INDEXED = ("id", "tracklet", "crop")
_SEEDS = {field: zlib.crc32(field.encode()) for field in INDEXED}
_TAIL = 3  # characters: texts that differ in these alone lie side by side in the index

Record = tuple[Any, ...]
Entries = list[tuple[int, int]]  # of the index: number of a text, place of a sighting
T = TypeVar("T")
U = TypeVar("U")


@lru_cache(1 << 16)  # an id is looked for, then written
def term(field: str, text: str) -> int:
    """The number under which the index knows a text of a field: CRC32 of its start and of it all.

    Several texts may have one number; what is found by it is compared.
    """
    data = text.encode(errors="surrogatepass")
    # backwards: forwards the second would follow from the first and the last characters
    return (zlib.crc32(data[:-_TAIL]) << 32 | zlib.crc32(data[::-1], _SEEDS[field])) - (1 << 63)


def terms_of(columns: Mapping[str, Sequence[str]], places: Sequence[int]) -> Entries:
    """The entries of the index for columns of records: ids, and tracklets and crops if any.

    Returns:
        (number, place) pairs. A pair may come twice, where two texts of a sighting have one number.
    """
    entries: Entries = []
    for name in INDEXED:
        numbers = {text: term(name, text) for text in dict.fromkeys(columns[name]) if text}
        pairs = zip(columns[name], places, strict=True)
        entries += [(numbers[text], place) for text, place in pairs if text]
    return entries


def find(
    database: Database, field: str, texts: Iterable[str]
) -> dict[str, list[tuple[int, Record]]]:
    """(place, record) of all sightings whose ``field`` is one of ``texts``, by text."""
    wanted = {text for text in texts if text}
    rows = database.ask(
        "SELECT DISTINCT place FROM terms WHERE hash IN (SELECT value FROM json_each(?))",
        (json.dumps([term(field, text) for text in wanted]),),
    )
    found: dict[str, list[tuple[int, Record]]] = {}
    for place, values in records_at(database, sorted(row[0] for row in rows)):
        if values[POSITION[field]] in wanted:  # not another text with the same number
            found.setdefault(values[POSITION[field]], []).append((place, values))
    return found


def by_chunk(places: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    """Ascending places as chunks, each with its slots."""
    for number, some in groupby(places, lambda place: place >> SLOT_BITS):
        yield number, [place & SLOTS for place in some]


def records_at(database: Database, places: Sequence[int]) -> Iterator[tuple[int, Record]]:
    """(place, record) of ascending places."""
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


def insert(database: Database, batch: Batch, *, replace: bool) -> int:
    """Store a batch; returns how many of its ids were new.

    Raises:
        InputError: the gallery holds vectors of another model or dimension.
    """
    model = get_meta(database, "model")
    if model is None:
        set_meta(database, "model", batch.model)
        set_meta(database, "dimension", batch.dimension)
    else:
        held = (model, int(get_meta(database, "dimension")))
        check_model(batch.model, batch.dimension, held)
    known = find(database, "id", batch.ids)
    new = len(batch) - len(known)
    if known and replace:
        remove(database, sorted(place for pairs in known.values() for place, _ in pairs))
    elif known:
        batch = batch.without(known)
    if len(batch):
        for day in _write_batch(database, batch):
            _merge_small(database, day)
    return new


def _write_batch(database: Database, batch: Batch) -> set[int]:
    """Write sightings as new chunks; returns the days that they belong to."""
    days: set[int] = set()
    entries: Entries = []
    with ThreadPoolExecutor(1) as pool:
        for columns, chunk, data in _ahead(pool, partial(_encoded, batch), _parts(batch.columns)):
            number = _write_chunk(database, None, chunk, data)
            first = number << SLOT_BITS
            entries += terms_of(columns, range(first, first + len(chunk)))
            days.add(day_of(int(chunk.table["time"][0])))
    # in order, so that SQLite goes through its tree once
    numbers, places = np.array(entries, np.int64).reshape(-1, 2).T
    order = np.lexsort((places, numbers))
    ordered = zip(numbers[order].tolist(), places[order].tolist(), strict=True)
    database.executemany("INSERT OR IGNORE INTO terms VALUES (?, ?)", ordered)
    return days


def _parts(columns: Mapping[str, Sequence[Any]]) -> list[list[int]]:
    """The rows of each chunk, by unit, camera and time; chunks of a day have about one size."""
    times = np.array(columns["time"], np.int64)
    days = np.array([day_of(time) for time in columns["time"]], np.int64)
    order = np.lexsort((times, _ranks(columns["camera"]), _ranks(columns["unit"]), days))
    some = np.split(order, np.flatnonzero(np.diff(days[order])) + 1)
    return [part.tolist() for rows in some for part in np.array_split(rows, -(-len(rows) // ROWS))]


def _ranks(texts: Sequence[str]) -> NDArray[np.int64]:
    """For each text its place among all in order."""
    ranks = {text: number for number, text in enumerate(sorted(set(texts)))}
    return np.array([ranks[text] for text in texts], np.int64)


def _encoded(batch: Batch, rows: list[int]) -> tuple[dict[str, list[Any]], Chunk, bytes]:
    """Columns, chunk and blob of some rows."""
    part = batch.take(rows)
    chunk = Chunk.of(part)
    return part.columns, chunk, chunk.pack()


def _ahead(pool: ThreadPoolExecutor, work: Callable[[T], U], items: Sequence[T]) -> Iterator[U]:
    """``map(work, items)``; the next result is worked on while the caller uses the last one."""
    if len(items) == 1:
        yield work(items[0])
        return
    following = pool.submit(work, items[0])
    for item in items[1:]:
        ready, following = following, pool.submit(work, item)
        yield ready.result()
    yield following.result()


def _write_chunk(
    database: Database, number: int | None, chunk: Chunk, data: bytes | None = None
) -> int:
    """Write a chunk and what the directory says of it; returns its number.

    Args:
        database: with a transaction.
        number: of the chunk that is replaced; None for a new one.
        chunk: the rows.
        data: their blob, where it is made already.
    """
    data = data or chunk.pack()
    held = summary(chunk)
    database.ask(
        "INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number, get_meta(database, "commit"), day_of(held[1]), *held, checksum_of(data)),
    )
    number = number or database.last_insert_rowid()
    database.ask("INSERT OR REPLACE INTO contents VALUES (?, ?)", (number, data))
    return number


def summary(chunk: Chunk) -> tuple[int, int, int, str, str]:
    """What the directory says of a chunk: rows, first and last time, least and greatest unit."""
    times, units = chunk.table["time"], chunk.names["unit"]
    return len(chunk), int(times.min()), int(times.max()), min(units), max(units)


def read_chunk(database: Database, number: int, *, staged: bool = False) -> Chunk:
    """A whole chunk, checked.

    Raises:
        DamagedError: it does not match its checksum.
    """
    table, crcs = ("staged_contents", "staged") if staged else ("contents", "chunks")
    rows = database.ask(
        f"SELECT data, crc FROM {table} JOIN {crcs} USING (chunk) WHERE chunk = ?", (number,)
    )
    try:
        if not rows or checksum_of(rows[0][0]) != rows[0][1]:
            raise ValueError("checksum")
        return Chunk.unpack(rows[0][0])
    except ValueError:
        raise DamagedError(
            f"chunk {number} in the table {table} of {database.filename} does not match its "
            "checksum; restore the gallery from a backup"
        ) from None


def check_chunk(database: Database, number: int, table: str) -> tuple[list[str], int]:
    """What does not fit together in one chunk, and its number of entries in the index."""
    chunk = read_chunk(database, number, staged=table == "staged")
    faults = []
    if not np.array_equal(encode(chunk.vectors).values, chunk.codes):
        faults.append(f"the codes of chunk {number} are not those of its vectors")
    columns = columns_of(chunk.decoded())
    if any(columns[name] != chunk.column(name) for name in _REPEATED):
        faults.append(f"the columns of chunk {number} are not those of its records")
    where = f"{database.filename}: "
    if table == "staged":
        return [where + fault for fault in faults], 0
    entry = database.ask(
        "SELECT day, rows, first, last, low, high FROM chunks WHERE chunk = ?", (number,)
    )
    held = summary(chunk)
    if entry != [(day_of(held[1]), *held)]:
        faults.append(f"the directory's entry of chunk {number} is not true")
    if chunk.vectors.shape[1] != get_meta(database, "dimension"):
        faults.append(f"the vectors of chunk {number} are not of the gallery's dimension")
    places = (chunk.table["slot"].astype(np.int64) | number << SLOT_BITS).tolist()
    entries = set(terms_of(columns, places))
    for number_and_place in entries:
        if not database.ask("SELECT 1 FROM terms WHERE hash = ? AND place = ?", number_and_place):
            slot = number_and_place[1] & SLOTS
            faults.append(f"slot {slot} of chunk {number} is missing from the index")
    return [where + fault for fault in faults], len(entries)


def remove(database: Database, places: Sequence[int]) -> None:
    """Delete sightings at ascending places; their chunks are rewritten without them."""
    for number, slots in by_chunk(places):
        chunk = read_chunk(database, number)
        gone = np.isin(chunk.table["slot"], slots)
        if gone.all():
            remove_chunks(database, [number])
            continue
        columns = columns_of(chunk.take(np.flatnonzero(gone)).decoded())
        places_gone = [number << SLOT_BITS | slot for slot in slots]
        _forget_terms(database, terms_of(columns, places_gone))
        _write_chunk(database, number, chunk.take(np.flatnonzero(~gone)))
        if is_staged(database, number):
            staged = read_chunk(database, number, staged=True)
            keep = np.flatnonzero(~np.isin(staged.table["slot"], slots))
            write_staged(database, number, staged.take(keep))


def _forget_terms(database: Database, entries: Entries) -> None:
    """Delete entries of the index."""
    database.executemany("DELETE FROM terms WHERE hash = ? AND place = ?", sorted(entries))


def remove_chunks(database: Database, numbers: Sequence[int]) -> int:
    """Delete whole chunks; returns how many sightings went."""
    entries: Entries = []
    gone = 0
    for number in numbers:
        with ChunkReader(database, number) as reader:
            places = (reader.slots() | number << SLOT_BITS).tolist()
            entries += terms_of(columns_of(reader.records(range(len(places)))), places)
        gone += len(places)
        for table in ("contents", "chunks", "staged", "staged_contents"):
            database.ask(f"DELETE FROM {table} WHERE chunk = ?", (number,))
    _forget_terms(database, entries)
    set_meta(database, "removals", int(get_meta(database, "removals") or 0) + 1)
    return gone


def is_staged(database: Database, number: int) -> bool:
    """Whether some rows of a chunk have a vector of the network that is staged."""
    return bool(database.ask("SELECT 1 FROM staged WHERE chunk = ?", (number,)))


def write_staged(database: Database, number: int, chunk: Chunk) -> None:
    """Write a chunk of the network that is staged; one without rows is deleted."""
    if len(chunk) == 0:
        for table in ("staged", "staged_contents"):
            database.ask(f"DELETE FROM {table} WHERE chunk = ?", (number,))
        return
    data = chunk.pack()
    database.ask("INSERT OR REPLACE INTO staged_contents VALUES (?, ?)", (number, data))
    entry = (number, len(chunk), checksum_of(data))
    database.ask("INSERT OR REPLACE INTO staged VALUES (?, ?, ?)", entry)


def _merge_small(database: Database, day: int) -> None:
    """Merge the small chunks of a day where there are many of one size."""
    low = 0
    for high in TIERS:
        found = database.ask(
            "SELECT chunk FROM chunks WHERE day = ? AND rows >= ? AND rows < ?", (day, low, high)
        )
        if len(found) >= FANOUT:
            merge(database, [row[0] for row in found])
        low = high


def merge(database: Database, numbers: Sequence[int]) -> None:
    """Write the rows of chunks as new ones, in order; left alone while a network is staged."""
    if not numbers or get_meta(database, "stage_model") is not None:
        return
    chunks = [read_chunk(database, number) for number in numbers]
    remove_chunks(database, numbers)
    records = chain.from_iterable(chunk.decoded() for chunk in chunks)
    vectors = np.concatenate([chunk.vectors for chunk in chunks])
    _write_batch(database, Batch.of_records(get_meta(database, "model"), records, vectors))


def mergeable(database: Database) -> list[list[int]]:
    """Chunks that can become fewer ones, by day."""
    days: dict[int, list[tuple[int, int]]] = {}
    for number, day, rows in database.ask(
        "SELECT chunk, day, rows FROM chunks WHERE rows < ? ORDER BY day, chunk", (TIERS[-1],)
    ):
        days.setdefault(day, []).append((number, rows))
    return [
        [number for number, _ in some]
        for some in days.values()
        if len(some) > -(-sum(rows for _, rows in some) // ROWS)
    ]


def forget_model(database: Database) -> None:
    """Let the next sighting decide on the model, where none is left."""
    if not database.ask("SELECT 1 FROM chunks LIMIT 1"):
        for name in ("model", "dimension", "stage_model", "stage_dimension"):
            set_meta(database, name, None)
