"""Deferred shading: from the surface buffer to linear light."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math

import numpy as np

from passerby.simulate import materials as m
from passerby.simulate.faces import face_colour
from passerby.simulate.kernels import kernel
from passerby.simulate.light import lit
from passerby.simulate.textures import Tiles, cloth_colour, lookup


@kernel
def contact_shade(
    depth: np.ndarray, visible: np.ndarray, radius: int, strength: float
) -> np.ndarray:
    """Share of ambient light (H, W) by how far a pixel lies behind its neighbours.

    Unsharp masking of the depth buffer (Luft, Colditz and Deussen 2006): arms darken the trunk
    behind them and legs each other. The mean is taken over visible pixels within ``radius``.
    """
    height, width = depth.shape
    sums = np.zeros((height + 1, width + 1))
    counts = np.zeros((height + 1, width + 1))
    for y in range(height):
        for x in range(width):
            inside = visible[y, x] >= 0
            value = depth[y, x] if inside else 0.0
            sums[y + 1, x + 1] = sums[y, x + 1] + sums[y + 1, x] - sums[y, x] + value
            counts[y + 1, x + 1] = (
                counts[y, x + 1] + counts[y + 1, x] - counts[y, x] + (1.0 if inside else 0.0)
            )
    out = np.ones((height, width), np.float32)
    for y in range(height):
        y0, y1 = max(y - radius, 0), min(y + radius + 1, height)
        for x in range(width):
            if visible[y, x] < 0:
                continue
            x0, x1 = max(x - radius, 0), min(x + radius + 1, width)
            count = counts[y1, x1] - counts[y0, x1] - counts[y1, x0] + counts[y0, x0]
            total = sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0]
            behind = min(max(depth[y, x] - total / count, 0.0), 0.12)
            out[y, x] = math.exp(-strength * behind)
    return out


@kernel
def smooth_normals(
    surface: np.ndarray,
    visible: np.ndarray,
    depth: np.ndarray,
    triangles: np.ndarray,
    table: np.ndarray,
    radius: int,
) -> np.ndarray:
    """Average normals over near pixels of the same group, so that lofts join without a crease."""
    height, width = visible.shape
    out = surface[:, :, :3].copy()
    for y in range(height):
        for x in range(width):
            t = visible[y, x]
            if t < 0:
                continue
            group = table[triangles[t, 3], m.GROUP]
            if group <= 0:
                continue
            nx = ny = nz = 0.0
            for j in range(-radius, radius + 1, max(radius, 1)):
                for i in range(-radius, radius + 1, max(radius, 1)):
                    yy, xx = min(max(y + j, 0), height - 1), min(max(x + i, 0), width - 1)
                    other = visible[yy, xx]
                    if other < 0 or table[triangles[other, 3], m.GROUP] != group:
                        continue
                    if abs(depth[yy, xx] - depth[y, x]) > 0.045:
                        continue
                    nx += surface[yy, xx, 0]
                    ny += surface[yy, xx, 1]
                    nz += surface[yy, xx, 2]
            norm = math.sqrt(nx * nx + ny * ny + nz * nz)
            if norm > 1e-6:
                out[y, x, 0], out[y, x, 1], out[y, x, 2] = nx / norm, ny / norm, nz / norm
    return out


@kernel
def _fold_slope(
    row: np.ndarray, u: float, v: float, slope_u: np.ndarray, slope_v: np.ndarray, strength: float
) -> tuple[float, float]:
    """Slope of the cloth along both directions, from wrinkles and quilting."""
    s = strength * row[m.FOLD]
    du = dv = 0.0
    if s > 0:
        x = u * row[m.FOLD_U] * 256.0 + row[m.SEED] * 37.0
        y = v * row[m.FOLD_V] * 256.0 + row[m.SEED] * 11.0
        du = s * lookup(slope_u, x, y)
        dv = s * lookup(slope_v, x, y)
    if row[m.QUILT] > 0:
        phase = v / row[m.QUILT]
        phase -= math.floor(phase)
        dv += 1.3 * (2 * phase - 1.0) ** 3
    return du, dv


@kernel
def _detail(row: np.ndarray, u: float, v: float, theta: float) -> float:
    """Brightness from seams: zips, plackets, hems, collars, pockets."""
    shade = 1.0
    line = row[m.FRONT_LINE]
    if line > 0 and abs(theta) < 1.2:
        if line == 1:
            shade *= 0.62 if abs(u) < 0.007 else 1.0
        elif abs(u) < 0.019:
            shade *= 0.90 if abs(u) > 0.015 else 1.0
            step = v / 0.085
            if abs(u) < 0.008 and step - math.floor(step) < 0.16:
                shade *= 0.7
    if row[m.HEM] > -50 and v < row[m.HEM] + row[m.HEM_BAND]:
        shade *= row[m.HEM_SHADE]
        if v > row[m.HEM] + row[m.HEM_BAND] - 0.012:
            shade *= 0.78
    if v > row[m.COLLAR] and row[m.COLLAR] > -50:
        shade *= 0.86
    if row[m.POCKETS] > 0:
        shade *= _pocket(row, u, v, theta)
    return shade


@kernel
def _pocket(row: np.ndarray, u: float, v: float, theta: float) -> float:
    kind = int(row[m.POCKETS])
    low = row[m.LEVELS]
    a = abs(u)
    if kind == 1 and abs(theta) < 1.4:  # flap pockets on a jacket
        if 0.07 < a < 0.17 and low < v < low + 0.045:
            return 0.80 if v < low + 0.012 or a < 0.078 or a > 0.162 else 0.94
    elif kind == 2:  # hip pockets of trousers, patch pockets behind
        if abs(theta) > 1.7:
            x = row[m.HALF_GIRTH] - a
            if 0.035 < x < 0.15 and low - 0.13 < v < low:
                edge = x < 0.043 or x > 0.142 or v < low - 0.122 or v > low - 0.012
                return 0.76 if edge else 1.0
        elif abs(a - 0.11 - 0.35 * (v - low + 0.06)) < 0.007 and low - 0.12 < v < low + 0.03:
            return 0.72
    elif kind == 3 and 0.05 < u < 0.15 and low < v < low + 0.12 and abs(theta) < 1.4:
        return 0.82 if v > low + 0.108 or u < 0.057 or u > 0.143 else 1.0
    elif kind == 4 and abs(theta) < 1.3 and a < 0.15 and low < v < low + 0.16:
        slope = 0.15 - 0.35 * (v - low)  # kangaroo pocket of a hoodie
        return 0.76 if abs(a - slope) < 0.009 or v > low + 0.15 else 1.0
    return 1.0


@kernel
def _overlay(row: np.ndarray, u: float, v: float, theta: float) -> int:
    """Straps and reflective bands painted over a garment: kind 0 none, 1 strap, 2 reflector."""
    strap = int(row[m.STRAP])
    if strap == 1 and abs(theta) < 1.75:
        if v > row[m.LEVELS + 1]:
            centre = 0.115 + 0.10 * (row[m.LEVELS + 2] - v)
            if abs(abs(u) - centre) < 0.026:
                return 1
    elif strap >= 2:
        side = 1.0 if strap == 2 else -1.0
        reach = row[m.HALF_GIRTH] * 0.5 * math.sin(theta) * side
        level = row[m.LEVELS + 2] - 0.16 + 1.15 * reach
        if abs(v - level) < 0.030:
            return 1
    if row[m.BANDS] > 0:
        high, low = row[m.LEVELS + 3], row[m.LEVELS + 3] - 0.17
        if abs(v - high) < 0.026 or abs(v - low) < 0.026:
            return 2
        if v > high and abs(abs(u) - 0.13) < 0.024:
            return 2
    return 0


@kernel
def _albedo(
    row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray
) -> tuple[float, float, float]:
    kind = int(row[m.KIND])
    if kind == m.CLOTH:
        over = _overlay(row, u, v, theta)
        if over == 1:
            c = m.STRAP_COLOUR
            return row[c], row[c + 1], row[c + 2]
        if over == 2:
            return 0.72, 0.74, 0.74
        r, g, b = cloth_colour(row, u, v, theta, noise)
        shade = _detail(row, u, v, theta)
        return r * shade, g * shade, b * shade
    if kind == m.FACE:
        return face_colour(row, v, theta, noise)
    if kind == m.HAIR:
        strand = lookup(noise, theta * 150.0 + row[m.SEED], v * 90.0)
        tone = 0.74 + 0.52 * strand
        mix = min(max((row[m.LEVELS] - v) / max(row[m.LEVELS + 1], 1e-3), 0.0), 1.0)
        r = row[0] + (row[3] - row[0]) * mix
        g = row[1] + (row[4] - row[1]) * mix
        b = row[2] + (row[5] - row[2]) * mix
        return r * tone, g * tone, b * tone
    return row[0], row[1], row[2]


@kernel
def _shade(
    out: np.ndarray,
    row: np.ndarray,
    s: np.ndarray,
    normal: np.ndarray,
    contact: float,
    point: tuple[float, float, float, float, float, float],
    light: np.ndarray,
    shadow: np.ndarray,
    axes: np.ndarray,
    tiles: Tiles,
) -> None:
    """Write the linear RGB of one pixel with material ``row`` and surface values ``s``."""
    u, v, theta = s[6], s[7], s[8]
    r, g, b = _albedo(row, u, v, theta, tiles.noise)
    du, dv = _fold_slope(row, u, v, tiles.slope_u, tiles.slope_v, s[9])
    nx, ny, nz = _bend(normal, s, du, dv)
    ambient = s[10] * contact * min(max(1.0 - 0.35 * (abs(du) + abs(dv)), 0.5), 1.0)
    px, py, pz, ex, ey, ez = point
    free = lit(shadow, axes, px + 0.03 * nx, py + 0.03 * ny, pz + 0.03 * nz, 0.02, 0.9)
    sun, sky, spark = _light(row, nx, ny, nz, ex, ey, ez, light)
    sun *= free * (0.35 + 0.65 * ambient)
    bounce = (1.0 - sky) * ambient
    sky *= ambient
    spark *= free
    out[0] = r * (light[3] * sun + light[6] * sky + light[9] * bounce) + light[3] * spark
    out[1] = g * (light[4] * sun + light[7] * sky + light[10] * bounce) + light[4] * spark
    out[2] = b * (light[5] * sun + light[8] * sky + light[11] * bounce) + light[5] * spark


@kernel
def shade_pixels(
    visible: np.ndarray,
    depth: np.ndarray,
    surface: np.ndarray,
    normals: np.ndarray,
    contact: np.ndarray,
    triangles: np.ndarray,
    table: np.ndarray,
    camera: np.ndarray,
    light: np.ndarray,
    shadow: np.ndarray,
    axes: np.ndarray,
    tiles: Tiles,
) -> np.ndarray:
    """Linear RGB (H, W, 3) of the visible surfaces: sun with cast shadows, sky and bounce."""
    height, width = visible.shape
    out = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            t = visible[y, x]
            if t < 0:
                continue
            _shade(
                out[y, x], table[triangles[t, 3]], surface[y, x], normals[y, x], contact[y, x],
                _point(camera, x + 0.5, y + 0.5, depth[y, x]), light, shadow, axes, tiles,
            )  # fmt: skip
    return out


@kernel
def _bend(normal: np.ndarray, s: np.ndarray, du: float, dv: float) -> tuple[float, float, float]:
    """Normal tilted by the slopes along the surface's two directions."""
    nx, ny, nz = normal[0], normal[1], normal[2]
    tx, ty, tz = s[3], s[4], s[5]
    dot = tx * nx + ty * ny + tz * nz
    tx, ty, tz = tx - dot * nx, ty - dot * ny, tz - dot * nz
    norm = max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-6)
    tx, ty, tz = tx / norm, ty / norm, tz / norm
    bx, by, bz = ty * nz - tz * ny, tz * nx - tx * nz, tx * ny - ty * nx
    nx, ny, nz = nx - du * bx - dv * tx, ny - du * by - dv * ty, nz - du * bz - dv * tz
    norm = math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx / norm, ny / norm, nz / norm


@kernel
def _point(
    camera: np.ndarray, px: float, py: float, depth: float
) -> tuple[float, float, float, float, float, float]:
    """World point of a pixel at a depth, and the unit vector from it to the camera."""
    u = (px - camera[14]) / camera[12]
    v = -(py - camera[15]) / camera[13]
    rx = camera[0] * u + camera[3] * v + camera[6]
    ry = camera[1] * u + camera[4] * v + camera[7]
    rz = camera[2] * u + camera[5] * v + camera[8]
    norm = math.sqrt(rx * rx + ry * ry + rz * rz)
    x, y, z = camera[9] + depth * rx, camera[10] + depth * ry, camera[11] + depth * rz
    return x, y, z, -rx / norm, -ry / norm, -rz / norm


@kernel
def _light(
    row: np.ndarray,
    nx: float,
    ny: float,
    nz: float,
    ex: float,
    ey: float,
    ez: float,
    light: np.ndarray,
) -> tuple[float, float, float]:
    """Weights of sun, of sky against bounce, and of the highlight."""
    facing = nx * light[0] + ny * light[1] + nz * light[2]
    sun = max(0.12 + 0.88 * facing, 0.0) if facing > 0 else max(0.12 + 0.6 * facing, 0.0)
    towards = max(nx * ex + ny * ey + nz * ez, 0.0)
    sky = 0.5 + 0.5 * (0.75 * ny + 0.25 * towards)
    spark = 0.0
    if row[m.SHINE] > 0:
        hx, hy, hz = ex + light[0], ey + light[1], ez + light[2]
        norm = max(math.sqrt(hx * hx + hy * hy + hz * hz), 1e-6)
        glint = max((nx * hx + ny * hy + nz * hz) / norm, 0.0)
        spark = row[m.SHINE] * glint ** row[m.GLOSS]
        grazing = (1.0 - towards) ** 4
        sky += row[m.SHINE] * (0.6 * grazing + 0.3 * max(ny, 0.0) ** 3)
    return sun, sky, spark
