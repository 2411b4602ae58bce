"""What compiled kernels share: the compiler, vectors as tuples of three numbers, and noise."""

import math
from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np

from passerby.errors import MissingExtraError

try:
    import numba
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtraError("numba", "simulate") from error

Function = TypeVar("Function", bound=Callable[..., object])
Vector = tuple[float, float, float]  # x, y, z or linear R, G, B


def kernel(function: Function) -> Function:
    """Compile ``function`` to machine code: one thread, no fast maths, cached beside the module.

    Without fast maths and threads the order of every sum is fixed, so the same input gives the
    same bytes in every process.
    """
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


@kernel
def triple(values: np.ndarray, start: int) -> Vector:
    """Three numbers of ``values`` from ``start`` on, as a vector."""
    return values[start], values[start + 1], values[start + 2]


@kernel
def store(out: np.ndarray, start: int, a: Vector) -> None:
    """Write a vector into three places of ``out`` from ``start`` on."""
    out[start], out[start + 1], out[start + 2] = a


@kernel
def dot(a: Vector, b: Vector) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def cross(a: Vector, b: Vector) -> Vector:
    """Vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@kernel
def scaled(a: Vector, factor: float) -> Vector:
    """``factor * a``."""
    return a[0] * factor, a[1] * factor, a[2] * factor


@kernel
def added(a: Vector, b: Vector, factor: float) -> Vector:
    """``a + factor * b``."""
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


@kernel
def mixed(a: Vector, b: Vector, share: float) -> Vector:
    """``a``, moved towards ``b`` by ``share`` (0..1) of the way."""
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share


@kernel
def blended(a: Vector, b: Vector, share: float) -> Vector:
    """``(1 - share) * a + share * b``, which ends exactly at ``b``."""
    return (
        a[0] * (1 - share) + b[0] * share,
        a[1] * (1 - share) + b[1] * share,
        a[2] * (1 - share) + b[2] * share,
    )


@kernel
def lighted(colour: Vector, light: np.ndarray, shares: Vector) -> Vector:
    """What a surface reflects of given shares of the sun, the sky and the bounced light.

    ``light`` (12,) comes from ``raster.Light.vector``.
    """
    sun, sky, bounce = shares
    return (
        colour[0] * (light[3] * sun + light[6] * sky + light[9] * bounce),
        colour[1] * (light[4] * sun + light[7] * sky + light[10] * bounce),
        colour[2] * (light[5] * sun + light[8] * sky + light[11] * bounce),
    )


@kernel
def unit(a: Vector, least: float) -> Vector:
    """``a`` at length 1; a vector shorter than ``least`` stays shorter."""
    norm = max(math.sqrt(dot(a, a)), least)
    return a[0] / norm, a[1] / norm, a[2] / norm


@kernel
def ray(camera: np.ndarray, px: float, py: float) -> Vector:
    """Direction seen at a pixel, world axes; its part along the optical axis has length 1.

    ``camera`` (16,) comes from ``raster.Camera.vector``.
    """
    u = (px - camera[14]) / camera[12]
    v = -(py - camera[15]) / camera[13]
    return (
        camera[0] * u + camera[3] * v + camera[6],
        camera[1] * u + camera[4] * v + camera[7],
        camera[2] * u + camera[5] * v + camera[8],
    )


@kernel
def lookup(tile: np.ndarray, x: float, y: float) -> float:
    """Bilinear value of a periodic (256, 256) tile at texel (x, y)."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx) & 255, int(fy) & 255
    k, n = (i + 1) & 255, (j + 1) & 255
    s, t = x - fx, y - fy
    top = tile[j, i] * (1 - s) + tile[j, k] * s
    low = tile[n, i] * (1 - s) + tile[n, k] * s
    return float(top * (1 - t) + low * t)


@kernel
def hashed(i: float, j: float, seed: float) -> float:
    """A number in 0..1 for a cell of a grid, the same on every machine."""
    h = (int(i) * 374761393 + int(j) * 668265263 + int(seed) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2654435761) & 0xFFFFFFFF
    return ((h >> 8) & 0xFFFF) / 65535.0
