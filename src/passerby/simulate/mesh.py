"""A triangle mesh made of lofted tubes: cross-sections swept along splines."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math

import numpy as np

from passerby.simulate.kernels import kernel

# columns of a tube's control rows
X, Y, Z = 0, 1, 2  # centre of the cross-section, metres
FRONT = 3  # 3..5: direction of the cross-section's front (need not be square to the sweep)
WIDTH, DEPTH_FRONT, DEPTH_BACK = 6, 7, 8  # half extents, metres
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


def rows(count: int) -> np.ndarray:
    """Control rows with sane defaults: ellipse, front along +z, closed, full ambient light."""
    table = np.zeros((count, COLUMNS))
    table[:, FRONT + 2] = 1.0
    table[:, POWER] = 2.0
    table[:, OCCLUSION] = 1.0
    table[:, OPENING] = -1.0
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
def _frame(
    rings: np.ndarray, i: int
) -> tuple[float, float, float, float, float, float, float, float, float]:
    """Tangent, front and side at ring ``i``, orthonormal."""
    last = rings.shape[0] - 1
    lower, upper = max(i - 1, 0), min(i + 1, last)
    tx = rings[upper, 0] - rings[lower, 0]
    ty = rings[upper, 1] - rings[lower, 1]
    tz = rings[upper, 2] - rings[lower, 2]
    norm = max(math.sqrt(tx * tx + ty * ty + tz * tz), 1e-9)
    tx, ty, tz = tx / norm, ty / norm, tz / norm
    fx, fy, fz = rings[i, 3], rings[i, 4], rings[i, 5]
    dot = fx * tx + fy * ty + fz * tz
    fx, fy, fz = fx - dot * tx, fy - dot * ty, fz - dot * tz
    norm = max(math.sqrt(fx * fx + fy * fy + fz * fz), 1e-9)
    fx, fy, fz = fx / norm, fy / norm, fz / norm
    sx, sy, sz = ty * fz - tz * fy, tz * fx - tx * fz, tx * fy - ty * fx
    return tx, ty, tz, fx, fy, fz, sx, sy, sz


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
    control: np.ndarray,
    count: int,
    segments: int,
    wobble: float,
    phase: float,
    vertices: np.ndarray,
    start: int,
) -> None:
    """Vertices of one tube, ring by ring; every ring repeats its first vertex at the back seam."""
    rings = _resample(control, count)
    across = segments + 1
    girth = np.mean(0.5 * rings[:, 6] + 0.25 * rings[:, 7] + 0.25 * rings[:, 8])
    for i in range(count):
        tx, ty, tz, fx, fy, fz, sx, sy, sz = _frame(rings, i)
        power = 2.0 / rings[i, 9]
        for j in range(across):
            theta = -math.pi + 2 * math.pi * j / segments
            c, s = math.cos(theta), math.sin(theta)
            front = abs(c) ** power * (rings[i, 7] if c >= 0 else -rings[i, 8])
            side = abs(s) ** power * (rings[i, 6] if s >= 0 else -rings[i, 6])
            v = rings[i, 10]
            reach = 1.0 + wobble * rings[i, 11] * _swell(theta, v, phase) / max(girth, 0.01)
            at = start + i * across + j
            vertices[at, 0] = rings[i, 0] + reach * (front * fx + side * sx)
            vertices[at, 1] = rings[i, 1] + reach * (front * fy + side * sy)
            vertices[at, 2] = rings[i, 2] + reach * (front * fz + side * sz)
            vertices[at, 6], vertices[at, 7], vertices[at, 8] = tx, ty, tz
            vertices[at, 9] = theta * girth
            vertices[at, 10] = v
            vertices[at, 11] = theta
            vertices[at, 12] = abs(theta) - rings[i, 13]
            vertices[at, 13] = rings[i, 11]
            vertices[at, 14] = rings[i, 12]


@kernel
def _normals(count: int, segments: int, vertices: np.ndarray, start: int) -> None:
    """Smooth normals from the differences along both directions of the grid of vertices."""
    across = segments + 1
    for i in range(count):
        lower, upper = max(i - 1, 0), min(i + 1, count - 1)
        cx = cy = cz = 0.0
        for j in range(segments):
            at = start + i * across + j
            cx += vertices[at, 0] / segments
            cy += vertices[at, 1] / segments
            cz += vertices[at, 2] / segments
        for j in range(across):
            left = start + i * across + (j - 1 if j > 0 else segments - 1)
            right = start + i * across + (j + 1 if j < segments else 1)
            down, up = start + lower * across + j, start + upper * across + j
            ax = vertices[right, 0] - vertices[left, 0]
            ay = vertices[right, 1] - vertices[left, 1]
            az = vertices[right, 2] - vertices[left, 2]
            bx = vertices[up, 0] - vertices[down, 0]
            by = vertices[up, 1] - vertices[down, 1]
            bz = vertices[up, 2] - vertices[down, 2]
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            at = start + i * across + j
            rx, ry, rz = vertices[at, 0] - cx, vertices[at, 1] - cy, vertices[at, 2] - cz
            if nx * rx + ny * ry + nz * rz < 0:
                nx, ny, nz = -nx, -ny, -nz
            norm = math.sqrt(nx * nx + ny * ny + nz * nz)
            if norm < 1e-12:
                nx, ny, nz, norm = vertices[at, 6], vertices[at, 7], vertices[at, 8], 1.0
            vertices[at, 3], vertices[at, 4], vertices[at, 5] = nx / norm, ny / norm, nz / norm


@kernel
def _stitch(
    count: int, segments: int, material: int, start: int, triangles: np.ndarray, first: int
) -> None:
    """Two triangles for every cell of the grid; the fourth column is the material."""
    across = segments + 1
    at = first
    for i in range(count - 1):
        for j in range(segments):
            a = start + i * across + j
            triangles[at, 0], triangles[at, 1], triangles[at, 2] = a, a + 1, a + across
            triangles[at + 1, 0], triangles[at + 1, 1] = a + 1, a + across + 1
            triangles[at + 1, 2] = a + across
            triangles[at, 3] = material
            triangles[at + 1, 3] = material
            at += 2


@kernel
def _tube(
    control: np.ndarray,
    count: int,
    segments: int,
    wobble: float,
    phase: float,
    material: int,
    vertices: np.ndarray,
    start: int,
    triangles: np.ndarray,
    first: int,
) -> None:
    _sweep(control, count, segments, wobble, phase, vertices, start)
    _normals(count, segments, vertices, start)
    _stitch(count, segments, material, start, triangles, first)


class Mesh:
    """Tubes gathered into one vertex table and one triangle table, grown in place."""

    def __init__(
        self, vertices: int = 8192, triangles: int = 16384, *, finesse: float = 1.0
    ) -> None:
        """Start empty, with room for so many; ``finesse`` scales a tube's rings and segments."""
        self.finesse = finesse
        self._vertices = np.empty((vertices, ATTRIBUTES), np.float32)
        self._triangles = np.empty((triangles, 4), np.int32)
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

    def tube(
        self,
        control: np.ndarray,
        material: int,
        *,
        rings: int,
        segments: int,
        wobble: float = 0.0,
        phase: float = 0.0,
    ) -> None:
        """Sweep a cross-section along ``control`` (K, 14) and add the surface.

        Args:
            control: control rows, see ``rows``; at least two.
            material: row of the material table.
            rings: cross-sections after resampling, at a finesse of 1.
            segments: vertices around, at a finesse of 1.
            wobble: amplitude of the silhouette's cloth folds, metres.
            phase: which folds (radians, any value).
        """
        rings = max(int(rings * self.finesse), len(control), 3)
        segments = max(int(segments * self.finesse), 6)
        self._reserve(rings * (segments + 1), 2 * (rings - 1) * segments)
        _tube(
            control, rings, segments, float(wobble), float(phase), material,
            self._vertices, self.vertex_count, self._triangles, self.triangle_count,
        )  # fmt: skip
        self.vertex_count += rings * (segments + 1)
        self.triangle_count += 2 * (rings - 1) * segments

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

    def _reserve(self, vertices: int, triangles: int) -> None:
        while self.vertex_count + vertices > len(self._vertices):
            self._vertices = np.concatenate([self._vertices, np.empty_like(self._vertices)])
        while self.triangle_count + triangles > len(self._triangles):
            self._triangles = np.concatenate([self._triangles, np.empty_like(self._triangles)])
