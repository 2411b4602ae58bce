"""Cameras: filters keep light, tone curves rise, the same seed gives the same picture."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from passerby.simulate.options import Difficulty
from passerby.simulate.sensor import (
    LIGHTS,
    blur_image,
    develop,
    resample,
    sample_sensor,
    tone_curve,
)


def sensor(seed: int = 2):
    return sample_sensor(np.random.default_rng(seed))


def test_sampling_is_reproducible_and_plain():
    assert sensor(5) == sensor(5)
    assert json.dumps(asdict(sensor(5)))


def test_sampled_cameras_differ_and_are_usable():
    cameras = [sensor(k) for k in range(60)]
    assert {c.kind for c in cameras} == set(LIGHTS)
    assert len({c.scene for c in cameras}) >= 6
    for c in cameras:
        assert 2.0 < c.height < 6.5
        assert 0.05 < c.tilt < 0.9
        pixels = c.focal * 1.7 * np.sin(c.tilt) / (c.height - 0.9)
        assert 60 <= pixels <= 252
        row_sums = np.array(c.matrix).reshape(3, 3).sum(1)
        assert (row_sums > 0.4).all()
        assert (row_sums < 2.0).all()


def test_given_height_and_reach_are_kept():
    c = sample_sensor(np.random.default_rng(0), height=4.5, reach=12.0)
    assert c.height == 4.5
    assert np.isclose(c.tilt, np.arctan2(3.6, 12.0))


def test_difficulty_zero_leaves_colours_alone():
    easy = Difficulty(colour=0.0, exposure=0.0, noise=0.0)
    c = sample_sensor(np.random.default_rng(1), difficulty=easy)
    assert np.allclose(np.array(c.matrix).reshape(3, 3), np.eye(3))
    assert (c.gain, c.contrast, c.saturation, c.shot) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize("shape", [(10, 5), (40, 20), (64, 32), (97, 51)])
def test_resampling_keeps_a_flat_picture_flat(shape):
    flat = np.full((40, 20, 3), 0.37, np.float32)
    assert np.allclose(resample(flat, *shape), 0.37, atol=1e-5)


def test_resampling_down_keeps_the_mean_and_smooths():
    image = np.random.default_rng(0).random((120, 60, 3), np.float32)
    small = resample(image, 30, 15)
    assert abs(small.mean() - image.mean()) < 0.01
    assert small.std() < 0.5 * image.std()


def test_blur_keeps_light_and_widens_an_edge():
    image = np.zeros((20, 20, 3), np.float32)
    image[:, 10:] = 1.0
    soft = blur_image(image, 1.5, 0.0)
    assert np.allclose(soft.mean(), image.mean(), atol=0.02)
    assert 0.1 < soft[10, 9, 0] < 0.5
    assert np.array_equal(blur_image(image, 0.0, 0.0), image)


def test_tone_curve_rises():
    for seed in range(20):
        curve = tone_curve(sensor(seed))
        assert (np.diff(curve) >= -1e-6).all()


def test_develop_is_reproducible_and_noisy():
    image = np.full((80, 40, 3), 0.2, np.float32)
    c = replace(sensor(), shot=0.05, read=0.01)
    pictures = [
        develop(image, c, np.random.default_rng(seed), native=(60, 30)) for seed in (0, 0, 1)
    ]
    assert pictures[0].shape == (60, 30, 3)
    assert pictures[0].dtype == np.uint8
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_brighter_light_gives_a_brighter_picture():
    c = replace(sensor(), shot=0.0, read=0.0)
    rng = np.random.default_rng(0)
    means = [
        develop(np.full((40, 20, 3), v, np.float32), c, rng, native=(40, 20)).mean()
        for v in (0.02, 0.1, 0.3, 0.7)
    ]
    assert means == sorted(means)
    assert means[-1] - means[0] > 40
