"""Clips in, timed frames out; every frame is accounted for."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import InputError, MissingExtraError
from passerby.ingest.decoded import REORDERED, in_order, progressive
from passerby.ingest.frames import Frame, upright
from passerby.ingest.joined import Part, parts_of
from passerby.ingest.overlap import Stream

DEFAULT_RATE = 25.0  # frames a second of a raw stream that does not say
PROBED = 32  # frames at the start of a clip that show how it is timed
FRAME_IN_PACKET = {"h264", "hevc", "mpeg4", "mjpeg"}  # each packet of these is a frame
MOST_ERRORS = 100  # one after another, after which a clip is at its end
LONGEST_GAP = 60.0  # seconds without a frame that a recorder may leave


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
    empty: int = 0
    """Packets that are a frame each, and of which no frame came: those before a first key frame."""
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
        delay = REORDERED if self.disordered else 0
        with closing(_decode_parts(self.path, counts, delay)) as shown:
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
        counts.missing = max(counts.missing, self.frame_count - counts.decoded, counts.empty)


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
    parts = parts_of(path) if path.is_file() else [None]
    with opened(path, parts[0]) as (container, stream):
        first, seconds = _probe(container, stream, path)
        timed = rate is None and any(time is not None for time in seconds)
        known = [time for time in seconds if time is not None]
        said = rate or (float(stream.average_rate or 0) if timed else 0.0) or DEFAULT_RATE
        step = _usual_step(known, 1 / said) if timed else 0.0
        height, width = upright(first).shape[:2]
        notices = _said_of(path, container, stream, len(parts))
        if not timed and rate is None:
            notices.append(
                f"'{path.name}' carries no times; taking {DEFAULT_RATE:g} frames a second "
                "(say another with --rate)"
            )
        return Clip(
            path=path,
            width=width,
            height=height,
            rate=1 / step if step else said,
            frame_count=int(stream.frames or 0) if len(parts) == 1 else 0,
            timed=timed,
            steady=step > 0,
            disordered=timed and known != sorted(known),
            notice="; ".join(notices),
        )


def _said_of(path: Path, container: Any, stream: Any, parts: int) -> list[str]:
    """What the operator should know of the streams and parts of a file."""
    others = [one for one in container.streams.video if one.index != stream.index]
    others = [one for one in others if not one.disposition & one.disposition.attached_pic]
    said = []
    if others:
        size = f"{stream.width} x {stream.height}"
        said.append(
            f"'{path.name}' holds {len(others) + 1} videos; number {stream.index} of {size} "
            "pixels is read, the others are not"
        )
    if parts > 1:
        said.append(f"'{path.name}' is {parts} recordings one after the other; all are read")
    return said


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


@contextmanager
def opened(path: Path, part: Part | None = None) -> Iterator[tuple[Any, Any]]:
    """Open a container, or one of several in a file; yields it and its video stream.

    Raises:
        InputError: There is no such file, or no video in it.
    """
    av = import_av()
    if not path.is_file():
        folder = f"'{path}' is a folder; give a clip"
        raise InputError(folder if path.is_dir() else f"there is no clip '{path}'")
    with nullcontext(str(path)) if part is None else part.file() as source:
        try:
            container = av.open(source)
        except (OSError, ValueError, EOFError) as error:  # PyAV's errors are of all, by kind
            raise InputError(f"'{path}' is not a video or is damaged: {_reason(error)}") from None
        with container:
            kind, stream = container.format.name, container.streams.best("video")  # no cover
            if kind in {"image2", "gif", "tty"} or kind.endswith("_pipe"):
                raise InputError(
                    f"'{path}' is not a video; give a clip such as .mp4, .mkv, .avi or .264"
                )
            if stream is None:
                raise InputError(
                    f"'{path}' has no video in it; give a clip such as .mp4, .mkv or .264"
                )
            yield container, stream


def _decode_parts(path: Path, counts: FrameCounts, delay: int) -> Stream[tuple[Any, float | None]]:
    """The frames of all recordings in a file, in order, with their times in seconds."""
    for number, part in enumerate(parts_of(path)):
        try:
            with opened(path, part) as (container, stream):
                stream.thread_type = "AUTO"
                yield from in_order(progressive(_decode(container, stream, counts)), delay)
        except InputError as error:
            if number == 0:
                raise
            counts.damaged += 1
            counts.notices.append(f"recording {number + 1} in the file: {error}")


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


def _usual_step(seconds: list[float], said: float) -> float:
    """Seconds between two frames of a steady clip; 0 where they are not evenly spaced.

    Nine of ten steps are alike, and the others are gaps. The average of the whole file counts the
    gaps too, so it is taken only where it agrees.
    """
    steps = np.diff(np.sort(seconds))
    if not len(steps):
        return 0.0
    usual = float(np.median(steps))
    alike = np.abs(steps - usual) < 0.2 * usual
    if usual <= 0 or alike.mean() < 0.9 or (steps < 0.8 * usual).any():
        return 0.0
    step = float(steps[alike].mean())
    return said if abs(step - said) < 0.02 * said else step


def _decode(container: Any, stream: Any, counts: FrameCounts) -> Iterator[Any]:
    """Decode frames in the order of showing; a packet that cannot be decoded is passed over."""
    av = import_av()
    packets, errors = container.demux(stream), 0
    given, came, whole = 0, 0, stream.codec_context.name in FRAME_IN_PACKET
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
        if packet.is_discard and packet.size:  # before or after what the file says is shown
            counts.decoded += 1
            _add(counts.left_out, "the file's edit list leaves it out")
        try:
            frames = packet.decode()
            errors = 0
        except av.error.FFmpegError:
            counts.damaged += 1
            continue
        given += packet.size > 0 and not packet.is_discard
        for frame in frames:
            came += 1
            whole = whole and not frame.interlaced_frame  # a field may have a packet of its own
            yield frame
    counts.empty += max(given - came, 0) if whole else 0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
