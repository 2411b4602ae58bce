"""Bare arms, hands, and the frame of a foot."""

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate import mesh as q
from passerby.simulate.appearance import Appearance
from passerby.simulate.clothes import SKIN_GROUP
from passerby.simulate.figure import Figure, ellipsoid_rows, limb_rows
from passerby.simulate.pose import Limb, Pose


def bare_arms(figure: Figure, appearance: Appearance, pose: Pose, start: float) -> None:
    """Skin of the arms from ``start`` to the wrist."""
    body = pose.body
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=SKIN_GROUP))
    centre = pose.trunk_point(body.shoulder)
    for side, arm in zip((-1, 1), pose.arms, strict=True):
        lead = None
        if start <= 0.01:
            lead = centre + (arm.root - centre) * 0.6
        rows = limb_rows(
            arm, body.arm, (body.upper_arm, body.forearm), start=start, end=1.0, count=9, lead=lead
        )
        if lead is not None:
            rows[1, :3] += np.array([-0.012 * side, 0.004, 0.0]) * body.stature
        figure.tube(rows, material, rings=15, segments=11)


def hands(figure: Figure, appearance: Appearance, pose: Pose) -> None:
    """Mitten hands with a thumb, slightly curled, in the direction of the forearm."""
    body = pose.body
    material = figure.paint(m.material(appearance.skin, kind=m.SKIN, group=SKIN_GROUP))
    for side, arm in zip((-1, 1), pose.arms, strict=True):
        inward = np.array([-side, 0.0, 0.0]) * 0.35 + arm.front_lower * 0.25
        rows = q.rows(6)
        shares = np.array([-0.10, 0.12, 0.40, 0.65, 0.88, 1.0])
        for i, share in enumerate(shares):
            rows[i, :3] = (
                arm.end + body.hand * share * arm.tip + inward * body.hand * 0.35 * share**2
            )
        rows[:, q.FRONT : q.FRONT + 3] = arm.front_lower
        rows[:, q.WIDTH] = np.array([0.014, 0.012, 0.014, 0.012, 0.010, 0.002]) * body.stature
        deep = np.array([0.015, 0.018, 0.025, 0.023, 0.017, 0.004]) * body.stature
        rows[:, q.DEPTH_FRONT] = rows[:, q.DEPTH_BACK] = deep
        figure.tube(rows, material, rings=8, segments=9)
        thumb = ellipsoid_rows(
            arm.end + body.hand * 0.38 * arm.tip + arm.front_lower * 0.024 * body.stature,
            _unit(arm.tip + 0.6 * arm.front_lower), arm.front_lower,
            (0.021 * body.stature, 0.006 * body.stature, 0.006 * body.stature), count=4,
        )  # fmt: skip
        figure.tube(thumb, material, rings=4, segments=6)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(math.sqrt(float(np.sum(vector * vector))), 1e-9)


def foot_frame(leg: Limb) -> tuple[np.ndarray, np.ndarray]:
    """Unit direction of the toes and the direction square to the sole."""
    ahead = _unit(leg.tip)
    level = _unit(np.array([ahead[0], 0.0, ahead[2]]))
    pitch = math.asin(min(max(float(ahead[1]), -1.0), 1.0))
    up = np.array([0.0, math.cos(pitch), 0.0]) - level * math.sin(pitch)
    return ahead, up
