"""A clip into a city: decode, detect, track, choose crops, embed, store."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from passerby.city import City, Scope, Sighting
from passerby.city.crops import Context
from passerby.city.networks import check_network
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.crops import Crop, encode_jpeg, enhance
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.excerpts import remember_clip
from passerby.ingest.frames import Frame
from passerby.ingest.overlap import Stream, ahead
from passerby.ingest.scenes import SceneMemory
from passerby.ingest.store import Stored, StoredBatch, store
from passerby.ingest.tracklets import Tracklet, TrackletBuilder, TrackletOptions
from passerby.ingest.video import LONGEST_GAP, Clip, FrameCounts, open_clip
from passerby.runtime import Embedder
from passerby.times import parse_time

FRAMES_AT_ONCE = 8  # handed to the detector together
FRAMES_AHEAD = 16  # decoded while the detector is busy
PARTS_AHEAD = 2  # of FRAMES_AT_ONCE, detected while the tracker is busy
SIGHTINGS_AT_ONCE = 32  # embedded and made durable together, at least
BATCHES_AHEAD = 2  # of SIGHTINGS_AT_ONCE, that wait to be stored
STAGES = ("decode", "detect", "track", "store")


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
    sightings: int = 0
    """Crops chosen, known ones included."""
    added: int = 0
    """Sightings that were new to the city."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Seconds per stage: decode, detect, track, store; the stages run at the same time."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begin = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += perf_counter() - begin

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        return asdict(self)


Progress = Callable[[IngestReport], None]
"""Called after each few frames."""
_Part = tuple[list[Frame], list[Detections]]


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
    overlap: bool = True,
) -> IngestReport:
    """Add the people of a clip to a city.

    Decoding, detection, tracking and storing run at the same time, each in a thread, with a few
    frames between them. Nothing depends on which thread is faster: the sightings and their ids are
    the same as with ``overlap=False``.

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
        on_stored: Called with the ids of sightings that have become durable, from the caller's
            thread.
        on_progress: Called with the report after each few frames, from the caller's thread.
        overlap: False runs one stage after the other, in the caller's thread.

    Raises:
        InputError: There is no such clip or camera, the time has no zone, or the clip is in the
            city already, read with other options.
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
    content = sha256(clip.path)
    remember_clip(city, content, clip.path)
    sink = _Sink(
        city=city,
        embedder=embedder,
        camera=camera,
        name=name,
        enhance=options.enhance,
        report=report,
        on_stored=on_stored,
        content=content,
        pool=ThreadPoolExecutor(1, thread_name_prefix="store") if overlap else None,
    )
    counts = FrameCounts()
    frames = clip.frames(begin, every=options.every, longest_gap=options.longest_gap, counts=counts)
    # an administrator's choice, among the settings of the service
    keep = bool(city.setting("service", {}).get("keep_scenes", True))
    frames = _read(frames, report, detector.stretched, SceneMemory() if keep else None)
    if overlap:
        frames = ahead(frames, FRAMES_AHEAD, "decode")
    parts = _look(frames, detector, report)
    if overlap:
        parts = ahead(parts, PARTS_AHEAD, "detect")
    with closing(parts), sink:
        _track(parts, options.tracklets, sink, counts, on_progress)
    _add_notices(report, clip)
    if not report.sightings:
        report.notices.append(f"no person was found in '{clip.path.name}'; nothing was stored")
    return report


def _look(frames: Stream[Frame], detector: Detector, report: IngestReport) -> Stream[_Part]:
    """Find the people in all frames, some frames at a time."""
    with closing(frames):
        while part := list(islice(frames, FRAMES_AT_ONCE)):
            with report.stage("detect"):
                found = detector.detect_frames(part)
            yield part, found


def _track(
    parts: Iterator[_Part],
    options: TrackletOptions,
    sink: "_Sink",
    counts: FrameCounts,
    on_progress: Progress | None,
) -> None:
    """Follow the people and give the sink each tracklet as it ends."""
    builder, report = TrackletBuilder(options), sink.report
    for frames, found in parts:
        with report.stage("track"):
            for frame, detections in zip(frames, found, strict=True):
                report.detections += len(detections.above(options.tracker.strong))
                sink.waiting += builder.add(frame, detections)
        report.frames += len(frames)
        report.clip = counts.copy()
        sink.flush(SIGHTINGS_AT_ONCE)
        if on_progress:
            on_progress(report)
    report.clip = counts
    sink.waiting += builder.close()
    sink.flush(1)


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
    content: str
    """SHA-256 of the clip's file."""
    pool: ThreadPoolExecutor | None
    """Stores while the clip is read; without one, storing is waited for."""
    waiting: list[Tracklet] = field(default_factory=list)
    """Tracklets that are not stored yet."""
    _batches: deque[Future[StoredBatch]] = field(default_factory=deque)
    """Batches that are being stored."""

    def __enter__(self) -> "_Sink":
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Wait for what is being stored; after a failure it is stored, but not reported."""
        try:
            self._collect(0 if failed is None else len(self._batches))
        finally:
            if self.pool:
                self.pool.shutdown()

    def flush(self, least: int) -> None:
        """Store the waiting tracklets when they have at least so many crops."""
        if sum(len(tracklet.crops) for tracklet in self.waiting) >= least:
            taken, self.waiting = self.waiting, []
            self.report.tracklets += len(taken)
            if self.pool is None:
                self._count(self._store(taken))
                return
            self._batches.append(self.pool.submit(self._store, taken))
        self._collect(BATCHES_AHEAD)

    def _collect(self, most: int) -> None:
        """Count the batches that are stored; wait until at most so many are not."""
        while self._batches and (len(self._batches) > most or self._batches[0].done()):
            self._count(self._batches.popleft().result())

    def _count(self, stored: StoredBatch) -> None:
        self.report.sightings += len(stored.ids)
        self.report.added += stored.added
        self.report.notices += stored.problems.values()
        if self.on_stored:
            self.on_stored(stored.ids)

    def _store(self, tracklets: list[Tracklet]) -> StoredBatch:
        with self.report.stage("store"):
            return store(self.city, self.embedder, *self._take(tracklets))

    def _take(self, tracklets: list[Tracklet]) -> tuple[list[Sighting], list[bytes], list[bytes]]:
        """The sightings of some tracklets, the JPEG files of their crops and of their scenes."""
        facts, jpegs, scenes = [], [], []
        for tracklet in tracklets:
            name = f"{self.name}-{tracklet.track:05d}-{tracklet.part:03d}"
            for crop in tracklet.crops:
                image = enhance(crop.image) if self.enhance else crop.image
                scenes.append(crop.scene.jpeg if crop.scene else b"")
                jpegs.append(encode_jpeg(image, self._comment(crop, scenes[-1])))
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
        return facts, jpegs, scenes

    def _comment(self, crop: Crop, scene: bytes) -> bytes:
        """Where the crop was cut."""
        if crop.scene is None:
            return b""
        return Context(
            clip=self.content,
            frame=crop.frame,
            position=crop.scene.position,
            size=crop.scene.size,
            scene=sha256(scene) if scene else "",
        ).as_comment()


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


def _read(
    frames: Stream[Frame],
    report: IngestReport,
    size: tuple[int, int] | None,
    scenes: SceneMemory | None,
) -> Stream[Frame]:
    """The frames of a clip, with their pictures of ``size`` ready."""
    with closing(frames):
        while True:
            with report.stage("decode"):
                frame = next(frames, None)
                if frame is not None and size is not None:
                    frame.resized(size)
            if frame is None:
                return
            frame.scenes = scenes
            yield frame


def _add_notices(report: IngestReport, clip: Clip) -> None:
    """Say what the operator should know about the frames of the clip."""
    counts = report.clip
    report.notices += counts.notices
    if counts.lost:
        report.notices.append(
            f"'{clip.path.name}' is cut off or damaged: {counts.decoded} frames could be read, "
            f"{max(counts.missing, 0)} are missing, {counts.corrupt} are incomplete, "
            f"{counts.damaged} packets cannot be decoded"
        )
    for reason, count in counts.moved.items():
        report.notices.append(f"{count} frames of '{clip.path.name}' got another time: {reason}")
