"""A person's body: its measures, and where the joints are in a walk cycle.

Proportions are shares of stature after Drillis and Contini (1966) and Pheasant's tables
(Bodyspace, 1996), rounded; heights on the trunk are ``s``: 0 at the hip joint, 1 at the neck.

Local axes of a person: x to their right, y up, z ahead; the origin is on the ground between the
feet. Joint angles of level walking follow Winter (Biomechanics and Motor Control of Human
Movement, 1991), sampled every tenth of the cycle from one heel strike to the next.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from passerby.simulate import data_file
from passerby.simulate.wardrobe import Appearance

# s, half width, half depth in front and behind; shares of stature
TRUNK_MAN, TRUNK_WOMAN = (
    np.array(data_file("bodies")[f"trunk_{name}"]) for name in ("man", "woman")
)
# how much each height of the trunk grows with build
BELLY = np.array(data_file("bodies")["belly"])
# share along the limb, half width, half depth in front and behind
LEG, ARM = (np.array(data_file("bodies")[name]) for name in ("leg", "arm"))
HIP, KNEE, ANKLE = (
    np.array(data_file("bodies")[name]) * math.pi / 180 for name in ("hip", "knee", "ankle")
)

POSES = ("walk", "phone", "call", "pockets")


@dataclass(frozen=True)
class Body:
    """Lengths in metres; ``trunk`` (12, 4) and ``leg``, ``arm`` (K, 4) as the tables, in metres.

    Attributes:
        hip_height: of the hip joints above the sole.
        hip_half, shoulder_half: half distances between the joints.
        shoulder: height of the shoulder joint in ``s``.
        stoop: radians the upper spine bends forward.
    """

    stature: float
    hip_height: float
    trunk_length: float
    hip_half: float
    shoulder_half: float
    shoulder: float
    thigh: float
    shin: float
    ankle: float
    foot: float
    upper_arm: float
    forearm: float
    hand: float
    head_height: float
    head_width: float
    head_depth: float
    neck: float
    stoop: float
    trunk: np.ndarray
    leg: np.ndarray
    arm: np.ndarray

    def trunk_at(self, s: float | np.ndarray) -> np.ndarray:
        """Half width, front and back depth at height ``s`` (below the crotch: the lowest row)."""
        return np.stack(
            [np.interp(s, self.trunk[:, 0], self.trunk[:, k]) for k in (1, 2, 3)], axis=-1
        )


def _trunk(appearance: Appearance, stature: float) -> np.ndarray:
    f, b = appearance.female, appearance.build
    table = TRUNK_MAN + (TRUNK_WOMAN - TRUNK_MAN) * f
    if appearance.age < 14:  # children have neither waist nor bust
        childish = min((14 - appearance.age) / 5, 1.0)
        flat = TRUNK_MAN.copy()
        flat[:, 1] = np.minimum(flat[:, 1], 0.092)
        table = table + (flat - table) * childish
    out: np.ndarray = table.copy()
    out[:, 1:] *= stature
    upper = table[:, 0] > 0.6
    out[upper, 1] *= appearance.shoulders
    out[:, 1] *= 1 + 0.10 * b * (0.55 + 0.45 * BELLY)
    out[:, 2] *= 1 + 0.16 * b * BELLY + 0.10 * max(b, 0) ** 2 * (BELLY > 1.2)
    out[:, 3] *= 1 + 0.11 * b * (0.6 + 0.4 * BELLY)
    return out


def measure(appearance: Appearance) -> Body:
    """Measures of a person's body, in metres."""
    h, b, f = appearance.stature, appearance.build, appearance.female
    child = min(max((15 - appearance.age) / 10, 0.0), 1.0)
    hip = (0.522 - 0.035 * child) * appearance.legs * h
    head = 0.142 + 0.043 * h + 0.006 * (1 - f)
    neck_height = h - head - 0.022 * h
    leg, arm = LEG.copy(), ARM.copy()
    leg[:, 1:] *= h * (1 + 0.11 * b + 0.05 * f * (leg[:, :1] < 0.45))
    arm[:, 1:] *= h * (1 + 0.10 * b - 0.10 * f)
    ankle = 0.045 * h
    return Body(
        stature=h,
        hip_height=hip,
        trunk_length=neck_height - hip,
        hip_half=(0.049 + 0.003 * f) * h * (1 + 0.05 * max(b, 0)),
        shoulder_half=(0.096 - 0.010 * f) * h * appearance.shoulders * (1 + 0.05 * b),
        shoulder=0.885,
        thigh=(hip - ankle) * 0.515,
        shin=(hip - ankle) * 0.485,
        ankle=ankle,
        foot=0.150 * h,
        upper_arm=0.172 * h,
        forearm=0.143 * h,
        hand=0.105 * h,
        head_height=head,
        head_width=0.070 + 0.050 * head / 0.22 * (0.70 + 0.3 * h / 1.75) + 0.003 * b,
        head_depth=0.088 + 0.100 * head / 0.22 * (0.75 + 0.25 * h / 1.75) + 0.003 * b,
        neck=(0.058 - 0.010 * f) * h * (0.55 + 0.05 * b) + 0.005,
        stoop=0.10 + 0.30 * min(max((appearance.age - 62) / 25, 0), 1),
        trunk=_trunk(appearance, h),
        leg=leg,
        arm=arm,
    )


@dataclass(frozen=True)
class Limb:
    """A chain of two bones.

    Attributes:
        side: -1 left, 1 right.
        shape: (K, 4) ``Body.leg`` or ``Body.arm``.
        lengths: of the two bones, metres.
        root, middle, end: joints.
        front_upper, front_lower: front direction of each bone.
        tip: unit direction of foot or hand.
    """

    side: int
    shape: np.ndarray
    lengths: tuple[float, float]
    root: np.ndarray
    middle: np.ndarray
    end: np.ndarray
    front_upper: np.ndarray
    front_lower: np.ndarray
    tip: np.ndarray


@dataclass(frozen=True)
class Pose:
    """A posed skeleton. ``legs`` and ``arms`` are (left, right); angles in radians."""

    body: Body
    legs: tuple[Limb, ...]
    arms: tuple[Limb, ...]
    pelvis: np.ndarray
    lean: float
    yaw_pelvis: float
    yaw_shoulders: float
    head_yaw: float
    head_pitch: float

    def trunk_point(self, s: float) -> np.ndarray:
        """Centre of the trunk at height ``s``."""
        body = self.body
        reach = s * body.trunk_length
        bend = body.stoop * max(s - 0.45, 0.0) ** 2 * body.trunk_length * 0.8
        curve = -0.018 * body.stature * math.sin(math.pi * min(max(s, 0.0), 1.0) * 0.9)
        up = reach * math.cos(self.lean) - 0.35 * bend
        ahead = reach * math.sin(self.lean) + bend + 0.5 * curve
        offset = np.array([0.0, reach, 0.0] if s < 0 else [0.0, up, ahead])
        return np.asarray(self.pelvis + offset)

    def trunk_axes(self, s: float) -> tuple[np.ndarray, np.ndarray]:
        """Horizontal directions to the front and to the right of the trunk at height ``s``."""
        share = min(max(s, 0.0), 1.0)
        yaw = self.yaw_pelvis + (self.yaw_shoulders - self.yaw_pelvis) * share
        sine, cosine = math.sin(yaw), math.cos(yaw)
        return np.array([sine, 0.0, cosine]), np.array([cosine, 0.0, -sine])


@dataclass(frozen=True)
class ArmAngles:
    """Angles (rad) of one arm: raised forward and outward, elbow bend, and forearm turned in."""

    forward: float
    outward: float
    elbow: float
    inward: float


def _cycle(table: np.ndarray, phase: float) -> float:
    """Periodic Catmull-Rom through a table of ten values."""
    t = (phase % 1.0) * len(table)
    k = int(t)
    s = t - k
    p0, p1, p2, p3 = (float(table[(k + i) % len(table)]) for i in (-1, 0, 1, 2))
    return p1 + 0.5 * s * (
        p2 - p0 + s * (2 * p0 - 5 * p1 + 4 * p2 - p3 + s * (3 * (p1 - p2) + p3 - p0))
    )


def _leg(appearance: Appearance, body: Body, side: int, phase: float) -> Limb:
    """A leg that hangs from the origin of the pelvis."""
    stride, _, _, _, toe_out, width = appearance.gait
    p = phase + (0.5 if side < 0 else 0.0)
    hip = _cycle(HIP, p) * stride + 0.02
    shin_angle = hip - _cycle(KNEE, p) * (0.55 + 0.45 * stride)
    pitch = shin_angle + _cycle(ANKLE, p)
    yaw, splay = side * toe_out, side * (0.010 * width)
    thigh = np.array([splay, -math.cos(hip), math.sin(hip)])
    shin = np.array([splay * 0.5, -math.cos(shin_angle), math.sin(shin_angle)])
    root = np.array([side * body.hip_half, 0.0, 0.0])
    middle = root + body.thigh * thigh
    return Limb(
        side, body.leg, (body.thigh, body.shin), root, middle, middle + body.shin * shin,
        np.array([0.5 * math.sin(yaw), math.sin(hip), math.cos(hip)]),
        np.array([math.sin(yaw), math.sin(shin_angle), math.cos(shin_angle)]),
        np.array(
            [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
        ),
    )  # fmt: skip


def _arm(body: Body, shoulder: np.ndarray, side: int, angles: ArmAngles, yaw: float) -> Limb:
    def turned(x: float, y: float, z: float) -> np.ndarray:
        c, s = math.cos(yaw), math.sin(yaw)
        return np.array([c * x + s * z, y, c * z - s * x])

    f, o = angles.forward, angles.outward
    upper = turned(side * math.sin(o), -math.cos(f) * math.cos(o), math.sin(f) * math.cos(o))
    g = f + angles.elbow
    level = math.cos(angles.inward)
    lower = turned(-side * math.sin(angles.inward), -math.cos(g) * level, math.sin(g) * level)
    middle = shoulder + body.upper_arm * upper
    return Limb(
        side, body.arm, (body.upper_arm, body.forearm), shoulder, middle,
        middle + body.forearm * lower, turned(0.0, math.sin(f), math.cos(f)),
        turned(0.0, math.sin(g), math.cos(g)), lower,
    )  # fmt: skip


def _arm_angles(
    appearance: Appearance, pose: str, phase: float, side: int, wobble: np.ndarray
) -> ArmAngles:
    """Angles of one arm, from the pose and from what the hand holds."""
    _, swing, elbow, *_ = appearance.gait
    amplitude = (0.36 if pose == "walk" else 0.0) * swing
    s = -math.cos(2 * math.pi * (phase - 0.05)) * side * amplitude
    forward = s * (1.0 if s > 0 else 0.8) + 0.02 + 0.05 * wobble[side + 1]
    if appearance.umbrella is not None and appearance.umbrella.side == side:
        return ArmAngles(forward=0.35, outward=0.12, elbow=1.75, inward=0.25)
    for thing in appearance.carried:
        if thing.side != side:
            continue
        if thing.kind == "suitcase":
            return ArmAngles(forward=-0.42, outward=0.20, elbow=0.12, inward=0.0)
        if thing.kind in ("shopping bag", "tote", "briefcase", "hand bag"):
            return ArmAngles(forward=0.35 * forward, outward=0.16, elbow=0.10, inward=0.05)
    if pose == "phone" and (side == 1 or appearance.seed % 3 == 0):
        return ArmAngles(forward=0.30, outward=0.10, elbow=1.85, inward=0.50)
    if pose == "call" and side == (1 if appearance.seed % 2 else -1):
        return ArmAngles(forward=0.50, outward=0.35, elbow=2.35, inward=0.20)
    if pose == "pockets":
        return ArmAngles(forward=-0.30, outward=0.28, elbow=0.75, inward=0.28)
    return ArmAngles(
        forward=forward,
        outward=0.11 + 0.06 * max(appearance.build, 0) + 0.02 * wobble[side + 2],
        elbow=max(0.28 * elbow + 0.55 * s, 0.06),
        inward=0.16,
    )


def strike(appearance: Appearance, body: Body, pose: str, phase: float) -> Pose:
    """The posed skeleton at ``phase`` (0..1) of the walk cycle (0: right heel strikes)."""
    stride, swing, _, lean, _, _ = appearance.gait
    wobble = np.random.default_rng(appearance.seed).standard_normal(6)
    turn = math.cos(2 * math.pi * (phase - 0.05))
    legs = [_leg(appearance, body, side, phase) for side in (-1, 1)]
    sole = min(
        min(limb.end[1] - body.ankle, limb.end[1] - body.ankle * 0.6 + body.foot * limb.tip[1])
        for limb in legs
    )
    pelvis = np.array([0.0, -sole, 0.0])
    head_pitch = 0.45 if pose == "phone" else 0.08 + 0.08 * wobble[3]
    posed = Pose(
        body=body,
        legs=tuple(
            replace(leg, root=leg.root + pelvis, middle=leg.middle + pelvis, end=leg.end + pelvis)
            for leg in legs
        ),
        arms=(),
        pelvis=pelvis,
        lean=lean,
        yaw_pelvis=-0.08 * stride * turn,
        yaw_shoulders=0.10 * swing * turn,
        head_yaw=0.25 * wobble[5],
        head_pitch=head_pitch + 0.2 * body.stoop,
    )
    centre = posed.trunk_point(body.shoulder)
    front, right = posed.trunk_axes(body.shoulder)
    arms = []
    for side in (-1, 1):
        shoulder = centre + side * body.shoulder_half * right - 0.004 * front
        angles = _arm_angles(appearance, pose, phase, side, wobble)
        arms.append(_arm(body, shoulder, side, angles, posed.yaw_shoulders))
    return replace(posed, arms=tuple(arms))
