"""Procedural cloth: tiles of noise and folds, and the print of a garment at a point of it."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate.kernels import kernel

TILE = 256


class Tiles(NamedTuple):
    """Periodic (256, 256) float32 pictures that kernels look values up in."""

    noise: np.ndarray  # smooth value noise, 0..1, features of 8 texels
    slope_u: np.ndarray  # slope of a wrinkled cloth around the body
    slope_v: np.ndarray  # and along it


@kernel
def lookup(tile: np.ndarray, x: float, y: float) -> float:
    """Bilinear value of a periodic tile at texel (x, y)."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx) & 255, int(fy) & 255
    k, n = (i + 1) & 255, (j + 1) & 255
    s, t = x - fx, y - fy
    top = tile[j, i] * (1 - s) + tile[j, k] * s
    low = tile[n, i] * (1 - s) + tile[n, k] * s
    return top * (1 - t) + low * t


@kernel
def hashed(i: float, j: float, seed: float) -> float:
    """A number in 0..1 for a cell of a grid, the same on every machine."""
    h = (int(i) * 374761393 + int(j) * 668265263 + int(seed) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2654435761) & 0xFFFFFFFF
    return ((h >> 8) & 0xFFFF) / 65535.0


@kernel
def _value_noise(size: int, cell: int, seed: int) -> np.ndarray:
    """Periodic value noise (size, size) with lattice spacing ``cell``, smoothly interpolated."""
    period = size // cell
    out = np.empty((size, size), np.float32)
    for y in range(size):
        j = y // cell
        t = (y - j * cell) / cell
        t = t * t * (3 - 2 * t)
        for x in range(size):
            i = x // cell
            s = (x - i * cell) / cell
            s = s * s * (3 - 2 * s)
            a = hashed(i, j, seed)
            b = hashed((i + 1) % period, j, seed)
            c = hashed(i, (j + 1) % period, seed)
            d = hashed((i + 1) % period, (j + 1) % period, seed)
            out[y, x] = (a * (1 - s) + b * s) * (1 - t) + (c * (1 - s) + d * s) * t
    return out


def _fold_height() -> np.ndarray:
    """Ridges of warped noise: sharp creases between soft, broad swells."""
    warp_x = _value_noise(TILE, 64, 11) + 0.5 * _value_noise(TILE, 32, 12)
    warp_y = _value_noise(TILE, 64, 13) + 0.5 * _value_noise(TILE, 32, 14)
    yy, xx = np.mgrid[0:TILE, 0:TILE]
    height = np.zeros((TILE, TILE))
    for cell, weight, seed in ((64, 1.0, 21), (32, 0.55, 22), (16, 0.22, 23)):
        base = _value_noise(TILE, cell, seed)
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
    slope_x = (np.roll(height, -1, 1) - np.roll(height, 1, 1)) / 2
    slope_y = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) / 2
    noise = (
        0.6 * _value_noise(TILE, 16, 1) + 0.3 * _value_noise(TILE, 8, 2)
        + 0.1 * _value_noise(TILE, 4, 3)
    )  # fmt: skip
    return Tiles(noise.astype(np.float32), slope_x.astype(np.float32), slope_y.astype(np.float32))


@kernel
def _stripes(row: np.ndarray, position: float) -> int:
    phase = position / row[m.SCALE]
    phase -= math.floor(phase)
    return 1 if phase < row[m.DUTY] else 0


@kernel
def _plaid(row: np.ndarray, u: float, v: float) -> tuple[float, bool]:
    """Index of colour and weight: two crossing families of bands and a fine line."""
    pu, pv = u / row[m.SCALE], v / row[m.SCALE]
    pu -= math.floor(pu)
    pv -= math.floor(pv)
    band = (1.0 if pu < row[m.DUTY] else 0.0) + (1.0 if pv < row[m.DUTY] else 0.0)
    line = abs(pu - 0.78) < 0.045 or abs(pv - 0.78) < 0.045
    return band * 0.5, line


@kernel
def _scatter(row: np.ndarray, u: float, v: float, size: float, seed: int) -> tuple[float, float]:
    """Distance to the nearest scattered blob over its radius, and the blob's own number."""
    x, y = u / row[m.SCALE], v / row[m.SCALE]
    best, kind = 9.0, 0.0
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
    return best, kind


@kernel
def _flowers(row: np.ndarray, u: float, v: float) -> tuple[float, float]:
    """Scattered blossoms in the second or the third colour."""
    distance, kind = _scatter(row, u, v, 0.42 * row[m.DUTY] + 0.12, int(row[m.SEED]))
    if distance >= 1.0:
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
        second = _stripes(row, v)
    elif pattern == m.VERTICAL:
        second = _stripes(row, u)
    elif pattern == m.PLAID:
        second, line = _plaid(row, u, v)
        third = 0.75 if line else 0.0
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
    if inside < 0.15 or inside > 0.85:
        return 0.0
    letters = 4 + int(row[m.LOGO_SEED]) % 5
    column = math.floor(x * letters)
    across = x * letters - column
    if across < 0.12:
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
def cloth_colour(
    row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray
) -> tuple[float, float, float]:
    """Linear RGB of a garment at (u, v) metres, with print, logo and weave."""
    second, third = _print_weights(row, u, v, noise)
    rest = 1.0 - second
    r = row[0] * rest + row[3] * second
    g = row[1] * rest + row[4] * second
    b = row[2] * rest + row[5] * second
    if third > 0:
        r += (row[6] - r) * third
        g += (row[7] - g) * third
        b += (row[8] - b) * third
    if row[m.LOGO] > 0:
        ink, other = _logo(row, u, v, theta, noise)
        if ink > 0:
            r += ink * (row[m.INK] * (1 - other) + row[6] * other - r)
            g += ink * (row[m.INK + 1] * (1 - other) + row[7] * other - g)
            b += ink * (row[m.INK + 2] * (1 - other) + row[8] * other - b)
    fabric = int(row[m.FABRIC])
    shade = 1.0
    if fabric == m.DENIM:
        fade = lookup(noise, u * 45 + row[m.SEED], v * 22)
        shade = 0.80 + 0.32 * fade + 0.25 * max(math.cos(theta), 0.0) ** 4 * row[m.WEAR]
        shade += 0.25 * (lookup(noise, u * 2200, v * 2200) - 0.5)
    elif fabric == m.KNIT:
        rib = math.sin(u * 6.283 / 0.022)
        shade = 0.90 + 0.10 * rib + 0.22 * (lookup(noise, u * 900, v * 700) - 0.5)
    elif fabric == m.WOOL:
        shade = 0.86 + 0.28 * lookup(noise, u * 700, v * 700)
    else:
        shade = 0.94 + 0.12 * lookup(noise, u * 60 + row[m.SEED], v * 60)
    return r * shade, g * shade, b * shade
