"""The tables of the embedded gallery's index, and how an older index is brought up to date.

A row's *place* is ``day << 32 | row``: the segment it lies in and its row there, and the primary
key, so that the rows of a day are neighbours on disk. ``removals`` tells open readers which rows
died; ``buckets.generation`` changes when a day's rows were moved. ``stages`` and ``stage_blocks``
are to a second set of vectors what ``buckets`` and ``blocks`` are to the first. ``kept`` holds
vectors whose segment file was not synced since, see :mod:`passerby.city.gallery.keeping`.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from passerby.city.gallery.packing import row_crc
from passerby.city.gallery.port import DamagedError, StoreError

FORMAT = 3
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cells (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS cameras (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS labels (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS buckets (
    day INTEGER PRIMARY KEY, generation INTEGER NOT NULL UNIQUE, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    day INTEGER NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (day, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stages (
    day INTEGER PRIMARY KEY, generation INTEGER NOT NULL UNIQUE, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stage_blocks (
    day INTEGER NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (day, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (
    day INTEGER NOT NULL, generation INTEGER NOT NULL, first INTEGER NOT NULL,
    rows INTEGER NOT NULL, crc INTEGER NOT NULL, vectors BLOB NOT NULL,
    PRIMARY KEY (day, generation, first)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT, place INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sightings (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL,
    cell INTEGER NOT NULL, camera INTEGER NOT NULL, tracklet TEXT NOT NULL,
    x0 REAL, y0 REAL, x1 REAL, y1 REAL, crop TEXT NOT NULL, quality REAL NOT NULL,
    labels INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS sightings_tracklet ON sightings (tracklet) WHERE tracklet <> '';
CREATE INDEX IF NOT EXISTS sightings_crop ON sightings (crop) WHERE crop <> '';
INSERT OR IGNORE INTO labels VALUES (0, '');
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the index, or make an empty one, or bring an older one up to date.

    On a read-only disk it is opened for reading.

    Raises:
        DamagedError: the file is no index, or one of a newer version.
        StoreError: the disk is full, or read-only while the index needs to be recovered.
    """
    immutable = path.exists() and _read_only(path)
    if immutable and _wal_of(path).exists() and _wal_of(path).stat().st_size:
        raise StoreError(
            f"the gallery index {path} was not closed and its disk is read-only; make it writable "
            "once"
        )
    address = f"file:{quote(str(path.absolute()))}{'?immutable=1' if immutable else ''}"
    database = sqlite3.connect(
        address, uri=True, timeout=60, isolation_level=None, check_same_thread=False
    )
    try:
        if not immutable:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute("PRAGMA secure_delete=ON")
        database.execute("PRAGMA cache_size=-32768")
        written = _format(database)
        if written in _UPGRADES:
            _upgrade(database)
        elif written is None:
            database.executescript(SCHEMA)
            database.execute("INSERT OR IGNORE INTO facts VALUES ('format', ?)", (FORMAT,))
        if _format(database) != FORMAT:
            raise DamagedError(f"the gallery index {path} is of another version of Passerby")
    except sqlite3.OperationalError as error:  # disk full, locked for long
        database.close()
        raise StoreError(f"the gallery index {path} cannot be opened: {error}") from None
    except sqlite3.DatabaseError as error:
        database.close()
        raise DamagedError(f"the gallery index {path} cannot be opened: {error}") from None
    except DamagedError:
        database.close()
        raise
    return database


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) or not os.access(path.parent, os.W_OK)


def _wal_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _format(database: sqlite3.Connection) -> int | None:
    sql = "SELECT count(*) FROM sqlite_master WHERE name = 'facts'"
    if database.execute(sql).fetchone()[0] == 0:
        return None
    row = database.execute("SELECT value FROM facts WHERE name = 'format'").fetchone()
    return None if row is None else int(row[0])


def _upgrade(database: sqlite3.Connection) -> None:
    """Bring an older index up to date, all or nothing."""
    database.execute("BEGIN IMMEDIATE")
    written = _format(database)
    if written in _UPGRADES:  # nobody else has done it meanwhile
        _UPGRADES[written](database)
        database.execute("UPDATE facts SET value = ? WHERE name = 'format'", (FORMAT,))
    database.execute("COMMIT")


def _from_first(database: sqlite3.Connection) -> None:
    """Format 1 had no attributes and no checksums of rows."""
    database.execute("ALTER TABLE cameras RENAME COLUMN id TO code")
    for column in ("labels", "crc"):
        database.execute(f"ALTER TABLE sightings ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    _add_tables(database)
    rows = database.execute(f"SELECT place, {FACTS} FROM sightings").fetchall()
    database.executemany(
        "UPDATE sightings SET crc = ? WHERE place = ?",
        ((row_crc(place, facts), place) for place, *facts in rows),
    )


def _add_tables(database: sqlite3.Connection) -> None:
    """Format 2 lacked tables alone."""
    for statement in _statements():
        database.execute(statement)


_UPGRADES: dict[int | None, Callable[[sqlite3.Connection], None]] = {
    1: _from_first,
    2: _add_tables,
}


def _statements() -> Iterator[str]:
    yield from (one for one in SCHEMA.split(";") if one.strip())


FACTS = "id, time, cell, camera, tracklet, x0, y0, x1, y1, crop, quality, labels"
"""The columns that :func:`~passerby.city.gallery.packing.row_crc` covers, in its order."""

SMALL_TABLES = (
    "facts",
    "cells",
    "cameras",
    "labels",
    "buckets",
    "blocks",
    "stages",
    "stage_blocks",
    "removals",
)
"""All others but ``kept``, whose rows have checksums of their own."""
