"""A worker: takes jobs from a queue, one after the other, and tells the queue that it lives."""

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
from passerby.ingest.folder import FolderReport, ingest_folder, ingest_table
from passerby.ingest.jobs import Claim, Job, JobQueue, LeaseLostError, QueueError
from passerby.ingest.pipeline import ClipOptions, IngestReport, ingest_clip
from passerby.ingest.tracklets import TrackletOptions
from passerby.runtime import Embedder

LOG = logging.getLogger("passerby.ingest")
LOOK = 1.0  # seconds for which a worker waits for a job before it looks whether it shall stop
NOT_ITS_FAULT = 30.0  # seconds before a job is tried again that the surroundings stopped

Progress = Callable[[Mapping[str, Any]], None]
"""Hears how far a job is; raises where the worker should let go of it."""
Run = Callable[[Job, Progress], Mapping[str, Any]]
"""Does a job and returns its report."""
Told = Callable[[str, Job, str], None]
"""Hears "begun", "done", "failed", "dead", "lost" or "left", the job, and why."""


class SurroundingsError(Exception):
    """What stopped a job is not of the job: a database is away, a disk is full."""


@dataclass(kw_only=True)
class WorkReport:
    """What a worker did."""

    done: int = 0
    failed: int = 0
    lost: int = 0
    """Jobs whose lease ended before they did."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def worker_name() -> str:
    """A name that tells machines and processes apart."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Ingester:
    """Does jobs into one city, with the networks loaded once."""

    def __init__(
        self,
        city: City,
        embedder: Embedder,
        detector: Detector | None,
        following: Embedder | None = None,
    ) -> None:
        """Work into ``city``; without a ``detector`` clips are left to other workers.

        Raises:
            InputError: The city's gallery was made by neither ``embedder`` nor ``following``.
        """
        self.city, self.detector = city, detector
        self._networks = Networks(city.gallery, embedder, following)

    @property
    def embedder(self) -> Embedder:
        """The network of the gallery's vectors at this moment."""
        return self._networks.now()

    def __call__(self, job: Job, progress: Progress) -> Mapping[str, Any]:
        """Do a job; what is in the city already is not stored again.

        Raises:
            InputError: the job cannot be done.
            SurroundingsError: it cannot be done here or now.
        """
        try:
            return self._do(job, progress)
        except (StoreError, DatabaseError, OSError) as error:
            raise SurroundingsError(str(error)) from error

    def _do(self, job: Job, progress: Progress) -> Mapping[str, Any]:
        path = Path(job.source)
        if not path.exists():
            raise InputError(f"there is no clip, folder or table '{path}' on this machine")
        if path.is_dir() or path.suffix == ".parquet":
            return self._do_crops(job, path, progress)
        if self.detector is None:
            raise SurroundingsError("a clip needs a worker with a detector; see --detector")
        if job.camera is None or job.start is None:
            raise InputError(f"the clip '{path}' needs a camera and a start")
        options = ClipOptions(
            every=job.every,
            rate=job.rate,
            enhance=job.enhance,
            tracklets=TrackletOptions(crops=job.crops),
        )

        def tell(report: IngestReport) -> None:
            progress({"frames": report.frames, "sightings": report.sightings})

        return ingest_clip(
            self.city,
            path,
            camera=job.camera,
            start=job.start,
            detector=self.detector,
            embedder=self.embedder,
            options=options,
            on_progress=tell,
        ).as_dict()

    def _do_crops(self, job: Job, path: Path, progress: Progress) -> Mapping[str, Any]:
        def tell(report: FolderReport) -> None:
            progress({"rows": report.rows, "done": report.done, "added": report.added})

        if path.suffix == ".parquet":
            report = ingest_table(self.city, path, embedder=self.embedder, on_progress=tell)
        else:
            report = ingest_folder(
                self.city,
                path,
                embedder=self.embedder,
                camera=job.camera,
                start=job.start,
                on_progress=tell,
            )
        return asdict(report)


def work(
    queue: JobQueue,
    run: Run,
    *,
    name: str | None = None,
    stop: threading.Event | None = None,
    until_empty: bool = False,
    told: Told | None = None,
) -> WorkReport:
    """Take jobs and do them until told to stop; the one at hand is finished first.

    Args:
        queue: where they come from.
        run: does one.
        name: who works.
        stop: set it to end after the job at hand.
        until_empty: end when no job can be begun now.
        told: hears what happens.

    Raises:
        QueueError: the queue did not answer, with ``until_empty`` only; else it is asked again.
    """
    stop, name, report = stop or threading.Event(), name or worker_name(), WorkReport()
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
            _do(claim, run, queue.policy.lease / 3, report, told or (lambda *_: None))
        elif until_empty:
            break
    return report


def _do(claim: Claim, run: Run, every: float, report: WorkReport, told: Told) -> None:
    """Do one job and tell the queue what became of it."""
    job = claim.job
    told("begun", job, f"try {claim.state.tries}")
    try:
        try:
            with _Heart(claim, every) as heart:
                found = run(job, heart.beat)
            claim.done(found)
        except (SurroundingsError, KeyboardInterrupt) as error:
            asked = isinstance(error, KeyboardInterrupt)
            claim.release(0.0 if asked else NOT_ITS_FAULT)
            told("left", job, "interrupted" if asked else str(error))
            if asked:
                raise
            return
        except (LeaseLostError, QueueError):
            raise
        except Exception as error:  # whatever a damaged file brings about; the worker goes on
            LOG.info("job %s", job.id, exc_info=error)
            dead = claim.fail(str(error) or type(error).__name__) == "dead"
            report.failed += 1
            told("dead" if dead else "failed", job, str(error))
            return
        report.done += 1
        told("done", job, "")
    except LeaseLostError:
        report.lost += 1
        told("lost", job, "another worker has it")
    except QueueError as error:  # it will be handed out again; what is stored is not stored twice
        report.lost += 1
        told("lost", job, str(error))


class _Heart:
    """Renews a claim's lease while the job is done, from a thread of its own."""

    def __init__(self, claim: Claim, every: float) -> None:
        self._claim, self._every = claim, every
        self._progress: Mapping[str, Any] = {}
        self._lost, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def beat(self, progress: Mapping[str, Any]) -> None:
        """Note how far the work is.

        Raises:
            LeaseLostError: another worker has it by now.
        """
        self._progress = progress
        if self._lost.is_set():
            raise LeaseLostError(self._claim.job.source)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self._claim.keep(self._progress)
            except LeaseLostError:
                self._lost.set()
                return
            except QueueError as error:  # perhaps it is back before the lease is over
                LOG.warning("%s", error)

    def __enter__(self) -> "_Heart":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
