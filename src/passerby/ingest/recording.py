"""Recordings of many files into a city: people go on over the edges, and a killed run goes on too.

A recorder cuts its stream into segments. Here each segment is a clip of the city, with its own
start, and the tracks that are running at its end go on in the next one. After each segment, and
each minute within a long one, the position is kept (:mod:`passerby.ingest.position`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.city.erasing import left_out
from passerby.errors import InputError, one_line
from passerby.ingest.detector import Detector
from passerby.ingest.frames import Frame
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.pipeline import ClipOptions, end_tracks, ingest_clip
from passerby.ingest.position import Position, open_position
from passerby.ingest.recording_report import SUMMED, RecordingReport, restored
from passerby.ingest.segments import Segment, place
from passerby.ingest.tracklets import SLOW, TrackletBuilder
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder

FRAMES_BETWEEN = 1500  # looked at between two positions within a clip: a minute at 25 a second
NAMES_KEPT = 1000  # the latest tracks; one that runs is among them


Progress = Callable[[RecordingReport, IngestReport], None]
"""Called after each few frames with the report of the segments before and that of the segment."""


class _Tracks:
    """The tracks that go on from one segment to the next."""

    def __init__(self, options: ClipOptions, state: dict[str, Any] | None) -> None:
        """Begin without tracks, or where a position says."""
        self.builder, self.names = TrackletBuilder(options.tracklets), {}
        if state is not None:
            vars(self.builder).update(state["builder"])
            self.names = state["names"]

    builder: TrackletBuilder
    names: dict[int, str]

    def state(self) -> dict[str, Any]:
        """Plain data of the tracks; networks that the builder calls are not part of it."""
        fields = vars(self.builder).items()
        for track in list(self.names)[:-NAMES_KEPT]:
            del self.names[track]
        return {
            "builder": {name: value for name, value in fields if name != "embedder"},
            "names": self.names,
        }


@dataclass(kw_only=True)
class _Part:
    """A segment while it is read; see :class:`passerby.ingest.pipeline.Part`."""

    tracks: "_Tracks"
    position: Position
    key: str
    begin: int
    before: dict[str, Any] | None
    """The report of a run that was killed in this segment."""
    lasting: bool = True
    """Whether its file stays where it is."""

    @property
    def builder(self) -> TrackletBuilder:
        """Has the tracks that are running."""
        return self.tracks.builder

    @property
    def names(self) -> dict[int, str]:
        """Number of a track -> name of the clip that it is named by."""
        return self.tracks.names

    def chunks(self, source: Iterator[Frame], report: IngestReport) -> Iterator[Iterator[Frame]]:
        """Yield the frames in chunks, and keep the position between two of them."""
        frames = iter(source)
        if self.before is not None:
            for name in SUMMED:
                setattr(report, name, self.before[name])
            report.added = 0
            for _ in islice(frames, report.frames):  # they are decoded again, and nothing more
                pass
        frame = next(frames, None)
        while frame is not None:
            yield chain([frame], islice(frames, FRAMES_BETWEEN - 1))
            frame = next(frames, None)
            if frame is not None:
                self.position.save(
                    self.key,
                    asdict(report),
                    finished=False,
                    tracks=self.tracks.state(),
                    time=self.begin,
                )


class RecordingIngest:
    """Brings one segment after the other into a city; see :func:`open_recording`."""

    def __init__(
        self,
        city: City,
        *,
        position: Position,
        report: RecordingReport,
        detector: Detector,
        embedder: Embedder,
        options: ClipOptions,
        again: bool,
        any_time: bool,
        live: bool,
        on_progress: Progress | None = None,
    ) -> None:
        """Go on at a position."""
        self._again, self._any_time, self._live = again, any_time, live
        self.city, self.report, self._position = city, report, position
        self._detector, self._embedder, self._options = detector, embedder, options
        self._on_progress = on_progress
        tracks = position.tracks
        self._tracks = _Tracks(options, tracks)
        self._ended = tracks is None
        report.notices += position.notices
        for facts in position.unreported:
            self._count(facts, resumed=True)

    def knows(self, segment: Segment) -> bool:
        """Whether the segment is done."""
        return not segment.missing and segment.key in self._position.done

    def add(self, segment: Segment) -> None:
        """Ingest a segment; it is durable when this returns.

        A segment that cannot be read is reported, and the recording goes on after it.

        Raises:
            InputError: The recording cannot be ingested like this: its camera is unknown, or it is
                in the city already, read with other options.
        """
        position, name = self._position, segment.path.name
        begin, notice, follows = place(segment, position.end)
        if notice:
            self.report.notices.append(f"{notice} '{name}'")
        if not follows:
            self._end_tracks()
        if segment.missing:
            self._fail(segment, begin, segment.missing)
            return
        key = segment.key
        facts: dict[str, Any] = {"start": begin}
        try:
            with segment.file() as path:
                report = self._ingest(path, segment, begin, key)
        except InputError as error:
            if _can_be_read(segment):
                raise
            facts["failed"] = [str(segment.path), one_line(error)]
            position.end = begin + round(segment.seconds * 1000)
        else:
            facts["report"] = asdict(report)
            position.end, position.name = begin + report.clip.length, report.name
            self._ended = False
        facts["end"] = position.end
        tracks = None if self._ended else self._tracks.state()
        position.save(key, facts, finished=True, tracks=tracks, time=begin)
        self._count(facts)

    def _ingest(self, path: Path, segment: Segment, begin: int, key: str) -> IngestReport:
        position = self._position
        partial = position.partial
        before = partial[1] if partial is not None and partial[0] == key else None
        on_progress = self._on_progress
        # a live segment has the true time, and not that of the camera's clock
        off = self.city.camera(self.report.camera, begin).clock if self._live else 0
        return ingest_clip(
            self.city,
            path,
            camera=self.report.camera,
            start=begin - off,
            detector=self._detector,
            embedder=self._embedder,
            options=self._options,
            on_progress=on_progress and (lambda report: on_progress(self.report, report)),
            again=self._again or self._live,  # a camera may show the same twice
            any_time=self._any_time,
            part=self._part(key, begin, before, lasting=path == segment.path and not self._live),
        )

    def _part(
        self, key: str, begin: int, before: dict[str, Any] | None, *, lasting: bool = False
    ) -> _Part:
        return _Part(
            tracks=self._tracks,
            position=self._position,
            key=key,
            begin=begin,
            before=before,
            lasting=lasting,
        )

    def _fail(self, segment: Segment, begin: int, why: str) -> None:
        """Report a segment that is not there; the next run looks for it again."""
        self.report.failed[str(segment.path)] = why
        self._position.end = begin + round(segment.seconds * 1000)

    def _count(self, facts: dict[str, Any], *, resumed: bool = False) -> None:
        self.report.done += 1
        self.report.resumed += resumed
        if "failed" in facts:
            path, why = facts["failed"]
            self.report.failed[path] = why
            return
        report = restored(facts["report"])
        report.added = 0 if resumed else report.added
        self.report.add(report)
        self.report.add_time(facts["start"], facts["end"])

    def _end_tracks(self) -> None:
        """Store the people who are in the picture, and begin anew."""
        position, report = self._position, self.report
        if self._ended:
            return
        last = IngestReport(source=report.source, camera=report.camera, name=position.name)
        end_tracks(
            self.city,
            self._part("", 0, None),
            last,
            embedder=self._embedder,
            enhance=self._options.enhance,
        )
        report.add(last)
        slow = self._tracks.builder.needed < 2 <= self._options.tracklets.min_detections
        if slow and SLOW not in report.notices:
            report.notices.append(SLOW)
        self._tracks, self._ended = _Tracks(self._options, None), True
        position.drop_tracks()

    def forget(self, segments: Sequence[Segment], most: int) -> None:
        """Drop what is known of done segments but these, when it is more than ``most``."""
        if len(self._position.done) > most:
            self._position.forget({segment.key for segment in segments})

    def end(self) -> None:
        """End the recording: store who is in the picture; this run is reported by its caller."""
        self._end_tracks()
        self.report.notices += left_out(self.report.erased)
        self._position.mark_reported()


def _can_be_read(segment: Segment) -> bool:
    try:
        with segment.file() as path:
            open_clip(path)
    except InputError:
        return False
    return True


@contextmanager
def open_recording(
    city: City,
    *,
    camera: str,
    source: str,
    detector: Detector,
    embedder: Embedder,
    options: ClipOptions | None = None,
    again: bool = False,
    any_time: bool = False,
    live: bool = False,
    on_progress: Progress | None = None,
) -> Iterator[RecordingIngest]:
    """Open a recording of a camera where an earlier run left off.

    Args:
        city: The city to store in.
        camera: Id of the camera.
        source: Name of the recording, such as its folder; a run under the same name goes on.
        detector: Finds people.
        embedder: The network of the city's gallery.
        options: How the clips are read.
        again: Begin at the first segment, whatever an earlier run did, and store content that is
            there from another camera or start.
        any_time: Take also times before 2000 or in the future.
        live: The segments are deleted after their ingest, and their times are true, and not those
            of the camera's clock.
        on_progress: Called after each few frames.

    Raises:
        InputError: There is no such camera, or another process is at this recording.
    """
    city.camera(camera)
    options = options or ClipOptions()
    how = {**asdict(options), "detector": detector.name, "model": embedder.model_id}
    with open_position(city, camera, source, how, again=again) as position:
        yield RecordingIngest(
            city,
            position=position,
            report=RecordingReport(source=source, camera=camera),
            detector=detector,
            embedder=embedder,
            options=options,
            again=again,
            any_time=any_time,
            live=live,
            on_progress=on_progress,
        )


def ingest_recording(
    city: City,
    segments: Sequence[Segment],
    *,
    camera: str,
    source: str,
    detector: Detector,
    embedder: Embedder,
    options: ClipOptions | None = None,
    again: bool = False,
    any_time: bool = False,
    on_progress: Progress | None = None,
) -> RecordingReport:
    """Bring the segments of a recording into a city, in order.

    A run that was killed is gone on with: nothing is done again but what followed its last
    position, at most one segment or one minute of one. The sightings are those of a run without
    interruption. Segments that are done are passed over.

    Args:
        city: The city to store in.
        segments: In order of time.
        camera: Id of the camera.
        source: Name of the recording; a run under the same name goes on.
        detector: Finds people.
        embedder: The network of the city's gallery.
        options: How the clips are read.
        again: Do segments again that are done, and store content that is there from another camera
            or start; sightings that are there are not stored twice.
        any_time: Take also times before 2000 or in the future.
        on_progress: Called after each few frames.

    Raises:
        InputError: The recording cannot be ingested like this, see :meth:`RecordingIngest.add`.
    """
    with open_recording(
        city,
        camera=camera,
        source=source,
        detector=detector,
        embedder=embedder,
        options=options,
        again=again,
        any_time=any_time,
        on_progress=on_progress,
    ) as recording:
        report = recording.report
        report.segments = len(segments)
        todo = [segment for segment in segments if not recording.knows(segment)]
        report.before = len(segments) - len(todo) - report.resumed
        for segment in todo:
            recording.add(segment)
        recording.end()
    return report
