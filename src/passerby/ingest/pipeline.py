"""A clip into a city: decode, detect, track, choose crops, embed, store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from passerby.city import City, Scope, Sighting
from passerby.city.networks import check_network
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.crops import encode_jpeg, enhance
from passerby.ingest.detector import Detector
from passerby.ingest.store import Stored, store
from passerby.ingest.tracklets import Tracklet, TrackletBuilder, TrackletOptions
from passerby.ingest.video import LONGEST_GAP, Clip, Frame, FrameCounts, open_clip
from passerby.runtime import Embedder
from passerby.times import parse_time

FRAMES_AT_ONCE = 8  # handed to the detector together
SIGHTINGS_AT_ONCE = 32  # embedded and made durable together, at least


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
    clip: FrameCounts = field(default_factory=FrameCounts)
    """What became of the clip's frames."""
    frames: int = 0
    """Frames the detector looked at."""
    detections: int = 0
    """Boxes above the tracker's strong confidence."""
    tracklets: int = 0
    """People followed; a long stay is one."""
    fixed_objects: int = 0
    """Things that neither move nor change, such as signposts; they are not stored."""
    sightings: int = 0
    """Crops chosen, known ones included."""
    added: int = 0
    """Sightings that were new to the city."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds per stage: decode, detect, track, store."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""

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
) -> IngestReport:
    """Add the people of a clip to a city.

    The ids of the sightings follow from the clip's content, camera, start, options and detector. A
    second run therefore adds nothing, and the next run completes one that was killed.

    Args:
        city: The city to store in.
        path: The clip.
        camera: Id of the camera that took it.
        start: Time of the first frame: ISO 8601 with a zone, a datetime with a zone, or
            milliseconds since the epoch.
        detector: Finds people.
        embedder: Turns crops into vectors; the network of the city's gallery.
        options: How the clip is read.
        on_stored: Called with the ids of sightings that have become durable.
        on_progress: Called with the report after each few frames.

    Raises:
        InputError: There is no such clip or camera, the time has no zone, or the clip is in the
            city already, read with other options.
    """
    options = options or ClipOptions()
    city.camera(camera)
    begin = parse_time(start, "the start of the clip")
    clip = open_clip(path, rate=options.rate)
    check_network(city.gallery, embedder.model_id)
    # the network decides where tracks go on, so it is part of the ids too
    how = {**asdict(options), "detector": detector.name, "network": embedder.model_id}
    name = _claim(city, clip, camera, begin, how)
    report = IngestReport(source=str(path), camera=camera)
    report.notices += [clip.notice] if clip.notice else []
    sink = _Sink(
        city=city,
        embedder=embedder,
        camera=camera,
        name=name,
        enhance=options.enhance,
        report=report,
        on_stored=on_stored,
    )
    frames = _read(clip, begin, options, report)
    _track(frames, detector, options.tracklets, sink, on_progress)
    if report.fixed_objects:
        report.notices.append(
            f"{report.fixed_objects} fixed objects were left out: they neither moved nor changed "
            f"for {options.tracklets.fixed_ms // 1000} s, as signposts and parked cars do"
        )
    if not report.sightings:
        report.notices.append(f"no person was found in '{clip.path.name}'; nothing was stored")
    return report


def _track(
    source: Iterator[Frame],
    detector: Detector,
    options: TrackletOptions,
    sink: "_Sink",
    on_progress: Progress | None,
) -> None:
    """Read the clip once and give the sink each tracklet as it ends."""
    builder, report = TrackletBuilder(options, sink.embedder), sink.report
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
    sink.waiting += builder.close()
    sink.flush(1)
    report.fixed_objects = builder.fixed_objects


@dataclass(kw_only=True)
class _Sink:
    """Stores finished tracklets in the city, several at a time."""

    city: City
    embedder: Embedder
    camera: str
    name: str
    """Of the clip; tracklets and sightings are named by it."""
    enhance: bool
    report: IngestReport
    on_stored: Stored | None
    waiting: list[Tracklet] = field(default_factory=list)
    """Tracklets that are not stored yet."""
    tracks: set[int] = field(default_factory=set)
    """Numbers of the tracks of all tracklets; the parts of a long stay are one tracklet there."""

    def flush(self, least: int) -> None:
        """Store the waiting tracklets when they have at least so many crops."""
        if sum(len(tracklet.crops) for tracklet in self.waiting) < least:
            return
        with self.report.stage("store"):
            facts, jpegs = self._take()
            stored = store(self.city, self.embedder, facts, jpegs)
        self.report.tracklets = len(self.tracks)
        self.report.sightings += len(stored.ids)
        self.report.added += stored.added
        self.report.notices += stored.problems.values()
        if self.on_stored:
            self.on_stored(stored.ids)

    def _take(self) -> tuple[list[Sighting], list[bytes]]:
        """The sightings of the waiting tracklets and their JPEG files."""
        facts, jpegs = [], []
        for tracklet in self.waiting:
            name = f"{self.name}-{tracklet.track:05d}"
            self.tracks.add(tracklet.track)
            for crop in tracklet.crops:
                jpegs.append(encode_jpeg(enhance(crop.image) if self.enhance else crop.image))
                facts.append(
                    Sighting(
                        id=f"{name}-{crop.frame:07d}",
                        camera=self.camera,
                        time=crop.time,
                        tracklet=name,
                        box=crop.box,
                        quality=crop.quality,
                    )
                )
        self.waiting = []
        return facts, jpegs


def _claim(city: City, clip: Clip, camera: str, begin: int, how: dict[str, Any]) -> str:
    """The name of a clip of a camera and a time: the same ingest gives the same ids.

    Other options would find other tracklets under other ids, so the same people twice. They are
    refused as long as sightings of the first run are in the city.
    """
    name = sha256(f"{sha256(clip.path)}|{camera}|{begin}".encode())[:16]
    key = f"ingest.{name}"
    before = city.setting(key)
    if before is not None:  # an older version may not have had an option
        before = {**asdict(ClipOptions()), **before}
    if before == how:
        return name
    if before is not None and city.count(Scope(cameras=(camera,), start=begin)):
        changed = sorted(option for option in how if before.get(option) != how[option])
        was = ", ".join(f"{option} {before.get(option)}" for option in changed)
        raise InputError(
            f"'{clip.path}' is in the city already, read with {was}; "
            "use that again, or delete its sightings first"
        )
    city.set_setting(key, how)
    return name


def _read(clip: Clip, begin: int, options: ClipOptions, report: IngestReport) -> Iterator[Frame]:
    """The frames of the clip; the report says what became of each."""
    counts = report.clip
    frames = clip.frames(begin, every=options.every, longest_gap=options.longest_gap, counts=counts)
    while True:
        with report.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            break
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
