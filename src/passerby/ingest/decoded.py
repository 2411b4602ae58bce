"""Decoded frames in the order of showing, and whole where they are interlaced."""

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

REORDERED = 16  # frames: no codec shows a frame later than so many after the one decoded before
_FRAMES = Fraction(1)  # a time base that counts frames


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


def progressive(frames: Iterator[Any]) -> Iterator[tuple[Any, float | None]]:
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
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=_FRAMES
    )
    graph.link_nodes(
        source, graph.add("bwdif", "mode=send_frame:deint=interlaced"), graph.add("buffersink")
    )
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
    import av

    graph.push(frame)
    while True:
        try:
            ready = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield ready, seconds.popleft()
