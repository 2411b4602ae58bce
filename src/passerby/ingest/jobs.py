"""Jobs of ingest for any number of workers, on one machine or on many.

A job names a clip, a folder or a table and how to read it. A queue hands each to one worker at a
time under a lease; a worker that dies loses the lease and another takes the job. Sightings have
ids that follow from what was ingested, so a job that is done twice changes nothing: the queue may
hand out a job again whenever it is in doubt, and must never lose one that it acknowledged.

Two queues keep this contract: a SQLite table (``jobs_sqlite``) and NATS JetStream (``jobs_nats``).
What becomes of a job is decided here, by pure functions of its state; they only keep it.
"""

import hashlib
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from passerby.errors import InputError

WAITING, RUNNING, DONE, DEAD = "waiting", "running", "done", "dead"
LOCAL = "local"  # the address of the table in the city's folder
TABLE = "jobs.sqlite"


def now() -> int:
    """The present, ms since the epoch."""
    return time.time_ns() // 1_000_000


class LeaseLostError(Exception):
    """The worker was silent for too long; the job is, or will be, another's."""


class QueueError(InputError):
    """The queue does not answer; the job is not at fault."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to ingest; every value counts for the id.

    Attributes:
        source: a clip, a folder of crops or a Parquet table, under the path at which every worker
            finds it.
        camera: id of the camera, for clips and for pictures without a table.
        start: when its first frame was taken, ms since the epoch.
        every: look at every n-th frame; likewise ``rate``, ``crops`` and ``enhance`` as
            :class:`passerby.ingest.ClipOptions` and :class:`passerby.ingest.TrackletOptions`.
    """

    source: str
    camera: str | None = None
    start: int | None = None
    every: int = 1
    rate: float | None = None
    crops: int = 4
    enhance: bool = False

    @property
    def id(self) -> str:
        """The same for the same job, whoever submits it."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How patient a queue is.

    Attributes:
        lease: seconds without a sign after which a worker is taken for dead.
        tries: a job that failed, or whose worker died, so often is put aside.
        first_wait: seconds before the second try; twice as long before each further one.
        longest_wait: seconds, at most.
    """

    lease: float = 60.0
    tries: int = 5
    first_wait: float = 5.0
    longest_wait: float = 600.0

    def wait(self, tries: int) -> float:
        """Seconds before the next try, after so many."""
        return float(min(self.first_wait * 2.0 ** (tries - 1), self.longest_wait))


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job and what became of it so far.

    Attributes:
        job: the job.
        state: "waiting", "running", "done" or "dead" (put aside after too many tries).
        tries: how often a worker began it.
        due: ms since the epoch: when it may begin, or when the lease of its worker ends.
        worker: who has it, or had it last.
        token: of the present lease; whoever shows another one has lost it.
        progress: what the worker told last; for a job that is done, its report.
        error: why the last try failed.
        changed: ms since the epoch.
    """

    job: Job
    state: str = WAITING
    tries: int = 0
    due: int = 0
    worker: str = ""
    token: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    changed: int = field(default_factory=now)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "JobState":
        """From text."""
        values = json.loads(text)
        return cls(**{**values, "job": Job(**values["job"])})

    def holds(self, token: str) -> bool:
        """Whether the lease with this token is still the present one."""
        return self.state == RUNNING and self.token == token


def claimed(before: JobState, worker: str, policy: Policy) -> JobState:
    """A job that a worker may begin; or put aside, where it was begun too often."""
    if before.tries >= policy.tries:
        error = before.error
        if before.state == RUNNING:
            error = f"the worker {before.worker} was lost"
        return replace(before, state=DEAD, error=error, token="", changed=now())
    return replace(
        before,
        state=RUNNING,
        tries=before.tries + 1,
        due=now() + int(policy.lease * 1000),
        worker=worker,
        token=secrets.token_hex(8),
        changed=now(),
    )


def kept(before: JobState, progress: Mapping[str, Any], policy: Policy) -> JobState:
    """A job whose worker gave a sign."""
    due = now() + int(policy.lease * 1000)
    return replace(before, due=due, progress=dict(progress), changed=now())


def finished(before: JobState, report: Mapping[str, Any]) -> JobState:
    """A job that is done."""
    return replace(before, state=DONE, progress=dict(report), error="", token="", changed=now())


def failed(before: JobState, error: str, policy: Policy) -> JobState:
    """A job whose try failed: it waits for the next, or is put aside."""
    state = DEAD if before.tries >= policy.tries else WAITING
    due = now() + int(policy.wait(before.tries) * 1000)
    return replace(before, state=state, due=due, error=error, token="", changed=now())


def released(before: JobState, wait: float) -> JobState:
    """A job that was given back; the try does not count."""
    due = now() + int(wait * 1000)
    return replace(before, state=WAITING, tries=before.tries - 1, due=due, token="", changed=now())


class Claim(ABC):
    """A job in the hands of one worker."""

    def __init__(self, state: JobState) -> None:
        self.state = state

    @property
    def job(self) -> Job:
        """The job."""
        return self.state.job

    @abstractmethod
    def keep(self, progress: Mapping[str, Any]) -> None:
        """Renew the lease and tell how far the work is.

        Raises:
            LeaseLostError: it is another's by now.
        """

    @abstractmethod
    def done(self, report: Mapping[str, Any]) -> None:
        """The work is done and durable; this holds even where the lease was lost meanwhile."""

    @abstractmethod
    def fail(self, error: str) -> str:
        """The try failed; returns the job's state now, "waiting" or "dead".

        Raises:
            LeaseLostError: it is another's by now.
        """

    @abstractmethod
    def release(self, wait: float = 0.0) -> None:
        """Give the job back; the try does not count.

        Args:
            wait: seconds before it may be begun again.

        Raises:
            LeaseLostError: it is another's by now.
        """


class JobQueue(ABC):
    """Where jobs wait; safe to use from several threads."""

    policy: Policy

    @abstractmethod
    def submit(self, job: Job, *, again: bool = False) -> bool:
        """Add a job; durable when it returns.

        Args:
            job: the job.
            again: also when it is done or put aside already; it begins anew.

        Returns:
            Whether it waits because of this call; a known job stays as it is.
        """

    @abstractmethod
    def claim(self, worker: str, *, wait: float = 0.0) -> Claim | None:
        """Take the next job, waiting so many seconds for one; None where there is none."""

    @abstractmethod
    def state(self, job_id: str) -> JobState | None:
        """What became of a job; None for one that was never submitted."""

    @abstractmethod
    def states(self) -> Iterator[JobState]:
        """Every job, in no order."""

    @abstractmethod
    def close(self) -> None:
        """Let go; claims that are open stay leased until their time is over."""

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = dict.fromkeys((WAITING, RUNNING, DONE, DEAD), 0)
        for one in self.states():
            found[one.state] += 1
        return found

    def __enter__(self) -> "JobQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_queue(address: str, folder: Path, policy: Policy | None = None) -> JobQueue:
    """Open a queue.

    Args:
        address: "local" for the table in the city's folder, ``nats://[USER@]HOST:PORT[/NAME]``
            (``tls://`` for an encrypted way), or the path of a SQLite file of this machine.
        folder: the city's folder.
        policy: how patient it is.

    Raises:
        InputError: an address that cannot be; QueueError: nobody answers there.
    """
    policy = policy or Policy()
    if address.startswith(("nats://", "tls://")):
        from passerby.ingest.jobs_nats import NatsQueue

        return NatsQueue(address, policy)
    if "://" in address:
        raise InputError(
            f"a queue of kind '{address.partition('://')[0]}' is not known; give '{LOCAL}', "
            "nats://HOST:PORT or the path of a SQLite file"
        )
    from passerby.ingest.jobs_sqlite import SqliteQueue

    return SqliteQueue(folder / TABLE if address == LOCAL else Path(address), policy)
