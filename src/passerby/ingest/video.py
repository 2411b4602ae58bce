"""Video files, decoded to frames with their times."""

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
    """According to the container; 0 when it does not say."""
    timed: bool
    """Whether the frames carry times; else, as in raw streams, their times follow from ``rate``."""
    notice: str
    """What the operator should know about the times; empty when there is nothing to say."""

    def frames(self, start: int = 0, *, every: int = 1) -> Iterator[Frame]:
        """Decode every ``every``-th frame.

        Times run from the first frame. Damaged packets, which a recorder leaves at its cuts, are
        skipped.

        Args:
            start: Time of the first frame, in milliseconds since the epoch, UTC.
            every: 1 for all frames, 5 for every fifth.

        Raises:
            InputError: ``every`` is below 1.
        """
        if every < 1:
            raise InputError(f"every is {every}; give 1 for all frames, 5 for every fifth, ...")
        with _open(self.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            origin: float | None = None
            for index, frame in enumerate(_decode(container, stream)):
                seconds = index / self.rate
                if self.timed and frame.time is not None:
                    origin = frame.time if origin is None else origin
                    seconds = frame.time - origin
                if index % every == 0:
                    image = _upright(frame)
                    yield Frame(index=index, time=start + round(seconds * 1000), image=image)


def open_clip(path: str | Path, *, rate: float | None = None) -> Clip:
    """Check that a file is a video and how its frames are timed.

    Args:
        path: Any file that FFmpeg reads (mp4, mkv, avi, raw .264 / .265, ...).
        rate: Frames a second, for files without times or with wrong ones. It replaces the file's.

    Raises:
        InputError: There is no such file, it is no video or damaged, or the rate is not positive.
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


def _import_av() -> Any:
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "ingest") from None
    return av


def _open(path: Path) -> Any:
    """Open a container that holds a video; the caller closes it."""
    av = _import_av()
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
    """Decode frames; packets that cannot be decoded are skipped."""
    av = _import_av()
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
    """RGB of a frame, rotated by the display matrix of the recorder."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # degrees counter-clockwise
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]
