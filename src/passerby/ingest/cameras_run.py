"""Many cameras into a city at once: a few worker processes, each with one camera at a time."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.errors import one_line
from passerby.ingest.detector import Detector
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.manifest import CameraTask
from passerby.ingest.recording import ingest_recording
from passerby.ingest.recording_report import RecordingReport
from passerby.runtime import Embedder

Load = Callable[[CameraTask], tuple[Detector, Embedder]]
"""Opens the networks of a task; a function that a new process can import."""
Listener = Callable[[str, "CameraReport"], None]
"""Called with "begun", "progress", "done" or "failed", and the camera's report."""


@dataclass(kw_only=True)
class CameraReport:
    """What became of one camera."""

    camera: str
    state: str = "waiting"
    """waiting, running, done or failed."""
    error: str = ""
    left_out: int = 0
    """Files that could not be placed."""
    segments: int = 0
    at: int = 0
    """Segments that are done."""
    frames: int = 0
    """Frames looked at so far."""
    people: int = 0
    """Tracklets so far."""
    report: RecordingReport | None = None
    notices: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**asdict(self), "report": self.report and self.report.as_dict()}


def load_networks(task: CameraTask) -> tuple[Detector, Embedder]:
    """Open the detector and the network of a task.

    Raises:
        InputError: There is no detector, or one of them cannot be opened.
    """
    precision = "fp32" if task.precision == "auto" else task.precision
    detector = Detector.load(task.detector or "default", precision=precision)
    return detector, Embedder.load(task.model)


def ingest_cameras(
    city: Path,
    tasks: Sequence[CameraTask],
    *,
    workers: int = 1,
    load: Load = load_networks,
    again: bool = False,
    on_event: Listener = lambda *_: None,
) -> list[CameraReport]:
    """Ingest the recordings of several cameras, ``workers`` of them at once.

    A camera that fails does not stop the others; neither does a worker that dies.

    Args:
        city: Folder of the city.
        tasks: One for each camera.
        workers: Processes.
        load: Opens the networks of a task.
        again: Do segments again that are done.
        on_event: Called with each event of a camera.
    """
    reports = {
        task.camera: CameraReport(
            camera=task.camera,
            left_out=task.left_out,
            segments=len(task.segments),
            notices=list(task.notices),
        )
        for task in tasks
    }
    waiting = list(tasks)
    running: dict[Any, _Worker] = {}
    crew = [_Worker(city, load, again, workers) for _ in range(min(workers, len(tasks)))]
    try:
        while waiting or running:
            for worker in crew:
                if worker not in running.values() and waiting:
                    task = waiting.pop(0)
                    running[worker.give(task)] = worker
                    _change(reports[task.camera], "begun", None, on_event)
            for connection in wait(list(running)):
                worker = running[connection]
                event, facts = worker.hear()
                _change(reports[worker.camera], event, facts, on_event)
                if event in ("done", "failed"):
                    del running[connection]
    finally:
        for worker in crew:
            worker.end()
    return list(reports.values())


def _change(report: CameraReport, event: str, facts: Any, on_event: Listener) -> None:
    """Bring a camera's report up to date and tell of it."""
    if event == "begun":
        report.state = "running"
    elif event == "progress":
        report.at, report.frames, report.people = facts
    elif event == "done":
        report.state, report.report = "done", facts
        report.at, report.frames, report.people = facts.segments, facts.frames, facts.tracklets
        report.notices += facts.notices
    else:
        report.state, report.error = "failed", facts
    on_event(event, report)


class _Worker:
    """A process that ingests one camera after the other; it is started anew when it has died."""

    def __init__(self, city: Path, load: Load, again: bool, workers: int) -> None:
        self._arguments = (city, load, again, max(1, (os.cpu_count() or 1) // workers))
        self._process: Any = None
        self._connection: Connection | None = None
        self.camera = ""

    def give(self, task: CameraTask) -> Connection:
        """Begin a camera; returns the connection on which its events come."""
        context = multiprocessing.get_context("spawn")  # forked networks may hang
        if self._connection is None:
            self._connection, theirs = context.Pipe()
            self._process = context.Process(
                target=_work, args=(theirs, *self._arguments), daemon=True
            )
            self._process.start()
            theirs.close()
        self.camera = task.camera
        self._connection.send(task)
        return self._connection

    def hear(self) -> tuple[str, Any]:
        """The next event and its facts."""
        assert self._connection is not None
        try:
            event, facts = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            self._connection = None
            return "failed", f"its worker process ended with status {self._process.exitcode}"
        return event, facts

    def end(self) -> None:
        """End the process, at once where it is at work."""
        if self._connection is not None:
            self._connection.close()
            self._process.join(1)
            self._process.terminate()
            self._process.join()


def _work(connection: Connection, city: Path, load: Load, again: bool, threads: int) -> None:
    """Ingest the cameras that come over the connection; ends when the other side is gone."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(threads)
    loaded: dict[tuple[str | None, str, str], tuple[Detector, Embedder]] = {}

    def networks(task: CameraTask) -> tuple[Detector, Embedder]:
        key = task.detector, task.precision, task.model
        if key not in loaded:
            loaded[key] = load(task)
        return loaded[key]

    with City.open(city) as opened:
        while True:
            try:
                task: CameraTask = connection.recv()
                connection.send(_ingest(connection, opened, task, networks, again))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return


def _ingest(
    connection: Connection,
    city: City,
    task: CameraTask,
    networks: Callable[[CameraTask], tuple[Detector, Embedder]],
    again: bool,
) -> tuple[str, Any]:
    """Ingest one camera; returns its last event and the facts."""

    def tell(done: RecordingReport, segment: IngestReport) -> None:
        frames, people = done.frames + segment.frames, done.tracklets + segment.tracklets
        connection.send(("progress", (done.before + done.done, frames, people)))

    try:
        city.camera(task.camera)
        detector, embedder = networks(task)
        return "done", ingest_recording(
            city,
            task.segments,
            camera=task.camera,
            source=task.source,
            detector=detector,
            embedder=embedder,
            options=task.options,
            again=again,
            any_time=task.any_time,
            on_progress=tell,
        )
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # a damaged file may raise anything; other cameras go on
        return "failed", one_line(error) or type(error).__name__
