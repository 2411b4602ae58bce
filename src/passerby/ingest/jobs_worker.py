"""A worker: it opens a queue, takes jobs from it one after the other, and ingests them."""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.city.engines import DatabaseError
from passerby.city.gallery import StoreError
from passerby.city.networks import Networks
from passerby.errors import InputError
from passerby.ingest.detector import Detector
from passerby.ingest.folder import frames_in, ingest_folder
from passerby.ingest.jobs import DEAD, Claim, Job, JobQueue, LeaseLostError, Policy, QueueError
from passerby.ingest.jobs_sqlite import SqliteStore
from passerby.ingest.pipeline import ClipOptions, ingest_clip
from passerby.ingest.store import FolderReport, ingest_table
from passerby.ingest.tracklets import TrackletOptions
from passerby.runtime import Embedder

LOG = logging.getLogger("passerby.ingest")
LOCAL = "local"  # the address of the table in the city's folder
TABLE = "jobs.sqlite"
LOOK = 1.0  # seconds for which a worker waits for a job before it looks whether it must stop
LONGEST_PAUSE = 60.0  # seconds for which a worker rests whose machine cannot do jobs
RETRY = 30.0  # seconds before the next try of a job that a full disk, for example, has stopped

Progress = Callable[[Mapping[str, Any]], None]
"""Called with how far a job is; raises when the worker must leave the job."""
Run = Callable[[Job, Progress], Mapping[str, Any]]
"""Does a job and returns its report."""
Listener = Callable[[str, Job, str], None]
"""Called with "begun", "done", "failed", "dead", "lost" or "left", the job, and the reason."""


def open_queue(address: str, folder: Path, city: str, policy: Policy | None = None) -> JobQueue:
    """Open a city's queue of jobs.

    Args:
        address: "local" for the table in the city's folder; ``nats://[USER@]HOST:PORT[/NAME]``, or
            ``tls://`` for an encrypted connection; or the path of a SQLite file of this machine.
        folder: The city's folder.
        city: The city's id; a queue gives out the jobs of one city alone.
        policy: How patient the queue is.

    Raises:
        InputError: The address is of no known kind.
        QueueError: No server answers at the address, or the file cannot be used.
    """
    policy = policy or Policy()
    if address.startswith(("nats://", "tls://")):
        from passerby.ingest.jobs_nats import NatsStore

        return JobQueue(NatsStore(address, policy.lease, city), policy)
    if "://" in address:
        raise InputError(
            f"a queue of kind '{address.partition('://')[0]}' is not known; give '{LOCAL}', "
            "nats://HOST:PORT or the path of a SQLite file"
        )
    local = address == LOCAL
    store = SqliteStore(folder / TABLE) if local else SqliteStore(Path(address), city)
    return JobQueue(store, policy)


def missing(path: Path) -> Exception:
    """What to raise for a source that is not there: the job's fault, or this machine's.

    A folder without anything in it is taken for a share that is not mounted.
    """
    words = f"there is no clip, folder or table '{path}' on this machine"
    if path.parent.is_dir() and any(path.parent.iterdir()):
        return InputError(words)
    return SurroundingsError(f"{words}, and nothing else in '{path.parent}': is it mounted?")


class SurroundingsError(Exception):
    """A job stopped for a reason that is not its own: a database is away, a disk is full."""


@dataclass(kw_only=True)
class WorkReport:
    """What a worker did."""

    done: int = 0
    failed: int = 0
    lost: int = 0
    """Jobs whose lease ended before they did."""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)


class Ingester:
    """Does jobs into one city, with networks that are loaded once."""

    def __init__(
        self,
        city: City,
        embedder: Embedder,
        detector: Detector | None,
        following: Embedder | None = None,
    ) -> None:
        """Ingest into ``city``; without a ``detector`` clips are left to other workers.

        Raises:
            InputError: The city's gallery was made by neither ``embedder`` nor ``following``.
        """
        self.city, self.detector = city, detector
        self._networks = Networks(city.gallery, embedder, following)

    @property
    def embedder(self) -> Embedder:
        """The network of the gallery's vectors at this moment.

        Raises:
            SurroundingsError: This worker has another one.
        """
        try:
            return self._networks.now()
        except InputError as error:
            raise SurroundingsError(str(error)) from error

    def __call__(self, job: Job, progress: Progress) -> Mapping[str, Any]:
        """Do a job; what is in the city already is not stored again.

        Raises:
            InputError: The job cannot be done.
            SurroundingsError: The job cannot be done here or now.
        """
        path = Path(job.source)
        try:
            if not path.exists():
                raise missing(path)
            if path.is_dir() or path.suffix == ".parquet":
                return self._ingest_crops(job, path, progress)
            return self._ingest_clip(job, path, progress)
        except (StoreError, DatabaseError, OSError) as error:
            raise SurroundingsError(str(error)) from error

    def _ingest_clip(self, job: Job, path: Path, progress: Progress) -> Mapping[str, Any]:
        if self.detector is None:
            raise SurroundingsError("a clip needs a worker with a detector; see --detector")
        if job.camera is None or job.start is None:
            raise InputError(f"the clip '{path}' needs a camera and a start")
        return ingest_clip(
            self.city,
            path,
            camera=job.camera,
            start=job.start,
            detector=self.detector,
            embedder=self.embedder,
            options=_clip_options(job),
            on_progress=lambda done: progress({"frames": done.frames, "sightings": done.sightings}),
            again=job.again,
            any_time=job.any_time,
        ).as_dict()

    def _ingest_crops(self, job: Job, path: Path, progress: Progress) -> Mapping[str, Any]:
        def report(so_far: FolderReport) -> None:
            progress({"rows": so_far.rows, "done": so_far.done, "added": so_far.added})

        if path.suffix == ".parquet":
            done = ingest_table(
                self.city,
                path,
                embedder=self.embedder,
                on_progress=report,
                any_time=job.any_time,
            )
        else:
            if self.detector is None and (words := frames_in(path, job.pictures)):
                raise SurroundingsError(f"{words}; they need a worker with --detector")
            done = ingest_folder(
                self.city,
                path,
                embedder=self.embedder,
                camera=job.camera,
                start=job.start,
                detector=self.detector,
                pictures=job.pictures,
                options=_clip_options(job),
                on_progress=report,
                any_time=job.any_time,
            )
        return asdict(done)


def _clip_options(job: Job) -> ClipOptions:
    return ClipOptions(
        every=job.every,
        rate=job.rate,
        longest_gap=job.longest_gap,
        enhance=job.enhance,
        tracklets=TrackletOptions(crops=job.crops),
    )


def work(
    queue: JobQueue,
    run: Run,
    *,
    name: str | None = None,
    stop: threading.Event | None = None,
    until_empty: bool = False,
    on_event: Listener = lambda *_: None,
) -> WorkReport:
    """Take jobs and do them until asked to stop; the job at hand is finished first.

    Args:
        queue: Where the jobs come from.
        run: Does one job.
        name: Name of the worker; host and process by default.
        stop: Set it to end after the job at hand.
        until_empty: End when no job can be begun now.
        on_event: Called at each step of a job.

    Raises:
        QueueError: The queue did not answer, with ``until_empty``; without it the worker asks
            again.
    """
    name, report = name or f"{socket.gethostname()}:{os.getpid()}", WorkReport()
    stop, left = stop or threading.Event(), 0
    while not stop.is_set():
        try:
            claim = queue.claim(name, wait=0.0 if until_empty else LOOK)
        except QueueError as error:
            if until_empty:
                raise
            LOG.warning("%s", error)
            stop.wait(LOOK)
            continue
        if claim is not None:
            event, reason = _do(claim, run, queue.policy.lease / 3, on_event)
            report.done += event == "done"
            report.failed += event in ("failed", "dead")
            report.lost += event == "lost"
            on_event(event, claim.job, reason)
            # a machine that cannot do jobs leaves them to others
            left = left + 1 if event == "left" else 0
            if left and not until_empty:
                stop.wait(min(LOOK * 2.0 ** (left - 1), LONGEST_PAUSE))
        elif until_empty:
            break
    return report


def _do(claim: Claim, run: Run, every: float, on_event: Listener) -> tuple[str, str]:
    """Do one job and tell the queue its end; returns the event and the reason."""
    job = claim.job
    on_event("begun", job, f"try {claim.state.tries}")
    try:
        try:
            with _Heartbeat(claim, every) as heartbeat:
                report = run(job, heartbeat.beat)
            claim.complete(report)
            return "done", ""
        except KeyboardInterrupt:
            claim.release()
            on_event("left", job, "interrupted")
            raise
        except SurroundingsError as error:
            claim.release(RETRY)
            return "left", str(error)
        except (LeaseLostError, QueueError):
            raise
        except Exception as error:  # a damaged file may raise anything; the worker goes on
            LOG.info("job %s", job.id, exc_info=error)
            dead = claim.fail(str(error) or type(error).__name__) == DEAD
            return "dead" if dead else "failed", str(error)
    except LeaseLostError:
        return "lost", "another worker has it"
    except QueueError as error:  # the queue gives the job out again; nothing is stored twice
        return "lost", str(error)


class _Heartbeat:
    """Renews a claim's lease from a thread of its own while the job is done."""

    def __init__(self, claim: Claim, every: float) -> None:
        self._claim, self._every = claim, every
        self._progress: Mapping[str, Any] = {}
        self._lost, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def beat(self, progress: Mapping[str, Any]) -> None:
        """Note how far the work is.

        Raises:
            LeaseLostError: Another worker has the job by now.
        """
        self._progress = progress
        if self._lost.is_set():
            raise LeaseLostError(self._claim.job.source)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._claim.renew(self._progress)
            except LeaseLostError:
                self._lost.set()
                return
            except QueueError as error:  # the server may be back before the lease is over
                LOG.warning("%s", error)

    def __enter__(self) -> "_Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
