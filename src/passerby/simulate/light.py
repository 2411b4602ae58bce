"""Sun, sky and their shadows."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from dataclasses import dataclass, replace

import numpy as np

from passerby.simulate.kernels import kernel
from passerby.simulate.raster import FAR, rasterise

SHADOW_SIZE = 160


@dataclass(frozen=True, kw_only=True)
class Light:
    """One sun and one sky over a scene.

    Attributes:
        azimuth: where the sun stands, radians from the camera's view direction to its right; 0 is
            behind the scene (against the camera), pi behind the camera.
        elevation: radians above the horizon.
        sun, sky, bounce: linear RGB of the sun's light, of the light from above and from below.
        softness: half width of the shadow's edge, metres.
    """

    azimuth: float = 2.4
    elevation: float = 0.8
    sun: tuple[float, float, float] = (0.9, 0.86, 0.78)
    sky: tuple[float, float, float] = (0.50, 0.54, 0.60)
    bounce: tuple[float, float, float] = (0.22, 0.21, 0.20)
    softness: float = 0.02

    def direction(self) -> np.ndarray:
        """Unit vector towards the sun, world axes."""
        level = math.cos(self.elevation)
        x, z = level * math.sin(self.azimuth), level * math.cos(self.azimuth)
        return np.array([x, math.sin(self.elevation), z])

    def dimmed(self, share: float) -> "Light":
        """The same light where only ``share`` of the sun arrives."""
        r, g, b = self.sun
        return replace(self, sun=(r * share, g * share, b * share))

    def vector(self) -> np.ndarray:
        """(13,) direction, sun, sky, bounce and softness: what the kernels take."""
        return np.array(
            [*self.direction(), *self.sun, *self.sky, *self.bounce, self.softness], np.float64
        )


@kernel
def _flatten(vertices: np.ndarray, axes: np.ndarray) -> np.ndarray:
    out = np.empty((vertices.shape[0], 3), np.float32)
    for i in range(vertices.shape[0]):
        for k in range(3):
            out[i, k] = (
                axes[k, 0] * vertices[i, 0]
                + axes[k, 1] * vertices[i, 1]
                + axes[k, 2] * vertices[i, 2]
                + axes[k, 3]
            )
    return out


def shadow_axes(light: Light, centre: np.ndarray, extent: float) -> np.ndarray:
    """(3, 4) rows that take a world point to the shadow map's column, row and depth."""
    sun = light.direction()
    right = np.array([sun[2], 0.0, -sun[0]]) / max(math.hypot(sun[0], sun[2]), 1e-6)
    up = np.array(
        [
            sun[1] * right[2] - sun[2] * right[1],
            sun[2] * right[0] - sun[0] * right[2],
            sun[0] * right[1] - sun[1] * right[0],
        ]
    )
    scale = SHADOW_SIZE / (2 * extent)
    axes = np.empty((3, 4))
    for k, (vector, factor, offset) in enumerate(
        ((right, scale, SHADOW_SIZE / 2), (up, scale, SHADOW_SIZE / 2), (-sun, 1.0, 60.0))
    ):
        axes[k, :3] = vector * factor
        axes[k, 3] = offset - float(np.sum(vector * centre)) * factor
    return axes


def shadow_map(vertices: np.ndarray, triangles: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(160, 160) float32 distance from the sun of what it sees first."""
    mask = np.ascontiguousarray(vertices[:, 12])
    screen = _flatten(vertices, axes)
    _, depth = rasterise(screen, triangles, mask, SHADOW_SIZE, SHADOW_SIZE)
    return depth


NO_SHADOW = np.full((1, 1), FAR, np.float32)


@kernel
def lit(
    shadow: np.ndarray, axes: np.ndarray, x: float, y: float, z: float, bias: float, reach: float
) -> float:
    """Share (0..1) of the sun that reaches a world point; ``reach`` texels of soft edge."""
    size = shadow.shape[0]
    if size == 1:
        return 1.0
    column = axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z + axes[0, 3]
    line = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z + axes[1, 3]
    depth = axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z + axes[2, 3] - bias
    if column < 1 or line < 1 or column >= size - 1 or line >= size - 1:
        return 1.0
    free = 1.0 if shadow[int(line), int(column)] >= depth else 0.0
    for k in range(4):  # four corners of a square tilted against the map's grid
        i, j = (1.0, 0.4, -1.0, -0.4)[k], (0.4, -1.0, -0.4, 1.0)[k]
        c = min(max(int(column + i * reach), 0), size - 1)
        r = min(max(int(line + j * reach), 0), size - 1)
        if shadow[r, c] >= depth:
            free += 1.0
    return free / 5.0
