"""Crops as a detector cuts them from a camera's picture, with its usual errors."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from passerby.simulate.appearance import sample_appearance
from passerby.simulate.background import sunlight
from passerby.simulate.mesh import Figure
from passerby.simulate.options import Difficulty
from passerby.simulate.raster import Light, project
from passerby.simulate.scene import Box, Placed, Scene, View, frame_camera, place, populate
from passerby.simulate.sensor import Sensor, develop
from passerby.simulate.things import add_occluder
from passerby.simulate.wardrobe import Appearance


def bounds(vertices: np.ndarray, camera: np.ndarray) -> Box:
    """Tight box (x0, y0, x1, y1) in pixels of vertices (V, 15) seen by a camera's vector."""
    screen = project(vertices, camera)[:, :2]
    (x0, y0), (x1, y1) = screen.min(0).tolist(), screen.max(0).tolist()
    return x0, y0, x1, y1


def _detector_box(tight: Box, rng: np.random.Generator, spread: float) -> Box:
    """A detector's box around a tight one: padded to a person's aspect, shifted, scaled, cut."""
    x0, y0, x1, y1 = tight
    height, middle = (y1 - y0), (x0 + x1) / 2
    width = min(max((x1 - x0) * 1.04, 0.40 * height), 0.62 * height)
    if spread <= 0:
        pad = 0.03 * height
        return middle - width / 2, y0 - pad, middle + width / 2, y1 + pad
    noise = rng.standard_normal(4) * spread
    grow = 1.09 + 0.05 * noise[0]
    centre_y = (y0 + y1) / 2 + 0.018 * height * noise[1]
    middle += 0.05 * width * noise[2]
    half_h, half_w = height * grow / 2, width * grow * (1 + 0.06 * noise[3]) / 2
    top, low = centre_y - half_h, centre_y + half_h
    roll = rng.random()
    if roll < 0.05 * spread:  # legs cut away by a box that is too short
        low -= height * (0.10 + 0.25 * rng.random())
    elif roll < 0.08 * spread:
        top += height * (0.03 + 0.08 * rng.random())
    elif roll < 0.13 * spread:  # too large
        extra = height * (0.06 + 0.14 * rng.random())
        top, low, half_w = top - extra, low + extra, half_w * 1.2
    return middle - half_w, top, middle + half_w, low


def _changed_light(light: Light, rng: np.random.Generator, spread: float) -> Light:
    """The same sun a little later, or behind a cloud."""
    if spread <= 0:
        return light
    sun = float(np.exp(0.25 * spread * rng.standard_normal()))
    sky = float(np.exp(0.12 * spread * rng.standard_normal()))
    azimuth = light.azimuth + 0.2 * spread * float(rng.standard_normal())
    elevation = light.elevation + 0.08 * spread * rng.standard_normal()
    light = replace(light, azimuth=azimuth, elevation=float(np.clip(elevation, 0.2, 1.45)))
    return _dimmed(light, sun, sky)


def _dimmed(light: Light, sun: float, sky: float = 1.0) -> Light:
    """The same light with the sun and the sky at some share of their strength."""
    (r, g, b), (x, y, z) = light.sun, light.sky
    return replace(light, sun=(r * sun, g * sun, b * sun), sky=(x * sky, y * sky, z * sky))


def _bystanders(person: Placed, rng: np.random.Generator, chance: float) -> list[Placed]:
    """Now and then another pedestrian near the person, in front or behind."""
    if rng.random() >= 0.16 * chance:
        return []
    aside = (0.35 + 0.5 * rng.random()) * (1 if rng.random() < 0.5 else -1)
    back = float(rng.choice([-0.8, 0.9, 1.8])) * (0.5 + 0.8 * rng.random())
    heading = person.view.heading if rng.random() < 0.6 else float(6.28 * rng.random())
    view = replace(person.view, heading=heading, phase=float(rng.random()))
    other = sample_appearance(rng)
    return [Placed(other, view, person.x + aside, max(person.z + back, 1.5), heading)]


def render_crop(
    appearance: Appearance,
    view: View,
    sensor: Sensor,
    rng: np.random.Generator,
    *,
    others: Sequence[tuple[Appearance, View]] = (),
    size: tuple[int, int] = (256, 128),
    jitter: bool = True,
    difficulty: Difficulty = Difficulty(),
) -> np.ndarray:
    """Render one detector crop of a person.

    Args:
        appearance: the person.
        view: how the camera sees them.
        sensor: the camera.
        rng: randomness of this very crop (box, noise, occluders, clouds).
        others: further people in the same picture; those nearer the camera may cover the person.
        size: height and width of the crop, pixels.
        jitter: False gives the exact box, no random occluders and the camera's mean light.
        difficulty: strength factors.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    person = place(appearance, view, sensor)
    people = [person, *(place(look, seen, sensor) for look, seen in others)]
    light = _changed_light(sensor.light, rng, difficulty.light if jitter else 0.0)
    light = _dimmed(light, sunlight(sensor, person.x, person.z))
    if jitter and not others:
        people += _bystanders(person, rng, difficulty.occlusion)
    # mesh detail by the person's native height: small people need fewer triangles
    pixels = sensor.focal * 1.7 / max(view.distance, 1.0)
    figure = Figure(finesse=float(np.clip(0.55 + pixels / 400, 0.6, 1.0)))
    feet, ends = populate(figure, people)
    camera = frame_camera(sensor, view.camera_height).vector()
    tight = bounds(figure.vertices[: ends[0]], camera)
    if jitter and rng.random() < 0.09 * difficulty.occlusion:
        feet = np.concatenate([feet, add_occluder(figure, (person.x, person.z), rng)])
    box = _detector_box(tight, rng, difficulty.box if jitter else 0.0)
    scene = Scene(figure, feet, sensor, light, view.camera_height, (person.x, person.z))
    return _photograph(scene, box, rng, size)


def _photograph(
    scene: Scene, box: Box, rng: np.random.Generator, size: tuple[int, int]
) -> np.ndarray:
    """Draw a box of the frame (native pixels) and send it through the sensor."""
    native = (max(round(box[3] - box[1]), 8), max(round(box[2] - box[0]), 4))
    rows = int(np.clip(1.3 * native[0], 112, 272))
    columns = max(round(rows * size[1] / size[0]), 8)
    image = scene.draw(box, (rows, columns), person_pixels=0.9 * rows)
    width, height = scene.sensor.frame
    window = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
    native = (min(native[0], 320), min(native[1], 200))
    small = Image.fromarray(develop(image, scene.sensor, rng, native=native, window=window))
    return np.asarray(small.resize((size[1], size[0]), Image.Resampling.BICUBIC))


JUNK = ("background", "background", "half", "pair", "thing")


def render_junk(
    sensor: Sensor, rng: np.random.Generator, *, size: tuple[int, int] = (256, 128)
) -> np.ndarray:
    """A box no person should be matched by: background, half a body, two bodies, a thing."""
    kind = JUNK[int(rng.integers(len(JUNK)))]
    reach = (sensor.height - 0.9) / math.tan(sensor.tilt)
    distance = math.hypot(sensor.height - 0.9, reach) * float(0.7 + 0.7 * rng.random())
    view = View(
        heading=float(6.28 * rng.random()),
        elevation=math.asin(min((sensor.height - 0.9) / distance, 0.9)),
        distance=distance,
        phase=float(rng.random()),
        place=float(0.1 + 0.8 * rng.random()),
    )
    person = place(sample_appearance(rng), view, sensor)
    alone = Figure(finesse=0.35)
    populate(alone, [person])
    camera = frame_camera(sensor, view.camera_height).vector()
    box = _detector_box(bounds(alone.vertices, camera), rng, 1.0)
    height, width = box[3] - box[1], box[2] - box[0]
    figure, feet, shift = Figure(finesse=0.8), np.zeros((0, 3)), 0.0
    if kind == "half":
        feet, _ = populate(figure, [person])
        shift = width * (0.45 + 0.25 * rng.random()) * (1 if rng.random() < 0.5 else -1)
    elif kind == "pair":
        beside = replace(person, appearance=sample_appearance(rng), x=person.x + 0.55)
        feet, _ = populate(figure, [person, beside])
        shift = 0.27 * sensor.focal / distance
    elif kind == "thing":
        feet = add_occluder(figure, (person.x, person.z), rng)
        grow = 0.3 * float(rng.random())
        box = (box[0] - grow * width, box[1] + grow * height, box[2] + grow * width, box[3])
    box = (box[0] + shift, box[1], box[2] + shift, box[3])
    scene = Scene(figure, feet, sensor, sensor.light, view.camera_height, (person.x, person.z))
    return _photograph(scene, box, rng, size)
