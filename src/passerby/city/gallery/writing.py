"""Changes of a gallery, each within a transaction that the caller has begun."""

import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import MARGIN, ROWS, SLOT_BITS, Chunk
from passerby.city.gallery.port import DamagedError
from passerby.city.gallery.records import FIELDS, Batch, check_model, record
from passerby.city.gallery.store import forget_meta, get_meta, set_meta
from passerby.city.times import day_of

TIERS = (64, 384)  # rows: chunks below the first, and below the second, are merged with their like
FANOUT = 16  # so many chunks of one tier and day
_AT = {name: number for number, name in enumerate(FIELDS)}
_ORDER = ("unit", "camera", "time")
_FACTS = ("time", "quality", "camera", "unit", "attributes")  # as a chunk takes them
_INSERT = f"INSERT INTO sightings VALUES ({', '.join('?' * (len(FIELDS) + 1))})"
_OF_PLACES = "place IN (SELECT value FROM json_each(?))"


def known_places(database: apsw.Connection, ids: Sequence[str]) -> dict[str, int]:
    """Place by id, of the ids that exist."""
    return dict(
        database.execute(
            "SELECT id, place FROM sightings WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(ids), ensure_ascii=False),),
        )
    )


def insert(database: apsw.Connection, batch: Batch, *, replace: bool) -> int:
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
    known = known_places(database, batch.ids)
    if known and replace:
        remove(database, sorted(known.values()))
    elif known:
        batch = batch.without(known)
    records = [record(one) for one in batch.sightings]
    for day in _write_rows(database, records, batch.vectors):
        _merge_small(database, day)
    return len(batch) - (len(known) if replace else 0)


def _write_rows(
    database: apsw.Connection, records: list[tuple[Any, ...]], vectors: NDArray[np.float16]
) -> set[int]:
    """Write rows as new chunks; returns the days that they belong to."""
    unit, camera, time = (_AT[name] for name in _ORDER)
    days: dict[int, list[int]] = {}
    for row, one in enumerate(records):
        days.setdefault(day_of(one[time]), []).append(row)
    for day, rows in days.items():
        rows.sort(key=lambda row: (records[row][unit], records[row][camera], records[row][time]))
        parts = -(-len(rows) // ROWS)  # of about the same size
        for part in range(parts):
            some = rows[len(rows) * part // parts : len(rows) * (part + 1) // parts]
            database.execute(
                "INSERT INTO chunks (version, day, rows, first, last, low, high, crc) "
                "VALUES (0, ?, 0, 0, 0, '', '', 0)", (day,)
            )
            number = database.last_insert_rowid()
            base = number << SLOT_BITS
            database.executemany(
                _INSERT, ((base + slot, *records[row]) for slot, row in enumerate(some))
            )
            picked = [_AT[name] for name in _FACTS]
            facts = [[records[row][at] for at in picked] for row in some]
            _write_chunk(database, number, Chunk.of(facts, vectors[some]))
    return set(days)


def _write_chunk(database: apsw.Connection, number: int, chunk: Chunk) -> None:
    """Write the content of a chunk and what the directory says of it."""
    data = chunk.pack()
    times, used = chunk.table["time"], np.unique(chunk.table["unit"]).tolist()
    units = [chunk.names["unit"][at] for at in used]
    database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?)", (number, data))
    database.execute(
        "UPDATE chunks SET version = ?, rows = ?, first = ?, last = ?, low = ?, high = ?, crc = ? "
        "WHERE chunk = ?",
        (
            get_meta(database, "commit"), len(chunk), int(times.min()), int(times.max()),
            min(units), max(units), zlib.crc32(memoryview(data)[MARGIN:]), number,
        ),
    )  # fmt: skip


def read_chunk(database: apsw.Connection, number: int, *, staged: bool = False) -> Chunk:
    """A whole chunk, checked.

    Raises:
        DamagedError: it does not match its checksum.
    """
    table, crcs = ("staged_contents", "staged") if staged else ("contents", "chunks")
    row = database.execute(
        f"SELECT data, crc FROM {table} JOIN {crcs} USING (chunk) WHERE chunk = ?", (number,)
    ).fetchone()
    try:
        if row is None or zlib.crc32(memoryview(row[0])[MARGIN:]) != row[1]:
            raise ValueError("checksum")
        return Chunk.unpack(row[0])
    except ValueError:
        raise DamagedError(
            f"chunk {number} in the table {table} of {database.filename} does not match its "
            "checksum; restore the gallery from a backup"
        ) from None


def remove(database: apsw.Connection, places: Iterable[int]) -> None:
    """Delete sightings; the chunks they were in are rewritten without them."""
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(place >> SLOT_BITS, []).append(place)
    for number, some in groups.items():
        chunk = read_chunk(database, number)
        slots = np.array(some) & ((1 << SLOT_BITS) - 1)
        keep = ~np.isin(chunk.table["slot"], slots)
        if not keep.any():
            remove_chunks(database, [number])
            continue
        _write_chunk(database, number, chunk.take(keep))
        if database.execute("SELECT 1 FROM staged WHERE chunk = ?", (number,)).fetchone():
            staged = read_chunk(database, number, staged=True)
            write_staged(database, number, staged.take(~np.isin(staged.table["slot"], slots)))
        database.execute(f"DELETE FROM sightings WHERE {_OF_PLACES}", (json.dumps(some),))


def remove_chunks(database: apsw.Connection, numbers: Sequence[int]) -> int:
    """Delete whole chunks; returns how many sightings went."""
    gone = 0
    for number in numbers:
        database.execute(
            "DELETE FROM sightings WHERE place >= ? AND place < ?",
            (number << SLOT_BITS, (number + 1) << SLOT_BITS),
        )
        gone += database.changes()
        for table in ("contents", "chunks", "staged", "staged_contents"):
            database.execute(f"DELETE FROM {table} WHERE chunk = ?", (number,))
    set_meta(database, "removals", int(get_meta(database, "removals") or 0) + 1)
    return gone


def write_staged(database: apsw.Connection, number: int, chunk: Chunk) -> None:
    """Write a chunk of the network that is staged; one without rows is deleted."""
    if len(chunk) == 0:
        for table in ("staged", "staged_contents"):
            database.execute(f"DELETE FROM {table} WHERE chunk = ?", (number,))
        return
    data = chunk.pack()
    crc = zlib.crc32(memoryview(data)[MARGIN:])
    database.execute("INSERT OR REPLACE INTO staged_contents VALUES (?, ?)", (number, data))
    database.execute(
        "INSERT OR REPLACE INTO staged VALUES (?, ?, ?)", (number, len(chunk), crc)
    )


def _merge_small(database: apsw.Connection, day: int) -> None:
    """Merge the small chunks of a day where there are many of one size."""
    low = 0
    for high in TIERS:
        found = database.execute(
            "SELECT chunk FROM chunks WHERE day = ? AND rows >= ? AND rows < ?", (day, low, high)
        ).fetchall()
        if len(found) >= FANOUT:
            merge(database, [row[0] for row in found])
        low = high


def merge(database: apsw.Connection, numbers: Sequence[int]) -> None:
    """Write the rows of chunks as new ones, in order; left alone while a network is staged."""
    if get_meta(database, "stage_model") is not None:
        return
    records: list[tuple[Any, ...]] = []
    vectors = []
    for number in numbers:
        chunk = read_chunk(database, number)
        rows = database.execute(
            f"SELECT {', '.join(FIELDS)} FROM sightings WHERE place >= ? AND place < ? "
            "ORDER BY place", (number << SLOT_BITS, (number + 1) << SLOT_BITS)
        ).fetchall()
        if len(rows) != len(chunk):
            raise DamagedError(
                f"chunk {number} of {database.filename} holds {len(chunk)} vectors of {len(rows)} "
                "sightings; restore the gallery from a backup"
            )
        records += rows
        vectors.append(chunk.vectors)
    remove_chunks(database, numbers)
    _write_rows(database, records, np.concatenate(vectors))


def mergeable(database: apsw.Connection) -> list[list[int]]:
    """Chunks that can become fewer ones, by day."""
    days: dict[int, list[tuple[int, int]]] = {}
    for number, day, rows in database.execute(
        "SELECT chunk, day, rows FROM chunks WHERE rows < ? ORDER BY day, chunk", (TIERS[-1],)
    ):
        days.setdefault(day, []).append((number, rows))
    return [
        [number for number, _ in some]
        for some in days.values()
        if len(some) > -(-sum(rows for _, rows in some) // ROWS)
    ]


def forget_model(database: apsw.Connection) -> None:
    """Let the next sighting decide on the model, where none is left."""
    if database.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is None:
        forget_meta(database, ["model", "dimension", "stage_model", "stage_dimension"])
