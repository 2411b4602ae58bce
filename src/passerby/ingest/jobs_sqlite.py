"""The store of jobs of one machine: a SQLite table; each write is one synced transaction."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from passerby.ingest.jobs import RUNNING, WAITING, Entry, JobState, QueueError, Store
from passerby.times import now

FORMAT = 1  # of the table; SQLite's user_version
LOOK_AGAIN = 0.2  # seconds between two looks for a job
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, due INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID
"""
_PUT = """
INSERT INTO jobs VALUES (:id, :state, :due, :record) ON CONFLICT (id) DO UPDATE SET
state = excluded.state, due = excluded.due, record = excluded.record
"""
_INSERT = "INSERT INTO jobs VALUES (:id, :state, :due, :record) ON CONFLICT DO NOTHING RETURNING id"
_UPDATE = """
UPDATE jobs SET state = :state, due = :due, record = :record WHERE id = :id AND record = :version
RETURNING id
"""
_NEXT = "SELECT record FROM jobs WHERE state IN (?, ?) AND due <= ? ORDER BY due LIMIT 1"
_PAGE = "SELECT id, record FROM jobs WHERE id > ? ORDER BY id LIMIT 1000"


class SqliteStore(Store):
    """States in a file that the processes of one machine share.

    The version of a state is its own text: no two leases of a job have the same.
    """

    def __init__(self, path: Path, city: str | None = None) -> None:
        """Open the file, and make it when there is none.

        Args:
            path: The file.
            city: Id of the city whose jobs it holds; None for the file in the city's own folder.

        Raises:
            QueueError: The file cannot be opened, a newer program made it, or it holds the jobs of
                another city.
        """
        self.path = path
        self._threads = threading.Lock()  # a connection serves one thread at a time
        try:
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._error(error) from error
        self._rows("PRAGMA journal_mode=WAL")
        self._rows("PRAGMA synchronous=FULL")
        found = self._rows("PRAGMA user_version")[0][0]
        if found > FORMAT:
            raise QueueError(f"a newer Passerby made the job table '{path}'; use that one")
        if found < FORMAT:  # the number comes last, so that half a table is completed
            self._rows(_TABLE)
            self._rows("CREATE INDEX IF NOT EXISTS jobs_due ON jobs (state, due)")
            self._rows(f"PRAGMA user_version={FORMAT}")
        if city is not None:
            self._rows("CREATE TABLE IF NOT EXISTS city (one INTEGER PRIMARY KEY, id TEXT)")
            self._rows("INSERT INTO city VALUES (1, ?) ON CONFLICT DO NOTHING", (city,))
            if self._rows("SELECT id FROM city") != [(city,)]:
                raise QueueError(f"'{path}' holds the jobs of another city; name another file")

    def _rows(self, statement: str, values: Any = ()) -> list[tuple[Any, ...]]:
        """Run one statement, which is a transaction of its own, and fetch all its rows."""
        try:
            with self._threads:
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> QueueError:
        return QueueError(f"the job table '{self.path}' cannot be used: {error}")

    def read(self, job_id: str) -> Entry | None:
        """See :meth:`Store.read`."""
        return _entry(self._rows("SELECT record FROM jobs WHERE id = ?", (job_id,)))

    def write(self, state: JobState, version: str | int | None) -> str | int | None:
        """See :meth:`Store.write`."""
        values = {**_columns(state), "version": version}
        written = self._rows(_INSERT if version is None else _UPDATE, values)
        return values["record"] if written else None

    def put(self, state: JobState) -> None:
        """See :meth:`Store.put`."""
        self._rows(_PUT, _columns(state))

    def next(self, wait: float) -> Entry | None:
        """See :meth:`Store.next`."""
        end = time.monotonic() + wait
        while True:
            found = _entry(self._rows(_NEXT, (WAITING, RUNNING, now())))
            left = end - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(LOOK_AGAIN, left))

    def states(self) -> Iterator[JobState]:
        """See :meth:`Store.states`."""
        last = ""
        while rows := self._rows(_PAGE, (last,)):
            yield from (JobState.from_json(record) for _, record in rows)
            last = rows[-1][0]

    def close(self) -> None:
        """See :meth:`Store.close`."""
        self._connection.close()


def _columns(state: JobState) -> dict[str, Any]:
    record = state.to_json()
    return {"id": state.job.id, "state": state.state, "due": state.due, "record": record}


def _entry(rows: list[tuple[Any, ...]]) -> Entry | None:
    return Entry(state=JobState.from_json(rows[0][0]), version=rows[0][0]) if rows else None
