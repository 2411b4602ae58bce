"""The clip of a sighting: where its file is, and the ten seconds around a place in it."""

import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.city.clips import files_of
from passerby.errors import InputError
from passerby.ingest.decoded import REORDERED, in_order
from passerby.ingest.frames import upright

EXCERPT = 10.0  # seconds that are played
WIDEST = 960  # pixels of what is played
FASTEST = 30  # frames a second of what is played
MOST_DECODED = 6000  # frames that may be decoded to reach the place in the clip
# the first there is; x264 is GPL, so it is the last resort of a build that has nothing else
ENCODERS = (("libvpx", "webm"), ("libopenh264", "mp4"), ("libx264", "mp4"))


def file_facts(path: Path) -> list[Any]:
    """Where the file of a clip is, with its size and time of change (ns)."""
    real = path.resolve()
    stat = real.stat()
    return [str(real), stat.st_size, stat.st_mtime_ns]


def find_clip(city: City, content: str) -> Path | None:
    """The file of a clip, where it still lies as it was ingested.

    A file that was changed since, or a path that now leads elsewhere, is not returned: nothing else
    than what was ingested may be shown.

    Args:
        city: The city.
        content: SHA-256 of the clip's file.
    """
    for facts in files_of(city, content):
        path = Path(facts[0])
        try:
            same = file_facts(path) == list(facts) and path.resolve() == path
        except OSError:
            continue
        if same and path.is_file() and os.access(path, os.R_OK):
            return path
    return None


def cut_excerpt(path: Path, position: float, *, seconds: float = EXCERPT) -> tuple[bytes, str]:
    """Cut the seconds around a place out of a clip, small enough for a page.

    Args:
        path: The clip.
        position: Seconds in the clip, the middle of the excerpt.
        seconds: Length of the excerpt.

    Returns:
        The file, VP8 in WebM or what else FFmpeg can write, and its media type.

    Raises:
        InputError: The clip cannot be read there.
    """
    import av

    codec, container = next(one for one in ENCODERS if one[0] in av.codecs_available)
    buffer = io.BytesIO()
    try:
        with av.open(str(path)) as source, av.open(buffer, "w", format=container) as target:
            _copy(_around(source, position, seconds), target, codec)
    except av.error.FFmpegError as error:
        raise InputError(f"the clip cannot be read at {position:.1f} s: {error.strerror}") from None
    return buffer.getvalue(), f"video/{container}"


def _around(source: Any, position: float, seconds: float) -> Iterator[tuple[Any, float]]:
    """Frames within the seconds around a place, with their seconds from the first of them."""
    stream = source.streams.best("video")
    stream.thread_type = "AUTO"
    begin = max(0.0, position - seconds / 2)
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    timed = stream.duration is not None or source.duration is not None
    if timed:
        source.seek(int(begin * 1_000_000), backward=True)
    decoded = ((frame, frame.time) for frame in source.decode(stream))
    last, first = -1.0, None
    for number, (frame, time) in enumerate(in_order(decoded, REORDERED)):
        now = time if timed and time is not None else number / rate
        if now > position + seconds / 2 or number >= MOST_DECODED:
            break
        if now < begin or now - last < 0.9 / FASTEST:
            continue
        last, first = now, now if first is None else first
        yield frame, now - first
    if first is None:
        raise InputError(f"the clip has no frame near {position:.1f} s")


def _copy(frames: Iterator[tuple[Any, float]], target: Any, codec: str) -> None:
    """Encode frames at their times, upright."""
    import av

    out: Any = None
    clock = Fraction(1, 1000)
    for decoded, seconds in frames:
        frame = decoded
        if getattr(decoded, "rotation", 0):
            frame = av.VideoFrame.from_ndarray(upright(decoded), format="rgb24")
        if out is None:
            scale = min(1.0, WIDEST / frame.width)
            out = target.add_stream(codec, rate=FASTEST)
            out.width, out.height = (
                2 * max(1, round(side * scale / 2)) for side in (frame.width, frame.height)
            )
            out.pix_fmt = "yuv420p"
            out.codec_context.time_base = clock
            if codec == "libx264":
                out.options = {"preset": "veryfast", "crf": "26"}
        small = frame.reformat(out.width, out.height, format="yuv420p")
        small.pts, small.time_base = round(seconds * 1000), clock
        small.pict_type = 0  # the encoder chooses its own key frames
        target.mux(out.encode(small))
    if out is not None:
        target.mux(out.encode(None))
