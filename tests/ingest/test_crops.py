"""Better pictures get better figures, and a tracklet keeps few, good, different ones."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from passerby.ingest.crops import (
    POOL,
    Crop,
    CropPool,
    cut,
    encode_jpeg,
    hindrances,
    qualities,
)
from passerby.ingest.detector import Detections

RNG = np.random.default_rng(5)
FRAME = np.kron(RNG.integers(0, 256, (60, 80, 3)), np.ones((8, 8, 1))).astype(np.uint8)  # 480 x 640


def quality(*boxes: tuple[float, ...], image: np.ndarray = FRAME, score: float = 0.9) -> float:
    """Quality of the first box."""
    detections = Detections(
        boxes=np.array(boxes, np.float32), scores=np.full(len(boxes), score, np.float32)
    )
    return qualities(image, detections, np.array([0]))[0]


def crop(time: int, value: float, image: np.ndarray | None = None) -> Crop:
    plain = np.full((64, 32, 3), 90, np.uint8) if image is None else image
    return Crop(frame=time // 40, time=time, box=(0, 0, 32, 64), quality=value, image=plain)


def test_what_lowers_quality() -> None:
    good = quality((100, 100, 180, 300))
    blurred = np.asarray(Image.fromarray(FRAME).filter(ImageFilter.GaussianBlur(8)))
    assert 0.8 < good <= 1
    assert quality((100, 100, 180, 300), score=0.5) < good
    assert quality((100, 100, 140, 200)) < good  # small
    assert quality((100, 100, 180, 300), image=blurred) < good
    assert quality((100, 280, 180, 480)) < good  # feet outside the frame
    assert quality((0, 100, 80, 300)) < good  # cut off at the side
    assert quality((100, 100, 180, 300), (120, 150, 200, 350)) < good  # someone in front
    assert quality((100, 100, 180, 300), (120, 50, 200, 250)) == good  # someone behind


def detections(*boxes: tuple[float, ...], scores: tuple[float, ...] = ()) -> Detections:
    confidence = np.array(scores or [0.9] * len(boxes), np.float32)
    return Detections(boxes=np.array(boxes, np.float32), scores=confidence)


def test_occlusion_counts_what_nearer_people_cover() -> None:
    boxes = ((0, 0, 10, 10), (5, 5, 15, 15), (50, 0, 60, 10))
    assert hindrances(detections(*boxes))[0] == pytest.approx([0.25, 0, 0])
    assert hindrances(detections(*boxes, scores=(0.9, 0.1, 0.9)))[0] == pytest.approx([0, 0, 0])


def test_a_box_around_two_people_is_no_good_crop() -> None:
    left, right, both = (100, 100, 180, 300), (170, 110, 250, 300), (100, 100, 250, 302)
    assert hindrances(detections(both, left, right))[1] == pytest.approx([0.3, 1, 1])
    child = (110, 240, 140, 298)  # one in front, not two people
    assert hindrances(detections(both, left, child))[1] == pytest.approx([1, 1, 1])
    assert quality(both, left, right) < 0.3 * quality(left, both, right)
    assert quality(both) < 0.6 * quality(left)  # by its shape alone


def test_cut_stays_inside_the_frame() -> None:
    assert cut(FRAME, np.array([10.2, 20.7, 30.1, 60], np.float32)).shape == (40, 21, 3)
    assert cut(FRAME, np.array([630, 470, 900, 900], np.float32)).shape == (10, 10, 3)
    assert cut(FRAME, np.array([640, 480, 640, 480], np.float32)).shape == (1, 1, 3)


def test_pool_is_bounded_and_keeps_the_best() -> None:
    pool = CropPool()
    values = np.random.default_rng(0).permutation(100) / 100
    for i, value in enumerate(values):
        pool.add(crop(40 * i, float(value)))
    assert len(pool.crops) == POOL
    assert max(one.quality for one in pool.crops) == 0.99
    times = [one.time for one in pool.crops]
    assert times == sorted(times)


def test_best_crops_are_apart_and_not_bad() -> None:
    pool = CropPool()
    for time, value in ((0, 0.5), (40, 0.9), (80, 0.88), (400, 0.6), (800, 0.7), (840, 0.1)):
        pool.add(crop(time, value, np.full((64, 32, 3), 50 + time // 8, np.uint8)))
    assert [one.time for one in pool.best(3)] == [40, 400, 800]
    assert [one.time for one in pool.best(1)] == [40]
    assert 840 not in [one.time for one in pool.best(6)]
    assert CropPool().best(3) == []


def test_an_odd_shape_is_not_chosen() -> None:
    """A box around two people, and that of someone half hidden, among those of one person."""
    pool = CropPool()
    for i in range(8):
        width = {3: 60, 5: 14}.get(i, 32)
        image = np.full((64, width, 3), 20 * i, np.uint8)
        box = (0.0, 0.0, float(width), 64.0)
        pool.add(Crop(frame=i, time=400 * i, box=box, quality=0.8, image=image))
    chosen = pool.best(6)
    assert not {3, 5} & {one.frame for one in chosen}
    assert len(chosen) == 6
    assert all(one.quality == 0.8 for one in chosen)


def test_who_stands_still_has_two_crops_and_who_turns_has_four() -> None:
    still, turning = CropPool(), CropPool()
    for i in range(40):
        noise = RNG.normal(0, 3, (64, 32, 3))
        still.add(crop(250 * i, 0.8, (90 + noise).clip(0, 255).astype(np.uint8)))
        seen = np.roll(FRAME[:64, :32], 8 * (i // 10), axis=1)
        turning.add(crop(250 * i, 0.8, (seen + noise).clip(0, 255).astype(np.uint8)))
    assert len(still.best(4)) == 2
    times = [one.time for one in turning.best(4)]
    assert [time // 2500 for time in times] == [0, 1, 2, 3]


def test_another_view_goes_before_a_better_copy_of_the_same() -> None:
    side = np.full((64, 32, 3), 200, np.uint8)
    pool = CropPool()
    for time, value, image in ((0, 0.9, None), (400, 0.85, None), (800, 0.6, side)):
        pool.add(crop(time, value, image))
    assert [one.time for one in pool.best(2)] == [0, 800]


def test_jpeg_is_the_same_each_time() -> None:
    image = FRAME[:64, :32]
    assert encode_jpeg(image) == encode_jpeg(image)
    back = np.asarray(Image.open(io.BytesIO(encode_jpeg(image))))
    assert np.abs(back.astype(int) - image).mean() < 8
