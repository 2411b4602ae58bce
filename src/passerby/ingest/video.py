"""Clips in, timed frames out; every frame is accounted for."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import InputError, MissingExtraError
from passerby.ingest.frames import Frame, upright
from passerby.ingest.overlap import Stream

DEFAULT_RATE = 25.0  # frames a second of a raw stream that does not say
PROBED = 32  # frames at the start of a clip that show how it is timed
REORDERED = 16  # frames: no codec shows a frame later than so many after the one decoded before
MOST_ERRORS = 100  # one after another, after which a clip is at its end
LONGEST_GAP = 60.0  # seconds without a frame that a recorder may leave
_FRAMES = Fraction(1)  # a time base that counts frames


@dataclass(kw_only=True)
class FrameCounts:
    """What became of the frames of a clip; it grows while the clip is read."""

    decoded: int = 0
    """Frames that came out of the decoder."""
    used: int = 0
    """Frames that were handed out."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Reason -> decoded frames that were not handed out."""
    damaged: int = 0
    """Packets that could not be decoded; each is a frame or a part of one."""
    corrupt: int = 0
    """Frames that the decoder had to patch; they are used."""
    missing: int = 0
    """Frames that are not there: the container names more of them, or a steady clip has gaps."""
    moved: dict[str, int] = field(default_factory=dict)
    """Reason -> frames that are used at another time than the clip says."""
    length: int = 0
    """Milliseconds from the first frame to the end of the last one."""
    notices: list[str] = field(default_factory=list)
    """Where and how the clip's times were corrected, one sentence each."""

    def copy(self) -> "FrameCounts":
        """The counts of this moment, while another thread reads the clip."""
        return replace(
            self,
            left_out=dict(self.left_out),
            moved=dict(self.moved),
            notices=list(self.notices),
        )

    @property
    def lost(self) -> bool:
        """Whether frames that were recorded are not there, or are not whole."""
        return bool(self.damaged or self.corrupt or self.missing)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video file that can be read; see :func:`open_clip`."""

    path: Path
    width: int
    height: int
    rate: float
    """Frames a second, nominal."""
    frame_count: int
    """As the container says; 0 where it does not."""
    timed: bool
    """False for raw streams: frame times then come from ``rate``."""
    steady: bool
    """The frames are evenly spaced, so that a gap shows how many are missing."""
    disordered: bool
    """The container gives times in the order of decoding; they are sorted."""
    notice: str
    """What the operator should know about its times; empty when all is plain."""

    def frames(
        self,
        start: int = 0,
        *,
        every: int = 1,
        longest_gap: float = LONGEST_GAP,
        counts: "FrameCounts | None" = None,
    ) -> Stream[Frame]:
        """Decode every ``every``-th frame, in the order in which the frames are shown.

        Times run from the first frame and always go forward. :class:`Clock` says what happens where
        the clip's own times do not. Damaged packets are skipped and counted.

        Args:
            start: Time of the first frame, in milliseconds since the epoch, UTC.
            every: 1 for all frames, 5 for every fifth.
            longest_gap: Seconds without a frame that count as a gap in the recording.
            counts: Receives what becomes of each frame.

        Raises:
            InputError: ``every`` is below 1.
        """
        if every < 1:
            raise InputError(f"every is {every}; give 1 for all frames, 5 for every fifth, ...")
        counts = FrameCounts() if counts is None else counts
        clock = Clock(self, counts, longest_gap=longest_gap)
        size: tuple[int, int] | None = None
        with _open(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            decoded = _progressive(_decode(container, stream, counts))
            shown = in_order(decoded, REORDERED if self.disordered else 0)
            for index, (frame, seconds) in enumerate(shown):
                time = clock.time(index, seconds)
                counts.decoded += 1
                counts.length = time + round(1000 / self.rate)
                counts.corrupt += bool(frame.is_corrupt)
                if size not in (None, (frame.width, frame.height)):
                    counts.notices.append(
                        f"from frame {index} on the picture of '{self.path.name}' is "
                        f"{frame.width} x {frame.height} pixels"
                    )
                size = frame.width, frame.height
                if index % every:
                    _add(counts.left_out, f"only every {every}. frame is looked at")
                    continue
                counts.used += 1
                where = clock.position(index, seconds)
                yield Frame(index=index, time=start + time, decoded=frame, position=where)
        counts.missing = max(counts.missing, self.frame_count - counts.decoded)


def open_clip(path: str | Path, *, rate: float | None = None) -> Clip:
    """Look at a video file: is it one, and how are its frames timed?

    Args:
        path: any file FFmpeg reads (mp4, mkv, avi, raw .264 / .265, ...), or a local HLS playlist.
        rate: frames a second, for files without times or with wrong ones; it then rules.

    Raises:
        InputError: no file, not a video, damaged, or a rate that is not positive.
    """
    path = Path(path)
    if rate is not None and not 0 < rate <= 1000:
        raise InputError(f"a clip cannot have {rate} frames a second")
    with _open(path) as container:
        stream = container.streams.video[0]
        first, seconds = _probe(container, stream, path)
        timed = rate is None and any(time is not None for time in seconds)
        known = [time for time in seconds if time is not None]
        nominal = rate or (float(stream.average_rate or 0) if timed else 0.0) or DEFAULT_RATE
        height, width = upright(first).shape[:2]
        notice = ""
        if not timed and rate is None:
            notice = (
                f"'{path.name}' carries no times; taking {DEFAULT_RATE:g} frames a second "
                "(say another with --rate)"
            )
        return Clip(
            path=path,
            width=width,
            height=height,
            rate=nominal,
            frame_count=int(stream.frames or 0),
            timed=timed,
            steady=timed and _steady(known, 1 / nominal),
            disordered=timed and known != sorted(known),
            notice=notice,
        )


def _add(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


class Clock:
    """Milliseconds from the first frame on, always going forward.

    - A time below the last one by more than a codec reorders is a reset: recordings that were
      joined, or a clock that was set back. The frame follows one nominal step after the last one.
    - A time further ahead than ``longest_gap`` is a clock that was set forward: the frame follows
      one nominal step after the last one. A shorter gap is a gap in the recording and stays.
    - A time that repeats, or is a little too early, is put one millisecond after the last one.
    - A frame without a time follows one nominal step after the last one.
    """

    def __init__(self, clip: Clip, counts: FrameCounts, *, longest_gap: float) -> None:
        """Start at zero."""
        self._clip, self._counts, self._longest_gap = clip, counts, longest_gap
        self._step = 1 / clip.rate
        self._offset: float | None = None  # added to the clip's seconds
        self._newest = 0.0  # the clip's seconds
        self._last = -1  # milliseconds handed out
        self._anew = False  # the same seconds may come twice

    def time(self, index: int, seconds: float | None) -> int:
        """The time of the next frame.

        Args:
            index: number of the frame.
            seconds: as the clip says; None where it does not.
        """
        if not self._clip.timed:
            self._last = max(round(index * self._step * 1000), self._last + 1)
            return self._last
        if seconds is None:
            _add(self._counts.moved, "the frame carries no time")
            seconds = self._newest + self._step if self._offset is not None else 0.0
        if self._offset is None:
            self._offset = -seconds
        elif seconds < self._newest - REORDERED * self._step:
            self._set_anew(index, seconds, "begin again")
        elif seconds > self._newest + self._longest_gap:
            self._set_anew(index, seconds, f"jump ahead by {seconds - self._newest:.0f} s")
        else:
            self._gap(index, seconds - self._newest)
        self._newest = seconds
        time = round((seconds + self._offset) * 1000)
        if time <= self._last:
            _add(self._counts.moved, "the time of the frame before is repeated")
            time = self._last + 1
        self._last = time
        return time

    def position(self, index: int, seconds: float | None) -> float | None:
        """Seconds at which a player finds the frame; None once the clip's times began anew."""
        if self._anew:
            return None
        return seconds if self._clip.timed else index * self._step

    def _gap(self, index: int, gap: float) -> None:
        """Say what is missing before a frame that comes ``gap`` seconds after the last one."""
        if self._clip.steady and gap > 1.5 * self._step:
            self._counts.missing += round(gap / self._step) - 1
        if gap > max(2.0, 3 * self._step):
            self._counts.notices.append(
                f"'{self._clip.path.name}' has no frame for {gap:.1f} s before frame {index}"
            )

    def _set_anew(self, index: int, seconds: float, what: str) -> None:
        """Let a part of the clip follow the one before."""
        self._anew = True
        self._offset = self._last / 1000 + self._step - seconds
        self._counts.notices.append(
            f"the times of '{self._clip.path.name}' {what} at frame {index}, "
            f"{self._last / 1000:.1f} s after its start; what follows is placed right after what "
            "went before"
        )


def import_av() -> Any:
    """Import PyAV, or say which extra brings it."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "ingest") from None
    return av


def _open(path: Path) -> Any:
    """Open a container that holds a video; the caller closes it."""
    av = import_av()
    if not path.is_file():
        folder = f"'{path}' is a folder; give a clip"
        raise InputError(folder if path.is_dir() else f"there is no clip '{path}'")
    try:
        container = av.open(str(path))
    except (OSError, ValueError, EOFError) as error:  # PyAV's errors are of all, by kind
        raise InputError(f"'{path}' is not a video or is damaged: {_reason(error)}") from None
    kind = container.format.name
    if kind in {"image2", "gif", "tty"} or kind.endswith("_pipe"):
        container.close()
        raise InputError(f"'{path}' is not a video; give a clip such as .mp4, .mkv, .avi or .264")
    if not container.streams.video:
        container.close()
        raise InputError(f"'{path}' has no video in it; give a clip such as .mp4, .mkv or .264")
    return container


def _probe(container: Any, stream: Any, path: Path) -> tuple[Any, list[float | None]]:
    """The first frame, and the times in seconds of the first ones."""
    first, seconds = None, []
    for frame in _decode(container, stream, FrameCounts()):
        first = first or frame
        seconds.append(frame.time)
        if len(seconds) >= PROBED:
            break
    if first is None:
        raise InputError(f"no frame of '{path}' can be decoded; the clip is damaged or cut off")
    return first, seconds


def _steady(seconds: list[float], step: float) -> bool:
    """Whether times, once sorted, are one step apart."""
    steps = np.diff(np.sort(seconds))
    return len(steps) > 0 and bool(np.all(np.abs(steps - step) < 0.2 * step))


def _decode(container: Any, stream: Any, counts: FrameCounts) -> Iterator[Any]:
    """Decode frames in the order of showing; a packet that cannot be decoded is passed over."""
    av = import_av()
    packets, errors = container.demux(stream), 0
    while errors < MOST_ERRORS:
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError:  # a damaged place, after which FFmpeg may find its way again
            counts.damaged += 1
            errors += 1
            packets = container.demux(stream)
            continue
        try:
            yield from packet.decode()
            errors = 0
        except av.error.FFmpegError:
            counts.damaged += 1


def in_order(
    frames: Iterator[tuple[Any, float | None]], delay: int
) -> Iterator[tuple[Any, float | None]]:
    """Frames with their times in order.

    A decoder hands out frames in the order of showing. Some containers (AVI) give a frame the time
    of decoding of another one: the times are right as a set, so the first of ``delay`` frames
    takes the earliest of their times.
    """
    waiting: deque[Any] = deque()
    times: list[float] = []
    for frame, seconds in frames:
        if not delay:
            yield frame, seconds
            continue
        if seconds is not None and times and seconds < times[0] - 2.0:  # of another recording
            while waiting:
                yield waiting.popleft(), heappop(times) if times else None
        waiting.append(frame)
        if seconds is not None:
            heappush(times, seconds)
        if len(waiting) > delay:
            yield waiting.popleft(), heappop(times) if times else None
    while waiting:
        yield waiting.popleft(), heappop(times) if times else None


def _progressive(frames: Iterator[Any]) -> Iterator[tuple[Any, float | None]]:
    """Frames with their times in seconds; interlaced ones are made whole by FFmpeg's bwdif."""
    seconds: deque[float | None] = deque()  # of the frames in the filter
    graph: Any = None
    size: tuple[int, int, str] | None = None
    for number, frame in enumerate(frames):
        now = frame.width, frame.height, frame.format.name
        if size != now and (graph is not None or frame.interlaced_frame):
            yield from _filtered(graph, None, seconds)
            graph, size = _deinterlacer(frame), now
        if graph is None:
            yield frame, frame.time
            continue
        seconds.append(frame.time)
        frame.pts, frame.time_base = number, _FRAMES  # the filter wants times that go forward
        yield from _filtered(graph, frame, seconds)
    yield from _filtered(graph, None, seconds)


def _deinterlacer(frame: Any) -> Any:
    """A filter graph for frames like this one; time 1 is one frame. None: they are too small."""
    av = import_av()
    graph, size = av.filter.Graph(), {"width": frame.width, "height": frame.height}
    source = graph.add_buffer(format=frame.format, time_base=_FRAMES, **size)
    graph.link_nodes(source, graph.add("bwdif", "deint=interlaced"), graph.add("buffersink"))
    try:
        graph.configure()
    except av.error.FFmpegError:
        return None
    return graph


def _filtered(
    graph: Any, frame: Any, seconds: deque[float | None]
) -> Iterator[tuple[Any, float | None]]:
    """The frames that a graph has ready after one more, in order; all that are left after None."""
    if graph is None:
        return
    av = import_av()
    graph.push(frame)
    while True:
        try:
            ready = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if not seconds:  # at the end the filter repeats its last frame
            return
        yield ready, seconds.popleft()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
