"""People in a camera's scene: where they stand, how they are dressed, and the light of a window."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from passerby.simulate.background import backdrop, plate, plate_scale
from passerby.simulate.bags import carry
from passerby.simulate.body import Pose, measure, strike
from passerby.simulate.clothes import bare_arms, hands, wear_upper
from passerby.simulate.head import Back, add_hair, add_head
from passerby.simulate.headgear import FLATTENS_HAIR, HIDES_HAIR, add_headgear, add_scarf
from passerby.simulate.legwear import bare_legs, leg_share, wear_lower, wear_shoes
from passerby.simulate.mesh import Figure
from passerby.simulate.raster import NO_SHADOW, Camera, Light, cast_shadow
from passerby.simulate.sensor import Sensor
from passerby.simulate.shade import render
from passerby.simulate.wardrobe import SKIRTS, Appearance, Garment

Box = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class View:
    """How a camera sees a person at one moment.

    Attributes:
        heading: radians, the body's direction relative to the camera: 0 towards the camera,
            pi / 2 towards the right of the picture, pi away from it.
        elevation: radians below the horizon at which the camera sees the person's middle.
        distance: metres from the camera to the person's middle.
        phase: 0..1 of the walk cycle.
        pose: one of ``body.POSES``.
        place: 0 left edge .. 1 right edge of the camera's frame.
    """

    heading: float
    elevation: float = 0.25
    distance: float = 10.0
    phase: float = 0.0
    pose: str = "walk"
    place: float = 0.5

    @property
    def camera_height(self) -> float:
        """Metres of the camera above the ground."""
        return max(0.9 + self.distance * math.sin(self.elevation), 0.6)


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


def populate(figure: Figure, people: Sequence[Placed]) -> tuple[np.ndarray, list[int]]:
    """Add people to a figure.

    Returns:
        (F, 3) places x, z and radii in metres of their feet's contact shadows, and the number of
        vertices of the figure after each person.
    """
    feet, ends = [], []
    for person in people:
        posed = _add_person(figure, person)
        ends.append(figure.vertex_count)
        turn = math.pi - person.heading
        c, s = math.cos(turn), math.sin(turn)
        for leg in posed.legs:
            x, z = float(leg.end[0]), float(leg.end[2]) + 0.06
            lift = max(float(leg.end[1]) - posed.body.ankle, 0.0)
            feet.append([person.x + c * x + s * z, person.z - s * x + c * z, 0.11 + 0.6 * lift])
    return np.array(feet).reshape(-1, 3), ends


def _add_person(figure: Figure, person: Placed) -> Pose:
    """Add body, clothes, head and carried things; returns the pose in the person's own axes."""
    appearance, name = person.appearance, person.view.pose
    start = figure.vertex_count
    pose = strike(appearance, measure(appearance), name, person.view.phase)
    air = _dress(figure, appearance, pose)
    head = add_head(figure, appearance, pose)
    if appearance.headgear not in HIDES_HAIR:
        flat = appearance.headgear in FLATTENS_HAIR
        add_hair(figure, appearance, head, Back(pose, air), flat=flat)
    add_headgear(figure, appearance, head)
    add_scarf(figure, appearance, pose)
    carry(figure, appearance, pose, name, air)
    figure.place(start, turn=math.pi - person.heading, x=person.x, z=person.z)
    return pose


def _dress(figure: Figure, appearance: Appearance, pose: Pose) -> float:
    """Add clothes and the skin they leave bare; returns the thickness on the trunk, metres."""
    inner, outer, lower = appearance.inner, appearance.outer, appearance.lower
    end = leg_share(_leg_hem(inner, lower), pose)
    if end < 0.97:
        bare_legs(figure, appearance, pose, max(end - 0.08, 0.0))
    if lower is not None:
        wear_lower(figure, appearance, pose, lower)
    wear_shoes(figure, appearance, pose, bare=end < 0.9 and appearance.tights is None)
    air = wear_upper(figure, appearance, pose, inner, under=0.0)
    sleeve = inner.sleeve
    if outer is not None:
        air = wear_upper(figure, appearance, pose, outer, under=0.8 * air)
        sleeve = max(sleeve, outer.sleeve)
    if sleeve < 0.93:
        bare_arms(figure, appearance, pose, max(sleeve - 0.15, 0.0))
    hands(figure, appearance, pose)
    return air


def _leg_hem(inner: Garment, lower: Garment | None) -> float:
    """Lowest edge of what covers the legs, trunk lengths below the hip joint."""
    garment = lower if lower is not None else inner
    skirt = lower is None or lower.kind in SKIRTS
    hem = garment.cut.hem + garment.length
    return min(hem + 0.25, 0.0) if skirt else hem


def frame_camera(sensor: Sensor, height: float) -> Camera:
    """The camera of a whole native frame, ``height`` metres above the ground."""
    return Camera.centred(height, sensor.tilt, sensor.focal, sensor.frame)


@dataclass(frozen=True)
class Scene:
    """People and things before a camera, ready to be drawn.

    Attributes:
        figure: people and things; may be empty.
        feet: (F, 3) contact shadows, see ``populate``.
        light: sun and sky.
        height: metres of the camera above the ground.
        centre: ground place (x, z) around which shadows are cast, metres.
        extent: half size of the shadowed region, metres.
    """

    figure: Figure
    feet: np.ndarray
    sensor: Sensor
    light: Light
    height: float
    centre: tuple[float, float] = (0.0, 0.0)
    extent: float = 1.6

    def window(self, box: Box, size: tuple[int, int]) -> Camera:
        """The camera of a window (x0, y0, x1, y1 in native frame pixels) drawn at a size."""
        scale_x, scale_y = size[1] / (box[2] - box[0]), size[0] / (box[3] - box[1])
        return frame_camera(self.sensor, self.height).window(box[0], box[1], scale_x, scale_y)

    def draw(self, box: Box, size: tuple[int, int], *, person_pixels: float = 200.0) -> np.ndarray:
        """Draw a window of the camera's frame.

        Args:
            box: x0, y0, x1, y1 of the window in native frame pixels.
            size: height and width of the picture, pixels.
            person_pixels: height of a person, which sets the radius of contact shade.

        Returns:
            (H, W, 3) float32 linear light: background, shadows and surfaces.
        """
        figure, light, shadow = self.figure, self.light, NO_SHADOW
        camera = self.window(box, size)
        if figure.triangle_count and max(light.sun) > 0.05:
            middle = (self.centre[0], 0.9, self.centre[1])
            shadow = cast_shadow(figure, light, middle, self.extent)
        scale = plate_scale(self.sensor)
        corner = (box[0] * scale, box[1] * scale)
        step = ((box[2] - box[0]) * scale / size[1], (box[3] - box[1]) * scale / size[0])
        image = backdrop(
            plate(self.sensor), corner, step, camera.vector(), light.vector(), shadow, self.feet,
            size,
        )  # fmt: skip
        if not figure.triangle_count:
            return image
        smooth, contact = max(round(person_pixels / 170), 1), max(round(person_pixels * 0.028), 2)
        colour, cover = render(
            figure, camera, light, size, shadow=shadow, smooth=smooth, contact=(contact, 9.0)
        )
        return np.where(cover[:, :, None], colour, image)
