"""The index of the embedded gallery: one SQLite file, the commit point of every change.

Its tables are told in :mod:`passerby.city.gallery.schema`.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from passerby.city.gallery.packing import label_pairs, row_crc
from passerby.city.gallery.port import DamagedError, StoreError
from passerby.city.gallery.raw import connected, disconnect
from passerby.city.gallery.schema import FACTS, SMALL_TABLES, connect
from passerby.city.gallery.segments import Block
from passerby.city.sightings import Sighting

ROW_BITS = 32
_CHUNK = 500  # parameters in one IN list
_OF_SIGHTING = ", ".join(f"s.{name}" for name in FACTS.split(", "))


def place_of(day: int, row: int) -> int:
    """The primary key of a row."""
    return day << ROW_BITS | row


class Index:
    """SQLite with typed questions; the caller holds the locks."""

    def __init__(self, path: Path) -> None:
        """Open or create the index.

        Raises:
            DamagedError: the file is no index, or one of a newer version.
        """
        self.path = path
        self._closed = False
        self._db, self.raw = connected(path, connect)

    def close(self) -> None:
        """Close the connection, once."""
        if not self._closed:
            self._closed = True
            disconnect(self._db, self.raw)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:  # disk full, read-only, locked for long
            raise StoreError(
                f"the gallery index {self.path} cannot be used, nothing was stored: {error}"
            ) from None
        except sqlite3.DatabaseError as error:
            raise DamagedError(
                f"the gallery index {self.path} is damaged ({error}); restore it from a backup"
            ) from None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several questions on one state of the index."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing; durable at the end. Commits are counted."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.set_fact("commit", self.commits() + 1)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def settle(self) -> None:
        """Commit something, so that no commit nobody has seen can come back later.

        A writer killed at the very end of a commit may have written it to the log without telling
        the other processes. They do not see it, but a later recovery of the log would bring it
        back, when its rows in the segment files have long been cut off, overwritten or swept. A
        commit of our own takes the place of such frames for good. Needed before files are touched.
        """
        with self.writing():
            pass  # the count of commits changes

    def commits(self) -> int:
        """How many commits there were."""
        return int(self.fact("commit") or 0)

    def version(self) -> int:
        """A number that changes when another connection commits."""
        return int(self._one("PRAGMA data_version"))

    def _one(self, sql: str, *parameters: Any) -> Any:
        row = self._db.execute(sql, parameters).fetchone()
        return None if row is None else row[0]

    # facts and names -----------------------------------------------------------------------

    def fact(self, name: str) -> Any:
        """A stored fact (format, model, dimension, generation) or None."""
        return self._one("SELECT value FROM facts WHERE name = ?", name)

    def set_fact(self, name: str, value: str | int) -> None:
        """Store a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget_model(self) -> None:
        """The gallery is empty: the next sighting fixes the model."""
        self.drop_stages()
        self._db.execute("DELETE FROM facts WHERE name IN ('model', 'dimension')")

    def next_generation(self) -> int:
        """A number no segment file has had yet."""
        generation = int(self.fact("generation") or 0) + 1
        self.set_fact("generation", generation)
        return generation

    def names(self, table: str, known: int) -> list[str]:
        """Codes of cells, cameras or labels with number >= known, in order of number."""
        sql = f"SELECT code FROM {table} WHERE number >= ? ORDER BY number"
        return [row[0] for row in self._db.execute(sql, (known,))]

    def add_names(self, table: str, codes: Iterable[tuple[int, str]]) -> None:
        """Give numbers to new cells, cameras or labels."""
        self._db.executemany(f"INSERT INTO {table} VALUES (?, ?)", codes)

    # buckets ---------------------------------------------------------------------------------

    def buckets(self) -> dict[int, tuple[int, int]]:
        """Day -> (generation, committed rows)."""
        rows = self._db.execute("SELECT day, generation, rows FROM buckets ORDER BY day")
        return {day: (generation, count) for day, generation, count in rows}

    def stages(self) -> dict[int, tuple[int, int]]:
        """Day -> (generation, rows) of the vectors by the next model."""
        rows = self._db.execute("SELECT day, generation, rows FROM stages ORDER BY day")
        return {day: (generation, count) for day, generation, count in rows}

    def set_bucket(
        self, day: int, generation: int, rows: int, blocks: Iterable[Block], *, staged: bool = False
    ) -> None:
        """Commit a bucket's new number of rows and the blocks that were appended."""
        bucket, parts = ("stages", "stage_blocks") if staged else ("buckets", "blocks")
        self._db.execute(
            f"INSERT OR REPLACE INTO {bucket} VALUES (?, ?, ?)", (day, generation, rows)
        )
        self._db.executemany(
            f"INSERT INTO {parts} VALUES (?, ?, ?, ?)",
            ((day, block.first, block.rows, block.crc) for block in blocks),
        )

    def drop_bucket(self, day: int) -> int:
        """Forget a day; returns how many sightings went."""
        low, high = place_of(day, 0), place_of(day + 1, 0)
        sql = "DELETE FROM sightings WHERE place >= ? AND place < ?"
        gone = self._db.execute(sql, (low, high)).rowcount
        self._db.execute("DELETE FROM removals WHERE place >= ? AND place < ?", (low, high))
        for table in ("blocks", "buckets", "stage_blocks", "stages", "kept"):
            self._db.execute(f"DELETE FROM {table} WHERE day = ?", (day,))
        return gone

    def move_bucket(self, day: int, alive: Sequence[int]) -> None:
        """Close the gaps of a day: row ``alive[i]`` becomes row i; its blocks are forgotten."""
        low, high = place_of(day, 0), place_of(day + 1, 0)
        sql = f"SELECT place, {FACTS} FROM sightings WHERE place >= ? AND place < ?"
        facts = {place: rest for place, *rest in self._db.execute(sql, (low, high))}
        moves = [
            (place_of(day, new), row_crc(place_of(day, new), facts[old]), old)
            for new, old in enumerate(place_of(day, row) for row in alive)
            if place_of(day, new) != old
        ]
        # ascending order: a target is always below its source, so it is already free
        self._db.executemany("UPDATE sightings SET place = ?, crc = ? WHERE place = ?", moves)
        self._db.execute("DELETE FROM removals WHERE place >= ? AND place < ?", (low, high))
        for table in ("blocks", "stage_blocks", "kept"):
            self._db.execute(f"DELETE FROM {table} WHERE day = ?", (day,))

    def promote_stages(self) -> None:
        """The staged files become the gallery's; days without any are forgotten."""
        for day in set(self.buckets()) - set(self.stages()):
            self.drop_bucket(day)
        self.forget_kept()
        self._db.execute("DELETE FROM blocks")
        self._db.execute("INSERT INTO blocks SELECT * FROM stage_blocks")
        self._db.execute(
            "UPDATE buckets SET generation = "
            "(SELECT generation FROM stages WHERE stages.day = buckets.day)"
        )
        self.drop_stages()

    def drop_stages(self) -> None:
        """Forget the staged vectors and their model."""
        for table in ("stages", "stage_blocks"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("DELETE FROM facts WHERE name IN ('stage_model', 'stage_dimension')")

    def blocks(self, day: int, first: int, *, staged: bool = False) -> list[Block]:
        """Blocks of a day from row ``first`` on."""
        table = "stage_blocks" if staged else "blocks"
        sql = f"SELECT first, rows, crc FROM {table} WHERE day = ? AND first >= ? ORDER BY first"
        return [Block(*row) for row in self._db.execute(sql, (day, first))]

    # vectors that are kept --------------------------------------------------------------------

    def keep(self, day: int, generation: int, block: Block, vectors: bytes) -> None:
        """Keep the vectors of an appended block."""
        row = (day, generation, block.first, block.rows, block.crc, vectors)
        self._db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?, ?)", row)

    def kept_rows(self) -> int:
        """How many vectors are kept."""
        return int(self._one("SELECT coalesce(sum(rows), 0) FROM kept"))

    def kept_files(self) -> list[tuple[int, int]]:
        """(day, generation) of the files whose vectors are kept."""
        return self._db.execute("SELECT DISTINCT day, generation FROM kept").fetchall()

    def kept(self) -> Iterator[tuple[int, int, Block, bytes]]:
        """(day, generation, block, vectors), in order."""
        sql = "SELECT day, generation, first, rows, crc, vectors FROM kept ORDER BY 1, 2, 3"
        for day, generation, first, rows, crc, vectors in self._db.execute(sql):
            yield day, generation, Block(first, rows, crc), vectors

    def forget_kept(self) -> None:
        """The segment files have been synced, or are given up."""
        self._db.execute("DELETE FROM kept")
        self._db.execute("DELETE FROM facts WHERE name = 'boot'")

    def columns(self, day: int, first: int) -> list[tuple[Any, ...]]:
        """(place, time, cell, camera, labels, quality) of a day's living rows from ``first`` on."""
        return self._db.execute(
            "SELECT place, time, cell, camera, labels, quality FROM sightings "
            "WHERE place >= ? AND place < ?",
            (place_of(day, first), place_of(day + 1, 0)),
        ).fetchall()

    def removals(self, known: int) -> list[tuple[int, int]]:
        """(number, place) of removals with a number above ``known``."""
        sql = "SELECT number, place FROM removals WHERE number > ? ORDER BY number"
        return self._db.execute(sql, (known,)).fetchall()

    # sightings -------------------------------------------------------------------------------

    def insert(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Insert rows in the order of the table's columns."""
        self._db.executemany("INSERT INTO sightings VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)

    def remove(self, places: Sequence[int]) -> None:
        """Delete sightings and tell the readers."""
        self._db.executemany("DELETE FROM sightings WHERE place = ?", ((p,) for p in places))
        self._db.executemany(
            "INSERT INTO removals (place) VALUES (?)", ((place,) for place in places)
        )

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """Place by id, for the ids that exist."""
        found: dict[str, int] = {}
        for part in _chunks(ids):
            sql = f"SELECT id, place FROM sightings WHERE id IN ({_marks(part)})"
            found.update(self._db.execute(sql, part).fetchall())
        return found

    def ids(self, places: Sequence[int]) -> dict[int, str]:
        """Id by place, for the places that live."""
        found: dict[int, str] = {}
        for part in _chunks(places):
            sql = f"SELECT place, crc, {FACTS} FROM sightings WHERE place IN ({_marks(part)})"
            for place, crc, *facts in self._db.execute(sql, part):
                found[place] = self._sound(place, facts, crc)[0]
        return found

    def facts_of(self, column: str, values: Sequence[str]) -> list[Sighting]:
        """Sightings whose ``column`` (id or tracklet) is one of ``values``, without vectors."""
        model = str(self.fact("model") or "")
        out = []
        for part in _chunks(values):
            sql = (
                f"SELECT c.code, k.code, l.code, s.place, s.crc, {_OF_SIGHTING} FROM sightings s "
                "JOIN cells c ON c.number = s.cell JOIN cameras k ON k.number = s.camera "
                f"JOIN labels l ON l.number = s.labels WHERE s.{column} IN ({_marks(part)})"
            )
            for unit, camera, labels, place, crc, *facts in self._db.execute(sql, part):
                self._sound(place, facts, crc)
                out.append(_sighting(facts, unit, camera, labels, model))
        return out

    def _sound(self, place: int, facts: list[Any], crc: int) -> list[Any]:
        if row_crc(place, facts) != crc:
            raise DamagedError(
                f"sighting '{facts[0]}' in the gallery index {self.path} does not match its "
                "checksum; restore the gallery from a backup"
            )
        return facts

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        """Those of ``crops`` that some sighting still names."""
        used: set[str] = set()
        for part in _chunks(crops):
            sql = f"SELECT DISTINCT crop FROM sightings WHERE crop IN ({_marks(part)})"
            used.update(row[0] for row in self._db.execute(sql, part))
        return used

    # upkeep ----------------------------------------------------------------------------------

    def checkpoint(self) -> bool:
        """Empty the write-ahead log into the file; False when a reader is in the way."""
        busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def check(self) -> list[str]:
        """SQLite's own integrity check and the checksum of every row; empty when all is well."""
        try:
            rows = self._db.execute("PRAGMA integrity_check").fetchall()
            faults = [f"{self.path}: {row[0]}" for row in rows if row[0] != "ok"]
            return faults + [
                f"{self.path}: the sighting '{facts[0]}' does not match its checksum"
                for place, crc, *facts in self._rows()
                if row_crc(place, facts) != crc
            ]
        except sqlite3.DatabaseError as error:
            return [f"{self.path}: {error}"]

    def content(self) -> tuple[int, int]:
        """(sound rows of sightings, digest of all smaller tables), read without any index.

        Raises:
            sqlite3.DatabaseError: a table cannot be read.
        """
        sound = sum(row_crc(place, facts) == crc for place, crc, *facts in self._rows())
        return sound, self.digest()

    def digest(self) -> int:
        """CRC32 of the content of all tables but the sightings."""
        digest = 0
        for table in SMALL_TABLES:
            for row in self._db.execute(f"SELECT * FROM {table} NOT INDEXED"):
                digest = zlib.crc32(repr(row).encode(), digest)
        return digest

    def sightings(self) -> int:
        """How many sightings there are."""
        return int(self._one("SELECT count(*) FROM sightings"))

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        return self._db.execute(f"SELECT place, crc, {FACTS} FROM sightings NOT INDEXED")

    def rebuild(self) -> None:
        """Write all pages anew from the tables; indices and free pages do not matter."""
        self._db.execute("VACUUM")

    def backup(self, path: Path) -> None:
        """Write a consistent copy of the index, without what is staged."""
        with sqlite3.connect(path) as copy:
            self._db.backup(copy)
            for table in ("stages", "stage_blocks", "kept"):
                copy.execute(f"DELETE FROM {table}")
            copy.execute("DELETE FROM facts WHERE name LIKE 'stage_%' OR name = 'boot'")
        copy.close()


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield list(values[start : start + _CHUNK])


def _marks(part: Sequence[Any]) -> str:
    return ",".join("?" * len(part))


def _sighting(facts: list[Any], unit: str, camera: str, labels: str, model: str) -> Sighting:
    name, time, _, _, tracklet, x0, y0, x1, y1, crop, quality, _ = facts
    return Sighting(
        id=name,
        camera=camera,
        time=time,
        model=model,
        unit=unit,
        tracklet=tracklet,
        box=None if x0 is None else (x0, y0, x1, y1),
        crop=crop,
        quality=quality,
        attributes=label_pairs(labels),
    )
