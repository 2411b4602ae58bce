"""The SQLite file of an embedded gallery: schema, transactions, errors.

A change is one transaction, durable when it is committed (``synchronous=FULL``). Every page carries
a checksum by SQLite's extension cksumvfs, so reading a page with a flipped bit is an error. SQLite
ends its log at the first damaged frame without an error. So the file ``acknowledged`` holds the
number of the last commit that was reported to a caller; it shows when commits are missing.
"""

import ctypes
import logging
import os
import random
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import apsw
import apsw.sqlite_extra

from passerby.city.gallery.port import DamagedError, StoreError
from passerby.files import sync

FILE, ACKNOWLEDGED = "gallery.sqlite", "acknowledged"
FORMAT = 5  # the first edition had 1 to 3; 4 had smaller pages and was in no release
PATIENCE = 120  # seconds, for another process that writes
PAGE = 16384  # bytes
LOG_PAGES = 4096  # of the write-ahead log before it is copied into the file: 64 MiB
VACUUM_PAGES = 4096  # given back to the file system in one transaction
LOG_SECONDS = 5  # for readers that need the log
_FOREIGN: list[apsw.Connection] = []  # of a process we were forked from; never closed here
_LOG = logging.getLogger(__name__)
_COUNT = struct.Struct("<qI")  # number of a commit, CRC32 of the number
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE terms (hash INTEGER, place INTEGER, PRIMARY KEY (hash, place)) WITHOUT ROWID;
CREATE TABLE chunks (
    chunk INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, day INTEGER NOT NULL,
    rows INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    low TEXT NOT NULL, high TEXT NOT NULL,  -- least and greatest unit
    crc INTEGER NOT NULL
);
CREATE INDEX by_day ON chunks (day);
CREATE TABLE contents (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);
-- of the model that will replace the gallery's
CREATE TABLE staged (chunk INTEGER PRIMARY KEY, rows INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE staged_contents (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE outdated (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);  -- of the one before
"""


@cache
def _register_checksums() -> None:
    """Register the file system layer ``cksmvfs`` in this process."""
    try:
        apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
    except apsw.sqlite_extra.NotAvailable as error:
        raise StoreError(
            f"this build of apsw lacks SQLite's checksums ({error}); "
            "install apsw from its wheel: pip install --only-binary apsw apsw"
        ) from None


class Database(apsw.Connection):
    """A connection."""

    def ask(
        self, sql: str, bindings: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Return all rows of a statement.

        The cursor is closed at once: the garbage collector would report its error again.
        """
        cursor = self.cursor()
        try:
            return cursor.execute(sql, bindings).fetchall()
        finally:
            cursor.close(True)


class _Patience:
    """A busy handler that waits in short steps of random length, so that each writer gets its turn.

    SQLite's own waiting grows to a tenth of a second, however short the others' work is.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._end = now + self._seconds
        time.sleep(random.uniform(0.0005, 0.002))
        return now < self._end


class Store:
    """One file, one writing connection, and as many reading ones as there are readers."""

    def __init__(self, folder: Path) -> None:
        """Open the file in ``folder``, or make an empty one.

        Raises:
            StoreError: the folder cannot be made or used, or is not writable and was not closed.
            DamagedError: the file is no gallery, of another version, or has lost commits.
        """
        self.folder, self.path = folder, folder / FILE
        self._writer: Database | None = None
        self._free: list[Database] = []
        self._writing, self._lock = threading.RLock(), threading.Lock()
        _register_checksums()
        if not self.path.exists():
            self._create()
        self._process, self._closed = os.getpid(), False
        self._immutable = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)  # nobody can write
        self.read_only = self._immutable or not all(
            os.access(path, os.W_OK) for path in (folder, self.path)
        )
        log = self.path.with_name(FILE + "-wal")
        if self._immutable and log.exists() and log.stat().st_size:
            raise StoreError(
                f"the gallery {folder} was not closed by its last writer and is read-only; "
                "make it writable and open it once"
            )
        acknowledged = self.acknowledged() or 0
        with self.read() as database:
            self._check(database, acknowledged)

    def _create(self) -> None:
        """Make an empty file under another name, then give it its own."""
        draft = self.folder / f"{FILE}.{uuid4().hex}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.explained():
                made = Database(str(draft), vfs="cksmvfs")
                reserved = ctypes.c_int(8)  # bytes of a page that hold its checksum
                made.file_control(
                    "main", apsw.SQLITE_FCNTL_RESERVE_BYTES, ctypes.addressof(reserved)
                )
                made.pragma("page_size", PAGE)
                made.pragma("auto_vacuum", "incremental")
                made.pragma("secure_delete", "on")
                made.pragma("journal_mode", "wal")
                made.ask(_SCHEMA)
                made.ask("INSERT INTO meta VALUES ('format', ?), ('commit', 0)", (FORMAT,))
                made.close()
            with suppress(FileExistsError):  # another process was faster
                os.link(draft, self.path)
            sync(self.folder)
        except OSError as error:
            raise StoreError(f"the gallery folder {self.folder} cannot be made: {error}") from None
        finally:
            for path in self.folder.glob(f"{draft.name}*"):
                path.unlink(missing_ok=True)

    def _check(self, database: Database, acknowledged: int) -> None:
        """Refuse a file that is damaged, of another version, or lacks acknowledged commits."""
        if str(database.pragma("checksum_verification")) != "1":
            raise DamagedError(f"the head of {self.path} is damaged; restore it from a backup")
        if get_meta(database, "format") != FORMAT:
            raise DamagedError(
                f"the gallery {self.path} is of another version of Passerby; use that version"
            )
        lost = acknowledged - int(get_meta(database, "commit"))
        if lost > 0:
            raise DamagedError(
                f"the gallery {self.path} has lost {lost} commits: its log {FILE}-wal is damaged; "
                f"restore a backup, or delete {self.folder / ACKNOWLEDGED} to go on without them"
            )

    # connections -------------------------------------------------------------------------------

    def _connect(self) -> Database:
        if self.read_only:
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            where = self.path.absolute().as_uri() + "?immutable=1" * self._immutable
            return Database(where, flags=flags, vfs="cksmvfs")
        database = Database(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE, vfs="cksmvfs")
        database.set_busy_handler(_Patience(PATIENCE))
        database.pragma("wal_autocheckpoint", LOG_PAGES)
        database.pragma("journal_size_limit", LOG_PAGES * PAGE)
        database.pragma("synchronous", "full")
        database.pragma("secure_delete", "on")
        return database

    @contextmanager
    def read(self) -> Iterator[Database]:
        """Lend a connection that sees one state of the file, whatever is written meanwhile."""
        with self.explained():
            with self._lock:
                self._after_fork()
                database = self._free.pop() if self._free else None
            database = database or self._connect()
            try:
                database.ask("BEGIN")
                yield database
            finally:
                if database.in_transaction:
                    database.ask("ROLLBACK")
                with self._lock:
                    if self._closed:
                        database.close()
                    else:
                        self._free.append(database)

    def _after_fork(self) -> None:
        """Drop connections that belong to the process this one was forked from."""
        if self._process != os.getpid():
            _FOREIGN.extend([*self._free, *filter(None, [self._writer])])
            self._free, self._writer, self._process = [], None, os.getpid()

    @contextmanager
    def write(self) -> Iterator[Database]:
        """Begin a transaction, and commit it durably at the end or roll it back on an error.

        There is one writer at a time over threads and processes.
        """
        if self.read_only:
            raise StoreError(f"the gallery {self.folder} is read-only, nothing was stored")
        with self._writing, self.explained(", nothing was stored"):
            self._after_fork()
            if self._writer is None:
                self._writer = self._connect()
                self._writer.pragma("cache_size", -65_536)  # KiB
            database = self._writer
            try:
                database.ask("BEGIN IMMEDIATE")
                number = int(get_meta(database, "commit")) + 1
                set_meta(database, "commit", number)
                yield database
                database.ask("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.ask("ROLLBACK")
                raise
            self._acknowledge(number)

    @contextmanager
    def explained(self, then: str = "") -> Iterator[None]:
        """Turn SQLite's errors into ours; ``then`` says what became of a change."""
        try:
            yield
        except (apsw.Error, OSError) as error:
            code = getattr(error, "extendedresult", 0)
            damaged = isinstance(error, apsw.CorruptError | apsw.NotADBError)
            if damaged or code == apsw.SQLITE_IOERR_DATA:
                raise DamagedError(
                    f"the gallery {self.path} is damaged ({error}){then}; restore it from a backup"
                ) from None
            raise StoreError(f"the gallery {self.path} cannot be used{then}: {error}") from None

    def _acknowledge(self, number: int) -> None:
        """Store the number of a commit. It need not be synced: a number too low does no harm."""
        if (self.acknowledged() or 0) >= number:
            return
        data = _COUNT.pack(number, zlib.crc32(number.to_bytes(8, "little")))
        with suppress(OSError):
            handle = os.open(self.folder / ACKNOWLEDGED, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(handle, data, 0)
            finally:
                os.close(handle)

    def acknowledged(self) -> int | None:
        """Return the number of the last commit reported to a caller; None where it is damaged."""
        try:
            data = (self.folder / ACKNOWLEDGED).read_bytes()
        except OSError:
            return 0
        if len(data) != _COUNT.size:
            return None if data else 0
        number, crc = _COUNT.unpack(data)
        return number if zlib.crc32(number.to_bytes(8, "little", signed=True)) == crc else None

    # upkeep ------------------------------------------------------------------------------------

    def free_room(self) -> None:
        """Return free pages to the file system and empty the log, so that no deleted byte stays.

        SQLite moves pages from the end of the file into the free ones, and cuts off the end. A
        reader that does not end prevents the log from being emptied; a warning says so.
        """
        while True:
            with self.write() as database:
                database.ask(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
                left = database.pragma("freelist_count")
            if left == 0:
                break
        end = time.monotonic() + LOG_SECONDS
        while time.monotonic() < end:
            if self._empty_log():
                return
            time.sleep(0.01)
        _LOG.warning(
            "deleted bytes are still in the log of %s, which a reader needs; run 'passerby admin "
            "gallery compact' when it has ended",
            self.path,
        )

    def _empty_log(self) -> bool:
        """Try to empty the log; return whether it is empty.

        It is copied first: readers that begin after that do not need it. Without the first step
        SQLite would wait for a moment without any reader.
        """
        with self._writing, self.explained():
            if self._writer is None:
                self._writer = self._connect()
            _, frames, copied = self._writer.ask("PRAGMA wal_checkpoint(PASSIVE)")[0]
            if frames != copied:
                return False
            self._writer.set_busy_handler(_Patience(0.1))
            try:
                return bool(self._writer.ask("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)
            finally:
                self._writer.set_busy_handler(_Patience(PATIENCE))

    def faults(self, database: Database) -> list[str]:
        """Run SQLite's own check of every page and index; return what is wrong."""
        try:
            with self.explained():
                rows = database.ask("PRAGMA integrity_check")
            found = [f"{self.path}: {row[0]}" for row in rows if row[0] != "ok"]
        except StoreError as error:
            found = [str(error)]
        if self.acknowledged() is None:
            found.append(f"{self.folder / ACKNOWLEDGED} is damaged; delete it, it is made anew")
        return found

    def backup(self, target: Path) -> None:
        """Copy one state of the file to a new one."""
        with self.read() as source:
            copy = Database(str(target), vfs="cksmvfs")
            try:
                with copy.backup("main", source, "main") as job:
                    while not job.done:
                        job.step(4096)
                copy.ask(
                    "DELETE FROM staged; DELETE FROM staged_contents; "
                    "DELETE FROM outdated; "
                    "DELETE FROM meta WHERE name IN ('stage_model', 'stage_dimension')"
                )
                for _ in copy.ask("PRAGMA incremental_vacuum"):
                    pass
                copy.ask("PRAGMA wal_checkpoint(TRUNCATE)")
            except apsw.Error as error:
                copy.close(True)
                target.unlink(missing_ok=True)
                raise StoreError(f"the copy {target} cannot be written: {error}") from None
            finally:
                copy.close(True)
        sync(target)
        sync(target.parent)

    def close(self) -> None:
        """Close all connections; the last one of all processes empties the log."""
        with self._lock:
            connections, self._free, self._closed = self._free, [], True
        if self._writer is not None:
            connections.append(self._writer)
            self._writer = None
        for connection in connections:
            with suppress(apsw.Error):
                connection.close()


@contextmanager
def whole_pages(database: Database) -> Iterator[None]:
    """Return the pages that are freed inside to the file system, without zeroing them first.

    Nothing may be written inside: a new blob could end in a page that still holds old bytes. The
    vacuum overwrites each freed page with another one or cuts it off.
    """
    database.pragma("secure_delete", "fast")
    try:
        yield
        database.ask("PRAGMA incremental_vacuum")
    finally:
        database.pragma("secure_delete", "on")


def get_meta(database: Database, name: str) -> Any:
    """Return a stored value (format, model, dimension, commit, ...) or None."""
    rows = database.ask("SELECT value FROM meta WHERE name = ?", (name,))
    return rows[0][0] if rows else None


def set_meta(database: Database, name: str, value: Any) -> None:
    """Store a value; None deletes it."""
    database.ask("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
