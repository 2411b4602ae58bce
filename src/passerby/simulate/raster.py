"""A z-buffer rasteriser: which triangle each pixel sees, its surface values, and shadow maps.

The camera looks along its own +z axis, with +x to the right of the picture and +y up. World axes:
x to the right, y up, z away from the camera's foot.
"""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from passerby.simulate.kernels import Vector, dot, kernel, ray, store, triple
from passerby.simulate.mesh import MASK, Figure

# channels of the surface buffer
NORMAL, TANGENT, AROUND, LENGTH, ANGLE, FOLDING, AMBIENT = 0, 3, 6, 7, 8, 9, 10
SURFACE = 11
FAR = 1e9
NEAR = 0.3  # metres in front of the camera below which nothing is drawn
SHADOW_SIZE = 160


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pin-hole camera above the origin's side of the ground plane, looking along +z and down.

    Attributes:
        height: metres above the ground.
        tilt: radians below the horizon of the optical axis.
        focal_x, focal_y: pixels.
        centre_x, centre_y: pixel of the optical axis.
    """

    height: float
    tilt: float
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float

    @classmethod
    def centred(cls, height: float, tilt: float, focal: float, size: tuple[int, int]) -> "Camera":
        """A camera with its axis at the middle of a picture of some width and height."""
        x, y = size[0] / 2, size[1] / 2
        return cls(height=height, tilt=tilt, focal_x=focal, focal_y=focal, centre_x=x, centre_y=y)

    def vector(self) -> np.ndarray:
        """(16,) rotation (row-wise), position, focal lengths, centre: what the kernels take."""
        ct, st = math.cos(self.tilt), math.sin(self.tilt)
        rotation = [1.0, 0.0, 0.0, 0.0, ct, st, 0.0, -st, ct]
        optics = [self.focal_x, self.focal_y, self.centre_x, self.centre_y]
        return np.array([*rotation, 0.0, self.height, 0.0, *optics])

    def window(self, x0: float, y0: float, scale_x: float, scale_y: float) -> "Camera":
        """The same camera, its picture cut at (x0, y0) and scaled."""
        return replace(
            self,
            focal_x=self.focal_x * scale_x,
            focal_y=self.focal_y * scale_y,
            centre_x=(self.centre_x - x0) * scale_x,
            centre_y=(self.centre_y - y0) * scale_y,
        )


def _transformed(axes: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Points (V, 3) times each of the rows (K, 3) of ``axes``, added up in a fixed order."""
    x, y, z = points.T
    return [a * x + b * y + c * z for a, b, c in axes]


def project(vertices: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Screen x, y and depth (metres) of every vertex: (V, 3) float32."""
    right, up, depth = _transformed(camera[:9].reshape(3, 3), vertices[:, :3] - camera[9:12])
    safe = np.maximum(depth, 1e-3)
    x = camera[14] + camera[12] * right / safe
    y = camera[15] - camera[13] * up / safe
    return np.stack([x, y, depth], axis=1).astype(np.float32)


@kernel
def _weights(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, px: float, py: float, inverse: float
) -> tuple[float, float]:
    """Barycentric weights of the corners ``a`` and ``b``; ``inverse`` is 1 / (twice the area)."""
    wa = ((b[0] - px) * (c[1] - py) - (b[1] - py) * (c[0] - px)) * inverse
    wb = ((c[0] - px) * (a[1] - py) - (c[1] - py) * (a[0] - px)) * inverse
    return wa, wb


@kernel
def _twice_area(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Twice the signed area in pixels of a triangle on the screen."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@kernel
def _fill(
    t: int,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    masks: Vector,
    visible: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Write triangle ``t`` with corners ``a, b, c`` (x, y, depth) where it is nearest."""
    height, width = visible.shape
    x0 = max(math.ceil(min(a[0], b[0], c[0]) - 0.5), 0)
    x1 = min(math.floor(max(a[0], b[0], c[0]) - 0.5), width - 1)
    y0 = max(math.ceil(min(a[1], b[1], c[1]) - 0.5), 0)
    y1 = min(math.floor(max(a[1], b[1], c[1]) - 0.5), height - 1)
    area = _twice_area(a, b, c)
    if x1 < x0 or y1 < y0 or area == 0.0:
        return
    inverse = 1.0 / area
    masked = min(masks[0], masks[1], masks[2]) < 0.0
    step_a, step_b = (b[1] - c[1]) * inverse, (c[1] - a[1]) * inverse
    for y in range(y0, y1 + 1):
        wa, wb = _weights(a, b, c, x0 + 0.5, y + 0.5, inverse)
        wa -= step_a
        wb -= step_b
        for x in range(x0, x1 + 1):
            wa += step_a
            wb += step_b
            wc = 1.0 - wa - wb
            if wa < 0.0 or wb < 0.0 or wc < 0.0:
                continue
            z = wa * a[2] + wb * b[2] + wc * c[2]
            if z >= depth[y, x]:
                continue
            if masked and wa * masks[0] + wb * masks[1] + wc * masks[2] < 0.0:
                continue
            depth[y, x] = z
            visible[y, x] = t


@kernel
def rasterise(
    screen: np.ndarray, triangles: np.ndarray, mask: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Visible triangle (int32, -1 none) and depth (float32) of every pixel; no culling.

    A pixel whose interpolated ``mask`` (V,) is negative is cut away: openings of coats and hoods.
    """
    visible = np.full((height, width), -1, np.int32)
    depth = np.full((height, width), FAR, np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if screen[a, 2] > NEAR and screen[b, 2] > NEAR and screen[c, 2] > NEAR:
            masks = (mask[a], mask[b], mask[c])
            _fill(t, screen[a], screen[b], screen[c], masks, visible, depth)
    return visible, depth


@kernel
def surface_values(
    visible: np.ndarray,
    screen: np.ndarray,
    triangles: np.ndarray,
    vertices: np.ndarray,
    camera: np.ndarray,
) -> np.ndarray:
    """Interpolate the vertices at every visible pixel: (H, W, 11) float32.

    Persons are small against their distance, so affine weights are exact to a fraction of a
    pixel. Normals face the camera; one seen from behind (the inside of a coat) has its ambient
    light cut, since the cloth shades it.
    """
    height, width = visible.shape
    out = np.zeros((height, width, SURFACE), np.float32)
    for y in range(height):
        for x in range(width):
            t = visible[y, x]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            corners = (screen[a], screen[b], screen[c])
            inverse = 1.0 / _twice_area(*corners)
            wa, wb = _weights(*corners, x + 0.5, y + 0.5, inverse)
            wc = 1.0 - wa - wb
            for k in range(SURFACE):
                column = k + 3 if k < FOLDING else k + 4  # without the mask
                out[y, x, k] = (
                    wa * vertices[a, column] + wb * vertices[b, column] + wc * vertices[c, column]
                )
            _face_camera(out[y, x], ray(camera, x + 0.5, y + 0.5))
    return out


@kernel
def _face_camera(surface: np.ndarray, seen: Vector) -> None:
    """Make the normal a unit vector turned to the camera; the inside of a surface is darkened."""
    normal = triple(surface, NORMAL)
    norm = max(math.sqrt(dot(normal, normal)), 1e-9)
    facing = dot(normal, seen) / norm
    if facing > 0.15 * math.sqrt(dot(seen, seen)):
        norm = -norm
        surface[AMBIENT] *= 0.35
    store(surface, NORMAL, (normal[0] / norm, normal[1] / norm, normal[2] / norm))


@dataclass(frozen=True, kw_only=True)
class Light:
    """One sun and one sky over a scene.

    Attributes:
        azimuth: where the sun stands, radians from the camera's view direction to its right; 0 is
            behind the scene (against the camera), pi behind the camera.
        elevation: radians above the horizon.
        sun, sky, bounce: linear RGB of the sun's light, of the light from above and from below.
    """

    azimuth: float = 2.4
    elevation: float = 0.8
    sun: tuple[float, float, float] = (0.9, 0.86, 0.78)
    sky: tuple[float, float, float] = (0.50, 0.54, 0.60)
    bounce: tuple[float, float, float] = (0.22, 0.21, 0.20)

    def direction(self) -> np.ndarray:
        """Unit vector towards the sun, world axes."""
        level = math.cos(self.elevation)
        x, z = level * math.sin(self.azimuth), level * math.cos(self.azimuth)
        return np.array([x, math.sin(self.elevation), z])

    def vector(self) -> np.ndarray:
        """(12,) direction, sun, sky and bounce: what the kernels take."""
        return np.array([*self.direction(), *self.sun, *self.sky, *self.bounce])


class Shadow(NamedTuple):
    """What the sun sees of a scene; a map of one pixel casts no shadow."""

    depth: np.ndarray  # (160, 160) float32, distance of what the sun sees first
    axes: np.ndarray  # (3, 4) rows that take a world point to the map's column, row and depth


NO_SHADOW = Shadow(np.full((1, 1), FAR, np.float32), np.zeros((3, 4)))


def cast_shadow(
    figure: Figure, light: Light, centre: tuple[float, float, float], extent: float
) -> Shadow:
    """Shadow map of a figure around ``centre``, with half size ``extent`` metres."""
    sun = light.direction()
    right = np.array([sun[2], 0.0, -sun[0]]) / max(math.hypot(sun[0], sun[2]), 1e-6)
    up = np.cross(sun, right)
    scale = SHADOW_SIZE / (2 * extent)
    axes = np.stack([right * scale, up * scale, -sun])
    offset = [
        start - float(np.sum(axis * np.array(centre))) * factor
        for start, axis, factor in (
            (SHADOW_SIZE / 2, right, scale), (SHADOW_SIZE / 2, up, scale), (60.0, -sun, 1.0)
        )
    ]  # fmt: skip
    screen = np.stack(_transformed(axes, figure.vertices[:, :3]), axis=1) + offset
    mask, size = np.ascontiguousarray(figure.vertices[:, MASK]), SHADOW_SIZE
    _, depth = rasterise(screen.astype(np.float32), figure.triangles, mask, size, size)
    return Shadow(depth, np.column_stack([axes, offset]))


@kernel
def lit(shadow: Shadow, point: Vector, bias: float, reach: float) -> float:
    """Share (0..1) of the sun that reaches a world point; ``reach`` texels of soft edge."""
    size, axes = shadow.depth.shape[0], shadow.axes
    if size == 1:
        return 1.0
    column = dot(triple(axes[0], 0), point) + axes[0, 3]
    line = dot(triple(axes[1], 0), point) + axes[1, 3]
    depth = dot(triple(axes[2], 0), point) + axes[2, 3] - bias
    if column < 1 or line < 1 or column >= size - 1 or line >= size - 1:
        return 1.0
    free = 1.0 if shadow.depth[int(line), int(column)] >= depth else 0.0
    for k in range(4):  # four corners of a square tilted against the map's grid
        i, j = (1.0, 0.4, -1.0, -0.4)[k], (0.4, -1.0, -0.4, 1.0)[k]
        c = min(max(int(column + i * reach), 0), size - 1)
        r = min(max(int(line + j * reach), 0), size - 1)
        if shadow.depth[r, c] >= depth:
            free += 1.0
    return free / 5.0
