"""Tracklets: parts of a stay, their crops, and the fixed objects among them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerby.ingest import TrackletOptions
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.tracklets import Tracklet, TrackletBuilder, alike_from
from passerby.ingest.video import Frame, open_clip
from passerby.runtime import Embedder

RNG = np.random.default_rng(7)
POST = np.kron(RNG.integers(0, 256, (10, 4, 3)), np.ones((10, 10, 1))).astype(np.uint8)  # 100 x 40
PERSON = np.kron(RNG.integers(0, 256, (10, 4, 3)), np.ones((10, 10, 1))).astype(np.uint8)
STEP = 200  # milliseconds


def scene(time: int, *figures: tuple[int, int, np.ndarray]) -> tuple[Frame, Detections]:
    """A frame with noise and figures at (x, y), each found with a jitter of two pixels."""
    noise = np.random.default_rng(time)
    image = np.full((240, 480, 3), 110) + noise.normal(0, 4, (240, 480, 3))
    boxes = []
    for x, y, picture in figures:
        image[y : y + 100, x : x + 40] = picture + noise.normal(0, 4, picture.shape)
        boxes.append(np.array([x, y, x + 40, y + 100]) + noise.integers(-2, 3, 4))
    return (
        Frame(index=time // STEP, time=time, image=image.clip(0, 255).astype(np.uint8)),
        Detections(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), 0.9, np.float32),
        ),
    )


def build(
    seconds: float, figures: Callable[[int], list[tuple[int, int, np.ndarray]]], **options: int
) -> tuple[list[Tracklet], TrackletBuilder]:
    builder = TrackletBuilder(TrackletOptions(**options))  # type: ignore[arg-type]
    done = []
    for time in range(0, int(1000 * seconds), STEP):
        done += builder.add(*scene(time, *figures(time)))
    return done + builder.close(), builder


def walk(time: int) -> tuple[int, int, np.ndarray]:
    """To and fro."""
    return 20 + abs((time // 50) % 600 - 300), 60, PERSON


@pytest.mark.parametrize(
    ("step", "needed"), [(40, 3), (333, 3), (400, 2), (500, 2), (501, 1), (1000, 1), (10_000, 1)]
)
def test_the_rate_says_how_many_boxes_a_tracklet_needs(step: int, needed: int) -> None:
    """Someone is in view for 1, 2, 3 frames; between them nobody is."""
    builder, found = TrackletBuilder(), []
    time = 0
    for frames in (1, 2, 3):
        for n in range(20):
            time += step
            figures = [(100 * frames, 60, PERSON)] if n < frames else []
            frame, boxes = scene(time, *figures)
            found += builder.add(frame, boxes)
    found += builder.close()
    assert builder.needed == needed
    alone = [1] * 6  # nobody is followed from one frame to the next ten seconds later
    expected = list(range(needed, 4)) if step < 10_000 else alone
    assert [one.detections for one in found] == expected


def test_a_gap_is_no_slow_clip() -> None:
    """A flash of one box before a gap of a minute is a false alarm as any other."""
    builder, found = TrackletBuilder(), []
    for n in range(40):
        time = STEP * n + (60_000 if n >= 21 else 0)
        found += builder.add(*scene(time, *([(100, 60, PERSON)] if n == 20 else [])))
    assert found + builder.close() == []


def test_the_parts_of_a_stay_have_one_track() -> None:
    tracklets, _ = build(35, lambda time: [walk(time)])
    assert [one.track for one in tracklets] == [0] * 4
    times = [crop.time for one in tracklets for crop in one.crops]
    assert times == sorted(times)


def test_a_post_is_left_out_and_counted_and_the_walker_stays() -> None:
    tracklets, builder = build(90, lambda time: [(400, 100, POST), walk(time)])
    assert {one.track for one in tracklets} == {1}
    assert builder.fixed_objects == 1


def test_a_post_that_is_found_now_and_then_is_one_object() -> None:
    """Its tracks end and begin anew; all before and after the minute are of the same object."""
    tracklets, builder = build(
        200, lambda time: [(400, 100, POST)] if time % 20_000 < 8_000 else [], fixed_ms=60_000
    )
    assert (tracklets, builder.fixed_objects) == ([], 1)


@pytest.mark.parametrize("seconds", [25, 55])
def test_who_stands_for_less_than_a_minute_is_a_person(seconds: int) -> None:
    """At the end of the clip, or when they go on."""
    standing, builder = build(seconds, lambda time: [(200, 100, POST)])
    assert len(standing) == -(-seconds // 10)
    going, _ = build(
        seconds + 8,
        lambda time: [(200 + max(0, time - 1000 * seconds) // 40, 100, POST)],
    )
    assert {one.track for one in going} == {0}
    assert [one.crops[0].time // 10_000 for one in going] == list(range(len(going)))
    assert builder.fixed_objects == 0


def test_one_of_two_who_stand_goes_on() -> None:
    def pair(time: int) -> list[tuple[int, int, np.ndarray]]:
        return [(60, 100, POST), (240 + max(0, time - 25_000) // 40, 100, PERSON)]

    tracklets, builder = build(32, pair)
    assert sorted(one.track for one in tracklets) == [0] * 4 + [1] * 4
    assert builder.fixed_objects == 0


def test_who_stays_in_place_but_changes_is_a_person() -> None:
    """Someone who turns and gestures at a stall for two minutes."""

    def turning(time: int) -> list[tuple[int, int, np.ndarray]]:
        return [(200, 100, np.roll(PERSON, 10 * (time // 1000), axis=1))]

    tracklets, builder = build(120, turning)
    assert len(tracklets) == 12
    assert builder.fixed_objects == 0


def test_two_who_stand_at_one_place_in_turn_are_people() -> None:
    tracklets, builder = build(
        110, lambda time: [(200, 100, POST if time < 50_000 else PERSON)] if time % 50_000 else []
    )
    assert builder.fixed_objects == 0
    assert sum(one.detections for one in tracklets) > 500


def test_appearance_links_a_person_who_was_hidden(embedder: Embedder) -> None:
    """Five seconds behind a van; without a measured network it is another track."""

    def hidden(time: int) -> list[tuple[int, int, np.ndarray]]:
        return [] if 4000 <= time < 9000 else [(20 + time // 40, 100, PERSON)]

    card = replace(embedder.card, calibration={"slope": 30.0, "intercept": -15.0})
    measured = Embedder(embedder.backend, card, "colour-1")
    for network, tracks in ((measured, {0}), (embedder, {0, 1}), (None, {0, 1})):
        builder = TrackletBuilder(embedder=network)
        done = []
        for time in range(0, 12_000, STEP):
            done += builder.add(*scene(time, *hidden(time)))
        assert {one.track for one in done + builder.close()} == tracks


def test_the_threshold_of_appearance_is_the_network_s(embedder: Embedder) -> None:
    def cosine(**curve: float) -> float | None:
        return alike_from(replace(embedder.card, calibration=curve or None))

    assert cosine(slope=20.0, intercept=-10.0) == pytest.approx(0.5 + np.log(19) / 20)
    assert cosine(slope=2.0, intercept=-1.0) is None  # no cosine is enough
    assert cosine() is None


@pytest.mark.real
def test_a_real_person_who_stands_is_no_fixed_object_and_the_wall_is(real: Path) -> None:
    """Frames 230 to 430 show a man who stands at a table for twenty seconds."""
    name = "person-detection-retail-0013"
    detector = Detector.load(real / "models" / name / f"{name}.xml")
    clip = open_clip(real / "clips" / "one-by-one-person-detection.mp4")
    frames = [one for one in clip.frames(0, every=2) if 240 <= one.index < 430]
    man = detector.detect([frames[0].image])[0].boxes[0]
    left = 40 if man[0] > 384 else 640
    boxes = np.array([man, [left, 150, left + 70, 330]], np.float32)
    found = Detections(boxes=boxes, scores=np.array([0.9, 0.9], np.float32))
    builder = TrackletBuilder(TrackletOptions(fixed_ms=14_000, max_tracklet_ms=5_000))
    done = [one for frame in frames for one in builder.add(frame, found)] + builder.close()
    assert {one.track for one in done} == {0}
    assert builder.fixed_objects == 1


def test_bad_options() -> None:
    for name in ("crops", "min_detections", "max_tracklet_ms", "fixed_ms"):
        with pytest.raises(ValueError, match="1 or more"):
            TrackletOptions(**{name: 0})  # type: ignore[arg-type]
