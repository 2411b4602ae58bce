"""Neck, head and hair."""

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate import faces
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance
from passerby.simulate.clothes import SKIN_GROUP
from passerby.simulate.figure import Figure, ellipsoid_rows
from passerby.simulate.pose import Pose

# height from the chin (0) to the crown (1); half width, reach in front and behind, in half breadths
SKULL = np.array([
    [0.00, 0.30, 0.72, 0.00], [0.05, 0.50, 0.86, 0.12], [0.14, 0.68, 0.90, 0.36],
    [0.25, 0.80, 0.90, 0.62], [0.36, 0.88, 0.92, 0.86], [0.48, 0.95, 0.90, 0.99],
    [0.58, 0.99, 0.92, 1.05], [0.70, 1.00, 0.93, 1.06], [0.82, 0.91, 0.83, 0.97],
    [0.91, 0.71, 0.64, 0.77], [0.97, 0.42, 0.38, 0.46], [1.00, 0.04, 0.04, 0.04],
])  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Where the head is: its chin-level origin and its axes, and its size in metres."""

    origin: np.ndarray
    right: np.ndarray
    up: np.ndarray
    front: np.ndarray
    height: float
    half_width: float
    half_depth: float

    def point(self, x: float, v: float, z: float) -> np.ndarray:
        """World point: ``x``, ``z`` metres to the right and ahead, ``v`` 0 chin .. 1 crown."""
        return self.origin + x * self.right + (v * self.height) * self.up + z * self.front


def place_head(pose: Pose) -> Head:
    """Head on top of the trunk, turned and nodded as the pose says."""
    body = pose.body
    yaw, pitch = pose.yaw_shoulders * 0.3 + pose.head_yaw, pose.head_pitch
    level = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
    up = np.array([0.0, math.cos(pitch), 0.0]) + level * math.sin(pitch)
    front = level * math.cos(pitch) - np.array([0.0, math.sin(pitch), 0.0])
    right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
    base = pose.trunk_point(1.0)
    neck_top = base + np.array([0.0, 0.022 * body.stature, 0.0]) + level * 0.018 * body.stature
    origin = neck_top - up * 0.01 * body.stature
    return Head(
        origin, right, up, front, body.head_height, body.head_width * 0.60, body.head_depth * 0.515
    )


def shell_rows(
    head: Head, heights: np.ndarray, thickness: float | np.ndarray, opening: np.ndarray | float
) -> np.ndarray:
    """Control rows around the skull, ``thickness`` metres outside it."""
    out = q.rows(len(heights))
    inside = np.clip(heights, 0.0, 1.0)
    for k, scale in ((1, head.half_width), (2, head.half_depth), (3, head.half_depth)):
        out[:, q.WIDTH + k - 1] = np.interp(inside, SKULL[:, 0], SKULL[:, k]) * scale
    out[:, q.WIDTH : q.DEPTH_BACK + 1] += np.asarray(thickness).reshape(-1, 1)
    lift = np.maximum(heights - 0.9, 0) * 10 * np.asarray(thickness)
    for i, v in enumerate(heights):
        out[i, :3] = head.point(0.0, float(v), 0.0)
    out[:, :3] += lift.reshape(-1, 1) * head.up
    out[:, q.FRONT : q.FRONT + 3] = head.front
    out[:, q.POWER] = 2.15
    out[:, q.ALONG] = heights
    out[:, q.OPENING] = opening
    out[:, q.FOLD] = 1.0
    return out


def add_head(figure: Figure, appearance: Appearance, pose: Pose) -> Head:
    """Add neck, head, ears and nose; hair and headgear come separately."""
    head = place_head(pose)
    body = pose.body
    skin = m.material(appearance.skin, kind=m.SKIN, group=SKIN_GROUP)
    material = figure.paint(skin)
    neck = q.rows(4)
    top = head.point(0.0, 0.30, -0.010 * body.stature)
    base = pose.trunk_point(0.95)
    for i, t in enumerate((0.0, 0.35, 0.7, 1.0)):
        neck[i, :3] = base + (top - base) * t
    neck[:, q.WIDTH] = np.array([1.35, 1.02, 0.96, 0.98]) * body.neck
    neck[:, q.DEPTH_FRONT] = neck[:, q.DEPTH_BACK] = np.array([1.2, 1.05, 1.0, 1.0]) * body.neck
    neck[:, q.OCCLUSION] = [0.9, 0.75, 0.55, 0.5]
    figure.tube(neck, material, rings=8, segments=14)
    rows = shell_rows(head, SKULL[:, 0], 0.0, -1.0)
    rows[:, q.OCCLUSION] = np.interp(rows[:, q.ALONG], [0.0, 0.10, 0.25], [0.6, 0.85, 1.0])
    figure.tube(rows, figure.paint(_face(appearance)), rings=20, segments=22)
    nose = ellipsoid_rows(
        head.point(0.0, 0.41, head.half_depth * 0.93),
        head.up, head.front, (0.10 * head.height, 0.014, 0.020), count=5,
    )  # fmt: skip
    nose[: len(nose) // 2 + 1, q.DEPTH_FRONT] *= 1.25
    figure.tube(nose, material, rings=6, segments=8)
    for side in (-1, 1):
        ear = ellipsoid_rows(
            head.point(side * head.half_width * 0.99, 0.45, -0.12 * head.half_depth),
            head.up, head.front, (0.125 * head.height, 0.010, 0.017), count=5,
        )  # fmt: skip
        figure.tube(ear, material, rings=6, segments=8)
    return head


def _face(appearance: Appearance) -> np.ndarray:
    row = m.material(appearance.skin, kind=m.FACE, group=SKIN_GROUP)
    row[m.SECOND : m.SECOND + 3] = m.linear(appearance.hair_colour) * 0.9
    masks = ((0.55, 0.72, 0.82), (0.9, 0.9, 0.9), (0.06, 0.06, 0.07))
    row[m.THIRD : m.THIRD + 3] = m.linear(masks[appearance.seed % 3])
    f = m.FEATURE
    bald = appearance.hair in ("bald", "receding")
    row[f + faces.BROW] = 0.55
    row[f + faces.BEARD] = appearance.beard * 0.85
    row[f + faces.STUBBLE] = 0.85 if appearance.hair == "cropped" else 0.30 if bald else 0.95
    row[f + faces.HAIRLINE] = 0.93 if appearance.hair == "receding" else 0.83
    if appearance.hair == "bald":
        row[f + faces.STUBBLE] = 0.12
    row[f + faces.LIPS] = appearance.lips
    row[f + faces.GLASSES] = appearance.glasses
    row[f + faces.MASK] = float(appearance.face_mask)
    return row


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
        rows[i, :3] = (
            anchor + down * (hang[i] * head.height) - head.front * 0.012 * min(hang[i] * 3, 1)
        )
    figure.tube(rows, material, rings=22, segments=26, wobble=0.006, phase=low * 7 + 3)


def _tail(
    figure: Figure,
    head: Head,
    material: int,
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
    shape = np.array([0.5, 1.0, 1.1, 1.0, 0.75, 0.12]) * width
    rows[:, q.WIDTH] = shape
    rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = 0.8 * shape
    rows[:, q.ALONG] = np.linspace(0.5, -1.0, 6)
    rows[:, q.FOLD] = 1.0
    figure.tube(rows, material, rings=12, segments=10, wobble=0.004)


def add_hair(figure: Figure, appearance: Appearance, head: Head, *, covered: float = 2.0) -> None:
    """Add the hair; ``covered``: what lies above this height (head units) is under a hat."""
    kind, more = appearance.hair, appearance.hair_length
    if kind in ("bald", "cropped"):
        return
    low = {"bob": 0.0, "shoulder": -0.35, "long": -1.2}.get(kind, 0.3)
    material = figure.paint(hair_material(appearance, low=low))
    flat = 0.010 if covered < 1.5 else 1.0
    if kind == "receding":
        _cap(figure, head, material, min(0.006, flat), recede=0.45)
    elif kind in ("short", "side"):
        thickness = (0.012 + 0.016 * more) * (1.35 if kind == "side" else 1.0)
        _cap(figure, head, material, min(thickness, flat), wobble=0.004 + 0.004 * more)
    elif kind in ("curly", "afro"):
        thickness = 0.030 + 0.018 * more if kind == "curly" else 0.050 + 0.035 * more
        _cap(figure, head, material, min(thickness, flat * 2), wobble=0.010)
    elif kind in ("bob", "shoulder", "long"):
        depth = {"bob": 0.06 - 0.16 * more, "shoulder": -0.22 - 0.25 * more,
                 "long": -0.75 - 0.75 * more}[kind]  # fmt: skip
        opening = 1.05 + 0.35 * (appearance.seed % 3)
        _curtain(figure, head, material, depth, min(0.020, flat * 1.4), opening, 0.10 * more)
    else:
        _cap(figure, head, material, 0.010, low=0.25)
        if kind == "ponytail":
            _tail(figure, head, material, (0.72, 0.98), 0.20 + 0.20 * more, 0.034)
        elif kind == "braid":
            _tail(figure, head, material, (0.42, 0.95), 0.32 + 0.2 * more, 0.026)
        else:
            ball = ellipsoid_rows(
                head.point(0.0, 0.84, -head.half_depth * 1.05), head.up, head.front,
                (0.040, 0.045, 0.040),
            )  # fmt: skip
            figure.tube(ball, material, rings=8, segments=12, wobble=0.004)
