"""What stands behind the people: one fixed plate per camera, in the camera's true perspective."""

import math
from functools import lru_cache

import numpy as np

from passerby.simulate import ground as g
from passerby.simulate.furniture import furnish
from passerby.simulate.light import NO_SHADOW, shadow_axes
from passerby.simulate.materials import linear
from passerby.simulate.raster import Camera, project, rasterise, surface_values
from passerby.simulate.sensor import Sensor
from passerby.simulate.shade import contact_shade, shade_pixels
from passerby.simulate.textures import tiles

PLATE_WIDTHS = (480, 1120)  # a plate is as wide as the native frame, within these

GROUNDS = {"asphalt": g.ASPHALT, "slabs": g.SLABS, "bricks": g.BRICKS, "concrete": g.CONCRETE,
           "tiles": g.TILES, "grass": g.GRASS, "gravel": g.GRAVEL, "setts": g.SETTS}  # fmt: skip
WALLS = {"facade": g.FACADE, "shops": g.SHOPS, "plain": g.PLAIN_WALL, "hedge": g.HEDGE,
         "trees": g.TREES, "fence": g.FENCE, "panels": g.PANELS}  # fmt: skip
# scene: near grounds, whether a road lies across, walls, whether there is a ceiling
LAYOUTS: dict[str, tuple[tuple[str, ...], float, tuple[str, ...], bool]] = {
    "street": (
        ("slabs", "asphalt", "bricks", "concrete"),
        1.0,
        ("facade", "shops", "shops"),
        False,
    ),
    "plaza": (("slabs", "setts", "bricks", "concrete"), 0.0, ("facade", "shops", "plain"), False),
    "crossing": (("asphalt", "asphalt", "slabs"), 1.0, ("facade", "shops", "trees"), False),
    "park": (("gravel", "asphalt", "slabs"), 0.5, ("trees", "hedge", "fence"), False),
    "mall": (("tiles", "tiles", "concrete"), 0.0, ("shops", "panels"), True),
    "station": (("tiles", "concrete", "slabs"), 0.3, ("panels", "plain", "shops"), True),
    "garage": (("concrete", "asphalt"), 0.3, ("plain", "panels"), True),
    "wall": (("slabs", "tiles", "concrete", "asphalt"), 0.0, ("plain", "panels", "fence"), False),
}


ACCENTS = ((0.5, 0.12, 0.1), (0.15, 0.3, 0.5), (0.2, 0.36, 0.2), (0.75, 0.6, 0.2), (0.3, 0.3, 0.3))


def _tone(rng: np.random.Generator, low: float, high: float, tint: float) -> np.ndarray:
    """A greyish linear colour."""
    base = low + (high - low) * rng.random()
    shift = tint * rng.standard_normal(3)
    warm = 0.4 * tint * rng.standard_normal()
    return np.clip(base * (1 + shift + warm * np.array([1.0, 0.1, -1.0])), 0.01, 0.9)


@lru_cache(maxsize=256)
def scene_vector(sensor: Sensor) -> np.ndarray:
    """All numbers of a camera's scene, drawn from its seed: what the kernel paints from."""
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
    p[g.DAPPLE] = float(open_air and rng.random() < 0.35)
    p[g.GLOSS] = 0.25 * rng.random() if p[g.CEILING] > 0 else 0.0
    return p


def _lay_ground(p: np.ndarray, scene: str, reach: float, rng: np.random.Generator) -> None:
    """Pavings, road, crossing and guiding band, in metres across the street."""
    near, road, _, _ = LAYOUTS[scene]
    p[g.NEAR] = GROUNDS[str(rng.choice(near))]
    p[g.FAR] = g.GRASS if scene == "park" else GROUNDS[str(rng.choice(near))]
    p[g.ROAD] = float(rng.random() < road)
    p[g.ROAD_FROM] = reach * (0.75 + 0.9 * rng.random()) if rng.random() < 0.7 else -50.0
    p[g.ROAD_TO] = p[g.ROAD_FROM] + 5 + 5 * rng.random() if p[g.ROAD_FROM] > -40 else 3 * reach
    p[g.CROSSING] = float(scene == "crossing" or rng.random() < 0.15)
    p[g.CROSSING_AT] = 4 * rng.standard_normal()
    p[g.BAND] = float(rng.random() < 0.25)
    p[g.BAND_AT] = reach * (0.6 + 0.7 * rng.random())
    p[g.UNIT] = 0.3 + 0.5 * rng.random()
    p[g.NEAR_COLOUR : g.NEAR_COLOUR + 3] = _tone(rng, 0.14, 0.48, 0.05)
    p[g.FAR_COLOUR : g.FAR_COLOUR + 3] = _tone(rng, 0.14, 0.42, 0.05)


def _build_walls(p: np.ndarray, scene: str, reach: float, rng: np.random.Generator) -> None:
    """What closes the view, at the back and at times on a side, and the ceiling indoors."""
    _, _, walls, ceiling = LAYOUTS[scene]
    p[g.WALL] = WALLS[str(rng.choice(walls))]
    p[g.WALL_AT] = reach * (1.12 + 0.95 * rng.random()) + 1.2
    if p[g.ROAD] > 0 and p[g.ROAD_FROM] > -40:
        p[g.WALL_AT] = max(p[g.WALL_AT], p[g.ROAD_TO] + 1.5 + 2 * rng.random())
    p[g.WALL_TOP] = 3.2 + 0.8 * rng.random() if ceiling else 6 + 12 * rng.random()
    if p[g.WALL] in (g.HEDGE, g.FENCE):
        p[g.WALL_TOP] = 1.4 + 0.8 * rng.random()
    p[g.SIDE] = float(rng.random() < 0.45)
    p[g.SIDE_AT] = (1 if rng.random() < 0.5 else -1) * reach * (0.5 + 0.7 * rng.random())
    p[g.CEILING] = p[g.WALL_TOP] if ceiling else 0.0
    p[g.BAY] = 1.8 + 2.2 * rng.random()
    p[g.WALL_COLOUR : g.WALL_COLOUR + 3] = _tone(rng, 0.15, 0.65, 0.11)
    p[g.ACCENT : g.ACCENT + 3] = linear(ACCENTS[int(rng.integers(len(ACCENTS)))])


def plate_scale(sensor: Sensor) -> float:
    """Plate pixels per native pixel."""
    low, high = PLATE_WIDTHS
    return min(max(sensor.frame[0], low), high) / sensor.frame[0]


def plate_camera(sensor: Sensor) -> tuple[Camera, int, int]:
    """The plate's camera, width and height."""
    scale = plate_scale(sensor)
    width, height = round(sensor.frame[0] * scale), round(sensor.frame[1] * scale)
    focal = sensor.focal * scale
    camera = Camera(
        height=sensor.height, tilt=sensor.tilt, focal_x=focal, focal_y=focal,
        centre_x=width / 2, centre_y=height / 2,
    )  # fmt: skip
    return camera, width, height


@lru_cache(maxsize=32)
def plate(sensor: Sensor) -> np.ndarray:
    """(h, w, 4) uint8: square-root coded linear light, and 255 where the ground is seen."""
    camera, width, height = plate_camera(sensor)
    vector, light = camera.vector(), sensor.light.vector()
    scene = scene_vector(sensor)
    cloth = tiles()
    image, depth = g.paint(scene, vector, light, cloth.noise, height, width)
    figure = furnish(sensor, scene)
    if figure is not None:
        vertices, triangles = figure.vertices, figure.triangles
        screen = project(vertices, vector)
        mask = np.ascontiguousarray(vertices[:, 12])
        visible, near = rasterise(screen, triangles, mask, height, width)
        visible[near > depth] = -1
        surface = surface_values(visible, screen, triangles, vertices, vector)
        axes = shadow_axes(sensor.light, np.zeros(3), 1.0)
        contact = contact_shade(near, visible, 5, 3.0)
        colours = shade_pixels(
            visible, near, surface, np.ascontiguousarray(surface[:, :, :3]), contact, triangles,
            figure.table, vector, light, NO_SHADOW, axes, cloth,
        )  # fmt: skip
        seen = visible >= 0
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
    a, n = x * c + z * s, -x * s + z * c
    across = a * math.cos(scene[g.SHADE_ANGLE])
    across += (n - 0.6 * scene[g.WALL_AT]) * math.sin(scene[g.SHADE_ANGLE])
    share = min(max((scene[g.SHADE_AT] - across) / 0.6 + 0.5, 0.0), 1.0)
    return float(share * (0.6 if scene[g.DAPPLE] > 0 else 1.0))
