"""Clips in, timed frames out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError, MissingExtraError

DEFAULT_RATE = 25.0  # frames a second of a raw stream that does not say


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a clip."""

    index: int
    """Number of the frame in the clip, from 0, every frame counted."""
    time: int
    """When it was taken: milliseconds since the epoch, UTC."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""


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
    notice: str
    """What the operator should know about its times; empty when all is plain."""

    def frames(self, start: int = 0, *, every: int = 1) -> Iterator[Frame]:
        """Decode the clip; see :func:`read_frames`."""
        return read_frames(self, start, every=every)


def open_clip(path: str | Path, *, rate: float | None = None) -> Clip:
    """Look at a video file: is it one, and how are its frames timed?

    Args:
        path: any file FFmpeg reads (mp4, mkv, avi, raw .264 / .265, ...).
        rate: frames a second, for files without times or with wrong ones; it then rules.

    Raises:
        InputError: no file, not a video, damaged, or a rate that is not positive.
    """
    path = Path(path)
    if rate is not None and not 0 < rate <= 1000:
        raise InputError(f"a clip cannot have {rate} frames a second")
    with _open(path) as container:
        stream = container.streams.video[0]
        first = _first_frame(container, stream, path)
        timed = first.pts is not None and rate is None
        nominal = rate or (float(stream.average_rate or 0) if timed else 0.0) or DEFAULT_RATE
        height, width = _upright(first).shape[:2]
        notice = ""
        if first.pts is None and rate is None:
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
            notice=notice,
        )


def read_frames(clip: Clip, start: int = 0, *, every: int = 1) -> Iterator[Frame]:
    """Decode every ``every``-th frame of a clip.

    Times run from the first frame, taken at ``start``; damaged packets are skipped, as a
    recorder leaves them at its cuts.

    Args:
        clip: from :func:`open_clip`.
        start: when the first frame was taken: milliseconds since the epoch, UTC.
        every: 1 for all frames, 5 for every fifth.

    Raises:
        InputError: ``every`` is below 1.
    """
    if every < 1:
        raise InputError(f"every is {every}; give 1 for all frames, 5 for every fifth, ...")
    with _open(clip.path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        origin: float | None = None
        for index, frame in enumerate(_decode(container, stream)):
            seconds = index / clip.rate
            if clip.timed and frame.time is not None:
                origin = frame.time if origin is None else origin
                seconds = frame.time - origin
            if index % every == 0:
                image = _upright(frame)
                yield Frame(index=index, time=start + round(seconds * 1000), image=image)


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
    if path.is_dir():
        raise InputError(f"'{path}' is a folder; give a clip")
    if not path.is_file():
        raise InputError(f"there is no clip '{path}'")
    try:
        container = av.open(str(path))
    except (OSError, ValueError) as error:  # PyAV's errors are both, by kind
        raise InputError(f"'{path}' is not a video or is damaged: {_reason(error)}") from None
    kind = container.format.name
    if kind in {"image2", "gif", "tty"} or kind.endswith("_pipe"):
        container.close()
        raise InputError(f"'{path}' is not a video; give a clip such as .mp4, .mkv, .avi or .264")
    if not container.streams.video:
        container.close()
        raise InputError(f"'{path}' has no video in it; give a clip such as .mp4, .mkv or .264")
    return container


def _first_frame(container: Any, stream: Any, path: Path) -> Any:
    for frame in _decode(container, stream):
        return frame
    raise InputError(f"no frame of '{path}' can be decoded; the clip is damaged or cut off")


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Decode frames; a packet that cannot be decoded is passed over."""
    av = import_av()
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return  # the end, or the place where a cut-off file ends
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _upright(frame: Any) -> NDArray[np.uint8]:
    """RGB of a frame, turned as the recorder's display matrix asks."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # degrees counter-clockwise
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
