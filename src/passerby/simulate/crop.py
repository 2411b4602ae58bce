"""Crops as a detector would cut them from a camera's picture, with everything that goes wrong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from passerby.simulate.appearance import Appearance, sample_appearance
from passerby.simulate.background import sunlight
from passerby.simulate.figure import Figure
from passerby.simulate.light import Light
from passerby.simulate.occluders import add_occluder
from passerby.simulate.raster import Camera, project
from passerby.simulate.scene import (
    Placed,
    View,
    backdrop,
    camera_height,
    draw,
    frame_camera,
    place,
    populate,
)
from passerby.simulate.sensor import Difficulty, Sensor, develop

Box = tuple[float, float, float, float]


def _bounds(screen: np.ndarray) -> Box:
    x0, y0 = screen[:, 0].min(), screen[:, 1].min()
    x1, y1 = screen[:, 0].max(), screen[:, 1].max()
    return float(x0), float(y0), float(x1), float(y1)


def person_box(appearance: Appearance, view: View, sensor: Sensor) -> Box:
    """Tight box (x0, y0, x1, y1) of a person in native frame pixels."""
    figure = Figure(finesse=0.35)
    populate(figure, [place(appearance, view, sensor)])
    vector = frame_camera(sensor, camera_height(view)).vector()
    return _bounds(project(figure.vertices, vector))


def detector_box(tight: Box, rng: np.random.Generator, spread: float) -> Box:
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
    return Light(
        azimuth=light.azimuth + 0.2 * spread * float(rng.standard_normal()),
        elevation=float(
            np.clip(light.elevation + 0.08 * spread * rng.standard_normal(), 0.2, 1.45)
        ),
        sun=(light.sun[0] * sun, light.sun[1] * sun, light.sun[2] * sun),
        sky=(light.sky[0] * sky, light.sky[1] * sky, light.sky[2] * sky),
        bounce=light.bounce,
        softness=light.softness,
    )


def _bystanders(person: Placed, rng: np.random.Generator, chance: float) -> list[Placed]:
    """Now and then another pedestrian near the person, in front or behind."""
    if rng.random() >= 0.16 * chance:
        return []
    aside = (0.35 + 0.5 * rng.random()) * (1 if rng.random() < 0.5 else -1)
    back = float(rng.choice([-0.8, 0.9, 1.8])) * (0.5 + 0.8 * rng.random())
    view = View(
        heading=person.view.heading if rng.random() < 0.6 else float(6.28 * rng.random()),
        elevation=person.view.elevation,
        distance=person.view.distance,
        phase=float(rng.random()),
        pose=person.view.pose,
    )
    other = sample_appearance(rng)
    z = max(person.z + back, 1.5)
    return [Placed(other, view, person.x + aside, z, view.heading)]


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
        jitter: off gives the exact box, no occluders of chance and the camera's mean light.
        difficulty: strength factors.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    person = place(appearance, view, sensor)
    people = [person, *(place(look, seen, sensor) for look, seen in others)]
    light = _changed_light(sensor.light, rng, difficulty.light if jitter else 0.0)
    light = light.dimmed(sunlight(sensor, person.x, person.z))
    if jitter and not others:
        people += _bystanders(person, rng, difficulty.occlusion)
    figure, ends = Figure(finesse=_finesse(view, sensor)), []
    feet = populate(figure, people, lambda first, last: ends.append(last))
    height = camera_height(view)
    screen = project(figure.vertices[: ends[0]], frame_camera(sensor, height).vector())
    if jitter and rng.random() < 0.09 * difficulty.occlusion:
        feet = np.concatenate([feet, add_occluder(figure, person, rng)])
    box = detector_box(_bounds(screen), rng, difficulty.box if jitter else 0.0)
    return Shot(figure, feet, person, sensor, light, height).develop(box, rng, size)


def _finesse(view: View, sensor: Sensor) -> float:
    """Mesh detail by the person's native height: small people need fewer triangles."""
    pixels = sensor.focal * 1.7 / max(view.distance, 1.0)
    return float(np.clip(0.55 + pixels / 400, 0.6, 1.0))


@dataclass(frozen=True)
class Shot:
    """A scene ready to be photographed: surfaces, contact shadows, camera and light."""

    figure: Figure
    feet: np.ndarray
    person: Placed
    sensor: Sensor
    light: Light
    height: float

    def develop(self, box: Box, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """Draw a box of the frame (native pixels) and send it through the sensor."""
        native = (max(round(box[3] - box[1]), 8), max(round(box[2] - box[0]), 4))
        rows = int(np.clip(1.3 * native[0], 112, 272))
        columns = max(round(rows * size[1] / size[0]), 8)
        image = self._light(box, rows, columns)
        width, height = self.sensor.frame
        window = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
        native = (min(native[0], 320), min(native[1], 200))
        small = develop(image, self.sensor, rng, native=native, window=window)
        full = Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        return np.asarray(full)

    def _light(self, box: Box, rows: int, columns: int) -> np.ndarray:
        """Linear light of the box: background, shadows and surfaces."""
        scale_x, scale_y = columns / (box[2] - box[0]), rows / (box[3] - box[1])
        camera = frame_camera(self.sensor, self.height)
        camera = camera.window(box[0], box[1], scale_x, scale_y)
        layers = None
        if self.figure.triangle_count:
            layers = draw(
                self.figure, camera, self.light, (rows, columns),
                centre=(self.person.x, self.person.z), person_pixels=0.9 * rows,
            )  # fmt: skip
        image = backdrop(
            self.sensor, camera, box, (rows, columns),
            light=self.light, layers=layers, feet=self.feet,
        )  # fmt: skip
        return image if layers is None else np.where(layers.cover[:, :, None], layers.colour, image)


def render_background(sensor: Sensor, size: tuple[int, int]) -> np.ndarray:
    """The empty frame of a camera as it delivers it: (height, width, 3) uint8."""
    light = sensor.light
    rows, columns = size
    box = (0.0, 0.0, float(sensor.frame[0]), float(sensor.frame[1]))
    camera = frame_camera(sensor, sensor.height).window(
        0.0, 0.0, columns / sensor.frame[0], rows / sensor.frame[1]
    )
    feet = np.zeros((0, 3))
    image = backdrop(sensor, camera, box, size, light=light, layers=None, feet=feet)
    return develop(image, sensor, np.random.default_rng(sensor.scene_seed), native=size)


def render_person(
    appearance: Appearance,
    view: View,
    height_px: int,
    *,
    light: Light = Light(),
) -> np.ndarray:
    """A sprite of a person: (height_px, width, 4) uint8 with cover, seen from the view's camera."""
    rise = camera_height(view)
    figure = Figure()
    level = view.distance * math.cos(view.elevation)
    populate(figure, [Placed(appearance, view, 0.0, level, view.heading)])
    camera = Camera(
        height=rise, tilt=view.elevation, focal_x=1000.0, focal_y=1000.0, centre_x=0.0, centre_y=0.0
    )
    x0, y0, x1, y1 = _bounds(project(figure.vertices, camera.vector()))
    twice = 2 * height_px
    scale = (twice - 2) / (y1 - y0)
    columns = 2 * (math.ceil(scale * (x1 - x0) / 2) + 2)
    window = camera.window(x0 - 2 / scale, y0 - 1 / scale, scale, scale)
    layers = draw(figure, window, light, (twice, columns), centre=(0.0, level), person_pixels=twice)
    cover = layers.cover.astype(np.float32).reshape(height_px, 2, columns // 2, 2).mean((1, 3))
    total = layers.colour.reshape(height_px, 2, columns // 2, 2, 3).sum((1, 3)) / 4
    colour = total / np.maximum(cover, 0.25)[:, :, None]
    coded = np.clip(colour, 0, 1) ** (1 / 2.2)
    rgba = np.concatenate([coded, cover[:, :, None]], axis=2)
    return (rgba * 255 + 0.5).astype(np.uint8)


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
    tight = person_box(person.appearance, view, sensor)
    box = detector_box(tight, rng, 1.0)
    height, width = box[3] - box[1], box[2] - box[0]
    figure, feet = Figure(finesse=0.8), np.zeros((0, 3))
    if kind == "half":
        feet = populate(figure, [person])
        shift = width * (0.45 + 0.25 * rng.random()) * (1 if rng.random() < 0.5 else -1)
        box = (box[0] + shift, box[1], box[2] + shift, box[3])
    elif kind == "pair":
        beside = Placed(sample_appearance(rng), view, person.x + 0.55, person.z, person.heading)
        feet = populate(figure, [person, beside])
        shift = 0.27 * sensor.focal / distance
        box = (box[0] + shift, box[1], box[2] + shift, box[3])
    elif kind == "thing":
        feet = add_occluder(figure, person, rng)
        grow = 0.3 * float(rng.random())
        box = (box[0] - grow * width, box[1] + grow * height, box[2] + grow * width, box[3])
    shot = Shot(figure, feet, person, sensor, sensor.light, camera_height(view))
    return shot.develop(box, rng, size)
