"""Bags, umbrellas, telephones and what is pushed."""

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance, Carried
from passerby.simulate.figure import Figure, ellipsoid_rows, straight_rows
from passerby.simulate.pose import Pose

UP = np.array([0.0, 1.0, 0.0])


def _stuff(thing: Carried, *, shine: float = 0.04, folds: float = 0.4) -> np.ndarray:
    row = m.material(thing.colour)
    row[m.SECOND : m.SECOND + 3] = m.linear(thing.second)
    row[m.THIRD : m.THIRD + 3] = m.linear(thing.colour) * 0.6
    row[m.SHINE], row[m.FOLD] = shine, folds
    row[m.SEED] = thing.seed % 83
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
    sides = (half[1] * shape * narrow, half[2] * shape * narrow)
    out = straight_rows(centre, up, front, levels * half[0], sides, power=power)
    out[:, q.FOLD] = 1.0
    return out


def _string(figure: Figure, points: list[np.ndarray], material: int, radius: float) -> None:
    """A thin strap or handle through points."""
    rows = q.rows(len(points))
    rows[:, :3] = np.stack(points)
    rows[:, q.WIDTH : q.DEPTH_BACK + 1] = radius
    rows[:, q.FRONT : q.FRONT + 3] = [0.3, 0.1, 0.95]
    figure.tube(rows, material, rings=3 * len(points), segments=6)


def _backpack(figure: Figure, thing: Carried, pose: Pose, air: float) -> None:
    body = pose.body
    front = pose.trunk_front(0.6)
    tall, wide, deep = (0.31 * body.trunk_length * thing.size, 0.082 * body.stature * thing.size,
                        0.046 * body.stature * thing.size)  # fmt: skip
    back = float(body.trunk_at(0.62)[2]) + 0.8 * air
    up = pose.trunk_point(0.85) - pose.trunk_point(0.3)
    up = up / math.sqrt(float(np.sum(up * up)))
    centre = pose.trunk_point(0.58) - front * (back + deep * 0.62)
    row = _stuff(thing)
    if thing.seed % 2:
        row[m.PATTERN], row[m.SPLIT], row[m.SCALE] = m.BLOCK, (thing.seed % 9 - 4) * 0.02, 0.04
    rows = _box(centre, up, front, (tall, wide, deep), taper=0.82, power=3.0)
    rows[:, q.DEPTH_BACK] *= np.interp(rows[:, q.ALONG], [-tall, 0, tall], [1.15, 1.0, 0.75])
    figure.tube(rows, figure.paint(row), rings=14, segments=20, wobble=0.008, phase=thing.seed)
    pocket = row.copy()
    pocket[:3] = row[3:6] if thing.seed % 3 == 0 else row[:3] * 0.85
    pocket[m.PATTERN] = m.PLAIN
    low = centre - up * tall * 0.40 - front * deep * 0.75
    figure.tube(
        _box(low, up, front, (tall * 0.42, wide * 0.76, deep * 0.55), power=3.0),
        figure.paint(pocket), rings=8, segments=14, wobble=0.004,
    )  # fmt: skip


def _hip_bag(figure: Figure, thing: Carried, pose: Pose, air: float) -> None:
    """The pouch of a cross-body, shoulder or waist bag, with its strap where it is not painted."""
    body = pose.body
    side = thing.side
    height = {"cross bag": 0.02, "shoulder bag": 0.22, "waist bag": 0.18}[thing.kind]
    front = pose.trunk_front(height)
    right = np.array([front[2], 0.0, -front[0]])
    width = float(body.trunk_at(height)[0]) + air
    size = thing.size
    if thing.kind == "waist bag":
        depth = float(body.trunk_at(height)[1]) + air
        centre = pose.trunk_point(height) + front * (depth + 0.03)
        rows = _box(centre, UP, front, (0.065 * size, 0.125 * size, 0.045), power=2.6)
        figure.tube(rows, figure.paint(_stuff(thing)), rings=9, segments=14)
        return
    centre = pose.trunk_point(height) + right * side * (width + 0.05) - front * 0.03
    centre = centre - UP * 0.04
    rows = _box(centre, UP, right, (0.12 * size, 0.15 * size, 0.05 * size), taper=0.9, power=3.0)
    row = _stuff(thing, shine=0.10)
    material = figure.paint(row)
    figure.tube(rows, material, rings=10, segments=16, wobble=0.004, phase=thing.seed)
    if thing.kind == "shoulder bag":
        top = pose.trunk_point(body.shoulder + 0.07) + right * side * body.shoulder_half * 0.86
        top = top + UP * (0.012 * body.stature + air)
        for ahead in (-1, 1):
            end = centre + UP * 0.11 * size + front * ahead * 0.11 * size
            middle = (top + end) / 2 + right * side * 0.02 + front * ahead * (0.05 + air)
            _string(figure, [top, middle, end], material, 0.009)


def _hand_bag(figure: Figure, thing: Carried, pose: Pose) -> None:
    """Something that hangs from a hand: bag, tote, briefcase or a carrier bag."""
    arm = pose.arms[(thing.side + 1) // 2]
    grip = arm.end + pose.body.hand * 0.75 * arm.tip
    size = thing.size
    half, gap, power, folds = {
        "hand bag": ((0.11, 0.16, 0.06), 0.10, 3.0, 0.3),
        "shopping bag": ((0.17, 0.15, 0.06), 0.12, 3.0, 0.7),
        "tote": ((0.18, 0.17, 0.05), 0.18, 3.4, 0.5),
        "briefcase": ((0.14, 0.20, 0.05), 0.05, 5.0, 0.15),
    }[thing.kind]
    half = (half[0] * size, half[1] * size, half[2] * size)
    centre = grip - UP * (half[0] + gap)
    front = np.array([float(thing.side), 0.0, 0.12])
    row = _stuff(thing, folds=folds, shine=0.08 if thing.kind != "tote" else 0.0)
    if thing.kind in ("shopping bag", "tote") and thing.seed % 2:
        row[m.LOGO], row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT] = 1 + thing.seed % 3, 0.16, 0.14
        row[m.LOGO_SEED] = thing.seed % 89
        row[m.INK : m.INK + 3] = row[3:6]
    taper = 0.85 if thing.kind == "hand bag" else 1.0
    rows = _box(centre, UP, front, half, taper=taper, power=power)
    material = figure.paint(row)
    figure.tube(rows, material, rings=10, segments=16, wobble=0.012 * folds, phase=thing.seed)
    for ahead in (-1.0, 1.0):
        end = centre + UP * half[0] * 0.93 + np.array([0.0, 0.0, ahead * half[1] * 0.55])
        _string(figure, [grip, (grip + end) / 2 + [0, 0, ahead * 0.02], end], material, 0.006)


def _suitcase(figure: Figure, thing: Carried, pose: Pose) -> None:
    arm = pose.arms[(thing.side + 1) // 2]
    grip = arm.end + pose.body.hand * 0.7 * arm.tip
    size = thing.size
    tall = 0.27 * size
    foot = np.array([grip[0] + 0.04 * thing.side, 0.06, grip[2] - 0.30])
    up = grip - foot
    reach = math.sqrt(float(np.sum(up * up)))
    up = up / reach
    front = np.array([0.0, up[2], -up[1]])
    row = _stuff(thing, shine=0.16, folds=0.0)
    row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.06, 0.2
    row[3:6] = row[:3] * 0.7
    rows = _box(foot + up * tall, up, front, (tall, 0.20 * size, 0.12 * size), power=5.0)
    figure.tube(rows, figure.paint(row), rings=12, segments=18)
    metal = figure.paint(m.material((0.45, 0.45, 0.47), kind=m.SOLID))
    across = np.array([1.0, 0.0, 0.0])
    for side in (-0.08, 0.08):
        _string(figure, [foot + up * 2 * tall + across * side, grip + across * side], metal, 0.008)
    wheel = figure.paint(m.material((0.05, 0.05, 0.05), kind=m.SOLID))
    for side in (-0.16, 0.16):
        centre = foot + across * side - np.array([0.0, 0.03, 0.0])
        figure.tube(
            ellipsoid_rows(centre, across, UP, (0.02, 0.035, 0.035)), wheel, rings=5, segments=8
        )


def _umbrella(figure: Figure, thing: Carried, pose: Pose) -> None:
    arm = pose.arms[(thing.side + 1) // 2]
    grip = arm.end + pose.body.hand * 0.5 * arm.tip
    tilt = np.array([-0.10 * thing.side, 0.985, 0.10])
    top = grip + tilt * 0.62
    pole = figure.paint(m.material((0.25, 0.25, 0.26), kind=m.SOLID))
    _string(figure, [grip - tilt * 0.12, top + tilt * 0.05], pole, 0.008)
    row = _stuff(thing, shine=0.08, folds=0.12)
    row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.38, 0.5
    levels = np.array([0.0, 0.25, 0.5, 0.72, 0.9, 1.0])
    rows = q.rows(len(levels))
    radius = 0.50 * thing.size
    rows[:, :3] = top - np.outer(0.24 * levels**2.2, tilt)
    rows[:, q.WIDTH] = radius * levels + 0.004
    rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = radius * levels + 0.004
    rows[:, q.ALONG] = levels
    figure.tube(rows, figure.paint(row), rings=10, segments=24)


def _phone(figure: Figure, pose: Pose, index: int, calling: bool) -> None:
    arm = pose.arms[index]
    hand = arm.end + pose.body.hand * 0.75 * arm.tip
    row = m.material((0.04, 0.04, 0.05), kind=m.SOLID)
    row[m.SHINE] = 0.3
    up = np.array([0.0, 0.95, 0.3]) if calling else np.array([0.0, 0.6, 0.8])
    rows = _box(hand + 0.03 * UP, up, arm.front_lower, (0.075, 0.036, 0.006), power=5.0)
    figure.tube(rows, figure.paint(row), rings=8, segments=8)


def _trolley(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """A pushchair in front of someone with the pose "push"."""
    middle = (pose.arms[0].end + pose.arms[1].end) / 2
    colour = m.material(appearance.headgear_second)
    colour[m.FOLD] = 0.4
    frame = figure.paint(m.material((0.16, 0.16, 0.17), kind=m.SOLID))
    ahead = np.array([0.0, 0.0, 1.0])
    across = np.array([1.0, 0.0, 0.0])
    seat = np.array([middle[0], 0.55, middle[2] + 0.42])
    body = _box(seat, np.array([0.0, 0.93, -0.36]), ahead, (0.27, 0.20, 0.16), power=3.0)
    figure.tube(body, figure.paint(colour), rings=10, segments=16, wobble=0.008)
    wheel = figure.paint(m.material((0.05, 0.05, 0.05), kind=m.SOLID))
    for side in (-0.22, 0.22):
        _string(figure, [middle + across * side, seat + across * side - UP * 0.30], frame, 0.012)
        for reach in (-0.18, 0.30):
            hub = np.array([seat[0] + side, 0.11, seat[2] + reach])
            figure.tube(
                ellipsoid_rows(hub, across, UP, (0.022, 0.11, 0.11)), wheel, rings=5, segments=12
            )
            _string(figure, [seat + across * side - UP * 0.2, hub], frame, 0.010)


def carry(figure: Figure, appearance: Appearance, pose: Pose, name: str, air: float) -> None:
    """Add everything a person carries; ``air`` is the thickness of their clothes, metres."""
    for thing in appearance.carried:
        if thing.kind == "backpack":
            _backpack(figure, thing, pose, air)
        elif thing.kind in ("cross bag", "shoulder bag", "waist bag"):
            _hip_bag(figure, thing, pose, air)
        elif name == "push":
            continue
        elif thing.kind == "suitcase":
            _suitcase(figure, thing, pose)
        else:
            _hand_bag(figure, thing, pose)
    if appearance.umbrella is not None:
        _umbrella(figure, appearance.umbrella, pose)
    if name == "phone":
        _phone(figure, pose, 1, False)
    elif name == "call":
        _phone(figure, pose, 1 if appearance.seed % 2 else 0, True)
    elif name == "push":
        _trolley(figure, appearance, pose)
