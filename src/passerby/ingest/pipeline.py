"""A clip into a city: decode, detect, track, choose crops, embed, store."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from passerby.city import City
from passerby.city.clips import STORED, ClipRecord, claim, clip_name, write_clip
from passerby.city.erasing import left_out
from passerby.city.networks import check_network
from passerby.files import sha256
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.excerpts import file_facts
from passerby.ingest.frames import Frame
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.overlap import Stream, ahead
from passerby.ingest.scenes import SceneMemory
from passerby.ingest.sink import Sink
from passerby.ingest.store import Stored
from passerby.ingest.tracklets import SLOW, TrackletBuilder, TrackletOptions
from passerby.ingest.video import LONGEST_GAP, Clip, FrameCounts, open_clip
from passerby.runtime import Embedder
from passerby.times import now, parse_time

FRAMES_AT_ONCE = 8  # handed to the detector together
FRAMES_AHEAD = 16  # decoded while the detector is busy
PARTS_AHEAD = 2  # of FRAMES_AT_ONCE, detected while the tracker is busy
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
    enhance: bool = True
    """Raise the exposure of dark crops."""
    tracklets: TrackletOptions = field(default_factory=TrackletOptions)


Progress = Callable[[IngestReport], None]
"""Called after each few frames."""
_Seen = tuple[list[Frame], list[Detections]]


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

    @property
    def lasting(self) -> bool:
        """Whether the clip's file stays where it is, so that it can be played later."""

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
        start: Time of the first frame by the camera's clock: ISO 8601 with a zone, a datetime with
            a zone, or milliseconds since the epoch. What the camera's clock is off by is added.
        detector: Finds people.
        embedder: Turns crops into vectors; the network of the city's gallery.
        options: How the clip is read.
        on_stored: Called with the ids of sightings that have become durable, from the caller's
            thread.
        on_progress: Called with the report after each few frames, from the caller's thread.
        again: Store the clip also where its content is in the city from another camera or start.
        any_time: Take also a time before 2000 or in the future.
        part: For a clip of a longer recording: what goes on from the clip before.
        overlap: False runs one stage after the other, in the caller's thread.

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
    # the network decides where tracks go on, so it is part of the ids too
    how = {**asdict(options), "detector": detector.name, "network": embedder.model_id}
    report = IngestReport(source=str(path), camera=camera)
    report.notices += [clip.notice] if clip.notice else []
    file = file_facts(clip.path) if part is None or part.lasting else None
    record = _claim(city, clip, camera, begin, how, file=file, again=again, report=report)
    sink = Sink(
        city=city,
        embedder=embedder,
        camera=camera,
        name=record.name,
        names=None if part is None else part.names,
        enhance=options.enhance,
        report=report,
        on_stored=on_stored,
        pool=ThreadPoolExecutor(1, thread_name_prefix="store") if overlap else None,
    )
    _read_clip(clip, record, detector, options, part, sink, on_progress, overlap=overlap)
    write_clip(city, _finished(record, report))
    if report.fixed_objects:
        report.notices.append(
            f"{report.fixed_objects} fixed objects were left out: they neither moved nor changed "
            f"for {options.tracklets.fixed_ms // 1000} s, as signposts and parked cars do"
        )
    if part is None:
        report.notices += left_out(report.erased)
    if part is None and not report.sightings + report.erased:
        report.notices.append(f"no person was found in '{clip.path.name}'; nothing was stored")
    return report


def _read_clip(  # noqa: PLR0917 - the stages of one clip
    clip: Clip,
    record: ClipRecord,
    detector: Detector,
    options: ClipOptions,
    part: Part | None,
    sink: Sink,
    on_progress: Progress | None,
    *,
    overlap: bool,
) -> None:
    """Read a clip once, from its first frame to the last sighting that is stored."""
    assert record.start is not None
    report, counts = sink.report, FrameCounts()
    frames = clip.frames(
        record.start, every=options.every, longest_gap=options.longest_gap, counts=counts
    )
    # an administrator's choice, among the settings of the service
    keep = bool(sink.city.setting("service", {}).get("keep_scenes", True))
    frames = _read(
        frames, report, detector.stretched, SceneMemory() if keep else None, record.content
    )
    if overlap:
        frames = ahead(frames, FRAMES_AHEAD, "decode")
    builder = TrackletBuilder(options.tracklets) if part is None else part.builder
    builder.use(sink.embedder)
    fixed_before = builder.fixed_objects
    chunks = iter([frames]) if part is None else part.chunks(frames, report)
    with closing(frames), sink:
        for chunk in chunks:
            seen = _look(chunk, detector, report)
            if overlap:
                seen = ahead(seen, PARTS_AHEAD, "detect")
            with closing(seen):
                _track(seen, builder, sink, counts, on_progress)
            if part is None:
                sink.waiting += builder.close()
            sink.settle()
            if on_progress:
                on_progress(report)
    report.clip = counts
    report.fixed_objects += builder.fixed_objects - fixed_before
    _add_notices(report, clip)
    if part is None and builder.needed < 2 <= options.tracklets.min_detections:
        report.notices.append(SLOW)


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
    sink = Sink(
        city=city,
        embedder=embedder,
        camera=report.camera,
        name=report.name,
        names=part.names,
        enhance=enhance,
        report=report,
        on_stored=on_stored,
        waiting=part.builder.close(),
    )
    sink.settle()


def _read(
    frames: Stream[Frame],
    report: IngestReport,
    size: tuple[int, int] | None,
    scenes: SceneMemory | None,
    clip: str,
) -> Stream[Frame]:
    """The frames of a clip of this content, with their pictures of ``size`` ready."""
    with closing(frames):
        while True:
            with report.stage("decode"):
                frame = next(frames, None)
                if frame is not None and size is not None:
                    frame.resized(size)
            if frame is None:
                return
            report.saw(frame.time)
            frame.scenes, frame.clip = scenes, clip
            yield frame


def _look(frames: Iterator[Frame], detector: Detector, report: IngestReport) -> Stream[_Seen]:
    """Find the people in all frames, some frames at a time."""
    while some := list(islice(frames, FRAMES_AT_ONCE)):
        with report.stage("detect"):
            found = detector.detect_frames(some)
        yield some, found


def _track(
    seen: Iterator[_Seen],
    builder: TrackletBuilder,
    sink: Sink,
    counts: FrameCounts,
    on_progress: Progress | None,
) -> None:
    """Follow the people and give the sink each tracklet as it ends."""
    report, strong = sink.report, builder.options.tracker.strong
    for frames, found in seen:
        with report.stage("track"):
            for frame, detections in zip(frames, found, strict=True):
                report.detections += len(detections.above(strong))
                sink.waiting += builder.add(frame, detections)
        report.frames += len(frames)
        report.clip = counts.copy()
        sink.flush(SIGHTINGS_AT_ONCE)
        if on_progress:
            on_progress(report)


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
    file: list[Any] | None,
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
        file=file,
    )
    notice = claim(
        city, record, defaults={**asdict(ClipOptions()), "network": how["network"]}, again=again
    )
    report.notices += [notice] if notice else []
    report.name = record.name
    return record


def _finished(record: ClipRecord, report: IngestReport) -> ClipRecord:
    """The record of a clip that was read to its end, with what was recorded."""
    return replace(
        record,
        state=STORED,
        first=report.first,
        last=report.last,
        gaps=tuple(report.gaps),
        frames=report.frames,
        sightings=report.sightings,
        ingested=now(),
    )


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
