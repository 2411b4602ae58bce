"""Ingest jobs: their states, and a queue that any number of workers share.

A job names a clip, a folder or a table, and how to read it. A queue gives each job to one worker at
a time under a lease. The worker renews the lease while it works. A worker that dies does not: its
lease ends and another worker takes the job. A job that fails waits for its next try, each time
twice as long. After too many tries it is dead: it stays in the queue, and no worker gets it until
somebody submits it again.

Sightings have ids that follow from what was ingested, so a job that is done twice changes nothing.
In doubt the queue therefore gives out a job again. It never loses a job that it has acknowledged.

Every change of a job's state is decided here. A :class:`Store` only keeps the states: in a SQLite
table (``jobs_sqlite``) or in NATS JetStream (``jobs_nats``).
"""

import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from passerby.errors import InputError
from passerby.files import sha256
from passerby.times import now

PERMISSIONS = ("again", "any_time")  # they allow a job, and do not change what it does
WAITING, RUNNING, DONE, DEAD = "waiting", "running", "done", "dead"


class LeaseLostError(Exception):
    """The worker was silent for longer than its lease; another worker may have the job."""


class QueueError(InputError):
    """The queue cannot be reached or used; the job is not at fault."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to ingest. Every value but the last two is part of the id.

    Attributes:
        source: A clip, a folder of crops or a Parquet table, under the path at which every worker
            finds it.
        camera: Id of the camera, for clips and for pictures without a table.
        start: Time of the first frame, in milliseconds since the epoch.
        every: Look at every n-th frame. ``every``, ``rate``, ``longest_gap``, ``crops`` and
            ``enhance`` are those of :class:`passerby.ingest.ClipOptions` and
            :class:`passerby.ingest.TrackletOptions`.
        again: Also where the content is there from another camera or start.
        any_time: Also a time before 2000 or in the future.
        pictures: "auto", "crops" or "frames": what the pictures of a folder are.
    """

    source: str
    camera: str | None = None
    start: int | None = None
    every: int = 1
    rate: float | None = None
    longest_gap: float = 60.0
    crops: int = 4
    enhance: bool = True
    pictures: Literal["auto", "crops", "frames"] = "auto"
    again: bool = False
    any_time: bool = False

    @property
    def id(self) -> str:
        """The same for the same job, whoever submits it."""
        what = {name: value for name, value in asdict(self).items() if name not in PERMISSIONS}
        for name in ("pictures", "longest_gap"):  # so that jobs of older versions keep their ids
            if what[name] == type(self).__dataclass_fields__[name].default:
                del what[name]
        return sha256(json.dumps(what, sort_keys=True, ensure_ascii=False).encode())[:32]


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How patient a queue is.

    Attributes:
        lease: Seconds without a sign of a worker after which another worker gets its job.
        tries: Number of tries, failed or cut off, after which a job is dead.
        first_wait: Seconds between the first try and the second. Each further wait is twice as
            long as the one before it.
        longest_wait: Upper bound of these waits, in seconds.
    """

    lease: float = 60.0
    tries: int = 5
    first_wait: float = 5.0
    longest_wait: float = 600.0

    def wait(self, tries: int) -> float:
        """Seconds between the given number of tries and the next try."""
        return float(min(self.first_wait * 2.0 ** (tries - 1), self.longest_wait))


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job and its progress. The methods that change it return a new state.

    Attributes:
        job: The job.
        state: "waiting", "running", "done" or "dead".
        tries: How often a worker has begun it.
        due: Time from which a worker may take it: when it may begin, or when the lease of its
            present worker ends. Milliseconds since the epoch.
        worker: Name of the worker that has it, or had it last.
        token: Random text of the present lease, so that no two leases of a job have equal states.
        progress: What the worker reported last; the report of the ingest when the job is done.
        error: Why the last try failed.
        changed: Time of this state, in milliseconds since the epoch.
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
        """The state as JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "JobState":
        """The state of a JSON text."""
        values = json.loads(text)
        return cls(**{**values, "job": Job(**values["job"])})

    @property
    def ended(self) -> bool:
        """Whether no worker gets the job any more."""
        return self.state in (DONE, DEAD)

    def claimed(self, worker: str, policy: Policy) -> "JobState":
        """The job in the hands of a worker; dead when it has had all its tries."""
        if self.tries >= policy.tries:
            lost = f"the worker {self.worker} was lost"
            return self._to(DEAD, error=lost if self.state == RUNNING else self.error)
        state = self._to(RUNNING, tries=self.tries + 1, worker=worker, wait=policy.lease)
        return replace(state, token=secrets.token_hex(8))

    def renewed(self, progress: Mapping[str, Any], policy: Policy) -> "JobState":
        """The job with a lease that begins now."""
        return replace(
            self._to(RUNNING, progress=dict(progress), wait=policy.lease), token=self.token
        )

    def completed(self, report: Mapping[str, Any]) -> "JobState":
        """The job when it is done."""
        return self._to(DONE, progress=dict(report), error="")

    def failed(self, error: str, policy: Policy) -> "JobState":
        """The job after a failed try: it waits for the next one, or is dead."""
        state = DEAD if self.tries >= policy.tries else WAITING
        return self._to(state, error=error, wait=policy.wait(self.tries))

    def released(self, wait: float) -> "JobState":
        """The job when its worker returns it; this try does not count."""
        return self._to(WAITING, tries=self.tries - 1, wait=wait)

    def _to(self, state: str, *, wait: float = 0.0, **changes: Any) -> "JobState":
        """The job in another state, due ``wait`` seconds from now, without a lease."""
        present = now()
        due = present + int(wait * 1000)
        return replace(self, state=state, due=due, token="", changed=present, **changes)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The state of a job as a store holds it.

    Attributes:
        state: The state.
        version: Changes when another state is written. None when the store does not hold the job.
        message: The message by which a store of messages gave it out.
    """

    state: JobState
    version: str | int | None
    message: Any = None


class Store(ABC):
    """Keeps the states of jobs; safe to use from several threads, processes and machines.

    A write is durable when it returns. Every method raises QueueError when the store cannot be
    reached or used.

    A store that finds jobs by their state and time needs no messages. One that finds them by
    messages overrides ``publish``, ``extend`` and ``acknowledge`` as well.
    """

    @abstractmethod
    def read(self, job_id: str) -> Entry | None:
        """The state of a job; None for an unknown one."""

    @abstractmethod
    def write(self, state: JobState, version: str | int | None) -> str | int | None:
        """Write a state if the store still holds the given version of it, and no other.

        Returns:
            The new version; None when another program was faster, and nothing was written.
        """

    @abstractmethod
    def put(self, state: JobState) -> None:
        """Write a state whatever the store holds."""

    @abstractmethod
    def next(self, wait: float) -> Entry | None:
        """A job that a worker may take, perhaps; waits so many seconds for one."""

    @abstractmethod
    def states(self) -> Iterator[JobState]:
        """Every state, in no order."""

    @abstractmethod
    def close(self) -> None:
        """Close the store."""

    def publish(self, state: JobState, *, again: bool) -> None:  # noqa: B027
        """Make sure that there is a message of a waiting job.

        Args:
            state: The job.
            again: Replace the message of the job's earlier submission.
        """

    def extend(self, entry: Entry) -> None:  # noqa: B027
        """Keep the message of an entry from other workers for another lease."""

    def acknowledge(self, entry: Entry, again_in: float | None = None) -> None:  # noqa: B027
        """Remove the message of an entry, or give it out again after so many seconds."""


class Claim:
    """A job in the hands of one worker."""

    def __init__(self, store: Store, policy: Policy, entry: Entry) -> None:
        """Hold the job of ``entry``; see :meth:`JobQueue.claim`."""
        self._store, self._policy, self._entry = store, policy, entry

    @property
    def state(self) -> JobState:
        """The state that this worker wrote last."""
        return self._entry.state

    @property
    def job(self) -> Job:
        """The job."""
        return self.state.job

    def renew(self, progress: Mapping[str, Any]) -> None:
        """Renew the lease and report how far the work is.

        Raises:
            LeaseLostError: Another worker has the job by now.
        """
        self._write(self.state.renewed(progress, self._policy))
        self._store.extend(self._entry)

    def complete(self, report: Mapping[str, Any]) -> None:
        """Report that the work is done and durable; this holds even after the lease was lost."""
        self._store.put(self.state.completed(report))
        self._store.acknowledge(self._entry)

    def fail(self, error: str) -> str:
        """Report that the try failed; returns the job's state now, "waiting" or "dead".

        Raises:
            LeaseLostError: Another worker has the job by now.
        """
        self._return(self.state.failed(error, self._policy))
        return self.state.state

    def release(self, wait: float = 0.0) -> None:
        """Return the job; this try does not count.

        Args:
            wait: Seconds before a worker may take it.

        Raises:
            LeaseLostError: Another worker has the job by now.
        """
        self._return(self.state.released(wait))

    def _return(self, after: JobState) -> None:
        self._write(after)
        wait = max(after.due - now(), 0) / 1000
        self._store.acknowledge(self._entry, None if after.ended else wait)

    def _write(self, after: JobState) -> None:
        version = self._store.write(after, self._entry.version)
        if version is None:
            raise LeaseLostError(self.job.source)
        self._entry = replace(self._entry, state=after, version=version)


class JobQueue:
    """Jobs in a store; safe to use from several threads. Every method may raise QueueError."""

    def __init__(self, store: Store, policy: Policy) -> None:
        """Use ``store``; see :func:`passerby.ingest.jobs_worker.open_queue`."""
        self._store, self.policy = store, policy

    def submit(self, job: Job, *, again: bool = False) -> bool:
        """Add a job; durable when it returns.

        The state is written before the message. When a program dies in between, the next
        submission of the same job publishes the message.

        Args:
            job: The job.
            again: Also begin a job anew that is done or dead.

        Returns:
            Whether it waits because of this call; a known job stays as it is.
        """
        state, known = JobState(job=job), self._store.read(job.id)
        ended = known is not None and known.state.ended
        new = known is None or (ended and again)
        if new:
            version = self._store.write(state, known.version if known else None)
            new = version is not None  # else another program submits it at this moment
        if new or not ended:
            self._store.publish(state, again=new and ended)
        return new

    def claim(self, worker: str, *, wait: float = 0.0) -> Claim | None:
        """Take the next job.

        Args:
            worker: Name of the worker.
            wait: Seconds to wait for a job.

        Returns:
            The job; None when there is none.
        """
        end = time.monotonic() + wait
        while (entry := self._store.next(max(end - time.monotonic(), 0.0))) is not None:
            early = entry.state.due - now()
            if entry.state.ended:
                self._store.acknowledge(entry)
            elif early > 0:  # its message was given out while another worker has the job
                self._store.acknowledge(entry, early / 1000 + 0.05)
            else:
                after = entry.state.claimed(worker, self.policy)
                version = self._store.write(after, entry.version)
                if version is None:  # another worker was faster
                    self._store.acknowledge(entry, self.policy.lease)
                elif after.ended:
                    self._store.acknowledge(entry)
                else:
                    held = replace(entry, state=after, version=version)
                    return Claim(self._store, self.policy, held)
        return None

    def state(self, job_id: str) -> JobState | None:
        """The state of a job; None for one that was never submitted."""
        entry = self._store.read(job_id)
        return entry.state if entry else None

    def states(self) -> Iterator[JobState]:
        """Every job, in no order."""
        return self._store.states()

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = dict.fromkeys((WAITING, RUNNING, DONE, DEAD), 0)
        for one in self.states():
            found[one.state] += 1
        return found

    def close(self) -> None:
        """Close the store; open claims stay leased until their time is over."""
        self._store.close()

    def __enter__(self) -> "JobQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
