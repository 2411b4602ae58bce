"""What is worn on the head and around the neck."""

from typing import Any

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.body import Pose
from passerby.simulate.head import Head, shell_rows
from passerby.simulate.lofts import ellipsoid_rows, trunk_rows
from passerby.simulate.mesh import Figure
from passerby.simulate.wardrobe import Appearance

HIDES_HAIR = ("hood", "hijab", "turban")
FLATTENS_HAIR = ("cap", "beanie", "hat", "helmet")
# lower edge (head heights), thickness and rise of the top (m), exponent, folds, shine
CROWNS: dict[str, list[float]] = data_file("bodies")["crowns"]
# covers of head and neck, see bodies.toml
CLOAKS: dict[str, Any] = data_file("bodies")["cloaks"]


def add_headgear(figure: Figure, appearance: Appearance, head: Head) -> None:
    """Add cap, beanie, hat, helmet, turban, hood or hijab, as the person wears it."""
    if appearance.headgear in CLOAKS:
        _cloak(figure, appearance, head)
    elif appearance.headgear != "none":
        _crown(figure, appearance, head)


def _fabric(appearance: Appearance, *, fold: float, shine: float = 0.0) -> np.ndarray:
    return m.material(
        appearance.headgear_colour, second=appearance.headgear_second, group=m.HAT_GROUP,
        fold=fold, folds=(3.0, 3.0), shine=shine, seed=appearance.seed % 71,
    )  # fmt: skip


def _crown(figure: Figure, appearance: Appearance, head: Head) -> None:
    """A cover of the skull, with the brim, band or visor that belongs to it."""
    kind, seed = appearance.headgear, appearance.seed
    low, thickness, rise, power, fold, shine = CROWNS[kind]
    row = _fabric(appearance, fold=fold, shine=shine)
    if kind == "beanie":
        row[m.FABRIC] = m.KNIT
    if kind == "helmet":
        row[m.PATTERN], row[m.SCALE], row[m.DUTY] = m.VERTICAL, 0.10, 0.3
    heights = np.maximum.accumulate([low, low + 0.06, 0.72, 0.82, 0.92, 0.98, 1.0])
    rows = shell_rows(head, heights, thickness, -1.0)
    rows[:, :3] += (np.clip((heights - 0.7) / 0.3, 0, 1) * rise).reshape(-1, 1) * head.up
    rows[:, q.POWER] = power
    figure.tube(rows, row, rings=13, segments=20, wobble=0.003)
    second = row.copy()
    second[:3] = row[3:6]
    if kind == "cap":
        front, back = 1.95 * head.half_depth, 0.6 * head.half_depth
        if seed % 11 == 0:  # worn backwards
            front, back = back, front
        _brim(figure, head, second, 0.70, (0.98 * head.half_width, front, back))
    elif kind == "hat":
        reach = 1.72 * head.half_depth
        _brim(figure, head, row, 0.71, (1.95 * head.half_width, reach, reach))
        ribbon = shell_rows(head, np.array([0.71, 0.76]), 0.015, -1.0)
        figure.tube(ribbon, second, rings=3, segments=18)
    elif kind == "beanie":
        band = second if seed % 3 == 0 else row
        rows = shell_rows(head, np.array([0.60, 0.66, 0.72]), 0.022, -1.0)
        figure.tube(rows, band, rings=4, segments=20)
        if seed % 4 == 0:
            half = (0.03, 0.032, 0.032)
            ball = ellipsoid_rows(head.point(0, 1.16, 0), head.up, head.front, half)
            figure.tube(ball, band, rings=7, segments=10, wobble=0.004)


def _brim(
    figure: Figure, head: Head, row: np.ndarray, level: float, sides: tuple[float, float, float]
) -> None:
    """A flat brim: reach to the sides, in front and behind, metres."""
    centre = [head.point(0.0, level, 0.0) + thick * head.up for thick in (-0.004, 0.0, 0.006)]
    rows = q.rows(3, centre=centre, front=head.front, occlusion=[0.6, 0.9, 1.0])
    rows[:, q.SIDES] = np.outer([0.98, 1.0, 0.55], sides)
    figure.tube(rows, row, rings=4, segments=22)


def _cloak(figure: Figure, appearance: Appearance, head: Head) -> None:
    """A hood of the outer garment's cloth, or a scarf around head, neck and shoulders."""
    if appearance.headgear == "hood":
        garment = appearance.outer or appearance.inner
        row = m.material(garment.colour, group=m.HAT_GROUP, fold=0.5)
    else:
        row = _fabric(appearance, fold=0.8)
        row[m.FOLD_V] = 1.5
    cloak = CLOAKS[appearance.headgear]
    thickness, spread, brim, rings, wobble = cloak["size"]
    heights = np.array(cloak["heights"])
    rows = shell_rows(head, heights, thickness, np.array(cloak["opening"]))
    below = heights < 0.25  # it falls straight down there, wide over neck and shoulders
    drop = (0.25 - heights[below]) * head.height
    rows[below, :3] = head.point(0.0, 0.25, 0.0) + np.outer(drop, [0.0, -1.0, 0.0])
    grow = spread * np.clip(-heights[below], 0, 1) ** 1.2
    rows[below, q.WIDTH] = head.half_width * 0.86 + 0.012 + 1.3 * grow
    rows[below, q.DEPTH_BACK] = head.half_depth * 0.80 + 0.010 + 0.8 * grow
    rows[below, q.DEPTH_FRONT] = head.half_depth * 0.78 + 0.010 + 0.9 * grow
    rows[:, q.DEPTH_FRONT] += brim
    figure.tube(rows, row, rings=rings, segments=26, wobble=wobble)


def add_scarf(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """A scarf wound around the neck, sometimes with an end hanging on the chest."""
    if appearance.scarf is None:
        return
    row = m.material(appearance.scarf, group=m.HAT_GROUP, fold=0.9, folds=(2.0, 4.0))
    if appearance.seed % 2:
        row[m.SECOND : m.SECOND + 3] = m.linear(appearance.headgear_colour)
        row[m.PATTERN], row[m.SCALE] = m.PLAID, 0.07
    heights = np.array([0.92, 0.96, 1.01, 1.05, 1.08])
    rows = trunk_rows(pose, heights, ease=np.array([0.012, 0.034, 0.040, 0.032, 0.012]))
    rows[:, q.WIDTH] = np.minimum(rows[:, q.WIDTH], 0.062 * pose.body.stature)
    rows[:, q.POWER] = 2.0
    figure.tube(rows, row, rings=9, segments=18, wobble=0.006)
    if appearance.seed % 3 == 0:
        return
    side = 1 if appearance.seed % 5 < 3 else -1
    reach = 0.05 if appearance.outer is None else 0.075
    rows = q.rows(
        5, width=[0.035, 0.05, 0.055, 0.058, 0.058], depth=0.012, along=np.linspace(0, -0.4, 5),
        fold=1.0,
    )  # fmt: skip
    for end, s in zip(rows, np.linspace(0.98, 0.50, 5).tolist(), strict=True):
        front, right = pose.trunk_axes(s)
        depth = float(pose.body.trunk_at(s)[1])
        end[:3] = pose.trunk_point(s) + right * side * 0.045 + front * (depth + reach)
        end[q.FRONT : q.FRONT + 3] = front
    figure.tube(rows, row, rings=8, segments=10, wobble=0.004)
