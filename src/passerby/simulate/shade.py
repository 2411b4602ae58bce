"""Deferred shading: from the surface buffer to linear light."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from typing import NamedTuple

import numpy as np

from passerby.simulate import kernels as k
from passerby.simulate import materials as m
from passerby.simulate.kernels import Vector, kernel, lookup
from passerby.simulate.mesh import MASK, Figure
from passerby.simulate.raster import (
    NO_SHADOW,
    Camera,
    Light,
    Shadow,
    lit,
    project,
    rasterise,
    surface_values,
)
from passerby.simulate.textures import Tiles, cloth_colour, face_colour, tiles


class Buffers(NamedTuple):
    """What the rasteriser leaves for each pixel, and what its triangles are made of."""

    visible: np.ndarray  # (H, W) int32, visible triangle; -1 none
    depth: np.ndarray  # (H, W) float32, metres along the optical axis
    surface: np.ndarray  # (H, W, 11) float32, interpolated values of the vertices
    triangles: np.ndarray  # (T, 4) int32, three vertices and the material
    table: np.ndarray  # (M, 62), the materials


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
            count = counts[y, x + 1] + counts[y + 1, x] - counts[y, x]
            counts[y + 1, x + 1] = count + (1.0 if inside else 0.0)
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
def smooth_normals(buffers: Buffers, radius: int) -> np.ndarray:
    """Average normals over near pixels of the same group, so that lofts join without a crease."""
    visible, depth, surface, triangles, table = buffers
    height, width = visible.shape
    out = surface[:, :, :3].copy()
    for y in range(height):
        for x in range(width):
            if visible[y, x] < 0:
                continue
            group = table[triangles[visible[y, x], 3], m.GROUP]
            if group <= 0:
                continue
            total = (0.0, 0.0, 0.0)
            for j in range(-radius, radius + 1, max(radius, 1)):
                for i in range(-radius, radius + 1, max(radius, 1)):
                    yy, xx = min(max(y + j, 0), height - 1), min(max(x + i, 0), width - 1)
                    other = visible[yy, xx]
                    if other < 0 or table[triangles[other, 3], m.GROUP] != group:
                        continue
                    if abs(depth[yy, xx] - depth[y, x]) <= 0.045:
                        total = k.added(total, k.triple(surface[yy, xx], 0), 1.0)
            norm = math.sqrt(k.dot(total, total))
            if norm > 1e-6:
                k.store(out[y, x], 0, (total[0] / norm, total[1] / norm, total[2] / norm))
    return out


@kernel
def _fold_slope(
    row: np.ndarray, u: float, v: float, cloth: Tiles, strength: float
) -> tuple[float, float]:
    """Slope of the cloth along both directions, from wrinkles and quilting."""
    s = strength * row[m.FOLD]
    du = dv = 0.0
    if s > 0:
        x = u * row[m.FOLD_U] * 256.0 + row[m.SEED] * 37.0
        y = v * row[m.FOLD_V] * 256.0 + row[m.SEED] * 11.0
        du = s * lookup(cloth.slope_u, x, y)
        dv = s * lookup(cloth.slope_v, x, y)
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
def _albedo(row: np.ndarray, u: float, v: float, theta: float, noise: np.ndarray) -> Vector:
    """Linear RGB that a surface reflects."""
    kind = int(row[m.KIND])
    if kind == m.CLOTH:
        over = _overlay(row, u, v, theta)
        if over == 1:
            return k.triple(row, m.STRAP_COLOUR)
        if over == 2:
            return 0.72, 0.74, 0.74
        return k.scaled(cloth_colour(row, u, v, theta, noise), _detail(row, u, v, theta))
    if kind == m.FACE:
        return face_colour(row, v, theta, noise)
    if kind == m.HAIR:
        strand = lookup(noise, theta * 150.0 + row[m.SEED], v * 90.0)
        tips = min(max((row[m.LEVELS] - v) / max(row[m.LEVELS + 1], 1e-3), 0.0), 1.0)
        colour = k.mixed(k.triple(row, m.COLOUR), k.triple(row, m.SECOND), tips)
        return k.scaled(colour, 0.74 + 0.52 * strand)
    return k.triple(row, m.COLOUR)


@kernel
def _bend(normal: Vector, tangent: Vector, du: float, dv: float) -> Vector:
    """Normal tilted by the slopes along the surface's two directions."""
    tangent = k.unit(k.added(tangent, normal, -k.dot(tangent, normal)), 1e-6)
    across = k.cross(tangent, normal)
    x, y, z = k.added(k.added(normal, across, -du), tangent, -dv)
    norm = math.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm


@kernel
def _light(row: np.ndarray, normal: Vector, eye: Vector, light: np.ndarray) -> Vector:
    """Weights of sun, of sky against bounce, and of the highlight."""
    to_sun = k.triple(light, 0)
    facing = k.dot(normal, to_sun)
    sun = max(0.12 + 0.88 * facing, 0.0) if facing > 0 else max(0.12 + 0.6 * facing, 0.0)
    towards = max(k.dot(normal, eye), 0.0)
    sky = 0.5 + 0.5 * (0.75 * normal[1] + 0.25 * towards)
    spark = 0.0
    if row[m.SHINE] > 0:
        half = k.added(eye, to_sun, 1.0)
        norm = max(math.sqrt(k.dot(half, half)), 1e-6)
        glint = max(k.dot(normal, half) / norm, 0.0)
        spark = row[m.SHINE] * glint ** row[m.GLOSS]
        grazing = (1.0 - towards) ** 4
        sky += row[m.SHINE] * (0.6 * grazing + 0.3 * max(normal[1], 0.0) ** 3)
    return sun, sky, spark


@kernel
def shade_pixels(
    buffers: Buffers,
    normals: np.ndarray,
    contact: np.ndarray,
    camera: np.ndarray,
    light: np.ndarray,
    shadow: Shadow,
    cloth: Tiles,
) -> np.ndarray:
    """Linear RGB (H, W, 3) of the visible surfaces: sun with cast shadows, sky and bounce."""
    visible, depth, surface, triangles, table = buffers
    height, width = visible.shape
    out = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        for x in range(width):
            if visible[y, x] < 0:
                continue
            row, s = table[triangles[visible[y, x], 3]], surface[y, x]
            seen = k.ray(camera, x + 0.5, y + 0.5)
            norm = math.sqrt(k.dot(seen, seen))
            eye = (-seen[0] / norm, -seen[1] / norm, -seen[2] / norm)
            du, dv = _fold_slope(row, s[6], s[7], cloth, s[9])
            normal = _bend(k.triple(normals[y, x], 0), k.triple(s, 3), du, dv)
            ambient = s[10] * contact[y, x] * min(max(1.0 - 0.35 * (abs(du) + abs(dv)), 0.5), 1.0)
            point = k.added(k.triple(camera, 9), seen, depth[y, x])
            free = lit(shadow, k.added(point, normal, 0.03), 0.02, 0.9)
            sun, sky, spark = _light(row, normal, eye, light)
            shares = (sun * (free * (0.35 + 0.65 * ambient)), sky * ambient, (1.0 - sky) * ambient)
            colour = k.lighted(_albedo(row, s[6], s[7], s[8], cloth.noise), light, shares)
            k.store(out[y, x], 0, k.added(colour, k.triple(light, 3), spark * free))
    return out


def render(
    figure: Figure,
    camera: Camera,
    light: Light,
    size: tuple[int, int],
    *,
    contact: tuple[int, float],
    shadow: Shadow = NO_SHADOW,
    smooth: int | None = None,
    behind: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rasterise and shade a figure.

    Args:
        figure: people and things.
        camera: the camera of the picture.
        light: sun and sky.
        size: height and width, pixels.
        contact: radius in pixels and strength of ``contact_shade``.
        shadow: the sun's shadow map.
        smooth: radius in pixels of ``smooth_normals``; None leaves the normals as they are.
        behind: (H, W) depth in metres of something that hides what lies behind it.

    Returns:
        (H, W, 3) float32 linear light, and (H, W) bool where the figure is seen.
    """
    vector = camera.vector()
    screen = project(figure.vertices, vector)
    mask = np.ascontiguousarray(figure.vertices[:, MASK])
    visible, depth = rasterise(screen, figure.triangles, mask, *size)
    if behind is not None:
        visible[depth > behind] = -1
    surface = surface_values(visible, screen, figure.triangles, figure.vertices, vector)
    buffers = Buffers(visible, depth, surface, figure.triangles, figure.table)
    if smooth is None:
        normals = np.ascontiguousarray(surface[:, :, :3])
    else:
        normals = smooth_normals(buffers, smooth)
    shade = contact_shade(depth, visible, *contact)
    colour = shade_pixels(buffers, normals, shade, vector, light.vector(), shadow, tiles())
    return colour, visible >= 0
