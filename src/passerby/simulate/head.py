"""Neck and head."""

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
    [0.58, 0.99, 0.92, 1.05], [0.70, 1.00, 0.93, 1.06], [0.82, 0.94, 0.86, 1.00],
    [0.91, 0.79, 0.72, 0.86], [0.97, 0.52, 0.48, 0.58], [1.00, 0.04, 0.04, 0.04],
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
    out[heights > 0.995, q.WIDTH : q.DEPTH_BACK + 1] = 0.001  # closed at the crown
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
        head.up, head.front, (0.10 * head.height, 0.013, 0.013), count=5,
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
