"""A clip into a city: decode, detect, track, choose crops, embed, store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from passerby.city import City, Sighting
from passerby.city.changes import with_clock
from passerby.city.clips import STORED, ClipRecord, claim, clip_name, write_clip
from passerby.city.networks import check_network
from passerby.files import sha256
from passerby.ingest.crops import encode_jpeg, enhance
from passerby.ingest.detector import Detector
from passerby.ingest.store import Stored, store
from passerby.ingest.tracklets import Tracklet, TrackletBuilder, TrackletOptions
from passerby.ingest.video import LONGEST_GAP, Clip, Frame, FrameCounts, open_clip
from passerby.runtime import Embedder
from passerby.times import now, parse_time

FRAMES_AT_ONCE = 8  # handed to the detector together
SIGHTINGS_AT_ONCE = 32  # embedded and made durable together, at least
RECORDING_GAP = 5_000  # milliseconds without a frame, or three of its usual steps if these are more


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How a clip is read; every value is part of the ids of its sightings."""

    every: int = 1
    """Look at every n-th frame."""
    rate: float | None = None
    """Frames a second, for clips without times or with wrong ones."""
    longest_gap: float = LONGEST_GAP
    """Seconds without a frame that count as a gap in the recording; more is a clock set anew."""
    enhance: bool = False
    """Raise the exposure of dark crops and reduce their noise."""
    tracklets: TrackletOptions = field(default_factory=TrackletOptions)


@dataclass(kw_only=True)
class IngestReport:
    """What the ingest of a clip did; the counts grow while it runs."""

    source: str
    camera: str = ""
    name: str = ""
    """Of the clip in this camera at this time; the ids of its sightings begin with it."""
    clip: FrameCounts = field(default_factory=FrameCounts)
    """What became of the clip's frames."""
    frames: int = 0
    """Frames the detector looked at."""
    detections: int = 0
    """Boxes above the tracker's strong confidence."""
    tracklets: int = 0
    sightings: int = 0
    """Crops chosen, known ones included."""
    added: int = 0
    """Sightings that were new to the city."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: decode, detect, track, store."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""
    first: int | None = None
    """Time of the first frame by the camera's clock, milliseconds."""
    last: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """(from, to) of each gap in the recording."""
    step: int = 0
    """Milliseconds between the last two frames that were looked at."""

    def saw(self, time: int) -> None:
        """Count a frame in what was recorded."""
        if self.first is None or self.last is None:
            self.first = self.last = time
            return
        step = time - self.last
        if step > max(RECORDING_GAP, 3 * self.step):
            self.gaps.append((self.last + 1, time))
        self.step, self.last = step, time

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - begin

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)


Progress = Callable[[IngestReport], None]
"""Called after each few frames."""


class Part(Protocol):
    """A clip as a part of a longer recording: tracks go on from the clip before into the next.

    See :mod:`passerby.ingest.recording`.
    """

    @property
    def builder(self) -> TrackletBuilder:
        """Has the tracks that are running."""

    @property
    def names(self) -> dict[int, str]:
        """Number of a track -> name of the clip in which its first sightings were stored."""

    def chunks(self, frames: Iterator[Frame], report: IngestReport) -> Iterator[Iterator[Frame]]:
        """Yield the frames that are still to be done, a few seconds at a time.

        When the next chunk is asked for, everything found in the one before is stored.
        """


def ingest_clip(
    city: City,
    path: str | Path,
    *,
    camera: str,
    start: str | int | datetime,
    detector: Detector,
    embedder: Embedder,
    options: ClipOptions | None = None,
    on_stored: Stored | None = None,
    on_progress: Progress | None = None,
    again: bool = False,
    any_time: bool = False,
    part: Part | None = None,
) -> IngestReport:
    """Add the people of a clip to a city.

    The ids of the sightings follow from the clip's content, camera, start, options and detector. A
    second run therefore adds nothing, and the next run completes one that was killed.

    Args:
        city: The city to store in.
        path: The clip.
        camera: Id of the camera that took it.
        start: Time of the first frame by the camera's clock: ISO 8601 with a zone, a datetime with
            a zone, or milliseconds since the epoch. What the camera's clock is off by is added.
        detector: Finds people.
        embedder: Turns crops into vectors; the network of the city's gallery.
        options: How the clip is read.
        on_stored: Called with the ids of sightings that have become durable.
        on_progress: Called with the report after each few frames.
        again: Store the clip also where its content is in the city from another camera or start.
        any_time: Take also a time before 2000 or in the future.
        part: For a clip of a longer recording: what goes on from the clip before.

    Raises:
        InputError: There is no such clip or camera, or not at that time; the time has no zone or is
            not plausible; or the clip is in the city already, read with other options, or as
            another camera's or at another start without ``again``.
    """
    options = options or ClipOptions()
    city.refresh()
    city.camera(camera)
    begin = parse_time(start, "the start of the clip")
    clip = open_clip(path, rate=options.rate)
    _check_times(city, clip, camera, begin, any_time=any_time)
    check_network(city.gallery, embedder.model_id)
    how = {**asdict(options), "detector": detector.name}
    report = IngestReport(source=str(path), camera=camera)
    report.notices += [clip.notice] if clip.notice else []
    record = _claim(city, clip, camera, begin, how, again=again, report=report)
    report.name = record.name
    sink = _Sink(
        city=city,
        embedder=embedder,
        camera=camera,
        name=record.name,
        enhance=options.enhance,
        report=report,
        on_stored=on_stored,
        names=None if part is None else part.names,
    )
    frames = _read(clip, begin, options, report)
    if part is None:
        builder = TrackletBuilder(options.tracklets)
        _track(frames, detector, builder, sink, on_progress)
        sink.waiting += builder.close()
        sink.flush(1)
    else:
        for chunk in part.chunks(frames, report):
            _track(chunk, detector, part.builder, sink, on_progress)
            sink.flush(1)
    _finish(city, record, report)
    if part is not None:
        return report
    if not report.sightings:
        report.notices.append(f"no person was found in '{clip.path.name}'; nothing was stored")
    return report


def _track(
    source: Iterator[Frame],
    detector: Detector,
    builder: TrackletBuilder,
    sink: "_Sink",
    on_progress: Progress | None,
) -> None:
    """Read frames once and give the sink each tracklet as it ends."""
    report, options = sink.report, builder.options
    while frames := list(islice(source, FRAMES_AT_ONCE)):
        with report.stage("detect"):
            found = detector.detect([frame.image for frame in frames])
        with report.stage("track"):
            for frame, detections in zip(frames, found, strict=True):
                report.detections += len(detections.above(options.tracker.strong))
                sink.waiting += builder.add(frame, detections)
        report.frames += len(frames)
        sink.flush(SIGHTINGS_AT_ONCE)
        if on_progress:
            on_progress(report)


def end_tracks(
    city: City,
    part: Part,
    report: IngestReport,
    *,
    embedder: Embedder,
    enhance: bool,
    on_stored: Stored | None = None,
) -> None:
    """Store the tracks that are running when a recording of several clips ends.

    Args:
        city: The city to store in.
        part: Has the tracks.
        report: Of the last clip; its name and camera count, and it grows.
        embedder: The network of the city's gallery.
        enhance: As in the options of the clips.
        on_stored: Called with the ids of sightings that have become durable.
    """
    sink = _Sink(
        city=city,
        embedder=embedder,
        camera=report.camera,
        name=report.name,
        enhance=enhance,
        report=report,
        on_stored=on_stored,
        names=part.names,
        waiting=part.builder.close(),
    )
    sink.flush(1)


@dataclass(kw_only=True)
class _Sink:
    """Stores finished tracklets in the city, several at a time."""

    city: City
    embedder: Embedder
    camera: str
    name: str
    """Of the clip; tracklets and sightings are named by it."""
    names: dict[int, str] | None = None
    """In a recording of several clips: track -> the clip that it is named by."""
    enhance: bool
    report: IngestReport
    on_stored: Stored | None
    waiting: list[Tracklet] = field(default_factory=list)
    """Tracklets that are not stored yet."""

    def flush(self, least: int) -> None:
        """Store the waiting tracklets when they have at least so many crops."""
        if sum(len(tracklet.crops) for tracklet in self.waiting) < least:
            return
        with self.report.stage("store"):
            facts, jpegs = self._take()
            stored = store(self.city, self.embedder, facts, jpegs)
        self.report.sightings += len(stored.ids)
        self.report.added += stored.added
        self.report.notices += stored.problems.values()
        if self.on_stored:
            self.on_stored(stored.ids)

    def _take(self) -> tuple[list[Sighting], list[bytes]]:
        """The sightings of the waiting tracklets and their JPEG files."""
        facts, jpegs = [], []
        for tracklet in self.waiting:
            base = self.name
            if self.names is not None:
                base = self.names.setdefault(tracklet.track, self.name)
            name = f"{base}-{tracklet.track:05d}-{tracklet.part:03d}"
            self.report.tracklets += 1
            for crop in tracklet.crops:
                jpegs.append(encode_jpeg(enhance(crop.image) if self.enhance else crop.image))
                # frames are counted in each clip, times go on from one clip to the next
                number = f"{crop.frame:07d}" if self.names is None else f"{crop.time:013d}"
                fact = Sighting(
                    id=f"{name}-{number}",
                    camera=self.camera,
                    time=crop.time,
                    tracklet=name,
                    box=crop.box,
                    quality=crop.quality,
                )
                facts.append(with_clock(self.city, fact, crop.time))
        self.waiting = []
        return facts, jpegs


def _check_times(city: City, clip: Clip, camera: str, begin: int, *, any_time: bool) -> None:
    """Refuse a clip of a time in which the camera was not there, or that cannot be."""
    true = begin + city.camera(camera, begin).clock
    length = round(1000 * clip.frame_count / clip.rate)
    if not any_time:
        city.check_times(true, true + length, f"'{clip.path}' is a clip of")
    city.camera_at(camera, true)


def _claim(
    city: City,
    clip: Clip,
    camera: str,
    begin: int,
    how: dict[str, Any],
    *,
    again: bool,
    report: IngestReport,
) -> ClipRecord:
    """Register the clip: the same content, camera and start give the same name and ids."""
    content = sha256(clip.path)
    record = ClipRecord(
        name=clip_name(content, camera, begin),
        content=content,
        camera=camera,
        start=begin,
        source=str(clip.path),
        options=how,
    )
    notice = claim(city, record, defaults=asdict(ClipOptions()), again=again)
    report.notices += [notice] if notice else []
    return record


def _finish(city: City, record: ClipRecord, report: IngestReport) -> None:
    """Register that a clip was read to its end, and what was recorded."""
    done = replace(
        record,
        state=STORED,
        first=report.first,
        last=report.last,
        gaps=tuple(report.gaps),
        frames=report.frames,
        sightings=report.sightings,
        ingested=now(),
    )
    write_clip(city, done)


def _read(clip: Clip, begin: int, options: ClipOptions, report: IngestReport) -> Iterator[Frame]:
    """The frames of the clip; the report says what became of each."""
    counts = report.clip
    frames = clip.frames(begin, every=options.every, longest_gap=options.longest_gap, counts=counts)
    while True:
        with report.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            break
        report.saw(frame.time)
        yield frame
    report.notices += counts.notices
    if counts.lost:
        report.notices.append(
            f"'{clip.path.name}' is cut off or damaged: {counts.decoded} frames could be read, "
            f"{max(counts.missing, 0)} are missing, {counts.corrupt} are incomplete, "
            f"{counts.damaged} packets cannot be decoded"
        )
    for reason, count in counts.moved.items():
        report.notices.append(f"{count} frames of '{clip.path.name}' got another time: {reason}")
