"""Things in streets: cars, poles, bins, bushes, boards; where they stand and what they hide."""

import math
from collections.abc import Callable

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import ground as g
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.lofts import ellipsoid_rows
from passerby.simulate.materials import Colour
from passerby.simulate.mesh import Figure
from passerby.simulate.sensor import Sensor

UP = np.array([0.0, 1.0, 0.0])
WOOD, STEEL = (0.42, 0.30, 0.20), (0.35, 0.36, 0.37)
DATA = data_file("scenes")
PAINTS: list[Colour] = [(r, g, b) for r, g, b in DATA["paints"]]
# along a car: position (half lengths), half width, bottom and top
HULL, CABIN = np.array(DATA["car_hull"]), np.array(DATA["car_cabin"])
Spot = Callable[[float, float], tuple[float, float]]


def _paint(rng: np.random.Generator) -> Colour:
    return PAINTS[int(rng.integers(len(PAINTS)))]


def _add_car(figure: Figure, x: float, z: float, *, yaw: float, paint: Colour) -> None:
    """A parked car at (x, z), its nose in direction ``yaw`` (0: to the right)."""
    ahead = np.array([math.cos(yaw), 0.0, math.sin(yaw)])
    foot = np.array([x, 0.0, z])
    body = figure.paint(m.material(paint, kind=m.SOLID, shine=0.22, gloss=18.0))
    glass = figure.paint(m.material((0.14, 0.16, 0.18), kind=m.SOLID, shine=0.45, gloss=20.0))
    for table, material in ((HULL, body), (CABIN, glass)):
        at, half, low, top = table.T
        rows = q.rows(
            len(table), centre=foot + np.outer(at * 2.15, ahead), front=UP, width=half,
            depth=(top - low) / 2, power=3.6,
        )  # fmt: skip
        rows[:, 1] += (low + top) / 2
        figure.tube(rows, material, rings=20, segments=18)
    centre = foot + np.outer(np.array([-0.56, -0.25, 0.02]) * 2.15, ahead)
    roof = q.rows(3, centre=centre, front=UP, width=0.60, depth=0.05)
    roof[:, 1] += 1.42
    roof[:, q.DEPTH_BACK] = 0.03
    figure.tube(roof, body, rings=6, segments=12)
    side = np.array([-ahead[2], 0.0, ahead[0]])
    tyre = figure.paint(m.material((0.05, 0.05, 0.05), kind=m.SOLID))
    rim = figure.paint(m.material((0.5, 0.5, 0.5), kind=m.SOLID))
    for along in (-1.28, 1.32):
        for across in (-0.80, 0.80):
            hub = foot + ahead * along + side * across + UP * 0.31
            for radius, thick, material in ((0.31, 0.11, tyre), (0.19, 0.125, rim)):
                half = (thick, radius, radius)
                rows = ellipsoid_rows(hub, side, UP, half, power=4.0, count=6)
                figure.tube(rows, material, rings=7, segments=14)


def _upright(x: float, z: float, levels: np.ndarray) -> np.ndarray:
    """(K, 3) places above (x, z) at heights (K,) in metres."""
    return np.array([x, 0.0, z]) + np.outer(levels, UP)


def _add_pole(
    figure: Figure, x: float, z: float, *, height: float, radius: float, colour: Colour
) -> None:
    """A lamp post, sign post or bollard."""
    levels = np.array([0.0, 0.02, 0.1, 0.97, 1.0]) * height
    thick = np.array([1.5, 1.4, 1.0, 0.95, 0.1]) * radius
    rows = q.rows(5, centre=_upright(x, z, levels), width=thick, depth=thick)
    figure.tube(rows, m.material(colour, kind=m.SOLID, shine=0.1), rings=8, segments=10)


def _add_bush(figure: Figure, x: float, z: float, radius: float, seed: int) -> None:
    """A round shrub or a planter's green."""
    row = m.material(
        (0.17, 0.25, 0.11), second=(0.11, 0.17, 0.07), third=(0.25, 0.33, 0.16),
        pattern=m.CAMOUFLAGE, scale=0.022, fold=1.6, folds=(3.0, 3.0),
    )  # fmt: skip
    centre, ahead = np.array([x, 0.8 * radius, z]), np.array([0.0, 0.0, 1.0])
    rows = ellipsoid_rows(centre, UP, ahead, (radius, radius, radius))
    figure.tube(rows, row, rings=14, segments=18, wobble=0.14 * radius, phase=seed)


def _add_bin(figure: Figure, x: float, z: float, colour: Colour) -> None:
    """A litter bin or a small cabinet."""
    levels = np.array([0.0, 0.03, 0.5, 0.92, 0.97, 1.0])
    thick = np.array([0.2, 0.24, 0.26, 0.27, 0.27, 0.02])
    rows = q.rows(6, centre=_upright(x, z, levels), width=thick, depth=thick, power=4.0)
    figure.tube(rows, m.material(colour, kind=m.SOLID), rings=9, segments=12)


def _add_board(
    figure: Figure,
    at: tuple[float, float],
    yaw: float,
    half: tuple[float, float, float],
    *,
    lift: float,
    colour: Colour,
    seed: int,
) -> None:
    """A box with flat sides: a sign, an advertising board, a bench's seat, a cabinet."""
    levels = lift + half[0] * np.array([-1.0, -0.99, -0.9, 0.9, 0.99, 1.0]) + half[0]
    shape = np.array([0.02, 1.0, 1.0, 1.0, 1.0, 0.02])
    rows = q.rows(
        6, centre=_upright(*at, levels), front=(math.sin(yaw), 0.0, -math.cos(yaw)),
        width=half[1] * shape, depth=half[2] * shape, power=12.0, along=levels,
    )  # fmt: skip
    row = m.material(colour)
    row[m.LOGO], row[m.LOGO_SEED] = 1 + seed % 3, seed
    row[m.LOGO_V], row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = lift + half[0], 1.4 * half[1], half[0]
    row[m.INK : m.INK + 3] = m.linear(PAINTS[(seed + 3) % len(PAINTS)])
    figure.tube(rows, row, rings=8, segments=20)


def furnish(sensor: Sensor, scene: np.ndarray) -> Figure:
    """Cars along the kerb, poles, bushes and bins of a camera's scene; empty where it is bare.

    Args:
        sensor: the camera.
        scene: numbers of the scene, see ``ground.PARAMETERS``.
    """
    rng = np.random.default_rng([sensor.scene_seed, 11])
    figure = Figure(finesse=0.9)
    yaw, wall = float(scene[g.YAW]), float(scene[g.WALL_AT])
    c, s = math.cos(yaw), math.sin(yaw)

    def place(a: float, n: float) -> tuple[float, float]:
        return a * c - n * s, a * s + n * c

    if scene[g.ROAD] > 0 and rng.random() < 0.7 and sensor.scene in ("street", "crossing"):
        _park_cars(figure, scene, place, rng)
    for _ in range(int(rng.integers(2, 9))):
        x, z = place(0.45 * wall * rng.standard_normal(), wall * (0.6 + 0.38 * rng.random()))
        if z > 3:
            _small_thing(figure, rng, (x, z), yaw)
    if rng.random() < 0.25:
        _railing(figure, [place(a, wall * 0.9) for a in np.arange(-12.0, 12.0, 1.5)])
    if sensor.scene in ("park", "plaza", "street"):
        for k in range(int(rng.integers(0, 5))):
            x, z = place(8 * rng.standard_normal(), wall * (0.85 + 0.13 * rng.random()))
            _add_bush(figure, x, z, 0.4 + 0.5 * rng.random(), k)
    return figure


def _park_cars(figure: Figure, scene: np.ndarray, place: Spot, rng: np.random.Generator) -> None:
    lane = min(float(scene[g.ROAD_TO]) - 1.2, float(scene[g.WALL_AT]) - 2.0)
    along = -16 + 5 * rng.random()
    while along < 16:
        paint = _paint(rng)
        clear = scene[g.CROSSING] == 0 or abs(along - scene[g.CROSSING_AT]) > 5
        x, z = place(along, lane)
        if rng.random() < 0.65 and clear and z > 4:
            yaw = float(scene[g.YAW]) + math.pi * (rng.random() < 0.3)
            _add_car(figure, x, z, yaw=yaw, paint=paint)
        along += 5.2 + 1.5 * rng.random()


def _small_thing(
    figure: Figure, rng: np.random.Generator, at: tuple[float, float], yaw: float
) -> None:
    kind, seed = int(rng.integers(6)), int(rng.integers(90))
    paint = _paint(rng)
    grey = float(0.15 + 0.3 * rng.random())
    x, z = at
    if kind <= 1:
        tall, radius = 2.5 + 4 * rng.random(), 0.05 + 0.05 * rng.random()
        _add_pole(figure, x, z, height=tall, radius=radius, colour=(grey, grey, grey))
    elif kind == 2:
        _add_bin(figure, x, z, paint)
    elif kind == 3:  # an advertising board on the ground
        _add_board(figure, at, yaw, (0.5, 0.3, 0.04), lift=0.05, colour=paint, seed=seed)
    elif kind == 4:  # a bench
        back = (x, z + 0.2)
        _add_board(figure, at, yaw, (0.04, 0.8, 0.22), lift=0.42, colour=WOOD, seed=1)
        _add_board(figure, back, yaw, (0.16, 0.8, 0.02), lift=0.55, colour=WOOD, seed=1)
    else:  # a sign on a pole
        sign = (x, z - 0.04)
        _add_pole(figure, x, z, height=2.3, radius=0.03, colour=STEEL)
        _add_board(figure, sign, yaw, (0.25, 0.25, 0.015), lift=1.9, colour=paint, seed=seed)


def _railing(figure: Figure, posts: list[tuple[float, float]]) -> None:
    for x, z in posts:
        if z > 3:
            _add_pole(figure, x, z, height=1.05, radius=0.022, colour=STEEL)
    rail = figure.paint(m.material(STEEL, kind=m.SOLID))
    for level in (0.45, 0.98):
        centre = [(x, level, z) for x, z in posts]
        rows = q.rows(len(posts), centre=centre, front=UP, width=0.02, depth=0.02)
        figure.tube(rows, rail, rings=len(posts), segments=6)


def add_occluder(figure: Figure, at: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Put a pole, bin, bush or car a little nearer the camera than a person.

    Args:
        figure: what the surfaces are added to.
        at: x and z of the person, metres.
        rng: draws the thing and its place.

    Returns:
        (1, 3) contact shadow: x, z, radius in metres.
    """
    nearer = 1 - (0.7 + 0.9 * rng.random()) / max(math.hypot(*at), 2.0)
    aside = 0.28 * float(rng.standard_normal())
    x, z = at[0] * nearer + aside, at[1] * nearer
    kind = int(rng.integers(5))
    paint = _paint(rng)
    if kind <= 1:
        radius = 0.04 + 0.06 * float(rng.random())
        shade = 2 * radius
        _add_pole(figure, x, z, height=4.0 if kind == 0 else 1.0, radius=radius, colour=paint)
    elif kind == 2:
        shade = 0.35
        _add_bin(figure, x, z, paint)
    elif kind == 3:
        shade = 0.5
        _add_bush(figure, x, z, 0.35 + 0.25 * float(rng.random()), int(rng.integers(50)))
    else:
        shade = 1.2
        z = max(min(z, at[1] - 1.5), 2.0)
        side = 1.0 if rng.random() < 0.5 else -1.0  # a bonnet, seldom the cabin, hides the legs
        x += side * (1.5 + 0.9 * float(rng.random()))
        yaw = math.pi * (side > 0) + 0.15 * float(rng.standard_normal())
        _add_car(figure, x, z, yaw=yaw, paint=paint)
    return np.array([[x, z, shade]])
