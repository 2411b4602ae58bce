"""A live camera into a city: record into the spool, and ingest from it, at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from passerby.city import City
from passerby.city.engines import DatabaseError
from passerby.city.gallery import StoreError
from passerby.ingest.detector import Detector
from passerby.ingest.pipeline import ClipOptions
from passerby.ingest.recording import RecordingIngest, open_recording
from passerby.ingest.recording_report import RecordingReport
from passerby.ingest.rtsp import Recorder, RecordReport
from passerby.ingest.spool import Spool
from passerby.runtime import Embedder

LOOK = 1.0  # seconds between two looks for a segment
RETRY = 30.0  # seconds before the next try after a full disk or a database that is away
SEGMENTS_KNOWN = 500  # after so many, those that are gone from the spool are forgotten


@dataclass(kw_only=True)
class LiveReport:
    """What a recorder and its ingest did."""

    record: RecordReport
    ingest: RecordingReport
    waiting: int = 0
    """Segments that are left in the spool for the next run."""
    interruptions: list[str] = field(default_factory=list)
    """Why the ingest had to wait, the latest ones."""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return {**asdict(self), "ingest": self.ingest.as_dict()}


@dataclass(kw_only=True)
class Live:
    """One live camera of a city; ``stop`` ends the recording, and then what is left is ingested."""

    city: City
    camera: str
    recorder: Recorder
    spool: Spool
    detector: Detector
    embedder: Embedder
    options: ClipOptions
    say: Callable[[str], None]
    """Called with each thing that happens, without secrets."""

    def run(self) -> LiveReport:
        """Record and ingest until the recorder has stopped and the spool is empty.

        Raises:
            InputError: The segments cannot be ingested with these options and networks.
        """
        report = LiveReport(
            record=self.recorder.report,
            ingest=RecordingReport(source=str(self.spool.folder), camera=self.camera),
        )
        with ThreadPoolExecutor(1, thread_name_prefix="recorder") as pool:
            recording = pool.submit(self.recorder.run)
            try:
                while not self._ingest(report, recording):
                    self.recorder.stop.wait(RETRY)
            finally:
                self.recorder.stop.set()
                report.waiting = len(self.spool.segments())
            recording.result()
        return report

    def _ingest(self, report: LiveReport, recording: "Future[None]") -> bool:
        """Ingest segments as they come; returns whether all is done.

        After an error of a disk or a database the tracks in memory are ahead of what is stored.
        The next call therefore begins at the position on disk.
        """
        try:
            with open_recording(
                self.city,
                camera=self.camera,
                source=str(self.spool.folder),
                detector=self.detector,
                embedder=self.embedder,
                options=self.options,
                live=True,
            ) as ingest:
                ingest.report = _carried(report.ingest, ingest.report)
                report.ingest = ingest.report
                while not (recording.done() and not self.spool.segments()):
                    self._ingest_waiting(ingest)
                    self.recorder.new.wait(LOOK)
                    self.recorder.new.clear()
                ingest.end()
                self._show(report.ingest)
        except (StoreError, DatabaseError, OSError) as error:
            why = f"the ingest waits {RETRY:g} s, the recording goes on: {error}"
            report.interruptions = [*report.interruptions[-99:], why]
            self.say(why)
            return self.recorder.stop.is_set()
        return True

    def _ingest_waiting(self, ingest: RecordingIngest) -> None:
        for segment in self.spool.segments():
            if not ingest.knows(segment):  # else it was killed before the file was released
                ingest.add(segment)
            self.spool.release(segment)
            self.spool.tidy()
            self._show(ingest.report)
            ingest.forget(self.spool.segments(), SEGMENTS_KNOWN)

    def _show(self, report: RecordingReport) -> None:
        """Say what there is to say, and keep the report of a camera that runs for months small."""
        for notice in report.notices:
            self.say(notice)
        report.notices = []
        report.recorded = report.recorded[-1000:]


def _carried(before: RecordingReport, after: RecordingReport) -> RecordingReport:
    """The report of an ingest that is opened again in the same run."""
    if not before.done:
        return after
    before.notices += after.notices
    return before


def stop_after(seconds: float, recorder: Recorder) -> threading.Timer:
    """A timer that ends a recording; it is started."""
    timer = threading.Timer(seconds, recorder.stop.set)
    timer.daemon = True
    timer.start()
    return timer
