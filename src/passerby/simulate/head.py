"""Neck, head and hair: shells close to the skull, curtains that hang, tails and buns."""

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate import data_file
from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.body import Pose
from passerby.simulate.lofts import ellipsoid_rows
from passerby.simulate.mesh import Figure
from passerby.simulate.wardrobe import Appearance

DATA = data_file("bodies")
# height from the chin (0) to the crown (1); half width, reach in front and behind, in half breadths
SKULL = np.array(DATA["skull"])
# height of the rows of hair close to the skull, and the half angle left out around the face
CAP = np.array(DATA["hair_cap"])
# close to the skull: thickness (m), what full length adds to it, folds, bare forehead (rad)
CLOSE: dict[str, list[float]] = DATA["close_hair"]
# hanging: lowest point (head heights above the chin) and what full length adds to it
HANGING: dict[str, list[float]] = DATA["hanging_hair"]
# tied back: height and reach of the knot, length (m) and what full length adds, width
TAILS: dict[str, list[float]] = DATA["tied_hair"]
MASKS = ((0.55, 0.72, 0.82), (0.9, 0.9, 0.9), (0.06, 0.06, 0.07))  # colours of face masks


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


def _place_head(pose: Pose) -> Head:
    """The head on top of the trunk, turned and tilted by the angles of the pose."""
    body = pose.body
    yaw, pitch = pose.yaw_shoulders * 0.3 + pose.head_yaw, pose.head_pitch
    level = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
    up = np.array([0.0, math.cos(pitch), 0.0]) + level * math.sin(pitch)
    neck_top = pose.trunk_point(1.0) + np.array([0.0, 0.022 * body.stature, 0.0])
    return Head(
        origin=neck_top + level * 0.018 * body.stature - up * 0.01 * body.stature,
        right=np.array([math.cos(yaw), 0.0, -math.sin(yaw)]),
        up=up,
        front=level * math.cos(pitch) - np.array([0.0, math.sin(pitch), 0.0]),
        height=body.head_height,
        half_width=body.head_width * 0.60,
        half_depth=body.head_depth * 0.515,
    )


def shell_rows(
    head: Head, heights: np.ndarray, thickness: float | np.ndarray, opening: np.ndarray | float
) -> np.ndarray:
    """Control rows around the skull, ``thickness`` metres outside it."""
    thickness = np.asarray(thickness)
    lift = np.maximum(heights - 0.9, 0) * 10 * thickness
    centre = np.array([head.point(0.0, float(v), 0.0) for v in heights])
    out = q.rows(
        len(heights), centre=centre + lift.reshape(-1, 1) * head.up, front=head.front, power=2.15,
        along=heights, fold=1.0,
    )  # fmt: skip
    inside = np.clip(heights, 0.0, 1.0)
    for k, scale in ((1, head.half_width), (2, head.half_depth), (3, head.half_depth)):
        out[:, q.WIDTH + k - 1] = np.interp(inside, SKULL[:, 0], SKULL[:, k]) * scale
    out[:, q.SIDES] += thickness.reshape(-1, 1)
    out[heights > 0.995, q.SIDES] = 0.001  # closed at the crown
    out[:, q.OPENING] = opening
    return out


def add_head(figure: Figure, appearance: Appearance, pose: Pose) -> Head:
    """Add neck, head, ears and nose; hair and headgear come separately."""
    head = _place_head(pose)
    body = pose.body
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=m.SKIN_GROUP))
    top, base = head.point(0.0, 0.30, -0.010 * body.stature), pose.trunk_point(0.95)
    neck = q.rows(
        4,
        centre=base + np.outer([0.0, 0.35, 0.7, 1.0], top - base),
        width=np.array([1.35, 1.02, 0.96, 0.98]) * body.neck,
        depth=np.array([1.2, 1.05, 1.0, 1.0]) * body.neck,
        occlusion=[0.9, 0.75, 0.55, 0.5],
    )
    figure.tube(neck, material, rings=8, segments=14)
    rows = shell_rows(head, SKULL[:, 0], 0.0, -1.0)
    rows[:, q.OCCLUSION] = np.interp(rows[:, q.ALONG], [0.0, 0.10, 0.25], [0.6, 0.85, 1.0])
    figure.tube(rows, _face(appearance), rings=20, segments=22)

    def knob(x: float, v: float, z: float, half: tuple[float, float, float]) -> np.ndarray:
        return ellipsoid_rows(head.point(x, v, z), head.up, head.front, half, count=5)

    nose = knob(0.0, 0.41, head.half_depth * 0.93, (0.10 * head.height, 0.013, 0.013))
    nose[: len(nose) // 2 + 1, q.DEPTH_FRONT] *= 1.25
    figure.tube(nose, material, rings=6, segments=8)
    for side in (-1, 1):
        x, z = side * head.half_width * 0.99, -0.12 * head.half_depth
        ear = knob(x, 0.45, z, (0.125 * head.height, 0.010, 0.017))
        figure.tube(ear, material, rings=6, segments=8)
    return head


def _face(appearance: Appearance) -> np.ndarray:
    row = m.material(
        appearance.skin, third=MASKS[appearance.seed % 3], kind=m.FACE, group=m.SKIN_GROUP
    )
    row[m.SECOND : m.SECOND + 3] = m.linear(appearance.hair_colour) * 0.9
    row[m.BROW] = 0.55
    row[m.BEARD] = appearance.beard * 0.85
    stubble = {"cropped": 0.85, "bald": 0.12, "receding": 0.30}
    row[m.STUBBLE] = stubble.get(appearance.hair, 0.95)
    row[m.HAIRLINE] = 0.93 if appearance.hair == "receding" else 0.83
    row[m.LIPS] = appearance.lips
    row[m.GLASSES] = appearance.glasses
    row[m.MASK] = appearance.face_mask
    return row


@dataclass(frozen=True)
class Back:
    """The dressed back that long hair falls on: ``air`` metres of clothes on a posed trunk."""

    pose: Pose
    air: float

    def inside(self, point: np.ndarray, front: np.ndarray) -> float:
        """Metres along ``front`` by which a point lies inside; negative outside.

        Points above the trunk lie far outside.
        """
        pose = self.pose
        s = (float(point[1]) - float(pose.pelvis[1])) / pose.body.trunk_length
        if s > 1.05:
            surface = pose.trunk_point(1.0) + pose.trunk_axes(1.0)[0]
        else:
            depth = float(pose.body.trunk_at(s)[2]) + self.air
            surface = pose.trunk_point(s) - pose.trunk_axes(s)[0] * depth
        return float(np.sum((point - surface) * front))


@dataclass(frozen=True)
class _Hair:
    """Hair being added to a head: its material and the back that it falls on."""

    figure: Figure
    head: Head
    material: int
    back: Back

    def cap(
        self, thickness: float, *, wobble: float = 0.003, low: float = 0.0, recede: float = 0.0
    ) -> None:
        """Hair close to the skull; ``low`` lifts its lower edge, ``recede`` bares the forehead."""
        heights = np.maximum(CAP[:, 0], low)
        opening = CAP[:, 1] + recede * (CAP[:, 0] > 0.6)
        taper = np.interp(CAP[:, 0], [0.2, 0.5, 0.75, 1.0], [0.25, 0.7, 1.0, 1.1])
        rows = shell_rows(self.head, heights, thickness * taper, opening)
        phase = thickness * 900
        self.figure.tube(rows, self.material, rings=16, segments=26, wobble=wobble, phase=phase)

    def curtain(self, appearance: Appearance, *, low: float, thickness: float) -> None:
        """Hair that hangs from the crown to ``low`` (head heights, negative below the chin)."""
        head, opening = self.head, 1.05 + 0.35 * (appearance.seed % 3)
        crown = [0.48, 0.62, 0.76, 0.84, 0.90, 0.97, 1.0]
        heights = np.concatenate([np.linspace(low, 0.30, 6), crown])
        angles = np.interp(
            heights, [low, 0.2, 0.48, 0.62, 0.76, 0.84, 0.90, 0.94],
            [opening + 0.12, opening, opening, 1.12, 0.98, 0.55, -0.3, -1.0],
        )  # fmt: skip
        rows = shell_rows(head, heights, thickness, angles)
        spread = 0.92 + 0.10 * appearance.hair_length
        wide = np.interp(heights, [low, 0.45], [spread, 1.0]) * head.half_width + thickness
        deep = np.interp(heights, [min(low, -0.3), 0.45], [0.62, 1.0])
        deep = (head.half_depth * 0.98 + thickness) * deep
        anchor = head.point(0.0, 0.45, 0.0)
        for i in np.flatnonzero(heights < 0.45):
            hang = 0.45 - heights[i]
            behind = head.front * 0.012 * min(hang * 3, 1)
            # below the ears hair hangs down whatever the head does
            rows[i, :3] = anchor + np.array([0.0, -1.0, 0.0]) * (hang * head.height) - behind
            reach = self.back.inside(rows[i, :3], head.front)
            rows[i, q.WIDTH], rows[i, q.DEPTH_FRONT] = wide[i], head.half_depth * 0.45
            rows[i, q.DEPTH_BACK] = max(deep[i], reach + thickness + 0.006)
            rows[i, q.POWER] = 2.15 + 1.4 * min(2 * hang, 1.0)
        self.figure.tube(
            rows, self.material, rings=22, segments=26, wobble=0.006, phase=low * 7 + 3
        )

    def tail(self, kind: str, more: float) -> None:
        """A pony tail or braid; ``more`` (0..1) is the length of the hair."""
        head = self.head
        level, reach, length, longer, width = TAILS[kind]
        length += longer * more
        shape = np.array([0.5, 1.0, 1.1, 1.0, 0.75, 0.12]) * width
        rows = q.rows(6, width=shape, depth=0.8 * shape, along=np.linspace(0.5, -1.0, 6), fold=1.0)
        root = head.point(0.0, level, -reach * head.half_depth)
        for row, t in zip(rows, np.linspace(0, 1, 6), strict=True):
            out = -head.front * 0.055 * math.sin(min(t * 2.2, 1.6))
            row[:3] = root + out + np.array([0.0, 0.018 * (1 - t) - length * t**1.2, 0.0])
            inside = self.back.inside(row[:3], head.front)
            row[:3] -= head.front * max(inside + 0.6 * width, 0.0)
        self.figure.tube(rows, self.material, rings=12, segments=10, wobble=0.004)

    def bun(self) -> None:
        """A knot of hair behind the crown."""
        centre = self.head.point(0.0, 0.84, -self.head.half_depth * 1.05)
        ball = ellipsoid_rows(centre, self.head.up, self.head.front, (0.040, 0.045, 0.040))
        self.figure.tube(ball, self.material, rings=8, segments=12, wobble=0.004)


def add_hair(figure: Figure, appearance: Appearance, head: Head, back: Back, *, flat: bool) -> None:
    """Add the hair; ``flat`` presses it under a hat, long hair falls outside ``back``."""
    kind, more = appearance.hair, appearance.hair_length
    if kind in ("bald", "cropped"):
        return
    most = 0.009 if flat else 1.0
    low = HANGING[kind][0] + HANGING[kind][1] * more if kind in HANGING else 0.3
    row = m.material(
        appearance.hair_colour, second=appearance.hair_tips, kind=m.HAIR, group=m.HAIR_GROUP,
        fold=0.25, folds=(8.0, 0.6), shine=0.05, gloss=10.0, seed=appearance.seed % 101,
    )  # fmt: skip
    row[m.LEVELS : m.LEVELS + 2] = 0.5, max(0.5 - low, 0.1)  # the tips' colour rules at ``low``
    hair = _Hair(figure, head, figure.paint(row), back)
    if kind in CLOSE:
        base, longer, wobble, recede = CLOSE[kind]
        hair.cap(min(base + longer * more, most), wobble=wobble, recede=recede)
    elif kind in HANGING:
        hair.curtain(appearance, low=low, thickness=min(0.020, most))
    else:
        hair.cap(min(0.010, most), low=0.25)
        if kind in TAILS:
            hair.tail(kind, more)
        else:
            hair.bun()
