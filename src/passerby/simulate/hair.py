"""Hair: shells close to the skull, curtains that hang, tails and buns."""

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance
from passerby.simulate.clothes import SKIN_GROUP
from passerby.simulate.figure import Figure, ellipsoid_rows
from passerby.simulate.head import Head, shell_rows
from passerby.simulate.pose import Pose


@dataclass(frozen=True)
class Back:
    """The dressed back that long hair falls on: ``air`` metres of clothes on a posed trunk."""

    pose: Pose
    air: float

    def at(self, height: float) -> np.ndarray:
        """Point of its surface ``height`` metres above the ground; far ahead above the trunk."""
        body = self.pose.body
        s = (height - float(self.pose.pelvis[1])) / body.trunk_length
        if s > 1.05:
            return self.pose.trunk_point(1.0) + self.pose.trunk_front(1.0)
        depth = float(body.trunk_at(s)[2]) + self.air
        return self.pose.trunk_point(s) - self.pose.trunk_front(s) * depth


def hair_material(appearance: Appearance, *, low: float) -> np.ndarray:
    """Strands from root to tip; ``low`` is the height (head units) where the tips' colour rules."""
    row = m.material(appearance.hair_colour, kind=m.HAIR, group=SKIN_GROUP + 1)
    row[m.SECOND : m.SECOND + 3] = m.linear(appearance.hair_tips)
    row[m.LEVELS], row[m.LEVELS + 1] = 0.5, max(0.5 - low, 0.1)
    row[m.SEED] = appearance.seed % 101
    row[m.SHINE], row[m.GLOSS] = 0.05, 10.0
    row[m.FOLD], row[m.FOLD_U], row[m.FOLD_V] = 0.25, 8.0, 0.6
    return row


# height of the shell's rows and half angle left out around the face
CAP = np.array([
    [0.20, 2.35], [0.34, 2.02], [0.44, 1.78], [0.54, 1.42], [0.66, 1.22], [0.76, 1.05],
    [0.84, 0.62], [0.90, -0.3], [0.96, -1.0], [1.00, -1.0],
])  # fmt: skip


def _cap(
    figure: Figure,
    head: Head,
    material: int,
    thickness: float,
    *,
    wobble: float = 0.003,
    low: float = 0.0,
    recede: float = 0.0,
) -> None:
    """Hair close to the skull; ``low`` lifts its lower edge, ``recede`` opens the forehead."""
    heights = np.maximum(CAP[:, 0], low)
    opening = CAP[:, 1] + recede * (CAP[:, 0] > 0.6)
    taper = np.interp(CAP[:, 0], [0.2, 0.5, 0.75, 1.0], [0.25, 0.7, 1.0, 1.1])
    rows = shell_rows(head, heights, thickness * taper, opening)
    figure.tube(rows, material, rings=16, segments=26, wobble=wobble, phase=thickness * 900)


def _curtain(
    figure: Figure,
    head: Head,
    material: int,
    *,
    back_of: Back,
    low: float,
    thickness: float,
    opening: float,
    spread: float = 0.0,
) -> None:
    """Hair that hangs from the crown to ``low`` (head heights, negative below the chin)."""
    heights = np.concatenate([np.linspace(low, 0.30, 6), [0.48, 0.62, 0.76, 0.84, 0.90, 0.97, 1.0]])
    angles = np.interp(
        heights, [low, 0.2, 0.48, 0.62, 0.76, 0.84, 0.90, 0.94],
        [opening + 0.12, opening, opening, 1.12, 0.98, 0.55, -0.3, -1.0],
    )  # fmt: skip
    rows = shell_rows(head, heights, thickness, angles)
    hang = np.clip(0.45 - heights, 0, None)
    below = heights < 0.45
    wide = np.interp(heights, [low, 0.45], [0.92 + spread, 1.0]) * head.half_width + thickness
    rows[below, q.WIDTH] = wide[below]
    rows[below, q.DEPTH_BACK] = (head.half_depth * 0.98 + thickness) * np.interp(
        heights[below], [min(low, -0.3), 0.45], [0.62, 1.0]
    )
    rows[below, q.DEPTH_FRONT] = head.half_depth * 0.45
    down = np.array([0.0, -1.0, 0.0])  # below the ears hair hangs down whatever the head does
    anchor = head.point(0.0, 0.45, 0.0)
    for i in np.flatnonzero(below):
        back = head.front * 0.012 * min(hang[i] * 3, 1)
        rows[i, :3] = anchor + down * (hang[i] * head.height) - back
        reach = float(np.sum((rows[i, :3] - back_of.at(float(rows[i, 1]))) * head.front))
        rows[i, q.DEPTH_BACK] = max(rows[i, q.DEPTH_BACK], reach + thickness + 0.006)
        rows[i, q.POWER] = 2.15 + 1.4 * min(2 * hang[i], 1.0)
    figure.tube(rows, material, rings=22, segments=26, wobble=0.006, phase=low * 7 + 3)


def _tail(
    figure: Figure,
    head: Head,
    material: int,
    *,
    back_of: Back,
    start: tuple[float, float],
    length: float,
    width: float,
) -> None:
    """A pony tail or braid from (height, reach behind) down."""
    rows = q.rows(6)
    root = head.point(0.0, start[0], -start[1] * head.half_depth)
    for i, t in enumerate(np.linspace(0, 1, 6)):
        out = -head.front * 0.055 * math.sin(min(t * 2.2, 1.6))
        rows[i, :3] = root + out + np.array([0.0, 0.018 * (1 - t) - length * t**1.2, 0.0])
        inside = float(np.sum((rows[i, :3] - back_of.at(float(rows[i, 1]))) * head.front))
        rows[i, :3] -= head.front * max(inside + 0.6 * width, 0.0)
    shape = np.array([0.5, 1.0, 1.1, 1.0, 0.75, 0.12]) * width
    rows[:, q.WIDTH] = shape
    rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = 0.8 * shape
    rows[:, q.ALONG] = np.linspace(0.5, -1.0, 6)
    rows[:, q.FOLD] = 1.0
    figure.tube(rows, material, rings=12, segments=10, wobble=0.004)


# close to the skull: thickness (m), what full length adds to it, folds, bare forehead (rad)
CLOSE: dict[str, tuple[float, float, float, float]] = {
    "receding": (0.006, 0.0, 0.003, 0.45),
    "short": (0.012, 0.016, 0.006, 0.0),
    "side": (0.016, 0.022, 0.006, 0.0),
    "curly": (0.030, 0.018, 0.010, 0.0),
    "afro": (0.050, 0.035, 0.010, 0.0),
}
# hanging: lowest point (head heights above the chin) and what full length adds to it
HANGING: dict[str, tuple[float, float]] = {
    "bob": (0.06, -0.16),
    "shoulder": (-0.22, -0.25),
    "long": (-0.75, -0.75),
}
# tied back: height and reach of the knot, length (m) and what full length adds, width
TAILS: dict[str, tuple[float, float, float, float, float]] = {
    "ponytail": (0.72, 0.98, 0.20, 0.20, 0.034),
    "braid": (0.42, 0.95, 0.32, 0.20, 0.026),
}


def add_hair(
    figure: Figure, appearance: Appearance, head: Head, back_of: Back, *, flat: bool = False
) -> None:
    """Add the hair; ``flat`` presses it under a hat, long hair falls outside ``back_of``."""
    kind, more = appearance.hair, appearance.hair_length
    if kind in ("bald", "cropped"):
        return
    most = 0.009 if flat else 1.0
    low = HANGING[kind][0] + HANGING[kind][1] * more if kind in HANGING else 0.3
    material = figure.paint(hair_material(appearance, low=low))
    if kind in CLOSE:
        base, longer, wobble, recede = CLOSE[kind]
        _cap(figure, head, material, min(base + longer * more, most), wobble=wobble, recede=recede)
    elif kind in HANGING:
        opening = 1.05 + 0.35 * (appearance.seed % 3)
        thickness = min(0.020, most)
        _curtain(
            figure, head, material, back_of=back_of, low=low, thickness=thickness,
            opening=opening, spread=0.10 * more,
        )  # fmt: skip
    else:
        _cap(figure, head, material, min(0.010, most), low=0.25)
        _tied(figure, appearance, head, back_of, material)


def _tied(figure: Figure, appearance: Appearance, head: Head, back_of: Back, material: int) -> None:
    """A pony tail, a braid or a bun."""
    if appearance.hair in TAILS:
        level, reach, length, longer, width = TAILS[appearance.hair]
        length += longer * appearance.hair_length
        _tail(
            figure, head, material, back_of=back_of, start=(level, reach), length=length,
            width=width,
        )  # fmt: skip
        return
    ball = ellipsoid_rows(
        head.point(0.0, 0.84, -head.half_depth * 1.05), head.up, head.front,
        (0.040, 0.045, 0.040),
    )  # fmt: skip
    figure.tube(ball, material, rings=8, segments=12, wobble=0.004)
