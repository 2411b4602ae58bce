"""Painted surfaces: the print of a garment and the skin of a face, at a point of the surface."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate.kernels import Vector, blended, hashed, kernel, lookup, mixed, scaled, triple

TILE = 256


class Tiles(NamedTuple):
    """Periodic (256, 256) float32 pictures that kernels look values up in."""

    noise: np.ndarray  # smooth value noise, 0..1, features of 8 texels
    slope_u: np.ndarray  # slope of a wrinkled cloth around the body
    slope_v: np.ndarray  # and along it


def _value_noise(cell: int, seed: int) -> np.ndarray:
    """Periodic value noise (256, 256) with lattice spacing ``cell``, smoothly interpolated."""
    period = TILE // cell
    lattice = np.array([[hashed(i, j, seed) for i in range(period)] for j in range(period)])
    i = np.arange(TILE) // cell
    s = (np.arange(TILE) - i * cell) / cell
    s = s * s * (3 - 2 * s)
    across = lattice[:, i] * (1 - s) + lattice[:, (i + 1) % period] * s
    t = s[:, None]
    return (across[i] * (1 - t) + across[(i + 1) % period] * t).astype(np.float32)


def _fold_height() -> np.ndarray:
    """Ridges of warped noise: sharp creases between soft, broad swells."""
    warp_x = _value_noise(64, 11) + 0.5 * _value_noise(32, 12)
    warp_y = _value_noise(64, 13) + 0.5 * _value_noise(32, 14)
    yy, xx = np.mgrid[0:TILE, 0:TILE]
    height = np.zeros((TILE, TILE))
    for cell, weight, seed in ((64, 1.0, 21), (32, 0.55, 22), (16, 0.22, 23)):
        base = _value_noise(cell, seed)
        x = (xx + 46 * (warp_x - 0.75)).astype(np.int64) % TILE
        y = (yy + 46 * (warp_y - 0.75)).astype(np.int64) % TILE
        ridge = 1 - np.abs(2 * base[y, x].astype(np.float64) - 1)
        height += weight * cell * ridge**2
    for _ in range(3):  # the integer warp leaves steps; a small periodic blur removes them
        for axis in (0, 1):
            height = 0.5 * height + 0.25 * (np.roll(height, 1, axis) + np.roll(height, -1, axis))
    return height


@lru_cache(maxsize=1)
def tiles() -> Tiles:
    """The tiles, built once a process (some milliseconds)."""
    height = _fold_height()
    slope_x, slope_y = ((np.roll(height, -1, k) - np.roll(height, 1, k)) / 2 for k in (1, 0))
    noise = (
        0.6 * _value_noise(16, 1) + 0.3 * _value_noise(8, 2)
        + 0.1 * _value_noise(4, 3)
    )  # fmt: skip
    return Tiles(noise.astype(np.float32), slope_x.astype(np.float32), slope_y.astype(np.float32))


@kernel
def _band(position: float, row: np.ndarray) -> float:
    """1 in the share of the print's period that the second colour takes, else 0."""
    phase = position / row[m.SCALE]
    return 1.0 if phase - math.floor(phase) < row[m.DUTY] else 0.0


@kernel
def _plaid(row: np.ndarray, u: float, v: float) -> tuple[float, float]:
    """Shares of the second and third colour: crossing bands and a fine line."""
    pu, pv = u / row[m.SCALE], v / row[m.SCALE]
    line = abs(pu - math.floor(pu) - 0.78) < 0.045 or abs(pv - math.floor(pv) - 0.78) < 0.045
    return (_band(u, row) + _band(v, row)) * 0.5, 0.75 if line else 0.0


@kernel
def _flowers(row: np.ndarray, u: float, v: float) -> tuple[float, float]:
    """Scattered blossoms in the second or the third colour."""
    size, seed = 0.42 * row[m.DUTY] + 0.12, int(row[m.SEED])
    x, y = u / row[m.SCALE], v / row[m.SCALE]
    best, kind = 9.0, 0.0  # distance to the nearest blossom over its radius, and its own number
    for dj in range(-1, 2):
        for di in range(-1, 2):
            i, j = math.floor(x) + di, math.floor(y) + dj
            cx = i + 0.2 + 0.6 * hashed(i, j, seed)
            cy = j + 0.2 + 0.6 * hashed(i, j, seed + 1)
            r = size * (0.6 + 0.8 * hashed(i, j, seed + 2))
            angle = math.atan2(y - cy, x - cx)
            r *= 1 + 0.25 * math.cos(5 * angle + 6.28 * hashed(i, j, seed + 3))
            d = math.sqrt((x - cx) ** 2 + (y - cy) ** 2) / r
            if d < best:
                best, kind = d, hashed(i, j, seed + 4)
    if best >= 1.0:
        return 0.0, 0.0
    return (1.0, 0.0) if kind < 0.55 else (0.0, 1.0)


@kernel
def _print_weights(row: np.ndarray, u: float, v: float, noise: np.ndarray) -> tuple[float, float]:
    """Share of the second and third colour of the garment's print at (u, v) metres."""
    pattern = int(row[m.PATTERN])
    u += row[m.OFFSET_U]
    v += row[m.OFFSET_V]
    second, third = 0.0, 0.0
    if pattern == m.HORIZONTAL:
        second = _band(v, row)
    elif pattern == m.VERTICAL:
        second = _band(u, row)
    elif pattern == m.PLAID:
        second, third = _plaid(row, u, v)
    elif pattern == m.DOTS:
        x, y = u / row[m.SCALE], v / row[m.SCALE]
        x += 0.5 * (math.floor(y) % 2)
        x -= math.floor(x) + 0.5
        y -= math.floor(y) + 0.5
        second = 1.0 if x * x + y * y < 0.25 * row[m.DUTY] else 0.0
    elif pattern == m.CAMOUFLAGE:
        s = 9.0 / row[m.SCALE]
        second = 1.0 if lookup(noise, u * s, v * s) > 0.52 else 0.0
        third = 1.0 if lookup(noise, u * s + 91, v * s + 37) > 0.56 else 0.0
    elif pattern == m.FLORAL:
        second, third = _flowers(row, u, v)
    elif pattern == m.TWEED:
        second = 0.9 * max(lookup(noise, u * 2600, v * 2600) - 0.35, 0.0)
    elif pattern == m.GRADIENT:
        second = min(max(0.5 + (row[m.SPLIT] - v) / 0.5, 0.0), 1.0)
    elif pattern == m.BLOCK:
        second = 1.0 if v < row[m.SPLIT] else 0.0
        third = 1.0 if abs(v - row[m.SPLIT]) < 0.5 * row[m.SCALE] * row[m.DUTY] else 0.0
    return second, third


@kernel
def _lettering(row: np.ndarray, x: float, y: float) -> float:
    """Pseudo-letters on lines: 1 where ink is. ``x, y`` in 0..1 of the printed block."""
    lines = 1 + int(row[m.LOGO_SEED]) % 3
    line = math.floor(y * lines)
    inside = y * lines - line
    letters = 4 + int(row[m.LOGO_SEED]) % 5
    column = math.floor(x * letters)
    across = x * letters - column
    if inside < 0.15 or inside > 0.85 or across < 0.12:
        return 0.0
    i, j = math.floor(across * 3.4), math.floor(inside * 4.2)
    seed = int(row[m.LOGO_SEED]) + 31 * int(line)
    return 1.0 if hashed(column * 4 + i, j, seed) < 0.62 else 0.0


@kernel
def _logo(
    row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray
) -> tuple[float, float]:
    """Cover (0..1) and share of the third colour of a printed logo, block or picture."""
    kind = int(row[m.LOGO])
    width, height = row[m.LOGO_WIDTH], row[m.LOGO_HEIGHT]
    centre = row[m.LOGO_U]
    if row[m.LOGO_BACK] > 0.5 and abs(theta) > 1.6:
        u = u - math.copysign(row[m.HALF_GIRTH], theta)
        centre = 0.0
        width, height = max(width, 0.22), max(height, 0.16)
    x = 0.5 - (u - centre) / width
    y = 0.5 - (v - row[m.LOGO_V]) / height
    if x < 0 or x > 1 or y < 0 or y > 1:
        return 0.0, 0.0
    if kind == m.LETTERS:
        return _lettering(row, x, y), 0.0
    radius = math.sqrt((x - 0.5) ** 2 + (y - 0.5) ** 2)
    seed = row[m.LOGO_SEED]
    wave = lookup(noise, x * 46 + seed * 13.7, y * 46 + seed * 7.1)
    if kind == m.EMBLEM:
        return (1.0 if radius < 0.35 + 0.3 * (wave - 0.5) else 0.0), (1.0 if wave > 0.55 else 0.0)
    return 1.0, min(max((wave - 0.42) * 6, 0.0), 1.0)


@kernel
def cloth_colour(row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray) -> Vector:
    """Linear RGB of a garment at (u, v) metres, with print, logo and weave."""
    second, third = _print_weights(row, u, v, noise)
    last = triple(row, m.THIRD)
    colour = blended(triple(row, m.COLOUR), triple(row, m.SECOND), second)
    if third > 0:
        colour = mixed(colour, last, third)
    if row[m.LOGO] > 0:
        cover, share = _logo(row, u, v, theta, noise)
        if cover > 0:
            colour = mixed(colour, blended(triple(row, m.INK), last, share), cover)
    return scaled(colour, _weave(row, u, v, theta, noise))


@kernel
def _weave(row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray) -> float:
    """Brightness of the fabric at a point."""
    fabric = int(row[m.FABRIC])
    if fabric == m.DENIM:
        fade = lookup(noise, u * 45 + row[m.SEED], v * 22)
        shade = 0.80 + 0.32 * fade + 0.25 * max(math.cos(theta), 0.0) ** 4 * row[m.WEAR]
        return float(shade + 0.25 * (lookup(noise, u * 2200, v * 2200) - 0.5))
    if fabric == m.KNIT:
        rib = math.sin(u * 6.283 / 0.022)
        return 0.90 + 0.10 * rib + 0.22 * (lookup(noise, u * 900, v * 700) - 0.5)
    if fabric == m.WOOL:
        return 0.86 + 0.28 * lookup(noise, u * 700, v * 700)
    return 0.94 + 0.12 * lookup(noise, u * 60 + row[m.SEED], v * 60)


@kernel
def _hairline(a: float, front: float) -> float:
    """Height of the hair's lower edge on the head (0 chin .. 1 crown) at an angle from the face."""
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
def face_colour(row: np.ndarray, v: float, theta: float, noise: np.ndarray) -> Vector:
    """Linear RGB of the head's skin; ``v`` runs from the chin (0) to the crown (1)."""
    r, g, b = triple(row, m.COLOUR)
    a = abs(theta)
    blush = _blob(a - 0.62, v - 0.36, 0.3, 0.12) * 0.10
    g, b = g * (1 - blush), b * (1 - blush)
    dark = 0.0
    if a < 1.2:  # eyes, their sockets, brows, nostrils, mouth
        dark = max(dark, 0.78 * _blob(a - 0.40, v - 0.53, 0.17, 0.034))
        dark = max(dark, 0.32 * _blob(a - 0.40, v - 0.525, 0.28, 0.075))
        dark = max(dark, row[m.BROW] * _blob(a - 0.42, v - 0.615, 0.26, 0.024))
        dark = max(dark, 0.30 * _blob(a - 0.11, v - 0.365, 0.10, 0.02))
        dark = max(dark, 0.45 * _blob(a, v - 0.235, 0.26, 0.014))
    edge = min(max((v - _hairline(a, row[m.HAIRLINE])) / 0.04, 0.0), 1.0)
    hair = max(_beard(row, v, a), edge * row[m.STUBBLE])
    tone = 0.75 + 0.5 * lookup(noise, theta * 90, v * 90)
    hairy = mixed((r, g, b), scaled(triple(row, m.SECOND), tone), hair)
    r, g, b = scaled(hairy, 1 - dark)
    lips = row[m.LIPS] * _blob(a, v - 0.235, 0.26, 0.036)
    r += (0.42 - r) * lips * 0.6
    g, b = g * (1 - 0.55 * lips), b * (1 - 0.5 * lips)
    return _worn(row, v, a, (r, g, b))


@kernel
def _worn(row: np.ndarray, v: float, a: float, skin: Vector) -> Vector:
    """Paint a face mask and glasses over the skin."""
    if row[m.MASK] > 0:
        top = 0.42 - 0.10 * min(a, 1.2)
        low = 0.02 + 0.12 * max(a - 0.5, 0.0)
        if a < 1.15 and low < v < top:
            return scaled(triple(row, m.THIRD), 0.92 + 0.08 * math.sin(v * 90))
        if a < 1.75 and abs(v - 0.38) < 0.012:
            return triple(row, m.THIRD)
    kind = row[m.GLASSES]
    if kind > 0 and a < 1.7:
        d = ((a - 0.40) / 0.30) ** 2 + ((v - 0.525) / 0.085) ** 2
        if kind > 1.5 and d < 1.0:
            return 0.012, 0.012, 0.015
        bridge = a < 0.16 and abs(v - 0.55) < 0.014
        temple = a > 0.62 and abs(v - 0.55) < 0.016
        if 0.72 < d < 1.15 or bridge or temple:
            return 0.02, 0.018, 0.018
    return skin


@kernel
def _beard(row: np.ndarray, v: float, a: float) -> float:
    """Cover of a beard: cheeks below a line, chin, upper lip."""
    if row[m.BEARD] <= 0 or a > 1.5:
        return 0.0
    top = 0.30 if a < 0.35 else 0.24 + 0.14 * (a - 0.35)
    return float(row[m.BEARD] * min(max((top - v) / 0.05, 0.0), 1.0))
