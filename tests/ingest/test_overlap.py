"""Stages that run at the same time: the same result as one after the other, and clean ends."""

import _thread
import gc
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from passerby.city import City, Scope
from passerby.errors import InputError
from passerby.ingest import Detections, Detector, IngestReport, create_small_city, ingest_clip
from passerby.ingest.frames import Frame
from passerby.ingest.overlap import Stream, ahead
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder, resize

START = "2026-05-01T08:00:00+08:00"


class Faulty(Detector):
    """Fails at its third call."""

    name = "faulty"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        self.calls += 1
        if self.calls == 3:
            raise InputError("the detector is at its end")
        empty = Detections(boxes=np.empty((0, 4), np.float32), scores=np.empty(0, np.float32))
        return [empty] * len(frames)


class Stretched(Detector):
    """Passes frames on to a detector at another size."""

    def __init__(self, inner: Detector, size: tuple[int, int] | None) -> None:
        self.inner, self.stretched, self.name = inner, size, inner.name

    def detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        return self.inner.detect(frames)


@pytest.fixture
def ingest(city: City, clip: Path, detector: Detector, embedder: Embedder) -> Callable:
    def run(**changed: object) -> IngestReport:
        given = {"city": city, "path": clip, "camera": "C01", "start": START} | changed
        return ingest_clip(**({"detector": detector, "embedder": embedder} | given))  # type: ignore[arg-type]

    return run


def threads() -> set[str]:
    names = ("decode", "detect", "store")
    return {one.name for one in threading.enumerate() if one.name.startswith(names)}


def contents(city: City) -> list[tuple[object, bytes]]:
    found = sorted(city.gallery.latest(10_000, Scope()), key=lambda one: one.id)
    vectors = city.gallery.vectors([one.id for one in found])
    return [(one, row.tobytes()) for one, row in zip(found, vectors, strict=True)]


def test_overlapping_stages_give_the_same_sightings(
    city: City, tmp_path: Path, ingest: Callable
) -> None:
    other = create_small_city(tmp_path / "other", camera="C01", place=(116.4, 39.9))
    one = ingest(overlap=True)
    two = ingest(city=other, overlap=False)
    assert contents(city) == contents(other)
    assert city.count() > 30
    facts = [{**report.as_dict(), "seconds": None} for report in (one, two)]
    assert facts[0] == facts[1]
    assert set(one.seconds) == set(two.seconds)
    assert not threads()


@pytest.mark.parametrize("overlap", [True, False])
def test_an_error_of_the_detector_reaches_the_caller(ingest: Callable, overlap: bool) -> None:
    with pytest.raises(InputError, match=r"^the detector is at its end$"):
        ingest(detector=Faulty(), overlap=overlap)
    assert not threads()


def test_an_error_of_the_store_reaches_the_caller(
    city: City, ingest: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(city.crops, "put", full)
    with pytest.raises(OSError, match="No space left"):
        ingest()
    assert not threads()
    assert city.count() == 0


def test_an_error_of_the_caller_ends_the_stages(ingest: Callable) -> None:
    class LeaveError(Exception):
        pass

    def leave(report: IngestReport) -> None:
        if report.frames >= 16:
            raise LeaveError

    with pytest.raises(LeaveError):
        ingest(on_progress=leave)
    assert not threads()


def test_an_interrupt_ends_the_stages(
    city: City, tmp_path: Path, draw_clip: Callable[..., Path], ingest: Callable
) -> None:
    """What was stored stays, and the next run completes it."""
    path = draw_clip(tmp_path / "many.mp4", 44, gap=8)
    told: list[str] = []

    def stored(ids: list[str]) -> None:
        told.extend(ids)
        _thread.interrupt_main()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever ran before this
    try:
        with pytest.raises(KeyboardInterrupt):
            ingest(path=path, on_stored=stored)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not threads()
    assert {one.id for one in city.gallery.get(told)} == set(told)
    assert told
    assert ingest(path=path).tracklets == 44


def test_callbacks_come_in_the_thread_of_the_caller(ingest: Callable) -> None:
    seen = set()
    ingest(
        on_stored=lambda _: seen.add(threading.get_ident()),
        on_progress=lambda _: seen.add(threading.get_ident()),
    )
    assert seen == {threading.get_ident()}


def test_boxes_of_stretched_frames_are_in_pixels_of_the_frame(
    clip: Path, detector: Detector
) -> None:
    frames = list(open_clip(clip).frames())[40:60]
    plain = Stretched(detector, None).detect_frames(frames)
    doubled = Stretched(detector, (320, 640)).detect_frames(frames)
    assert sum(map(len, plain)) > 20
    for one, two in zip(plain, doubled, strict=True):
        assert np.abs(np.sort(one.boxes, axis=0) - np.sort(two.boxes, axis=0)).max(initial=0) <= 2


def test_a_frame_is_scaled_like_its_picture(clip: Path) -> None:
    frame = next(iter(open_clip(clip).frames()))
    direct = frame.resized((80, 170)).astype(int)
    assert frame.size == frame.image.shape[:2] == (160, 320)
    assert np.abs(direct - resize(frame.image, (80, 170))).mean() < 1.5
    given = Frame(index=0, time=0, image=frame.image)
    assert given.size == (160, 320)
    assert np.array_equal(given.resized((80, 170)), resize(frame.image, (80, 170)))


def test_the_order_stays_and_errors_come_after_what_was_before() -> None:
    def numbers() -> Stream[int]:
        yield from range(5)
        raise ValueError("five")

    items = ahead(numbers(), 2, "n")
    assert [next(items) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(items)


def test_a_thread_is_only_so_far_ahead_and_ends_with_its_reader() -> None:
    made, closed = [], threading.Event()

    def numbers() -> Stream[int]:
        try:
            for number in range(1000):
                made.append(number)
                yield number
        finally:
            closed.set()

    items = ahead(ahead(numbers(), 3, "inner"), 2, "outer")
    assert next(items) == 0
    time.sleep(0.3)
    assert len(made) <= 1 + 3 + 2 + 2  # read, queued twice, and one in the hand of each thread
    items.close()
    assert closed.is_set()
    gc.collect()
    assert {"inner", "outer"}.isdisjoint(one.name for one in threading.enumerate())
