"""Things that stand in streets: cars, poles, bins, bushes, boards."""

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.figure import Figure, ellipsoid_rows

UP = np.array([0.0, 1.0, 0.0])
PAINTS = ((0.08, 0.08, 0.09), (0.75, 0.75, 0.76), (0.5, 0.5, 0.52), (0.9, 0.9, 0.9),
          (0.35, 0.06, 0.07), (0.10, 0.16, 0.35), (0.25, 0.27, 0.25), (0.55, 0.5, 0.4))  # fmt: skip

# along a car: position (half lengths), half width, bottom and top of body; cabin from index
HULL = np.array([
    [-1.00, 0.60, 0.36, 0.62], [-0.96, 0.80, 0.28, 0.80], [-0.75, 0.86, 0.22, 0.90],
    [-0.30, 0.88, 0.20, 0.92], [0.30, 0.88, 0.20, 0.90], [0.60, 0.87, 0.22, 0.82],
    [0.90, 0.82, 0.27, 0.70], [0.98, 0.70, 0.32, 0.60], [1.00, 0.50, 0.38, 0.54],
])  # fmt: skip
CABIN = np.array([
    [-0.86, 0.60, 0.88, 0.90], [-0.66, 0.68, 0.86, 1.36], [-0.30, 0.70, 0.86, 1.45],
    [0.02, 0.70, 0.86, 1.43], [0.24, 0.66, 0.84, 1.20], [0.42, 0.62, 0.80, 0.86],
])  # fmt: skip


def add_car(
    figure: Figure,
    x: float,
    z: float,
    *,
    yaw: float,
    paint: tuple[float, float, float],
    size: float = 1.0,
) -> None:
    """A parked car at (x, z), its nose in direction ``yaw`` (0: to the right)."""
    ahead = np.array([math.cos(yaw), 0.0, math.sin(yaw)])
    foot = np.array([x, 0.0, z])
    body = m.material(paint, kind=m.SOLID)
    body[m.SHINE], body[m.GLOSS] = 0.22, 18.0
    glass = m.material((0.14, 0.16, 0.18), kind=m.SOLID)
    glass[m.SHINE], glass[m.GLOSS] = 0.45, 20.0
    for table, row in ((HULL, body), (CABIN, glass)):
        rows = q.rows(len(table))
        rows[:, :3] = foot + np.outer(table[:, 0] * 2.15 * size, ahead)
        rows[:, 1] += (table[:, 2] + table[:, 3]) / 2 * size
        rows[:, q.WIDTH] = table[:, 1] * size
        rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = (table[:, 3] - table[:, 2]) / 2 * size
        rows[:, q.FRONT : q.FRONT + 3] = UP
        rows[:, q.POWER] = 3.6
        figure.tube(rows, figure.paint(row), rings=20, segments=18)
    roof = q.rows(3)
    roof[:, :3] = foot + np.outer(np.array([-0.56, -0.25, 0.02]) * 2.15 * size, ahead)
    roof[:, 1] += 1.42 * size
    roof[:, q.WIDTH], roof[:, q.DEPTH_FRONT], roof[:, q.DEPTH_BACK] = 0.60 * size, 0.05, 0.03
    roof[:, q.FRONT : q.FRONT + 3] = UP
    figure.tube(roof, figure.paint(body), rings=6, segments=12)
    _wheels(figure, foot, ahead, size)


def _wheels(figure: Figure, foot: np.ndarray, ahead: np.ndarray, size: float) -> None:
    side = np.array([-ahead[2], 0.0, ahead[0]])
    tyre = figure.paint(m.material((0.05, 0.05, 0.05), kind=m.SOLID))
    rim = figure.paint(m.material((0.5, 0.5, 0.5), kind=m.SOLID))
    for along in (-1.28, 1.32):
        for across in (-0.80, 0.80):
            hub = foot + ahead * along * size + side * across * size + UP * 0.31 * size
            for radius, thick, material in ((0.31, 0.11, tyre), (0.19, 0.125, rim)):
                half = (thick * size, radius * size, radius * size)
                figure.tube(
                    ellipsoid_rows(hub, side, UP, half, power=4.0, count=6), material,
                    rings=7, segments=14,
                )  # fmt: skip


def add_pole(
    figure: Figure,
    x: float,
    z: float,
    *,
    height: float,
    radius: float,
    colour: tuple[float, float, float],
) -> None:
    """A lamp post, sign post or bollard."""
    rows = q.rows(5)
    rows[:, 0], rows[:, 2] = x, z
    rows[:, 1] = np.array([0.0, 0.02, 0.1, 0.97, 1.0]) * height
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] = (
        np.array([1.5, 1.4, 1.0, 0.95, 0.1]).reshape(-1, 1) * radius
    )
    rows[:, q.ALONG] = rows[:, 1]
    row = m.material(colour, kind=m.SOLID)
    row[m.SHINE] = 0.1
    figure.tube(rows, figure.paint(row), rings=8, segments=10)


def add_bush(figure: Figure, x: float, z: float, radius: float, seed: int) -> None:
    """A round shrub or a planter's green."""
    row = m.material((0.17, 0.25, 0.11))
    row[m.SECOND : m.SECOND + 3] = m.linear((0.11, 0.17, 0.07))
    row[m.THIRD : m.THIRD + 3] = m.linear((0.25, 0.33, 0.16))
    row[m.PATTERN], row[m.SCALE] = m.CAMOUFLAGE, 0.022
    row[m.FOLD], row[m.FOLD_U], row[m.FOLD_V] = 1.6, 3.0, 3.0
    rows = ellipsoid_rows(
        np.array([x, 0.8 * radius, z]), UP, np.array([0.0, 0.0, 1.0]), (radius, radius, radius)
    )
    figure.tube(rows, figure.paint(row), rings=14, segments=18, wobble=0.14 * radius, phase=seed)


def add_bin(figure: Figure, x: float, z: float, colour: tuple[float, float, float]) -> None:
    """A litter bin or a small cabinet."""
    rows = q.rows(6)
    rows[:, 0], rows[:, 2] = x, z
    rows[:, 1] = [0.0, 0.03, 0.5, 0.92, 0.97, 1.0]
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] = np.array([0.2, 0.24, 0.26, 0.27, 0.27, 0.02]).reshape(
        -1, 1
    )
    rows[:, q.POWER] = 4.0
    figure.tube(rows, figure.paint(m.material(colour, kind=m.SOLID)), rings=9, segments=12)


def add_board(
    figure: Figure,
    x: float,
    z: float,
    *,
    yaw: float,
    half: tuple[float, float, float],
    lift: float,
    colour: tuple[float, float, float],
    seed: int,
) -> None:
    """A box with flat sides: a sign, an advertising board, a bench's seat, a cabinet."""
    rows = q.rows(6)
    rows[:, 0], rows[:, 2] = x, z
    rows[:, 1] = lift + half[0] * np.array([-1.0, -0.99, -0.9, 0.9, 0.99, 1.0]) + half[0]
    shape = np.array([0.02, 1.0, 1.0, 1.0, 1.0, 0.02])
    rows[:, q.WIDTH] = half[1] * shape
    rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = half[2] * shape
    rows[:, q.FRONT], rows[:, q.FRONT + 2] = math.sin(yaw), -math.cos(yaw)
    rows[:, q.POWER] = 12.0
    rows[:, q.ALONG] = rows[:, 1]
    row = m.material(colour)
    row[m.LOGO], row[m.LOGO_SEED] = 1 + seed % 3, seed
    row[m.LOGO_V], row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = lift + half[0], 1.4 * half[1], half[0]
    row[m.INK : m.INK + 3] = m.linear(PAINTS[(seed + 3) % len(PAINTS)])
    figure.tube(rows, figure.paint(row), rings=8, segments=20)
