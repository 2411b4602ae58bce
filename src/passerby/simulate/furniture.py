"""What is put up in a camera's scene: parked cars, lamp posts, signs, benches, railings, shrubs."""

import math
from collections.abc import Callable

import numpy as np

from passerby.simulate import ground as g
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.figure import Figure
from passerby.simulate.sensor import Sensor
from passerby.simulate.things import PAINTS, UP, add_bin, add_board, add_bush, add_car, add_pole

WOOD, STEEL = (0.42, 0.30, 0.20), (0.35, 0.36, 0.37)
Place = Callable[[float, float], tuple[float, float]]


def furnish(sensor: Sensor, scene: np.ndarray) -> Figure | None:
    """Cars along the kerb, poles, bushes and bins of a camera's scene; None where it is bare."""
    rng = np.random.default_rng([sensor.scene_seed, 11])
    figure = Figure(finesse=0.9)
    c, s = math.cos(scene[g.YAW]), math.sin(scene[g.YAW])
    wall = float(scene[g.WALL_AT])

    def place(a: float, n: float) -> tuple[float, float]:
        return a * c - n * s, a * s + n * c

    if scene[g.ROAD] > 0 and rng.random() < 0.7 and sensor.scene in ("street", "crossing"):
        _park_cars(figure, scene, place, rng)
    for _ in range(int(rng.integers(2, 9))):
        x, z = place(0.45 * wall * rng.standard_normal(), wall * (0.6 + 0.38 * rng.random()))
        if z > 3:
            _small_thing(figure, rng, (x, z), float(scene[g.YAW]))
    if rng.random() < 0.25:
        _railing(figure, [place(a, wall * 0.9) for a in np.arange(-12.0, 12.0, 1.5)])
    if sensor.scene in ("park", "plaza", "street"):
        for k in range(int(rng.integers(0, 5))):
            x, z = place(8 * rng.standard_normal(), wall * (0.85 + 0.13 * rng.random()))
            add_bush(figure, x, z, 0.4 + 0.5 * rng.random(), k)
    return figure if figure.triangle_count else None


def _park_cars(figure: Figure, scene: np.ndarray, place: Place, rng: np.random.Generator) -> None:
    lane = min(float(scene[g.ROAD_TO]) - 1.2, float(scene[g.WALL_AT]) - 2.0)
    along = -16 + 5 * rng.random()
    while along < 16:
        paint = PAINTS[int(rng.integers(len(PAINTS)))]
        clear = scene[g.CROSSING] == 0 or abs(along - scene[g.CROSSING_AT]) > 5
        x, z = place(along, lane)
        if rng.random() < 0.65 and clear and z > 4:
            yaw = float(scene[g.YAW]) + math.pi * (rng.random() < 0.3)
            add_car(figure, x, z, yaw=yaw, paint=paint)
        along += 5.2 + 1.5 * rng.random()


def _small_thing(
    figure: Figure, rng: np.random.Generator, at: tuple[float, float], yaw: float
) -> None:
    kind, seed = int(rng.integers(6)), int(rng.integers(90))
    paint = PAINTS[int(rng.integers(len(PAINTS)))]
    grey = float(0.15 + 0.3 * rng.random())
    x, z = at
    if kind <= 1:
        tall, radius = 2.5 + 4 * rng.random(), 0.05 + 0.05 * rng.random()
        add_pole(figure, x, z, height=tall, radius=radius, colour=(grey, grey, grey))
    elif kind == 2:
        add_bin(figure, x, z, paint)
    elif kind == 3:  # an advertising board on the ground
        half = (0.5, 0.3, 0.04)
        add_board(figure, x, z, yaw=yaw, half=half, lift=0.05, colour=paint, seed=seed)
    elif kind == 4:  # a bench
        seat, back = (0.04, 0.8, 0.22), (0.16, 0.8, 0.02)
        add_board(figure, x, z, yaw=yaw, half=seat, lift=0.42, colour=WOOD, seed=1)
        add_board(figure, x, z + 0.2, yaw=yaw, half=back, lift=0.55, colour=WOOD, seed=1)
    else:  # a sign on a pole
        half = (0.25, 0.25, 0.015)
        add_pole(figure, x, z, height=2.3, radius=0.03, colour=STEEL)
        add_board(figure, x, z - 0.04, yaw=yaw, half=half, lift=1.9, colour=paint, seed=seed)


def _railing(figure: Figure, posts: list[tuple[float, float]]) -> None:
    for x, z in posts:
        if z > 3:
            add_pole(figure, x, z, height=1.05, radius=0.022, colour=STEEL)
    rail = figure.paint(m.material(STEEL, kind=m.SOLID))
    for level in (0.45, 0.98):
        rows = q.rows(len(posts))
        rows[:, 0], rows[:, 2] = np.array(posts).T
        rows[:, 1] = level
        rows[:, q.WIDTH : q.DEPTH_BACK + 1] = 0.02
        rows[:, q.FRONT : q.FRONT + 3] = UP
        figure.tube(rows, rail, rings=len(posts), segments=6)
