"""A clip into a city: decode, detect, follow, choose, embed, store."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from passerby.city import City, Scope, Sighting
from passerby.city.networks import check_network
from passerby.city.times import parse_time
from passerby.errors import InputError
from passerby.ingest.crops import encode_jpeg
from passerby.ingest.detector import Detector
from passerby.ingest.enhance import enhance
from passerby.ingest.store import Stored, file_hash, store
from passerby.ingest.tracklets import Tracklet, TrackletBuilder, TrackletOptions
from passerby.ingest.video import Clip, Frame, open_clip
from passerby.runtime import Embedder

FRAMES_AT_ONCE = 8  # handed to the detector together
SIGHTINGS_AT_ONCE = 32  # embedded and made durable together, at least

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How a clip is read; every value is part of its sightings' ids."""

    every: int = 1
    """Look at every n-th frame."""
    rate: float | None = None
    """Frames a second, for clips without times or with wrong ones."""
    enhance: bool = False
    """Raise the exposure of dark crops and calm their noise."""
    tracklets: TrackletOptions = field(default_factory=TrackletOptions)


@dataclass(kw_only=True)
class IngestReport:
    """What an ingest did; it grows while the ingest runs."""

    source: str
    camera: str = ""
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
    """Seconds a stage: decode, detect, track, store."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - begin

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
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
    """Bring a clip into a city.

    Ids follow from the clip's content, camera, start, options and detector, so a second run
    adds nothing, and a run that was killed is completed by the next.

    Args:
        city: where to.
        path: the clip.
        camera: id of the camera that took it.
        start: when its first frame was taken: ISO 8601 with a zone, a datetime with a zone, or
            milliseconds since the epoch.
        detector: finds people.
        embedder: turns crops into vectors; the model of the city's gallery.
        options: how the clip is read.
        on_stored: hears the ids of sightings that have become durable.
        on_progress: hears the state of the report now and then.

    Raises:
        InputError: no clip, unknown camera, a time without zone, or the clip is in the city
            already with other options.
    """
    options = options or ClipOptions()
    city.camera(camera)
    begin = parse_time(start, "the start of the clip")
    clip = open_clip(path, rate=options.rate)
    check_network(city.gallery, embedder.model_id)
    how = {**asdict(options), "detector": detector.name}
    name = _claim(city, clip, camera, begin, how)
    report = IngestReport(source=str(path), camera=camera)
    report.notices += [clip.notice] if clip.notice else []
    sink = _Sink(
        city=city,
        embedder=embedder,
        camera=camera,
        name=name,
        report=report,
        options=options,
        on_stored=on_stored,
    )
    frames = _timed_frames(clip, begin, options.every, report)
    _watch(frames, detector, TrackletBuilder(options.tracklets), sink, on_progress)
    if not report.sightings:
        report.notices.append(f"no person was found in '{clip.path.name}'; nothing was stored")
    return report


def _watch(
    source: Iterator[Frame],
    detector: Detector,
    builder: TrackletBuilder,
    sink: "_Sink",
    on_progress: Progress | None,
) -> None:
    """Go through the clip once; tracklets reach the sink as they end."""
    report = sink.report
    for frames in _chunks(source, FRAMES_AT_ONCE):
        with report.stage("detect"):
            found = detector.detect([frame.image for frame in frames])
        with report.stage("track"):
            for frame, detections in zip(frames, found, strict=True):
                report.detections += len(detections.above(builder.options.tracker.strong))
                sink.waiting += builder.add(frame, detections)
        report.frames += len(frames)
        sink.flush(SIGHTINGS_AT_ONCE)
        if on_progress:
            on_progress(report)
    sink.waiting += builder.close()
    sink.flush(1)


class _Sink:
    """Finished tracklets that wait for the city."""

    def __init__(
        self,
        *,
        city: City,
        embedder: Embedder,
        camera: str,
        name: str,
        report: IngestReport,
        options: ClipOptions,
        on_stored: Stored | None,
    ) -> None:
        self.waiting: list[Tracklet] = []
        self._city, self._embedder, self._camera, self._name = city, embedder, camera, name
        self.report, self._enhance, self._on_stored = report, options.enhance, on_stored

    def flush(self, least: int) -> None:
        """Store what waits, when it is at least so many sightings."""
        if sum(len(tracklet.crops) for tracklet in self.waiting) < least:
            return
        with self.report.stage("store"):
            facts, jpegs = self._take()
            stored = store(self._city, self._embedder, facts, jpegs)
        self.report.sightings += len(stored.ids)
        self.report.added += stored.added
        self.report.notices += stored.problems.values()
        if self._on_stored:
            self._on_stored(stored.ids)

    def _take(self) -> tuple[list[Sighting], list[bytes]]:
        facts, jpegs = [], []
        for tracklet in self.waiting:
            name = f"{self._name}-{tracklet.track:05d}-{tracklet.part:03d}"
            self.report.tracklets += 1
            for crop in tracklet.crops:
                image = enhance(crop.image) if self._enhance else crop.image
                jpegs.append(encode_jpeg(image))
                facts.append(
                    Sighting(
                        id=f"{name}-{crop.frame:07d}",
                        camera=self._camera,
                        time=crop.time,
                        tracklet=name,
                        box=crop.box,
                        quality=crop.quality,
                    )
                )
        self.waiting = []
        return facts, jpegs


def _claim(city: City, clip: Clip, camera: str, begin: int, how: dict[str, Any]) -> str:
    """Name a clip of a camera and a time, so that the same ingest makes the same ids.

    Other options would find other tracklets under other ids: the same people twice. That is
    refused while the sightings of the first run are there.
    """
    what = hashlib.sha256(f"{file_hash(clip.path)}|{camera}|{begin}".encode()).hexdigest()[:16]
    key = f"ingest.{what}"
    before = city.setting(key)
    if before == how:
        return what
    if before is not None and city.count(Scope(cameras=(camera,), start=begin)):
        changed = sorted(name for name in how if before.get(name) != how[name])
        was = ", ".join(f"{name} {before.get(name)}" for name in changed)
        raise InputError(
            f"'{clip.path}' is in the city already, read with {was}; "
            "use that again, or delete its sightings first"
        )
    city.set_setting(key, how)
    return what


def _timed_frames(clip: Clip, begin: int, every: int, report: IngestReport) -> Iterator[Frame]:
    frames = clip.frames(begin, every=every)
    last, read = None, 0
    while True:
        with report.stage("decode"):
            frame = next(frames, None)
        if frame is None:
            break
        if last is None or frame.time > last:  # recorders repeat a time now and then
            last = frame.time
            yield frame
        read = frame.index + 1
    if read < 0.9 * clip.frame_count - every:
        report.notices.append(
            f"'{clip.path.name}' should have {clip.frame_count} frames, about {read} could be "
            "read; it is cut off or damaged"
        )


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
