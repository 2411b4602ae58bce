"""What a camera sees of a person at one moment: place, viewpoint, box."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.cameras import CityCamera
from passerby.simulate.geometry import bearing
from passerby.simulate.walks import Walks

STRIDE = 1.42  # metres of one walk cycle (two steps)
CHEST = 0.9  # metres above the ground at which the viewpoint is measured
ASPECT = 0.42  # usual width of a person's box for its height


@dataclass(frozen=True, kw_only=True)
class Observations:
    """S moments of people before cameras."""

    place: np.ndarray
    """(S, 2) metres east, north."""
    heading: np.ndarray
    """(S,) radians, the way the body faces: 0 toward the camera, pi / 2 to the picture's right."""
    azimuth: np.ndarray
    """(S,) radians to the right of the camera's heading at which the person stands."""
    elevation: np.ndarray
    """(S,) radians by which the camera looks down at the person's chest."""
    distance: np.ndarray
    """(S,) metres from the camera to the person's chest."""
    phase: np.ndarray
    """(S,) of the walk cycle, 0..1."""
    box: np.ndarray
    """(S, 4) x0, y0, x1, y1 in pixels of the frame, not cut at its border."""

    def __len__(self) -> int:
        return len(self.place)


def observe(
    walks: Walks,
    cameras: list[CityCamera],
    *,
    person: np.ndarray,
    camera: np.ndarray,
    time: np.ndarray,
    stature: np.ndarray,
) -> Observations:
    """Project people (S,) at seconds (S,) into cameras (S,).

    Args:
        walks: where everyone is.
        cameras: all cameras.
        person: index of each moment's person.
        camera: index of each moment's camera.
        time: seconds since the start.
        stature: (N,) metres of every person.
    """
    place = walks.position(person, time)
    way = walks.direction(person, time)
    poles = np.array([c.place for c in cameras])[camera]
    offset = place - poles
    ground = np.hypot(*offset.T)
    down = np.array([c.height for c in cameras])[camera] - CHEST
    headings = np.array([c.heading for c in cameras])[camera]
    return Observations(
        place=place,
        heading=np.radians((bearing(-offset) - bearing(way)) % 360.0),
        azimuth=np.radians((bearing(offset) - headings + 180.0) % 360.0 - 180.0),
        elevation=np.arctan2(down, ground),
        distance=np.hypot(ground, down),
        phase=_phase(place, way, person),
        box=_boxes(cameras, camera, place, stature[person]),
    )


def _phase(place: np.ndarray, way: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Phase from the distance walked along the present direction, shifted for each person."""
    return ((place * way).sum(1) / STRIDE + person * 0.61803398875) % 1.0


def _boxes(
    cameras: list[CityCamera], camera: np.ndarray, place: np.ndarray, stature: np.ndarray
) -> np.ndarray:
    boxes = np.empty((len(place), 4))
    for index in np.unique(camera):
        own = camera == index
        feet = cameras[index].project(place[own], -0.02)
        head = cameras[index].project(place[own], stature[own] + 0.04)
        tall = feet[:, 1] - head[:, 1]
        middle = (feet[:, 0] + head[:, 0]) / 2
        half = tall * ASPECT / 2
        boxes[own] = np.stack([middle - half, head[:, 1], middle + half, feet[:, 1]], axis=1)
    return boxes


def clip_boxes(boxes: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Cut boxes (S, 4) at the border of their frames (S, 2) or (2,), width and height."""
    frames = np.asarray(frames, dtype=np.float64)
    return np.clip(boxes, 0.0, np.concatenate([frames, frames], axis=-1))


def area(boxes: np.ndarray) -> np.ndarray:
    """Square pixels of boxes (S, 4)."""
    return np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Square pixels shared by boxes (S, 4) and (S, 4)."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    return area(np.concatenate([low, high], axis=-1))
