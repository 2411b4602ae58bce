"""The skin of the head: eyes, brows, mouth, beard and shaved hair, painted at its rest position."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate.kernels import kernel
from passerby.simulate.textures import lookup

# columns of a FACE material, from m.FEATURE on
BROW, BEARD, STUBBLE, HAIRLINE, LIPS, GLASSES, MASK = range(7)


@kernel
def hairline(theta: float, front: float) -> float:
    """Height of the hair's lower edge on the head (0 chin .. 1 crown) at an angle from the face."""
    a = abs(theta)
    if a < 0.75:
        return front
    if a < 1.35:
        return front + (0.46 - front) * (a - 0.75) / 0.6
    if a < 1.9:
        return 0.46
    return max(0.46 - (a - 1.9) * 0.34, 0.12)


@kernel
def _blob(x: float, y: float, width: float, height: float) -> float:
    d = (x / width) ** 2 + (y / height) ** 2
    return math.exp(-d * d)


@kernel
def face_colour(
    row: np.ndarray, v: float, theta: float, noise: np.ndarray
) -> tuple[float, float, float]:
    """Linear RGB of the head's skin; ``v`` runs from the chin (0) to the crown (1)."""
    r, g, b = row[0], row[1], row[2]
    a = abs(theta)
    f = m.FEATURE
    blush = _blob(a - 0.62, v - 0.36, 0.3, 0.12) * 0.10
    g, b = g * (1 - blush), b * (1 - blush)
    dark = 0.0
    if a < 1.2:
        dark = max(dark, 0.78 * _blob(a - 0.40, v - 0.53, 0.17, 0.034))
        dark = max(dark, 0.32 * _blob(a - 0.40, v - 0.525, 0.28, 0.075))
        dark = max(dark, row[f + BROW] * _blob(a - 0.42, v - 0.615, 0.26, 0.024))
        dark = max(dark, 0.30 * _blob(a - 0.11, v - 0.365, 0.10, 0.02))
        dark = max(dark, 0.45 * _blob(a, v - 0.235, 0.26, 0.014))
    beard = _beard(row, v, a)
    hair = max(beard, 0.0)
    line = hairline(theta, row[f + HAIRLINE])
    edge = min(max((v - line) / 0.04, 0.0), 1.0)
    hair = max(hair, edge * row[f + STUBBLE])
    tone = 0.75 + 0.5 * lookup(noise, theta * 90, v * 90)
    r += (row[3] * tone - r) * hair
    g += (row[4] * tone - g) * hair
    b += (row[5] * tone - b) * hair
    r, g, b = r * (1 - dark), g * (1 - dark), b * (1 - dark)
    lips = row[f + LIPS] * _blob(a, v - 0.235, 0.26, 0.036)
    r += (0.42 - r) * lips * 0.6
    g, b = g * (1 - 0.55 * lips), b * (1 - 0.5 * lips)
    return _worn(row, v, a, r, g, b)


@kernel
def _worn(
    row: np.ndarray, v: float, a: float, r: float, g: float, b: float
) -> tuple[float, float, float]:
    """Paint a face mask and glasses over the skin."""
    if row[m.FEATURE + MASK] > 0:
        top = 0.42 - 0.10 * min(a, 1.2)
        low = 0.02 + 0.12 * max(a - 0.5, 0.0)
        if a < 1.15 and low < v < top:
            crease = 0.92 + 0.08 * math.sin(v * 90)
            return row[6] * crease, row[7] * crease, row[8] * crease
        if a < 1.75 and abs(v - 0.38) < 0.012:
            return row[6], row[7], row[8]
    kind = row[m.FEATURE + GLASSES]
    if kind > 0 and a < 1.7:
        d = ((a - 0.40) / 0.30) ** 2 + ((v - 0.525) / 0.085) ** 2
        if kind > 1.5 and d < 1.0:
            return 0.012, 0.012, 0.015
        bridge = a < 0.16 and abs(v - 0.55) < 0.014
        temple = a > 0.62 and abs(v - 0.55) < 0.016
        if 0.72 < d < 1.15 or bridge or temple:
            return 0.02, 0.018, 0.018
    return r, g, b


@kernel
def _beard(row: np.ndarray, v: float, a: float) -> float:
    """Cover of a beard: cheeks below a line, chin, upper lip."""
    amount = row[m.FEATURE + BEARD]
    if amount <= 0 or a > 1.5:
        return 0.0
    top = 0.30 if a < 0.35 else 0.24 + 0.14 * (a - 0.35)
    cover = min(max((top - v) / 0.05, 0.0), 1.0)
    return amount * cover
