"""What stands behind the people: one fixed plate per camera, in the camera's true perspective."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from functools import lru_cache

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import ground as g
from passerby.simulate.kernels import kernel, ray
from passerby.simulate.materials import linear
from passerby.simulate.raster import Camera, Shadow, lit
from passerby.simulate.sensor import Sensor
from passerby.simulate.shade import render
from passerby.simulate.textures import tiles
from passerby.simulate.things import furnish

PLATE_WIDTHS = (480, 1120)  # a plate is as wide as the native frame, within these
DATA = data_file("scenes")


def _tone(rng: np.random.Generator, low: float, high: float, tint: float) -> np.ndarray:
    """A greyish linear colour."""
    base = low + (high - low) * rng.random()
    shift = tint * rng.standard_normal(3)
    warm = 0.4 * tint * rng.standard_normal()
    return np.clip(base * (1 + shift + warm * np.array([1.0, 0.1, -1.0])), 0.01, 0.9)


@lru_cache(maxsize=256)
def scene_vector(sensor: Sensor) -> np.ndarray:
    """(35,) numbers that describe a camera's scene, drawn from its seed; see ``ground``."""
    rng = np.random.default_rng([sensor.scene_seed, 7])
    p = np.zeros(g.PARAMETERS)
    reach = (sensor.height - 0.9) / math.tan(sensor.tilt)
    p[g.YAW] = 0.45 * rng.standard_normal()
    p[g.SEED] = float(rng.integers(1000))
    _lay_ground(p, sensor.scene, reach, rng)
    _build_walls(p, sensor.scene, reach, rng)
    p[g.SHADE_ANGLE] = 6.28 * rng.random()
    open_air = p[g.CEILING] == 0 and max(sensor.light.sun) > 0.5
    p[g.SHADE_AT] = 0.6 * reach * rng.standard_normal() if open_air and rng.random() < 0.6 else 1e6
    p[g.DAPPLE] = open_air and rng.random() < 0.35
    p[g.GLOSS] = 0.25 * rng.random() if p[g.CEILING] > 0 else 0.0
    return p


def _lay_ground(p: np.ndarray, scene: str, reach: float, rng: np.random.Generator) -> None:
    """Pavings, road, crossing and guiding band, in metres across the street."""
    near = DATA["scenes"][scene]["grounds"]
    p[g.NEAR] = g.GROUNDS.index(str(rng.choice(near)))
    p[g.FAR] = g.GRASS if scene == "park" else g.GROUNDS.index(str(rng.choice(near)))
    p[g.ROAD] = rng.random() < DATA["scenes"][scene]["road"]
    p[g.ROAD_FROM] = reach * (0.75 + 0.9 * rng.random()) if rng.random() < 0.7 else -50.0
    p[g.ROAD_TO] = p[g.ROAD_FROM] + 5 + 5 * rng.random() if p[g.ROAD_FROM] > -40 else 3 * reach
    p[g.CROSSING] = scene == "crossing" or rng.random() < 0.15
    p[g.CROSSING_AT] = 4 * rng.standard_normal()
    p[g.BAND] = rng.random() < 0.25
    p[g.BAND_AT] = reach * (0.6 + 0.7 * rng.random())
    p[g.UNIT] = 0.3 + 0.5 * rng.random()
    p[g.NEAR_COLOUR : g.NEAR_COLOUR + 3] = _tone(rng, 0.14, 0.48, 0.05)
    p[g.FAR_COLOUR : g.FAR_COLOUR + 3] = _tone(rng, 0.14, 0.42, 0.05)


def _build_walls(p: np.ndarray, scene: str, reach: float, rng: np.random.Generator) -> None:
    """What closes the view, at the back and at times on a side, and the ceiling indoors."""
    walls, ceiling = DATA["scenes"][scene]["walls"], DATA["scenes"][scene]["ceiling"]
    p[g.WALL] = g.WALLS.index(str(rng.choice(walls)))
    p[g.WALL_AT] = reach * (1.12 + 0.95 * rng.random()) + 1.2
    if p[g.ROAD] > 0 and p[g.ROAD_FROM] > -40:
        p[g.WALL_AT] = max(p[g.WALL_AT], p[g.ROAD_TO] + 1.5 + 2 * rng.random())
    p[g.WALL_TOP] = 3.2 + 0.8 * rng.random() if ceiling else 6 + 12 * rng.random()
    if p[g.WALL] in (g.HEDGE, g.FENCE):
        p[g.WALL_TOP] = 1.4 + 0.8 * rng.random()
    p[g.SIDE] = rng.random() < 0.45
    p[g.SIDE_AT] = (1 if rng.random() < 0.5 else -1) * reach * (0.5 + 0.7 * rng.random())
    p[g.CEILING] = p[g.WALL_TOP] if ceiling else 0.0
    p[g.BAY] = 1.8 + 2.2 * rng.random()
    p[g.WALL_COLOUR : g.WALL_COLOUR + 3] = _tone(rng, 0.15, 0.65, 0.11)
    accents = DATA["accents"]
    p[g.ACCENT : g.ACCENT + 3] = linear(accents[int(rng.integers(len(accents)))])


def plate_scale(sensor: Sensor) -> float:
    """Plate pixels per native pixel."""
    low, high = PLATE_WIDTHS
    return min(max(sensor.frame[0], low), high) / sensor.frame[0]


@lru_cache(maxsize=32)
def plate(sensor: Sensor) -> np.ndarray:
    """(h, w, 4) uint8: square-root coded linear light, and 255 where the ground is seen."""
    scale = plate_scale(sensor)
    width, height = round(sensor.frame[0] * scale), round(sensor.frame[1] * scale)
    camera = Camera.centred(sensor.height, sensor.tilt, sensor.focal * scale, (width, height))
    scene = scene_vector(sensor)
    light, noise = sensor.light.vector(), tiles().noise
    image, depth = g.paint(scene, camera.vector(), light, noise, height, width)
    figure = furnish(sensor, scene)
    if figure.triangle_count:
        colours, seen = render(
            figure, camera, sensor.light, (height, width), contact=(5, 3.0), behind=depth
        )
        image[seen, :3] = colours[seen]
        image[seen, 3] = 0
    coded = np.sqrt(np.clip(image[:, :, :3], 0, 1.6) / 1.6)
    out = np.empty((height, width, 4), np.uint8)
    out[:, :, :3] = (coded * 255 + 0.5).astype(np.uint8)
    out[:, :, 3] = np.where(image[:, :, 3] > 0, 255, 0)
    return out


def sunlight(sensor: Sensor, x: float, z: float) -> float:
    """Share of the sun that reaches a person at (x, z) metres of a camera's scene."""
    scene = scene_vector(sensor)
    c, s = math.cos(scene[g.YAW]), math.sin(scene[g.YAW])
    across = g.beyond_shade(scene, x * c + z * s, -x * s + z * c)
    share = min(max(across / 0.6 + 0.5, 0.0), 1.0)
    return float(share * (0.6 if scene[g.DAPPLE] > 0 else 1.0))


@kernel
def _ground_light(
    camera: np.ndarray, px: float, py: float, dark: float, shadow: Shadow, feet: np.ndarray
) -> float:
    """Share of light on the ground seen at a pixel: ``dark`` of it in shadow, less under feet."""
    rx, ry, rz = ray(camera, px, py)
    if ry >= -1e-6:
        return 1.0
    reach = camera[10] / -ry
    x, z = reach * rx, reach * rz
    factor = dark + (1 - dark) * lit(shadow, (x, 0.0, z), 0.03, 1.6)
    for f in range(feet.shape[0]):
        d = ((x - feet[f, 0]) ** 2 + (z - feet[f, 1]) ** 2) / (feet[f, 2] ** 2)
        if d < 5.0:
            factor *= 1.0 - 0.5 * math.exp(-d)
    return factor


@kernel
def backdrop(
    plate_image: np.ndarray,
    offset: tuple[float, float],
    scale: tuple[float, float],
    camera: np.ndarray,
    light: np.ndarray,
    shadow: Shadow,
    feet: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:
    """Window of the plate with cast shadows and contact shadows of feet: (H, W, 3) linear light.

    ``offset``, ``scale``: plate pixel of the window's corner, and plate pixels per window pixel.
    ``feet`` (F, 3): x, z and radius of the contact shadows.
    """
    height, width = size
    out = np.empty((height, width, 3), np.float32)
    rows, columns = plate_image.shape[0], plate_image.shape[1]
    ambient = light[6] + light[7] + light[8]
    dark = ambient / max(light[1] * (light[3] + light[4] + light[5]) + ambient, 1e-6)
    for y in range(height):
        sy = offset[1] + (y + 0.5) * scale[1] - 0.5
        j = min(max(math.floor(sy), 0), rows - 2)
        t = min(max(sy - j, 0.0), 1.0)
        for x in range(width):
            sx = offset[0] + (x + 0.5) * scale[0] - 0.5
            i = min(max(math.floor(sx), 0), columns - 2)
            s = min(max(sx - i, 0.0), 1.0)
            factor = 1.0
            if plate_image[j, i, 3] != 0:
                factor = _ground_light(camera, x + 0.5, y + 0.5, dark, shadow, feet)
            for c in range(3):
                top = plate_image[j, i, c] * (1 - s) + plate_image[j, i + 1, c] * s
                low = plate_image[j + 1, i, c] * (1 - s) + plate_image[j + 1, i + 1, c] * s
                value = (top * (1 - t) + low * t) / 255.0
                out[y, x, c] = 1.6 * value * value
                out[y, x, c] *= factor
    return out
