"""What is worn on the head and around the neck."""

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance
from passerby.simulate.figure import Figure, ellipsoid_rows, trunk_rows
from passerby.simulate.head import Head, shell_rows
from passerby.simulate.pose import Pose

HAT_GROUP = 6
HIDES_HAIR = ("hood", "hijab", "turban")
FLATTENS_HAIR = ("cap", "beanie", "hat", "helmet")


def _fabric(appearance: Appearance, *, folds: float = 0.3, shine: float = 0.0) -> np.ndarray:
    row = m.material(appearance.headgear_colour, group=HAT_GROUP)
    row[m.SECOND : m.SECOND + 3] = m.linear(appearance.headgear_second)
    row[m.FOLD], row[m.SHINE] = folds, shine
    row[m.FOLD_U] = row[m.FOLD_V] = 3.0
    row[m.SEED] = appearance.seed % 71
    return row


def _crown(
    figure: Figure,
    head: Head,
    row: np.ndarray,
    *,
    low: float,
    thickness: float,
    rise: float,
    power: float = 2.1,
) -> None:
    """A cover of the skull above ``low`` (head units), its top raised by ``rise`` metres."""
    heights = np.array([low, low + 0.06, 0.72, 0.82, 0.92, 0.98, 1.0])
    heights = np.maximum.accumulate(heights)
    rows = shell_rows(head, heights, thickness, -1.0)
    up = np.clip((heights - 0.7) / 0.3, 0, 1) * rise
    rows[:, :3] += up.reshape(-1, 1) * head.up
    rows[:, q.POWER] = power
    figure.tube(rows, figure.paint(row), rings=13, segments=20, wobble=0.003)


def _brim(
    figure: Figure,
    head: Head,
    row: np.ndarray,
    *,
    level: float,
    front: float,
    back: float,
    side: float,
) -> None:
    """A flat brim: reach in front, behind and to the sides, metres."""
    rows = q.rows(3)
    for i, thick in enumerate((-0.004, 0.0, 0.006)):
        rows[i, :3] = head.point(0.0, level, 0.0) + thick * head.up
    rows[:, q.FRONT : q.FRONT + 3] = head.front
    scale = np.array([0.98, 1.0, 0.55])
    rows[:, q.WIDTH] = side * scale
    rows[:, q.DEPTH_FRONT], rows[:, q.DEPTH_BACK] = front * scale, back * scale
    rows[:, q.OCCLUSION] = [0.6, 0.9, 1.0]
    figure.tube(rows, figure.paint(row), rings=4, segments=22)


def _cap(figure: Figure, appearance: Appearance, head: Head) -> None:
    row = _fabric(appearance)
    _crown(figure, head, row, low=0.68, thickness=0.013, rise=0.010)
    visor = row.copy()
    visor[:3] = row[3:6]
    front, back = 1.95 * head.half_depth, 0.6 * head.half_depth
    if appearance.seed % 11 == 0:  # worn backwards
        front, back = back, front
    _brim(figure, head, visor, level=0.70, front=front, back=back, side=0.98 * head.half_width)


def _beanie(figure: Figure, appearance: Appearance, head: Head) -> None:
    row = _fabric(appearance, folds=0.2)
    row[m.FABRIC] = m.KNIT
    _crown(figure, head, row, low=0.60, thickness=0.016, rise=0.028)
    band = row.copy()
    if appearance.seed % 3 == 0:
        band[:3] = row[3:6]
    rows = shell_rows(head, np.array([0.60, 0.66, 0.72]), 0.022, -1.0)
    figure.tube(rows, figure.paint(band), rings=4, segments=20)
    if appearance.seed % 4 == 0:
        ball = ellipsoid_rows(head.point(0, 1.16, 0), head.up, head.front, (0.03, 0.032, 0.032))
        figure.tube(ball, figure.paint(band), rings=7, segments=10, wobble=0.004)


def _hat(figure: Figure, appearance: Appearance, head: Head) -> None:
    row = _fabric(appearance, folds=0.15)
    _crown(figure, head, row, low=0.70, thickness=0.012, rise=0.035, power=2.4)
    reach = 1.72 * head.half_depth
    _brim(figure, head, row, level=0.71, front=reach, back=reach, side=1.95 * head.half_width)
    ribbon = row.copy()
    ribbon[:3] = row[3:6]
    rows = shell_rows(head, np.array([0.71, 0.76]), 0.015, -1.0)
    figure.tube(rows, figure.paint(ribbon), rings=3, segments=18)


def _helmet(figure: Figure, appearance: Appearance, head: Head) -> None:
    row = _fabric(appearance, folds=0.0, shine=0.25)
    row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.10, 0.3
    _crown(figure, head, row, low=0.66, thickness=0.034, rise=0.012)


def _turban(figure: Figure, appearance: Appearance, head: Head) -> None:
    row = _fabric(appearance, folds=0.9)
    _crown(figure, head, row, low=0.60, thickness=0.036, rise=0.030)


def _hood(figure: Figure, appearance: Appearance, head: Head) -> None:
    """A hood over the head, of the outer garment's cloth."""
    garment = appearance.outer or appearance.inner
    row = m.material(garment.colour, group=HAT_GROUP)
    row[m.FOLD] = 0.5
    heights = np.array([-0.22, -0.05, 0.15, 0.35, 0.55, 0.75, 0.88, 0.96, 1.0])
    opening = np.array([0.25, 0.55, 0.88, 1.0, 1.02, 0.95, 0.65, -0.2, -1.0])
    rows = shell_rows(head, heights, 0.030, opening)
    _widen_low(rows, heights, head, 0.06)
    rows[:, q.DEPTH_FRONT] += 0.010
    figure.tube(rows, figure.paint(row), rings=18, segments=26, wobble=0.006)


def _hijab(figure: Figure, appearance: Appearance, head: Head) -> None:
    """A scarf around head and neck, falling on chest and shoulders."""
    row = _fabric(appearance, folds=0.8)
    row[m.FOLD_V] = 1.5
    heights = np.array([-0.85, -0.55, -0.25, -0.08, 0.06, 0.25, 0.45, 0.62, 0.76, 0.86, 0.95, 1.0])
    opening = np.array([-1, -1, -1, -0.5, 0.52, 0.80, 0.86, 0.82, 0.66, -0.2, -1, -1])
    rows = shell_rows(head, heights, 0.016, opening)
    _widen_low(rows, heights, head, 0.16)
    figure.tube(rows, figure.paint(row), rings=24, segments=26, wobble=0.008)


def _widen_low(rows: np.ndarray, heights: np.ndarray, head: Head, amount: float) -> None:
    """Let a cover of the head fall wide over neck and shoulders, straight down."""
    below = heights < 0.25
    drop = (0.25 - heights[below]) * head.height
    anchor = head.point(0.0, 0.25, 0.0)
    rows[below, :3] = anchor + np.outer(drop, [0.0, -1.0, 0.0])
    grow = amount * np.clip(-heights[below], 0, 1) ** 1.2
    rows[below, q.WIDTH] = head.half_width * 0.86 + 0.012 + 1.3 * grow
    rows[below, q.DEPTH_BACK] = head.half_depth * 0.80 + 0.010 + 0.8 * grow
    rows[below, q.DEPTH_FRONT] = head.half_depth * 0.78 + 0.010 + 0.9 * grow


WORN = {
    "cap": _cap,
    "beanie": _beanie,
    "hat": _hat,
    "helmet": _helmet,
    "turban": _turban,
    "hood": _hood,
    "hijab": _hijab,
}


def add_headgear(figure: Figure, appearance: Appearance, head: Head) -> None:
    """Add cap, beanie, hat, helmet, turban, hood or hijab, as the person wears it."""
    if appearance.headgear != "none":
        WORN[appearance.headgear](figure, appearance, head)


def add_scarf(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """A scarf wound around the neck, sometimes with an end hanging on the chest."""
    if appearance.scarf is None:
        return
    row = m.material(appearance.scarf, group=HAT_GROUP)
    row[m.FOLD], row[m.FOLD_V] = 0.9, 4.0
    if appearance.seed % 2:
        row[m.SECOND : m.SECOND + 3] = m.linear(appearance.headgear_colour)
        row[m.PATTERN], row[m.SCALE] = m.PLAID, 0.07
    material = figure.paint(row)
    heights = np.array([0.92, 0.96, 1.01, 1.05, 1.08])
    rows = trunk_rows(pose, heights, ease=np.array([0.012, 0.034, 0.040, 0.032, 0.012]))
    rows[:, q.WIDTH] = np.minimum(rows[:, q.WIDTH], 0.062 * pose.body.stature)
    rows[:, q.POWER] = 2.0
    figure.tube(rows, material, rings=9, segments=18, wobble=0.006)
    if appearance.seed % 3:
        _scarf_end(figure, appearance, pose, material)


def _scarf_end(figure: Figure, appearance: Appearance, pose: Pose, material: int) -> None:
    body = pose.body
    rows = q.rows(5)
    side = 1 if appearance.seed % 5 < 3 else -1
    reach = 0.05 if appearance.outer is None else 0.075
    for i, s in enumerate(np.linspace(0.98, 0.50, 5)):
        front = pose.trunk_front(float(s))
        right = np.array([front[2], 0.0, -front[0]])
        depth = float(body.trunk_at(float(s))[1])
        rows[i, :3] = pose.trunk_point(float(s)) + right * side * 0.045 + front * (depth + reach)
        rows[i, q.FRONT : q.FRONT + 3] = front
    rows[:, q.WIDTH] = [0.035, 0.05, 0.055, 0.058, 0.058]
    rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = 0.012
    rows[:, q.ALONG] = np.linspace(0, -0.4, 5)
    rows[:, q.FOLD] = 1.0
    figure.tube(rows, material, rings=8, segments=10, wobble=0.004)
