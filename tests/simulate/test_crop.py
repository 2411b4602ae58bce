"""Rendered people and crops: reproducible everywhere, complete, sane in shape."""

import hashlib
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from passerby.simulate.appearance import open_umbrella, sample_appearance
from passerby.simulate.body import POSES
from passerby.simulate.crop import bounds, render_crop, render_junk
from passerby.simulate.mesh import Figure
from passerby.simulate.options import Difficulty
from passerby.simulate.raster import Camera, Light
from passerby.simulate.scene import Placed, Scene, View, populate
from passerby.simulate.sensor import Sensor, sample_sensor
from passerby.simulate.shade import render
from passerby.simulate.wardrobe import (
    CARRIED,
    CUTS,
    HAIR,
    HEADGEAR,
    SHOES,
    Appearance,
    Carried,
)


def someone(seed: int = 0) -> Appearance:
    return sample_appearance(np.random.default_rng([7, seed]))


def camera(seed: int = 0) -> Sensor:
    # a narrow frame keeps the plate, which is painted once, small
    sensor = sample_sensor(np.random.default_rng([8, seed]))
    return replace(sensor, frame=(320, 240))


def view(sensor: Sensor, heading: float = 0.4, **changes) -> View:
    reach = (sensor.height - 0.9) / math.tan(sensor.tilt)
    distance = math.hypot(sensor.height - 0.9, reach)
    return View(heading=heading, elevation=sensor.tilt, distance=distance, **changes)


def digest(seed: int) -> str:
    """Hash of one crop: also run by the second process below."""
    sensor = camera(seed % 3)
    crop = render_crop(someone(seed), view(sensor, seed), sensor, np.random.default_rng(seed))
    return hashlib.sha256(crop.tobytes()).hexdigest()


@pytest.mark.slow
def test_crops_are_the_same_in_any_order_and_in_another_process(tmp_path):
    first = [digest(seed) for seed in range(3)]
    assert [digest(seed) for seed in reversed(range(3))][::-1] == first
    assert len(set(first)) == 3
    script = tmp_path / "again.py"
    script.write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('crops', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(*[module.digest(seed) for seed in range(3)])\n",
        encoding="utf-8",
    )
    again = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert again.stdout.split() == first


def test_crop_has_the_size_that_is_asked_for():
    sensor = camera()
    for size in ((256, 128), (128, 64)):
        crop = render_crop(
            someone(), view(sensor), sensor, np.random.default_rng(0), size=size, jitter=False
        )
        assert crop.shape == (*size, 3)
        assert crop.dtype == np.uint8


def test_statistics_of_crops_stay_what_they_were():
    """Golden means and spreads; a change of the renderer's look has to be meant."""
    crops = []
    for seed in range(24):
        sensor = camera(seed % 3)
        seen = view(sensor, 0.7 * seed)
        crops.append(render_crop(someone(seed), seen, sensor, np.random.default_rng(seed)))
    pixels = np.stack(crops).astype(float)
    assert np.allclose(pixels.mean((0, 1, 2)), [101.2, 104.6, 100.4], atol=2.0)
    assert abs(pixels.std() - 51.7) < 2.0
    bands = [pixels[:, top : top + 64].mean() for top in (0, 64, 128, 192)]
    assert np.allclose(bands, [81.9, 109.9, 105.7, 110.6], atol=3.0)
    assert pixels.reshape(24, -1).std(1).min() > 8  # none is empty


def cover(person: Appearance, **changes) -> np.ndarray:
    """A person alone, 120 pixels high: (120, W, 4) uint8, colour and cover."""
    view = View(**{"heading": 0.3, "elevation": 0.1, "distance": 12.0} | changes)
    figure = Figure()
    level = view.distance * math.cos(view.elevation)
    populate(figure, [Placed(person, view, 0.0, level, view.heading)])
    camera = Camera(
        height=view.camera_height, tilt=view.elevation, focal_x=1000.0, focal_y=1000.0,
        centre_x=0.0, centre_y=0.0,
    )  # fmt: skip
    x0, y0, x1, y1 = bounds(figure.vertices, camera.vector())
    scale = 118 / (y1 - y0)
    size = (120, math.ceil(scale * (x1 - x0)) + 4)
    window = camera.window(x0 - 2 / scale, y0 - 1 / scale, scale, scale)
    colour, seen = render(figure, window, Light(), size, contact=(3, 9.0), smooth=1)
    sprite = np.concatenate([np.clip(colour, 0, 1) ** (1 / 2.2), seen[:, :, None]], axis=2)
    return (sprite * 255).astype(np.uint8)


def check_silhouette(sprite: np.ndarray) -> None:
    solid = sprite[:, :, 3] > 127
    assert solid.any(1).mean() > 0.95  # from the first to the last row
    area = solid.mean()
    assert 0.15 < area < 0.85
    widths = solid.sum(1)
    assert widths[:10].max() < widths[20:60].max()  # a head above, shoulders below


def plain(person: Appearance) -> Appearance:
    return replace(person, carried=(), umbrella=None, headgear="none", hair="short", scarf=None)


@pytest.mark.parametrize("heading", [0.0, math.pi / 2, math.pi, 4.0])
def test_silhouette_is_a_persons(heading):
    for seed in range(4):
        check_silhouette(cover(plain(someone(seed)), heading=heading))


def test_heading_turns_the_body():
    person = replace(plain(someone(3)), inner=replace(someone(3).inner, pattern="plain"))
    right = cover(person, heading=math.pi / 2)
    left = cover(person, heading=-math.pi / 2)
    feet = slice(105, 120)

    # toes point the way the body faces
    def middle(sprite):
        columns = np.flatnonzero((sprite[feet, :, 3] > 127).any(0))
        return columns.mean() / sprite.shape[1]

    assert right.shape[0] == left.shape[0]
    assert middle(right) != middle(left)


@pytest.mark.parametrize("pose", POSES)
def test_every_pose_renders(pose):
    for phase in (0.0, 0.3):
        sprite = cover(someone(2), pose=pose, phase=phase)
        assert (sprite[:, :, 3] > 0).mean() > 0.1


@pytest.mark.parametrize("kind", sorted(CUTS))
def test_every_garment_renders(kind):
    base = plain(someone(5))
    layer = CUTS[kind].layer
    piece = replace(base.inner, kind=kind, sleeve=CUTS[kind].sleeve, length=0.0)
    trousers = replace(base.inner, kind="jeans", length=0.0)
    tee = replace(base.inner, kind="tee", sleeve=0.4, length=0.0)
    worn = {
        "inner": {"inner": piece, "lower": trousers, "outer": None},
        "outer": {"inner": tee, "lower": trousers, "outer": piece},
        "lower": {"inner": tee, "lower": piece, "outer": None},
        "dress": {"inner": piece, "lower": None, "outer": None},
    }[layer]
    check_silhouette(cover(replace(base, **worn), heading=0.5))


@pytest.mark.parametrize("pattern", ["horizontal", "plaid", "dots", "floral", "camouflage"])
def test_prints_show(pattern):
    base = plain(someone(5))
    loud = {"colour": (0.1, 0.1, 0.1), "second": (0.9, 0.9, 0.9), "third": (0.9, 0.1, 0.1)}
    inner = replace(base.inner, kind="tee", **loud, scale=0.12, logo="none", sleeve=0.4)
    chest = (slice(28, 50), slice(None))
    spread = []
    for name in ("plain", pattern):
        sprite = cover(replace(base, outer=None, inner=replace(inner, pattern=name)))
        middle = sprite.shape[1] // 2
        spread.append(sprite[chest][:, middle - 8 : middle + 8, :3].astype(float).std())
    assert spread[1] > 1.5 * spread[0]


@pytest.mark.parametrize("name", sorted(HAIR))
def test_every_hair_renders(name):
    assert (cover(replace(someone(1), hair=name, headgear="none"))[:25, :, 3] > 0).any()


@pytest.mark.parametrize("name", sorted(HEADGEAR))
def test_every_headgear_renders(name):
    assert (cover(replace(someone(1), headgear=name))[:25, :, 3] > 0).any()


@pytest.mark.parametrize("kind", sorted(SHOES))
def test_every_shoe_renders(kind):
    person = someone(1)
    assert (cover(replace(person, shoes=replace(person.shoes, kind=kind)))[:, :, 3] > 0).any()


@pytest.mark.parametrize("kind", sorted(CARRIED))
def test_every_bag_changes_the_picture(kind):
    person = replace(plain(someone(4)), outer=None)
    bag = Carried(kind=kind, colour=(0.9, 0.1, 0.1), second=(0.1, 0.1, 0.9))
    for heading in (0.5, 3.6):
        with_bag = cover(replace(person, carried=(bag,)), heading=heading)
        without = cover(person, heading=heading)
        assert with_bag.shape != without.shape or (with_bag != without).mean() > 0.002


def test_umbrella_makes_the_figure_taller_and_wider():
    person = plain(someone(4))
    wet = open_umbrella(person, np.random.default_rng(0))
    assert cover(wet).shape[1] > 1.2 * cover(person).shape[1]


def test_people_look_different():
    """Two people differ in more than noise, seen the same way."""
    sensor = camera()
    crops = [
        render_crop(someone(k), view(sensor), sensor, np.random.default_rng(0), jitter=False)
        for k in range(8)
    ]
    trunks = np.stack([crop[60:200, 40:88].astype(float).mean((0, 1)) for crop in crops])
    gaps = np.linalg.norm(trunks[:, None] - trunks[None], axis=-1)[np.triu_indices(8, 1)]
    assert np.median(gaps) > 15


def test_others_in_front_cover_the_person():
    sensor = camera()
    seen = view(sensor)
    near = replace(
        seen, distance=0.75 * seen.distance, elevation=math.asin(math.sin(seen.elevation) / 0.75)
    )
    rng = np.random.default_rng
    alone = render_crop(someone(0), seen, sensor, rng(0), jitter=False)
    crowded = render_crop(
        someone(0), seen, sensor, rng(0), jitter=False, others=[(someone(1), near)]
    )
    assert (np.abs(alone.astype(int) - crowded) > 25).mean() > 0.1


def test_jitter_and_difficulty_change_crops():
    sensor = camera()
    calm = Difficulty(light=0.0, occlusion=0.0, box=0.0)
    seen = view(sensor)

    def spread(difficulty: Difficulty) -> float:
        crops = [
            render_crop(
                someone(0), seen, sensor, np.random.default_rng(k), difficulty=difficulty
            ).astype(float)
            for k in range(5)
        ]
        return float(np.stack(crops).std(0).mean())

    assert spread(calm) < 0.6 * spread(Difficulty())


def test_background_is_fixed_and_fills_the_frame():
    sensor = camera(1)
    box = (0.0, 0.0, *(float(side) for side in sensor.frame))
    scene = Scene(Figure(), np.zeros((0, 3)), sensor, sensor.light, sensor.height)
    frames = [scene.draw(box, (120, 160)) for _ in range(2)]
    assert frames[0].shape == (120, 160, 3)
    assert np.array_equal(*frames)
    assert frames[0].std() > 0.02


def test_junk_is_reproducible_and_varied():
    sensor = camera(1)
    crops = [render_junk(sensor, np.random.default_rng(k)) for k in range(8)]
    assert all(crop.shape == (256, 128, 3) for crop in crops)
    assert np.array_equal(crops[3], render_junk(sensor, np.random.default_rng(3)))
    assert len({crop.tobytes() for crop in crops}) == 8
