"""Bags, umbrellas and telephones."""

import math

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.body import Pose
from passerby.simulate.lofts import ellipsoid_rows
from passerby.simulate.mesh import Figure
from passerby.simulate.wardrobe import Appearance, Carried

UP = np.array([0.0, 1.0, 0.0])
# half height, width and depth, gap below the hand (m), exponent, folds, shine, narrowing
HAND_BAGS: dict[str, list[float]] = data_file("bodies")["hand_bags"]


def _material(thing: Carried, *, shine: float = 0.04, fold: float = 0.4) -> np.ndarray:
    row = m.material(
        thing.colour, second=thing.second, shine=shine, fold=fold, seed=thing.seed % 83
    )
    row[m.THIRD : m.THIRD + 3] = m.linear(thing.colour) * 0.6
    return row


def _box(
    centre: np.ndarray,
    up: np.ndarray,
    front: np.ndarray,
    half: tuple[float, float, float],
    *,
    taper: float = 1.0,
    power: float = 4.0,
) -> np.ndarray:
    """Rows of a rounded box: half height, width and depth; ``taper`` narrows the top."""
    levels = np.array([-1.0, -0.98, -0.86, -0.4, 0.3, 0.8, 0.96, 1.0])
    shape = np.array([0.02, 0.80, 0.97, 1.0, 1.0, 0.95, 0.78, 0.02])
    narrow = 1 + (taper - 1) * (levels + 1) / 2
    return q.rows(
        len(levels), centre=centre + np.outer(levels * half[0], up), front=front,
        width=half[1] * shape * narrow, depth=half[2] * shape * narrow, power=power,
        along=levels * half[0], fold=1.0,
    )  # fmt: skip


def _string(
    figure: Figure, points: list[np.ndarray], material: int | np.ndarray, radius: float
) -> None:
    """A thin strap or handle through points."""
    rows = q.rows(len(points), centre=points, front=(0.3, 0.1, 0.95), width=radius, depth=radius)
    figure.tube(rows, material, rings=3 * len(points), segments=6)


def _backpack(figure: Figure, thing: Carried, pose: Pose, air: float) -> None:
    body = pose.body
    front, _ = pose.trunk_axes(0.6)
    tall, wide, deep = (0.31 * body.trunk_length * thing.size, 0.082 * body.stature * thing.size,
                        0.046 * body.stature * thing.size)  # fmt: skip
    back = float(body.trunk_at(0.62)[2]) + 0.8 * air
    up = pose.trunk_point(0.85) - pose.trunk_point(0.3)
    up = up / math.sqrt(float(np.sum(up * up)))
    centre = pose.trunk_point(0.58) - front * (back + deep * 0.62)
    row = _material(thing)
    if thing.seed % 2:
        row[m.PATTERN], row[m.SPLIT], row[m.SCALE] = m.BLOCK, (thing.seed % 9 - 4) * 0.02, 0.04
    rows = _box(centre, up, front, (tall, wide, deep), taper=0.82, power=3.0)
    rows[:, q.DEPTH_BACK] *= np.interp(rows[:, q.ALONG], [-tall, 0, tall], [1.15, 1.0, 0.75])
    figure.tube(rows, row, rings=14, segments=20, wobble=0.008, phase=thing.seed)
    pocket = row.copy()
    pocket[:3] = row[3:6] if thing.seed % 3 == 0 else row[:3] * 0.85
    pocket[m.PATTERN] = m.PLAIN
    low = centre - up * tall * 0.40 - front * deep * 0.75
    rows = _box(low, up, front, (tall * 0.42, wide * 0.76, deep * 0.55), power=3.0)
    figure.tube(rows, pocket, rings=8, segments=14, wobble=0.004)


def _hip_bag(figure: Figure, thing: Carried, pose: Pose, air: float) -> None:
    """The pouch of a cross-body, shoulder or waist bag, with its strap where it is not painted."""
    body, size = pose.body, thing.size
    height = {"cross bag": 0.02, "shoulder bag": 0.22, "waist bag": 0.18}[thing.kind]
    front, right = pose.trunk_axes(height)
    width, depth, _ = body.trunk_at(height) + air
    if thing.kind == "waist bag":
        centre = pose.trunk_point(height) + front * (depth + 0.03)
        rows = _box(centre, UP, front, (0.065 * size, 0.125 * size, 0.045), power=2.6)
        figure.tube(rows, _material(thing), rings=9, segments=14)
        return
    outward = right * thing.side
    centre = pose.trunk_point(height) + outward * (width + 0.05) - front * 0.03 - UP * 0.04
    rows = _box(centre, UP, right, (0.12 * size, 0.15 * size, 0.05 * size), taper=0.9, power=3.0)
    material = figure.paint(_material(thing, shine=0.10))
    figure.tube(rows, material, rings=10, segments=16, wobble=0.004, phase=thing.seed)
    if thing.kind == "shoulder bag":
        top = pose.trunk_point(body.shoulder + 0.07) + outward * body.shoulder_half * 0.86
        top = top + UP * (0.012 * body.stature + air)
        for ahead in (-1, 1):
            end = centre + UP * 0.11 * size + front * ahead * 0.11 * size
            middle = (top + end) / 2 + outward * 0.02 + front * ahead * (0.05 + air)
            _string(figure, [top, middle, end], material, 0.009)


def _grip(thing: Carried, pose: Pose, share: float) -> np.ndarray:
    """A point of the hand that holds a thing: 0 the wrist, 1 the finger tips."""
    arm = pose.arms[(thing.side + 1) // 2]
    return arm.end + pose.body.hand * share * arm.tip


def _hand_bag(figure: Figure, thing: Carried, pose: Pose) -> None:
    """Something that hangs from a hand: bag, tote, briefcase or a carrier bag."""
    grip = _grip(thing, pose, 0.75)
    tall, wide, deep, gap, power, fold, shine, taper = HAND_BAGS[thing.kind]
    half = (tall * thing.size, wide * thing.size, deep * thing.size)
    centre = grip - UP * (half[0] + gap)
    row = _material(thing, fold=fold, shine=shine)
    if thing.kind in ("shopping bag", "tote") and thing.seed % 2:
        row[m.LOGO], row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = 1 + thing.seed % 3, 0.16, 0.14
        row[m.LOGO_SEED] = thing.seed % 89
        row[m.INK : m.INK + 3] = row[3:6]
    front = np.array([float(thing.side), 0.0, 0.12])
    rows = _box(centre, UP, front, half, taper=taper, power=power)
    material = figure.paint(row)
    figure.tube(rows, material, rings=10, segments=16, wobble=0.012 * fold, phase=thing.seed)
    for ahead in (-1.0, 1.0):
        end = centre + UP * half[0] * 0.93 + np.array([0.0, 0.0, ahead * half[1] * 0.55])
        _string(figure, [grip, (grip + end) / 2 + [0, 0, ahead * 0.02], end], material, 0.006)


def _suitcase(figure: Figure, thing: Carried, pose: Pose) -> None:
    grip, size = _grip(thing, pose, 0.7), thing.size
    tall = 0.27 * size
    foot = np.array([grip[0] + 0.04 * thing.side, 0.06, grip[2] - 0.30])
    up = grip - foot
    up = up / math.sqrt(float(np.sum(up * up)))
    row = _material(thing, shine=0.16, fold=0.0)
    row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.06, 0.2
    row[3:6] = row[:3] * 0.7
    front = np.array([0.0, up[2], -up[1]])
    rows = _box(foot + up * tall, up, front, (tall, 0.20 * size, 0.12 * size), power=5.0)
    figure.tube(rows, row, rings=12, segments=18)
    metal = figure.paint(m.material((0.45, 0.45, 0.47), kind=m.SOLID))
    wheel = figure.paint(m.material((0.05, 0.05, 0.05), kind=m.SOLID))
    across = np.array([1.0, 0.0, 0.0])
    for side in (-0.08, 0.08):
        _string(figure, [foot + up * 2 * tall + across * side, grip + across * side], metal, 0.008)
        centre = foot + across * (2 * side) - np.array([0.0, 0.03, 0.0])
        rows = ellipsoid_rows(centre, across, UP, (0.02, 0.035, 0.035))
        figure.tube(rows, wheel, rings=5, segments=8)


def _umbrella(figure: Figure, thing: Carried, pose: Pose) -> None:
    grip = _grip(thing, pose, 0.5)
    tilt = np.array([-0.10 * thing.side, 0.985, 0.10])
    top = grip + tilt * 0.62
    pole = m.material((0.25, 0.25, 0.26), kind=m.SOLID)
    _string(figure, [grip - tilt * 0.12, top + tilt * 0.05], pole, 0.008)
    row = _material(thing, shine=0.08, fold=0.12)
    row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.38, 0.5
    levels = np.array([0.0, 0.25, 0.5, 0.72, 0.9, 1.0])
    radius = 0.50 * thing.size * levels + 0.004
    centre = top - np.outer(0.24 * levels**2.2, tilt)
    rows = q.rows(len(levels), centre=centre, width=radius, depth=radius, along=levels)
    figure.tube(rows, row, rings=10, segments=24)


def _phone(figure: Figure, pose: Pose, index: int, up: tuple[float, float, float]) -> None:
    arm = pose.arms[index]
    hand = arm.end + pose.body.hand * 0.75 * arm.tip
    half = (0.075, 0.036, 0.006)
    rows = _box(hand + 0.03 * UP, np.array(up), arm.front_lower, half, power=5.0)
    row = m.material((0.04, 0.04, 0.05), kind=m.SOLID, shine=0.3)
    figure.tube(rows, row, rings=8, segments=8)


def carry(figure: Figure, appearance: Appearance, pose: Pose, name: str, air: float) -> None:
    """Add everything a person carries.

    Args:
        figure: collects the surfaces.
        appearance: the person.
        pose: the posed skeleton.
        name: one of ``body.POSES``; two of them hold a telephone.
        air: thickness of the clothes, metres.
    """
    for thing in appearance.carried:
        if thing.kind == "backpack":
            _backpack(figure, thing, pose, air)
        elif thing.kind in ("cross bag", "shoulder bag", "waist bag"):
            _hip_bag(figure, thing, pose, air)
        elif thing.kind == "suitcase":
            _suitcase(figure, thing, pose)
        else:
            _hand_bag(figure, thing, pose)
    if appearance.umbrella is not None:
        _umbrella(figure, appearance.umbrella, pose)
    if name == "phone":
        _phone(figure, pose, 1, (0.0, 0.6, 0.8))
    elif name == "call":
        _phone(figure, pose, 1 if appearance.seed % 2 else 0, (0.0, 0.95, 0.3))
