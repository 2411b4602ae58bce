"""A z-buffer rasteriser: which triangle each pixel sees, and the surface values there.

The camera looks along its own +z axis, with +x to the right of the picture and +y up. World axes:
x to the right, y up, z away from the camera's foot.
"""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from dataclasses import dataclass

import numpy as np

from passerby.simulate.kernels import kernel

# channels of the surface buffer
NORMAL, TANGENT, AROUND, LENGTH, ANGLE, FOLDING, AMBIENT = 0, 3, 6, 7, 8, 9, 10
SURFACE = 11
FAR = 1e9
NEAR = 0.3  # metres in front of the camera below which nothing is drawn


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pin-hole camera above the origin's side of the ground plane, looking along +z and down.

    Attributes:
        height: metres above the ground.
        tilt: radians below the horizon of the optical axis.
        roll: radians of rotation of the picture.
        focal_x, focal_y: pixels.
        centre_x, centre_y: pixel of the optical axis.
    """

    height: float
    tilt: float
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float
    roll: float = 0.0

    def vector(self) -> np.ndarray:
        """(16,) rotation (row-wise), position, focal lengths, centre: what the kernels take."""
        ct, st = math.cos(self.tilt), math.sin(self.tilt)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        right, up, ahead = (1.0, 0.0, 0.0), (0.0, ct, st), (0.0, -st, ct)
        row0 = [cr * a + sr * b for a, b in zip(right, up, strict=True)]
        row1 = [-sr * a + cr * b for a, b in zip(right, up, strict=True)]
        optics = [self.focal_x, self.focal_y, self.centre_x, self.centre_y]
        return np.array([*row0, *row1, *ahead, 0.0, self.height, 0.0, *optics])

    def window(self, x0: float, y0: float, scale_x: float, scale_y: float) -> "Camera":
        """The same camera, its picture cut at (x0, y0) and scaled."""
        return Camera(
            height=self.height,
            tilt=self.tilt,
            roll=self.roll,
            focal_x=self.focal_x * scale_x,
            focal_y=self.focal_y * scale_y,
            centre_x=(self.centre_x - x0) * scale_x,
            centre_y=(self.centre_y - y0) * scale_y,
        )


@kernel
def project(vertices: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Screen x, y and depth (metres) of every vertex: (V, 3) float32."""
    out = np.empty((vertices.shape[0], 3), np.float32)
    for i in range(vertices.shape[0]):
        x = vertices[i, 0] - camera[9]
        y = vertices[i, 1] - camera[10]
        z = vertices[i, 2] - camera[11]
        depth = camera[6] * x + camera[7] * y + camera[8] * z
        safe = max(depth, 1e-3)
        out[i, 0] = camera[14] + camera[12] * (camera[0] * x + camera[1] * y + camera[2] * z) / safe
        out[i, 1] = camera[15] - camera[13] * (camera[3] * x + camera[4] * y + camera[5] * z) / safe
        out[i, 2] = depth
    return out


@kernel
def _fill(
    t: int,
    a: np.ndarray,
    b: np.ndarray,
    c: np.ndarray,
    masks: tuple[float, float, float],
    visible: np.ndarray,
    depth: np.ndarray,
) -> None:
    """Write triangle ``t`` with corners ``a, b, c`` (x, y, depth) where it is nearest."""
    height, width = visible.shape
    ax, ay, bx, by, cx, cy = a[0], a[1], b[0], b[1], c[0], c[1]
    x0 = max(math.ceil(min(ax, bx, cx) - 0.5), 0)
    x1 = min(math.floor(max(ax, bx, cx) - 0.5), width - 1)
    y0 = max(math.ceil(min(ay, by, cy) - 0.5), 0)
    y1 = min(math.floor(max(ay, by, cy) - 0.5), height - 1)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if x1 < x0 or y1 < y0 or area == 0.0:
        return
    inverse = 1.0 / area
    masked = min(masks[0], masks[1], masks[2]) < 0.0
    step_a, step_b = (by - cy) * inverse, (cy - ay) * inverse
    px = x0 + 0.5
    for y in range(y0, y1 + 1):
        py = y + 0.5
        wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse - step_a
        wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse - step_b
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
            ax, ay, bx, by = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1]
            cx, cy = screen[c, 0], screen[c, 1]
            inverse = 1.0 / ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax))
            px, py = x + 0.5, y + 0.5
            wa = ((bx - px) * (cy - py) - (by - py) * (cx - px)) * inverse
            wb = ((cx - px) * (ay - py) - (cy - py) * (ax - px)) * inverse
            wc = 1.0 - wa - wb
            for k in range(3, 12):
                value = wa * vertices[a, k] + wb * vertices[b, k] + wc * vertices[c, k]
                out[y, x, k - 3] = value
            out[y, x, 9] = wa * vertices[a, 13] + wb * vertices[b, 13] + wc * vertices[c, 13]
            out[y, x, 10] = wa * vertices[a, 14] + wb * vertices[b, 14] + wc * vertices[c, 14]
            _face_camera(out, y, x, px, py, camera)
    return out


@kernel
def _face_camera(out: np.ndarray, y: int, x: int, px: float, py: float, camera: np.ndarray) -> None:
    """Unit normal turned to the camera; its inside is darkened."""
    u = (px - camera[14]) / camera[12]
    v = -(py - camera[15]) / camera[13]
    rx = camera[0] * u + camera[3] * v + camera[6]
    ry = camera[1] * u + camera[4] * v + camera[7]
    rz = camera[2] * u + camera[5] * v + camera[8]
    nx, ny, nz = out[y, x, 0], out[y, x, 1], out[y, x, 2]
    norm = max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    facing = (nx * rx + ny * ry + nz * rz) / norm
    length = math.sqrt(rx * rx + ry * ry + rz * rz)
    if facing > 0.15 * length:
        norm = -norm
        out[y, x, 10] *= 0.35
    out[y, x, 0], out[y, x, 1], out[y, x, 2] = nx / norm, ny / norm, nz / norm
