"""A triangle mesh made of lofted tubes: cross-sections swept along splines."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from passerby.simulate.kernels import Vector, added, cross, dot, kernel, scaled, store, triple, unit

# columns of a tube's control rows
X, Y, Z = 0, 1, 2  # centre of the cross-section, metres
FRONT = 3  # 3..5: direction of the cross-section's front (need not be square to the sweep)
WIDTH, DEPTH_FRONT, DEPTH_BACK = 6, 7, 8  # half extents, metres
SIDES = slice(WIDTH, DEPTH_BACK + 1)  # all three
POWER = 9  # superellipse exponent: 2 an ellipse, 4 nearly a box
ALONG = 10  # texture coordinate along the tube, metres
FOLD = 11  # strength of cloth folds, 0..1
OCCLUSION = 12  # share of ambient light that arrives, 0..1
OPENING = 13  # half angle (rad) left out around the front; negative: closed
COLUMNS = 14

# columns of the vertices
POSITION, NORMAL, TANGENT = 0, 3, 6
AROUND, LENGTH, ANGLE, MASK, FOLDING, AMBIENT = 9, 10, 11, 12, 13, 14
ATTRIBUTES = 15


def rows(
    count: int,
    *,
    centre: ArrayLike = 0.0,
    front: ArrayLike = (0.0, 0.0, 1.0),
    width: ArrayLike = 0.0,
    depth: ArrayLike = 0.0,
    power: ArrayLike = 2.0,
    along: ArrayLike = 0.0,
    fold: ArrayLike = 0.0,
    occlusion: ArrayLike = 1.0,
) -> np.ndarray:
    """Control rows (count, 14) of a closed tube.

    Args:
        count: number of cross-sections.
        centre: (count, 3) or (3,) centres, metres.
        front: (count, 3) or (3,) front directions.
        width: (count,) half widths, metres, as all that follow.
        depth: half depths, equal in front and behind.
        power: exponents of the superellipse.
        along: texture coordinate.
        fold: strength of cloth folds.
        occlusion: share of ambient light.
    """
    table = np.zeros((count, COLUMNS))
    table[:, X : Z + 1], table[:, FRONT : FRONT + 3] = centre, front
    table[:, WIDTH], table[:, DEPTH_FRONT], table[:, DEPTH_BACK] = width, depth, depth
    table[:, POWER], table[:, ALONG] = power, along
    table[:, FOLD], table[:, OCCLUSION], table[:, OPENING] = fold, occlusion, -1.0
    return table


@kernel
def _resample(control: np.ndarray, count: int) -> np.ndarray:
    """Catmull-Rom through the control rows; shape columns never leave their neighbours' range."""
    size = control.shape[0]
    out = np.empty((count, control.shape[1]))
    for i in range(count):
        t = i * (size - 1) / (count - 1)
        k = min(int(t), size - 2)
        s = t - k
        before, after = max(k - 1, 0), min(k + 2, size - 1)
        w0 = 0.5 * (-s + 2 * s * s - s * s * s)
        w1 = 0.5 * (2 - 5 * s * s + 3 * s * s * s)
        w2 = 0.5 * (s + 4 * s * s - 3 * s * s * s)
        w3 = 0.5 * (-s * s + s * s * s)
        for c in range(control.shape[1]):
            a, b = control[k, c], control[k + 1, c]
            value = w0 * control[before, c] + w1 * a + w2 * b + w3 * control[after, c]
            if c >= 6:
                value = min(max(value, min(a, b)), max(a, b))
            out[i, c] = value
    return out


@kernel
def _frame(rings: np.ndarray, i: int) -> tuple[Vector, Vector, Vector]:
    """Tangent, front and side at ring ``i``, orthonormal."""
    lower, upper = max(i - 1, 0), min(i + 1, rings.shape[0] - 1)
    tangent = unit(added(triple(rings[upper], X), triple(rings[lower], X), -1.0), 1e-9)
    front = triple(rings[i], FRONT)
    front = unit(added(front, tangent, -dot(front, tangent)), 1e-9)
    return tangent, front, cross(tangent, front)


@kernel
def _swell(theta: float, v: float, phase: float) -> float:
    """Soft folds of the silhouette around and along a tube, about -2 .. 2."""
    return (
        math.sin(2 * theta + 17 * v + phase)
        + 0.7 * math.sin(3 * theta - 29 * v + 2.3 * phase)
        + 0.5 * math.sin(theta + 47 * v + 3.1 * phase)
    )


@kernel
def _sweep(
    control: np.ndarray, count: int, segments: int, wobble: float, phase: float, out: np.ndarray
) -> None:
    """Write the vertices of one tube, ring by ring; a ring repeats its first one at the back."""
    rings = _resample(control, count)
    girth = float(np.mean(0.5 * rings[:, 6] + 0.25 * rings[:, 7] + 0.25 * rings[:, 8]))
    at = 0
    for i in range(count):
        tangent, ahead, aside = _frame(rings, i)
        power = 2.0 / rings[i, POWER]
        v = rings[i, ALONG]
        for j in range(segments + 1):
            theta = -math.pi + 2 * math.pi * j / segments
            c, s = math.cos(theta), math.sin(theta)
            front = abs(c) ** power * (rings[i, 7] if c >= 0 else -rings[i, 8])
            side = abs(s) ** power * (rings[i, 6] if s >= 0 else -rings[i, 6])
            reach = 1.0 + wobble * rings[i, FOLD] * _swell(theta, v, phase) / max(girth, 0.01)
            offset = added(scaled(ahead, front), aside, side)
            store(out[at], POSITION, added(triple(rings[i], X), offset, reach))
            store(out[at], TANGENT, tangent)
            store(out[at], AROUND, (theta * girth, v, theta))
            store(out[at], MASK, (abs(theta) - rings[i, OPENING], rings[i, FOLD], rings[i, 12]))
            at += 1
    _normals(count, segments, out)


@kernel
def _normals(count: int, segments: int, out: np.ndarray) -> None:
    """Smooth normals from the differences along both directions of the grid of vertices."""
    across = segments + 1
    for i in range(count):
        lower, upper = max(i - 1, 0), min(i + 1, count - 1)
        centre = (0.0, 0.0, 0.0)
        for j in range(segments):
            x, y, z = triple(out[i * across + j], POSITION)
            centre = (centre[0] + x / segments, centre[1] + y / segments, centre[2] + z / segments)
        for j in range(across):
            at = i * across + j
            left = i * across + (j - 1 if j > 0 else segments - 1)
            right = i * across + (j + 1 if j < segments else 1)
            around = _difference(out, right, left)
            along = _difference(out, upper * across + j, lower * across + j)
            nx, ny, nz = cross(around, along)
            rx, ry, rz = added(triple(out[at], POSITION), centre, -1.0)
            if nx * rx + ny * ry + nz * rz < 0:
                nx, ny, nz = -nx, -ny, -nz
            norm = math.sqrt(nx * nx + ny * ny + nz * nz)
            if norm < 1e-12:
                nx, ny, nz = triple(out[at], TANGENT)
                norm = 1.0
            store(out[at], NORMAL, (nx / norm, ny / norm, nz / norm))


@kernel
def _difference(vertices: np.ndarray, a: int, b: int) -> Vector:
    """Position of vertex ``a`` minus that of vertex ``b``, in single precision."""
    return (
        vertices[a, 0] - vertices[b, 0],
        vertices[a, 1] - vertices[b, 1],
        vertices[a, 2] - vertices[b, 2],
    )


@lru_cache(maxsize=256)
def _grid(rings: int, segments: int) -> np.ndarray:
    """Two triangles (T, 3) for every cell of a tube's grid of vertices."""
    low = np.arange(rings - 1)[:, None] * (segments + 1) + np.arange(segments)
    up = low + segments + 1
    cells = np.stack([low, low + 1, up, low + 1, up + 1, up], axis=-1)
    return cells.reshape(-1, 3).astype(np.int32)


class Figure:
    """The mesh of persons and things, with its materials; its tables grow in place.

    Attributes:
        finesse: factor on the number of rings and segments of a tube.
    """

    def __init__(self, *, finesse: float = 1.0) -> None:
        """Start empty, with room for a person."""
        self.finesse = finesse
        self._vertices = np.empty((8192, ATTRIBUTES), np.float32)
        self._triangles = np.empty((16384, 4), np.int32)
        self._materials: list[np.ndarray] = []
        self.vertex_count = 0
        self.triangle_count = 0

    @property
    def vertices(self) -> np.ndarray:
        """(V, 15) float32: position, normal, tangent, texture coordinates and the rest."""
        return self._vertices[: self.vertex_count]

    @property
    def triangles(self) -> np.ndarray:
        """(T, 4) int32: three vertices and the material."""
        return self._triangles[: self.triangle_count]

    @property
    def table(self) -> np.ndarray:
        """(M, 62) the material table."""
        return np.stack(self._materials)

    def paint(self, row: np.ndarray) -> int:
        """Add a material row and return its index."""
        self._materials.append(row)
        return len(self._materials) - 1

    def tube(
        self,
        control: np.ndarray,
        material: int | np.ndarray,
        *,
        rings: int,
        segments: int,
        wobble: float = 0.0,
        phase: float = 0.0,
    ) -> None:
        """Sweep a cross-section along ``control`` (K, 14) and add the surface.

        Args:
            control: control rows, see ``rows``; at least two.
            material: index in the material table, or a new row of it.
            rings: cross-sections after resampling, at a finesse of 1.
            segments: vertices around, at a finesse of 1.
            wobble: amplitude of the silhouette's cloth folds, metres.
            phase: which folds (radians, any value).
        """
        rings = max(int(rings * self.finesse), len(control), 3)
        segments = max(int(segments * self.finesse), 6)
        start, first = self.vertex_count, self.triangle_count
        self.vertex_count += rings * (segments + 1)
        self.triangle_count += 2 * (rings - 1) * segments
        while self.vertex_count > len(self._vertices):
            self._vertices = np.concatenate([self._vertices, np.empty_like(self._vertices)])
        while self.triangle_count > len(self._triangles):
            self._triangles = np.concatenate([self._triangles, np.empty_like(self._triangles)])
        own = self._vertices[start : self.vertex_count]
        _sweep(control, rings, segments, float(wobble), float(phase), own)
        self._triangles[first : self.triangle_count, :3] = _grid(rings, segments) + start
        index = self.paint(material) if isinstance(material, np.ndarray) else material
        self._triangles[first : self.triangle_count, 3] = index

    def place(self, start: int, *, turn: float, x: float, z: float) -> None:
        """Turn the vertices from ``start`` on about the vertical axis, then move them."""
        block = self._vertices[start : self.vertex_count]
        c, s = math.cos(turn), math.sin(turn)
        for column in (POSITION, NORMAL, TANGENT):
            old_x, old_z = block[:, column].copy(), block[:, column + 2].copy()
            block[:, column] = c * old_x + s * old_z
            block[:, column + 2] = -s * old_x + c * old_z
        block[:, 0] += np.float32(x)
        block[:, 2] += np.float32(z)
