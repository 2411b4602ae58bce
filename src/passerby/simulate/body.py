"""Measures of a body: lengths and girths from age, sex, stature and build.

Proportions are shares of stature after Drillis and Contini (1966) and Pheasant's tables
(Bodyspace, 1996), rounded; heights on the trunk are ``s``: 0 at the hip joint, 1 at the neck.
"""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.appearance import Appearance

# s, half width, half depth in front, half depth behind; shares of stature
TRUNK_MAN = np.array([
    [-0.20, 0.070, 0.046, 0.055], [-0.08, 0.091, 0.054, 0.068], [0.05, 0.096, 0.056, 0.072],
    [0.18, 0.092, 0.056, 0.062], [0.32, 0.083, 0.056, 0.052], [0.48, 0.086, 0.058, 0.053],
    [0.62, 0.091, 0.064, 0.058], [0.75, 0.094, 0.062, 0.063], [0.86, 0.090, 0.048, 0.060],
    [0.93, 0.070, 0.036, 0.050], [0.985, 0.052, 0.030, 0.041], [1.03, 0.036, 0.030, 0.037],
])  # fmt: skip
TRUNK_WOMAN = np.array([
    [-0.20, 0.076, 0.048, 0.058], [-0.08, 0.098, 0.056, 0.074], [0.05, 0.102, 0.058, 0.078],
    [0.18, 0.094, 0.056, 0.064], [0.32, 0.075, 0.050, 0.048], [0.48, 0.077, 0.054, 0.049],
    [0.62, 0.083, 0.078, 0.054], [0.75, 0.085, 0.066, 0.058], [0.86, 0.081, 0.046, 0.055],
    [0.93, 0.062, 0.033, 0.046], [0.985, 0.045, 0.027, 0.037], [1.03, 0.032, 0.027, 0.034],
])  # fmt: skip
# how much each height grows with build (front, back and sides)
BELLY = np.array([0.3, 0.6, 0.8, 1.3, 1.6, 1.3, 0.8, 0.5, 0.4, 0.35, 0.35, 0.35])

# share along the limb, half width, half depth in front, half depth behind
LEG = np.array([
    [0.00, 0.056, 0.054, 0.056], [0.12, 0.053, 0.052, 0.053], [0.25, 0.047, 0.048, 0.047],
    [0.40, 0.038, 0.040, 0.039], [0.50, 0.033, 0.035, 0.033], [0.60, 0.031, 0.028, 0.037],
    [0.72, 0.031, 0.026, 0.037], [0.84, 0.024, 0.022, 0.027], [0.94, 0.019, 0.020, 0.021],
    [1.00, 0.019, 0.022, 0.021],
])  # fmt: skip
ARM = np.array([
    [0.00, 0.027, 0.030, 0.031], [0.10, 0.030, 0.031, 0.032], [0.25, 0.028, 0.029, 0.030],
    [0.40, 0.026, 0.026, 0.027], [0.50, 0.023, 0.024, 0.024], [0.60, 0.024, 0.025, 0.023],
    [0.75, 0.021, 0.022, 0.020], [0.90, 0.016, 0.017, 0.016], [1.00, 0.015, 0.017, 0.016],
])  # fmt: skip


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
    out = table.copy()
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
