"""A picture of people in a camera's place: geometry, shadows, background, composition."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from passerby.simulate.appearance import Appearance
from passerby.simulate.background import plate, plate_scale
from passerby.simulate.figure import Figure
from passerby.simulate.kernels import kernel
from passerby.simulate.light import NO_SHADOW, Light, lit, shadow_axes, shadow_map
from passerby.simulate.person import add_person
from passerby.simulate.raster import Camera, project, rasterise, surface_values
from passerby.simulate.sensor import Sensor
from passerby.simulate.shade import contact_shade, shade_pixels, smooth_normals
from passerby.simulate.textures import tiles


@dataclass(frozen=True, kw_only=True)
class View:
    """How a camera sees a person at one moment.

    Attributes:
        heading: radians, the body's direction relative to the camera: 0 towards the camera,
            pi / 2 towards the right of the picture, pi away from it.
        elevation: radians below the horizon at which the camera sees the person's middle.
        distance: metres from the camera to the person's middle.
        phase: 0..1 of the walk cycle.
        pose: one of ``pose.POSES``.
        place: 0 left edge .. 1 right edge of the camera's frame.
    """

    heading: float
    elevation: float = 0.25
    distance: float = 10.0
    phase: float = 0.0
    pose: str = "walk"
    place: float = 0.5


@dataclass(frozen=True)
class Placed:
    """A person on the ground in camera axes: metres to the right, metres ahead, world heading."""

    appearance: Appearance
    view: View
    x: float
    z: float
    heading: float


def place(appearance: Appearance, view: View, sensor: Sensor) -> Placed:
    """Where a view puts a person on the ground of a camera's scene."""
    angle = math.atan((view.place - 0.5) * sensor.frame[0] / sensor.focal * math.cos(sensor.tilt))
    level = view.distance * math.cos(view.elevation)
    x, z = level * math.sin(angle), level * math.cos(angle)
    # the body is turned against the line of sight, which itself is turned by ``angle``
    return Placed(appearance, view, x, z, view.heading - angle)


def camera_height(view: View) -> float:
    """Metres of the camera above the ground that a view implies."""
    return max(0.9 + view.distance * math.sin(view.elevation), 0.6)


@dataclass(frozen=True)
class Layers:
    """A rendered figure: linear light (H, W, 3), cover (H, W) bool, depth, and its shadow map."""

    colour: np.ndarray
    cover: np.ndarray
    depth: np.ndarray
    visible: np.ndarray
    shadow: np.ndarray
    axes: np.ndarray


def draw(
    figure: Figure,
    camera: Camera,
    light: Light,
    size: tuple[int, int],
    *,
    centre: tuple[float, float],
    extent: float = 1.6,
    person_pixels: float = 200.0,
) -> Layers:
    """Rasterise and shade a figure.

    Args:
        figure: people and things.
        camera: the window's camera.
        light: sun and sky.
        size: height and width, pixels.
        centre: ground place (x, z) around which shadows are cast, metres.
        extent: half size of the shadowed region, metres.
        person_pixels: height of a person, which sets the radius of contact shade.
    """
    vertices, triangles, table = figure.vertices, figure.triangles, figure.table
    vector = camera.vector()
    screen = project(vertices, vector)
    mask = np.ascontiguousarray(vertices[:, 12])
    visible, depth = rasterise(screen, triangles, mask, *size)
    surface = surface_values(visible, screen, triangles, vertices, vector)
    axes = shadow_axes(light, np.array([centre[0], 0.9, centre[1]]), extent)
    sunny = max(light.sun) > 0.05
    shadow = shadow_map(vertices, triangles, axes) if sunny else NO_SHADOW
    radius = max(round(person_pixels / 170), 1)
    normals = smooth_normals(surface, visible, depth, triangles, table, radius)
    contact = contact_shade(depth, visible, max(round(person_pixels * 0.028), 2), 9.0)
    colour = shade_pixels(
        visible, depth, surface, normals, contact, triangles, table, vector, light.vector(),
        shadow, axes, tiles(),
    )  # fmt: skip
    return Layers(colour, visible >= 0, depth, visible, shadow, axes)


@kernel
def _ground_light(
    camera: np.ndarray,
    px: float,
    py: float,
    dark: float,
    shadow: np.ndarray,
    axes: np.ndarray,
    feet: np.ndarray,
) -> float:
    """Share of light on the ground seen at a pixel: ``dark`` of it in shadow, less under soles."""
    u = (px - camera[14]) / camera[12]
    v = -(py - camera[15]) / camera[13]
    rx = camera[0] * u + camera[3] * v + camera[6]
    ry = camera[1] * u + camera[4] * v + camera[7]
    rz = camera[2] * u + camera[5] * v + camera[8]
    if ry >= -1e-6:
        return 1.0
    reach = camera[10] / -ry
    x, z = reach * rx, reach * rz
    factor = dark + (1 - dark) * lit(shadow, axes, x, 0.0, z, 0.03, 1.6)
    for f in range(feet.shape[0]):
        d = ((x - feet[f, 0]) ** 2 + (z - feet[f, 1]) ** 2) / (feet[f, 2] ** 2)
        if d < 5.0:
            factor *= 1.0 - 0.5 * math.exp(-d)
    return factor


@kernel
def _backdrop(
    plate_image: np.ndarray,
    offset: tuple[float, float],
    scale: tuple[float, float],
    camera: np.ndarray,
    light: np.ndarray,
    shadow: np.ndarray,
    axes: np.ndarray,
    feet: np.ndarray,
    height: int,
    width: int,
) -> np.ndarray:
    """Window of the plate with cast shadows and the dark under soles: (H, W, 3) linear light.

    ``offset``, ``scale``: plate pixel of the window's corner, and plate pixels per window pixel.
    ``feet`` (F, 3): x, z and radius of the contact shadows.
    """
    out = np.empty((height, width, 3), np.float32)
    rows, columns = plate_image.shape[0], plate_image.shape[1]
    ambient = light[6] + light[7] + light[8]
    dark = ambient / max(light[1] * (light[3] + light[4] + light[5]) + ambient, 1e-6)
    for y in range(height):
        sy = offset[1] + (y + 0.5) * scale[1] - 0.5
        j = min(max(math.floor(sy), 0), rows - 2)
        t = min(max(sy - j, 0.0), 1.0)
        for x in range(width):
            sx = offset[0] + (x + 0.5) * scale[0] - 0.5
            i = min(max(math.floor(sx), 0), columns - 2)
            s = min(max(sx - i, 0.0), 1.0)
            for c in range(3):
                top = plate_image[j, i, c] * (1 - s) + plate_image[j, i + 1, c] * s
                low = plate_image[j + 1, i, c] * (1 - s) + plate_image[j + 1, i + 1, c] * s
                value = (top * (1 - t) + low * t) / 255.0
                out[y, x, c] = 1.6 * value * value
            if plate_image[j, i, 3] == 0:
                continue
            factor = _ground_light(camera, x + 0.5, y + 0.5, dark, shadow, axes, feet)
            for c in range(3):
                out[y, x, c] *= factor
    return out


def backdrop(
    sensor: Sensor,
    camera: Camera,
    window: tuple[float, float, float, float],
    size: tuple[int, int],
    *,
    light: Light,
    layers: Layers | None,
    feet: np.ndarray,
) -> np.ndarray:
    """Background of a window (x0, y0, x1, y1 in frame pixels), shadows of people included."""
    image = plate(sensor)
    scale = plate_scale(sensor)
    step = (
        (window[2] - window[0]) * scale / size[1],
        (window[3] - window[1]) * scale / size[0],
    )
    shadow = NO_SHADOW if layers is None else layers.shadow
    axes = np.zeros((3, 4)) if layers is None else layers.axes
    return _backdrop(
        image, (window[0] * scale, window[1] * scale), step, camera.vector(), light.vector(),
        shadow, axes, feet, *size,
    )  # fmt: skip


def frame_camera(sensor: Sensor, height: float) -> Camera:
    """The camera of a whole native frame."""
    return Camera(
        height=height,
        tilt=sensor.tilt,
        focal_x=sensor.focal,
        focal_y=sensor.focal,
        centre_x=sensor.frame[0] / 2,
        centre_y=sensor.frame[1] / 2,
    )


def populate(
    figure: Figure, people: Sequence[Placed], note: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """Add people to a figure; returns (F, 3) places and radii of their feet's contact shadows.

    ``note`` is told the first and last vertex of each person.
    """
    feet = []
    for person in people:
        start = figure.vertex_count
        posed = add_person(
            figure, person.appearance, pose=person.view.pose, phase=person.view.phase,
            heading=person.heading, x=person.x, z=person.z,
        )  # fmt: skip
        if note is not None:
            note(start, figure.vertex_count)
        turn = math.pi - person.heading
        c, s = math.cos(turn), math.sin(turn)
        for leg in posed.legs:
            x, z = float(leg.end[0]), float(leg.end[2]) + 0.06
            lift = max(float(leg.end[1]) - posed.body.ankle, 0.0)
            feet.append([person.x + c * x + s * z, person.z - s * x + c * z, 0.11 + 0.6 * lift])
    return np.array(feet).reshape(-1, 3)
