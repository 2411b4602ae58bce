"""Where the joints are: a walk cycle and some standing poses, as forward kinematics.

Local axes of a person: x to their right, y up, z ahead; the origin is on the ground between the
feet. Joint angles of level walking follow Winter (Biomechanics and Motor Control of Human
Movement, 1991), sampled every tenth of the cycle from one heel strike to the next.
"""

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate.appearance import Appearance
from passerby.simulate.body import Body

HIP = np.array([21, 18, 11, 2, -6, -11, -7, 8, 19, 23]) * math.pi / 180
KNEE = np.array([5, 17, 17, 9, 6, 12, 36, 60, 50, 18]) * math.pi / 180
ANKLE = np.array([0, -4, 4, 8, 10, 4, -16, -8, 0, 1]) * math.pi / 180

POSES = ("walk", "stand", "phone", "call", "pockets", "push", "wait", "run")


@dataclass(frozen=True)
class Limb:
    """A chain of two bones: root, middle and end joint, and the front direction of each bone."""

    root: np.ndarray
    middle: np.ndarray
    end: np.ndarray
    front_upper: np.ndarray
    front_lower: np.ndarray
    tip: np.ndarray  # unit direction of foot or hand


@dataclass(frozen=True)
class Pose:
    """A posed skeleton. ``legs`` and ``arms`` are (left, right)."""

    body: Body
    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    pelvis: np.ndarray
    lean: float
    yaw_pelvis: float
    yaw_shoulders: float
    sway: float
    head_yaw: float
    head_pitch: float

    def trunk_point(self, s: float) -> np.ndarray:
        """Centre of the trunk at height ``s``."""
        body = self.body
        reach = s * body.trunk_length
        bend = body.stoop * max(s - 0.45, 0.0) ** 2 * body.trunk_length * 0.8
        curve = -0.018 * body.stature * math.sin(math.pi * min(max(s, 0.0), 1.0) * 0.9)
        if s < 0:
            return self.pelvis + np.array([0.0, reach, 0.0])
        return self.pelvis + np.array(
            [
                self.sway * reach,
                reach * math.cos(self.lean) - 0.35 * bend,
                reach * math.sin(self.lean) + bend + 0.5 * curve,
            ]
        )

    def trunk_front(self, s: float) -> np.ndarray:
        """Horizontal front direction of the trunk at height ``s``."""
        share = min(max(s, 0.0), 1.0)
        yaw = self.yaw_pelvis + (self.yaw_shoulders - self.yaw_pelvis) * share
        return np.array([math.sin(yaw), 0.0, math.cos(yaw)])


@dataclass(frozen=True)
class ArmAngles:
    """Angles (rad) of one arm: raised forward and outward, elbow bend, and forearm turned in."""

    forward: float = 0.0
    outward: float = 0.10
    elbow: float = 0.25
    inward: float = 0.15


def _cycle(table: np.ndarray, phase: float) -> float:
    """Periodic Catmull-Rom through a table of ten values."""
    t = (phase % 1.0) * len(table)
    k = int(t)
    s = t - k
    p0, p1, p2, p3 = (float(table[(k + i) % len(table)]) for i in (-1, 0, 1, 2))
    return p1 + 0.5 * s * (
        p2 - p0 + s * (2 * p0 - 5 * p1 + 4 * p2 - p3 + s * (3 * (p1 - p2) + p3 - p0))
    )


def _leg(
    body: Body, side: int, angles: tuple[float, float, float], out: float, turn: float
) -> Limb:
    """A leg hanging from the origin of the pelvis; ``side`` -1 left, 1 right."""
    hip, knee, ankle = angles
    root = np.array([side * body.hip_half, 0.0, 0.0])
    splay = side * out
    thigh = np.array([splay, -math.cos(hip), math.sin(hip)])
    shin_angle = hip - knee
    shin = np.array([splay * 0.5, -math.cos(shin_angle), math.sin(shin_angle)])
    middle = root + body.thigh * thigh
    end = middle + body.shin * shin
    pitch = shin_angle + ankle
    yaw = side * turn
    tip = np.array(
        [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
    )
    return Limb(
        root,
        middle,
        end,
        np.array([0.5 * math.sin(yaw), math.sin(hip), math.cos(hip)]),
        np.array([math.sin(yaw), math.sin(shin_angle), math.cos(shin_angle)]),
        tip,
    )


def _arm(body: Body, shoulder: np.ndarray, side: int, angles: ArmAngles, yaw: float) -> Limb:
    f, o = angles.forward, angles.outward
    upper = np.array([side * math.sin(o), -math.cos(f) * math.cos(o), math.sin(f) * math.cos(o)])
    g = f + angles.elbow
    level = math.cos(angles.inward)
    lower = np.array([-side * math.sin(angles.inward), -math.cos(g) * level, math.sin(g) * level])
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    upper, lower = _apply(turn, upper), _apply(turn, lower)
    middle = shoulder + body.upper_arm * upper
    end = middle + body.forearm * lower
    return Limb(
        shoulder,
        middle,
        end,
        _apply(turn, np.array([0.0, math.sin(f), math.cos(f)])),
        _apply(turn, np.array([0.0, math.sin(g), math.cos(g)])),
        lower,
    )


def _apply(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Matrix times vector without BLAS, so that the last bits are the same everywhere."""
    return np.array([float(np.sum(row * vector)) for row in matrix])


def arm_angles(
    appearance: Appearance, pose: str, phase: float, wobble: np.ndarray
) -> tuple[ArmAngles, ArmAngles]:
    """Angles of the left and the right arm, from the pose and from what the hands hold."""
    _, swing, elbow, *_ = appearance.gait
    amplitude = {"walk": 0.36, "run": 0.75}.get(pose, 0.0) * swing
    bend = {"run": 1.45}.get(pose, 0.28 * elbow)
    angles = []
    for side in (-1, 1):
        s = -math.cos(2 * math.pi * (phase - 0.05)) * side * amplitude
        angles.append(
            ArmAngles(
                forward=s * (1.0 if s > 0 else 0.8) + 0.02 + 0.05 * wobble[side + 1],
                outward=0.11 + 0.06 * max(appearance.build, 0) + 0.02 * wobble[side + 2],
                elbow=max(bend + 0.55 * s, 0.06),
                inward=0.16,
            )
        )
    for index in (0, 1):
        angles[index] = _busy(appearance, pose, index, angles[index])
    return angles[0], angles[1]


def _busy(appearance: Appearance, pose: str, index: int, free: ArmAngles) -> ArmAngles:
    """An arm's angles where it is kept busy, else ``free``."""
    side = 2 * index - 1
    if appearance.umbrella is not None and appearance.umbrella.side == side:
        return ArmAngles(forward=0.35, outward=0.12, elbow=1.75, inward=0.25)
    if pose == "push":
        return ArmAngles(forward=0.45, outward=0.14, elbow=0.95, inward=0.12)
    for thing in appearance.carried:
        if thing.side != side:
            continue
        if thing.kind == "suitcase":
            return ArmAngles(forward=-0.42, outward=0.20, elbow=0.12, inward=0.0)
        if thing.kind in ("shopping bag", "tote", "briefcase", "hand bag"):
            return ArmAngles(forward=0.35 * free.forward, outward=0.16, elbow=0.10, inward=0.05)
    if pose == "phone" and (side == 1 or appearance.seed % 3 == 0):
        return ArmAngles(forward=0.30, outward=0.10, elbow=1.85, inward=0.50)
    if pose == "call" and side == (1 if appearance.seed % 2 else -1):
        return ArmAngles(forward=0.50, outward=0.35, elbow=2.35, inward=0.20)
    if pose == "pockets" or (pose == "wait" and appearance.seed % 2):
        return ArmAngles(forward=-0.30, outward=0.28, elbow=0.75, inward=0.28)
    return free


def _leg_angles(appearance: Appearance, pose: str, phase: float, side: int) -> tuple[float, ...]:
    stride = appearance.gait[0]
    if pose in ("walk", "phone", "call", "pockets", "push"):
        p = phase + (0.5 if side < 0 else 0.0)
        hip = _cycle(HIP, p) * stride
        return hip + 0.02, _cycle(KNEE, p) * (0.55 + 0.45 * stride), _cycle(ANKLE, p)
    if pose == "run":
        p = phase + (0.5 if side < 0 else 0.0)
        return 1.55 * _cycle(HIP, p) + 0.12, 1.5 * _cycle(KNEE, p) + 0.22, _cycle(ANKLE, p)
    relaxed = 0.10 if (appearance.seed % 2) * 2 - 1 == side else 0.0  # one leg carries the weight
    return 0.6 * relaxed + 0.01, 1.6 * relaxed + 0.03, 0.0


def strike(appearance: Appearance, body: Body, pose: str, phase: float) -> Pose:
    """The posed skeleton at ``phase`` (0..1) of the walk cycle (0: right heel strikes)."""
    stride, swing, _, lean, toe_out, width = appearance.gait
    wobble = np.random.default_rng(appearance.seed).standard_normal(6)
    moving = pose in ("walk", "phone", "call", "pockets", "push", "run")
    turn = math.cos(2 * math.pi * (phase - 0.05)) if moving else 0.0
    out = 0.010 * width if moving else 0.035 * width
    legs = [
        _leg(body, side, _leg_angles(appearance, pose, phase, side), out, toe_out)  # type: ignore[arg-type]
        for side in (-1, 1)
    ]
    sole = min(
        min(limb.end[1] - body.ankle, limb.end[1] - body.ankle * 0.6 + body.foot * limb.tip[1])
        for limb in legs
    )
    pelvis = np.array([0.0, -sole, 0.0])
    yaw_pelvis = -0.08 * stride * turn
    yaw_shoulders = 0.10 * swing * turn
    lean = lean + (0.14 if pose == "run" else 0.10 if pose == "push" else 0.0)
    head_pitch = 0.45 if pose == "phone" else 0.08 + 0.08 * wobble[3]
    legs = [_moved(limb, pelvis) for limb in legs]
    bare = Pose(
        body, (legs[0], legs[1]), (legs[0], legs[1]), pelvis, lean, yaw_pelvis, yaw_shoulders,
        0.02 * wobble[4] * (not moving), 0.25 * wobble[5], head_pitch + 0.2 * body.stoop,
    )  # fmt: skip
    arms = _arms(appearance, bare, pose, phase, wobble)
    return Pose(
        body, bare.legs, arms, pelvis, lean, yaw_pelvis, yaw_shoulders,
        bare.sway, bare.head_yaw, bare.head_pitch,
    )  # fmt: skip


def _moved(limb: Limb, offset: np.ndarray) -> Limb:
    return Limb(
        limb.root + offset, limb.middle + offset, limb.end + offset,
        limb.front_upper, limb.front_lower, limb.tip,
    )  # fmt: skip


def _arms(
    appearance: Appearance, bare: Pose, pose: str, phase: float, wobble: np.ndarray
) -> tuple[Limb, Limb]:
    body = bare.body
    centre = bare.trunk_point(body.shoulder)
    front = bare.trunk_front(body.shoulder)
    right = np.array([front[2], 0.0, -front[0]])
    limbs = []
    for side, angles in zip((-1, 1), arm_angles(appearance, pose, phase, wobble), strict=True):
        shoulder = centre + side * body.shoulder_half * right - 0.004 * front
        limbs.append(_arm(body, shoulder, side, angles, bare.yaw_shoulders))
    return limbs[0], limbs[1]
