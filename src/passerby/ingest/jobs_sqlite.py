"""The job queue of one machine: a SQLite table, each change of a job one synced transaction."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from passerby.ingest.jobs import (
    DEAD,
    DONE,
    RUNNING,
    WAITING,
    Claim,
    Job,
    JobQueue,
    JobState,
    LeaseLostError,
    Policy,
    QueueError,
    claimed,
    failed,
    finished,
    kept,
    now,
    released,
)

FORMAT = 1  # of the table; SQLite's user_version
LOOK_AGAIN = 0.2  # seconds between two looks for a job
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, state TEXT NOT NULL, due INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID
"""
_NEXT = """
SELECT id, record FROM jobs WHERE state IN (?, ?) AND due <= ? ORDER BY due LIMIT 1
"""


class SqliteQueue(JobQueue):
    """Jobs in a file that the processes of one machine share."""

    def __init__(self, path: Path, policy: Policy) -> None:
        """Open the file, which is made when there is none.

        Raises:
            QueueError: it cannot be opened, or a newer program made it.
        """
        self.path, self.policy = path, policy
        self._threads = threading.Lock()
        with self._told():
            self._connection = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
        with self._transaction() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found > FORMAT:
                raise QueueError(f"a newer Passerby made the job table '{path}'; use that one")
            connection.execute(_TABLE)
            connection.execute("CREATE INDEX IF NOT EXISTS jobs_due ON jobs (state, due)")
            connection.execute(f"PRAGMA user_version={FORMAT}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise QueueError(f"the job table '{self.path}' cannot be used: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time, over threads and processes; synced when it ends."""
        with self._threads, self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def submit(self, job: Job, *, again: bool = False) -> bool:
        """See :meth:`JobQueue.submit`."""
        with self._transaction() as connection:
            before = _read(connection, job.id)
            if before is not None and not (again and before.state in (DONE, DEAD)):
                return False
            _write(connection, JobState(job=job, due=now()))
        return True

    def claim(self, worker: str, *, wait: float = 0.0) -> Claim | None:
        """See :meth:`JobQueue.claim`; a job whose worker was lost is taken over."""
        end = time.monotonic() + wait
        while True:
            state = self._claim(worker)
            if state is not None:
                return _SqliteClaim(self, state)
            left = end - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(LOOK_AGAIN, left))

    def _claim(self, worker: str) -> JobState | None:
        with self._transaction() as connection:
            while row := connection.execute(_NEXT, (WAITING, RUNNING, now())).fetchone():
                state = claimed(JobState.from_json(row[1]), worker, self.policy)
                _write(connection, state)
                if state.state == RUNNING:
                    return state
        return None

    def change(self, claim: Claim, state: JobState) -> None:
        """Write what became of a claimed job.

        Raises:
            LeaseLostError: the lease is no longer the claim's.
        """
        with self._transaction() as connection:
            before = _read(connection, claim.job.id)
            if before is None or not before.holds(claim.state.token):
                raise LeaseLostError(claim.job.source)
            _write(connection, state)

    def finish(self, claim: Claim, report: Mapping[str, Any]) -> None:
        """Write that a job is done, whoever has it now."""
        with self._transaction() as connection:
            _write(connection, finished(_read(connection, claim.job.id) or claim.state, report))

    def state(self, job_id: str) -> JobState | None:
        """See :meth:`JobQueue.state`."""
        with self._threads, self._told():
            return _read(self._connection, job_id)

    def states(self) -> Iterator[JobState]:
        """See :meth:`JobQueue.states`."""
        last = ""
        query = "SELECT id, record FROM jobs WHERE id > ? ORDER BY id LIMIT 1000"
        while True:
            with self._threads, self._told():
                rows = self._connection.execute(query, (last,)).fetchall()
            if not rows:
                return
            yield from (JobState.from_json(record) for _, record in rows)
            last = rows[-1][0]

    def close(self) -> None:
        """See :meth:`JobQueue.close`."""
        self._connection.close()


class _SqliteClaim(Claim):
    def __init__(self, queue: SqliteQueue, state: JobState) -> None:
        super().__init__(state)
        self._queue = queue

    def keep(self, progress: Mapping[str, Any]) -> None:
        self._queue.change(self, kept(self.state, progress, self._queue.policy))

    def done(self, report: Mapping[str, Any]) -> None:
        self._queue.finish(self, report)

    def fail(self, error: str) -> str:
        after = failed(self.state, error, self._queue.policy)
        self._queue.change(self, after)
        return after.state

    def release(self, wait: float = 0.0) -> None:
        self._queue.change(self, released(self.state, wait))


def _read(connection: sqlite3.Connection, job_id: str) -> JobState | None:
    row = connection.execute("SELECT record FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else JobState.from_json(row[0])


def _write(connection: sqlite3.Connection, state: JobState) -> None:
    connection.execute(
        "INSERT INTO jobs VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "state = excluded.state, due = excluded.due, record = excluded.record",
        (state.job.id, state.state, state.due, state.to_json()),
    )
