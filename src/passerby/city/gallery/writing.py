"""Changes of a gallery, each within a transaction that the caller has begun.

One index stands beside the chunks. It holds a number for each id, tracklet and crop, with the place
of the sighting (:func:`terms_of`). It holds no text, so the half filled pages that SQLite leaves of
it reveal nothing.
"""

import json
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import records
from passerby.city.gallery.chunks import (
    ChunkReader,
    by_chunk,
    empty_codes,
    read_chunk,
    records_at,
)
from passerby.city.gallery.port import check_model
from passerby.city.gallery.records import SLOT_BITS, SLOTS, Batch, Columns, Record
from passerby.city.gallery.store import Database, get_meta, set_meta
from passerby.times import DAY_MS, day_of

ROWS = 512  # of a full chunk
TIERS = (64, 384)  # rows: chunks below the first, and below the second, are merged with their like
FANOUT = 16  # chunks of one tier and day that are merged
INDEXED = ("id", "tracklet", "crop")
# days whose small chunks can become fewer; its bindings are TIERS[-1], ROWS and ROWS
MERGEABLE = (
    "SELECT day FROM chunks WHERE rows < ? GROUP BY day HAVING count(*) > (sum(rows) + ? - 1) / ?"
)
_SEEDS = {field: zlib.crc32(field.encode()) for field in INDEXED}
_TAIL = 3  # characters: texts that differ in these alone lie side by side in the index

Entries = list[tuple[int, int]]  # of the index: number of a text, place of a sighting


@lru_cache(1 << 16)  # an id is searched for, then written
def term(field: str, text: str) -> int:
    """Return the number of a text in the index: CRC32 of its start, then CRC32 of all of it.

    Several texts may have one number; what is found by a number is compared with the text.
    """
    data = text.encode(errors="surrogatepass")
    # backwards: forwards the second would follow from the first and the last characters
    return (zlib.crc32(data[:-_TAIL]) << 32 | zlib.crc32(data[::-1], _SEEDS[field])) - (1 << 63)


def terms_of(columns: Columns, places: Sequence[int]) -> Entries:
    """Return the index entries of columns of records: ids, and tracklets and crops if any.

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
    """Return (place, record) of all sightings whose ``field`` is one of ``texts``, by text."""
    wanted = {text for text in texts if text}
    rows = database.ask(
        "SELECT DISTINCT place FROM terms WHERE hash IN (SELECT value FROM json_each(?))",
        (json.dumps([term(field, text) for text in wanted]),),
    )
    found: dict[str, list[tuple[int, Record]]] = {}
    for place, values in records_at(database, sorted(row[0] for row in rows)):
        if values[records.POSITION[field]] in wanted:  # not another text with the same number
            found.setdefault(values[records.POSITION[field]], []).append((place, values))
    return found


def insert(database: Database, batch: Batch, *, replace: bool) -> int:
    """Store a batch; return how many of its ids were new.

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
            merge_small(database, day)
    return new


def _write_batch(database: Database, batch: Batch) -> set[int]:
    """Write sightings as new chunks; return their days."""
    days: set[int] = set()
    entries: Entries = []
    parts = _parts(batch.columns)
    with ThreadPoolExecutor(1) as pool:  # packs the next chunk while SQLite writes
        each = pool.map if len(parts) > 1 else map
        for part, data in each(partial(_packed, batch), parts):
            first = _write_chunk(database, None, part, data) << SLOT_BITS
            entries += terms_of(part.columns, range(first, first + len(part)))
            days.add(day_of(part.columns["time"][0]))
    # in order, so that SQLite goes through its tree once
    numbers, places = np.array(entries, np.int64).reshape(-1, 2).T
    order = np.lexsort((places, numbers))
    ordered = zip(numbers[order].tolist(), places[order].tolist(), strict=True)
    database.executemany("INSERT OR IGNORE INTO terms VALUES (?, ?)", ordered)
    return days


def _packed(batch: Batch, rows: NDArray[np.int64]) -> tuple[Batch, bytes]:
    """Return some rows, and their blob."""
    part = batch.take(rows.tolist())
    return part, part.pack()


def _parts(columns: Columns) -> list[NDArray[np.int64]]:
    """Return the rows of each chunk, by day, unit, camera and time; those of a day of one size."""
    times = np.array(columns["time"], np.int64)
    days = times // DAY_MS
    order = np.lexsort((times, _ranks(columns["camera"]), _ranks(columns["unit"]), days))
    some = np.split(order, np.flatnonzero(np.diff(days[order])) + 1)
    return [part for rows in some for part in np.array_split(rows, -(-len(rows) // ROWS))]


def _ranks(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return for each text its place among all in order."""
    ranks = {text: number for number, text in enumerate(sorted(set(texts)))}
    return np.array([ranks[text] for text in texts], np.int64)


def _write_chunk(database: Database, number: int | None, batch: Batch, data: bytes) -> int:
    """Write a chunk and its entry in the table of chunks; return its number.

    Args:
        database: with a transaction.
        number: of the chunk that is replaced; None for a new one.
        batch: its sightings.
        data: their blob.
    """
    entry = (number, get_meta(database, "commit"), *_entry(batch), records.checksum_of(data))
    database.ask("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", entry)
    number = number or database.last_insert_rowid()
    database.ask("INSERT OR REPLACE INTO contents VALUES (?, ?)", (number, data))
    return number


def _entry(batch: Batch) -> tuple[int, int, int, int, str, str]:
    """Return day, rows, first and last time, least and greatest unit of a chunk."""
    times, units = batch.columns["time"], batch.columns["unit"]
    return day_of(min(times)), len(batch), min(times), max(times), min(units), max(units)


def check_chunk(database: Database, number: int, table: str) -> tuple[list[str], int]:
    """Compare the parts of one chunk with each other, with its entry and with the index.

    Returns:
        What is wrong, one sentence each, and the chunk's number of entries in the index.
    """
    staged = table == "staged"
    batch = read_chunk(database, number, staged=staged)
    with ChunkReader(database, number, "staged_contents" if staged else "contents") as reader:
        held, names = reader.table()
        codes = empty_codes(len(batch), batch.dimension)
        reader.codes(codes)
    faults = []
    unit = batch.vectors / np.linalg.norm(batch.vectors.astype(float), axis=1, keepdims=True)
    rest = np.linalg.norm(unit - codes.values * codes.scales[:, None], axis=1)
    if not (rest <= codes.errors).all():
        faults.append(f"the codes of chunk {number} are not those of its vectors")
    stored = {name: [names[name][at] for at in held[name]] for name in records.NAMED}
    stored |= {name: held[name].tolist() for name in ("time", "quality")}
    if any(batch.columns[name] != values for name, values in stored.items()):
        faults.append(f"the columns of chunk {number} are not those of its records")
    entries: set[tuple[int, int]] = set()
    if not staged:
        places = [slot | number << SLOT_BITS for slot in held["slot"].tolist()]
        entries = set(terms_of(batch.columns, places))
        faults += _check_entries(database, number, batch, entries)
    return [f"{database.filename}: {fault}" for fault in faults], len(entries)


def _check_entries(
    database: Database, number: int, batch: Batch, entries: set[tuple[int, int]]
) -> list[str]:
    """Compare a chunk with its entry in the table of chunks and with those in the index."""
    faults = []
    columns = "day, rows, first, last, low, high"
    if database.ask(f"SELECT {columns} FROM chunks WHERE chunk = ?", (number,)) != [_entry(batch)]:
        faults.append(f"the directory's entry of chunk {number} is not true")
    if batch.dimension != get_meta(database, "dimension"):
        faults.append(f"the vectors of chunk {number} are not of the gallery's dimension")
    for entry in entries:
        if not database.ask("SELECT 1 FROM terms WHERE hash = ? AND place = ?", entry):
            faults.append(f"slot {entry[1] & SLOTS} of chunk {number} is missing from the index")
    return faults


def remove(database: Database, places: Sequence[int]) -> None:
    """Delete sightings at ascending places; their chunks are rewritten without them."""
    for number, slots in by_chunk(places):
        batch = read_chunk(database, number)
        gone, left = _split(batch, slots)
        if len(left) == 0:
            remove_chunks(database, [number])
            continue
        _delete_terms(database, terms_of(gone.columns, [number << SLOT_BITS | at for at in slots]))
        _write_chunk(database, number, left, left.pack())
        if is_staged(database, number):
            _, left = _split(read_chunk(database, number, staged=True), slots)
            write_staged(database, number, left)


def _split(batch: Batch, slots: Sequence[int]) -> tuple[Batch, Batch]:
    """Return the sightings in some slots, and the others."""
    inside = np.isin(batch.slots, slots)
    return batch.take(np.flatnonzero(inside).tolist()), batch.take(np.flatnonzero(~inside).tolist())


def _delete_terms(database: Database, entries: Entries) -> None:
    """Delete entries of the index."""
    database.executemany("DELETE FROM terms WHERE hash = ? AND place = ?", sorted(entries))


def remove_chunks(database: Database, numbers: Sequence[int]) -> int:
    """Delete whole chunks; return how many sightings they held."""
    entries: Entries = []
    gone = 0
    for number in numbers:
        with ChunkReader(database, number) as reader:
            places = (reader.slots() | number << SLOT_BITS).tolist()
            entries += terms_of(records.columns_of(reader.records(range(len(places)))), places)
        gone += len(places)
        for table in ("contents", "chunks", "staged", "staged_contents"):
            database.ask(f"DELETE FROM {table} WHERE chunk = ?", (number,))
    _delete_terms(database, entries)
    return gone


def is_staged(database: Database, number: int) -> bool:
    """Return whether some rows of a chunk have a vector of the model that is staged."""
    return bool(database.ask("SELECT 1 FROM staged WHERE chunk = ?", (number,)))


def write_staged(database: Database, number: int, batch: Batch) -> None:
    """Write the staged vectors of a chunk, or delete them where the batch is empty."""
    if len(batch) == 0:
        for table in ("staged", "staged_contents"):
            database.ask(f"DELETE FROM {table} WHERE chunk = ?", (number,))
        return
    data = batch.pack()
    database.ask("INSERT OR REPLACE INTO staged_contents VALUES (?, ?)", (number, data))
    entry = (number, len(batch), records.checksum_of(data))
    database.ask("INSERT OR REPLACE INTO staged VALUES (?, ?, ?)", entry)


def merge_small(
    database: Database, day: int, tiers: Sequence[int] = TIERS, least: int = FANOUT
) -> None:
    """Merge the small chunks of a day, those of about one size with each other.

    Args:
        database: with a transaction.
        day: number of the UTC day.
        tiers: sizes in rows; chunks between two of them are merged with each other.
        least: chunks that are merged; fewer are left.
    """
    for low, high in pairwise((0, *tiers)):
        found = database.ask(
            "SELECT chunk FROM chunks WHERE day = ? AND rows >= ? AND rows < ?", (day, low, high)
        )
        if len(found) >= least:
            _merge(database, [row[0] for row in found])


def _merge(database: Database, numbers: Sequence[int]) -> None:
    """Write the rows of chunks as new ones, in order; do nothing while a model is staged."""
    if get_meta(database, "stage_model") is not None:
        return
    batches = [read_chunk(database, number) for number in numbers]
    remove_chunks(database, numbers)
    columns = {
        name: list(chain.from_iterable(batch.columns[name] for batch in batches))
        for name in records.FIELDS
    }
    vectors = np.concatenate([batch.vectors for batch in batches])
    _write_batch(database, Batch("", columns, vectors))


def forget_model(database: Database) -> None:
    """Let the next sighting decide on the model, where none is left."""
    if not database.ask("SELECT 1 FROM chunks LIMIT 1"):
        for name in ("model", "dimension", "stage_model", "stage_dimension"):
            set_meta(database, name, None)
