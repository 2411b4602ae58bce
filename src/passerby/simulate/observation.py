"""Who is in which camera's view and when, and what a camera sees of a person at one moment."""

from dataclasses import dataclass, fields

import numpy as np

from passerby.simulate.cameras import CityCamera
from passerby.simulate.geometry import bearing, direction
from passerby.simulate.walks import Walks

SHORTEST = 1.2  # seconds: a shorter glimpse is no passage
GAP = 1.0  # seconds: two glimpses nearer than this are one passage
STRIDE = 1.42  # metres of one walk cycle (two steps)
CHEST = 0.9  # metres above the ground at which the viewpoint is measured
ASPECT = 0.42  # usual width of a person's box for its height


@dataclass(frozen=True, kw_only=True)
class Passages:
    """P passages of people through cameras' views, ordered by time of entry.

    Attributes:
        person: (P,) index of the person.
        camera: (P,) index of the camera.
        enter: (P,) seconds since the start.
        leave: (P,) seconds since the start.
    """

    person: np.ndarray
    camera: np.ndarray
    enter: np.ndarray
    leave: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


def find_passages(walks: Walks, cameras: list[CityCamera]) -> Passages:
    """Intersect every outdoor segment of every walk with every camera's view.

    The view on the ground is the sector of the camera's field of view between its near limit and
    its range. Entry and exit are exact for the piecewise linear walks.
    """
    last = np.zeros(len(walks.time), dtype=bool)
    last[walks.first[1:] - 1] = True
    outdoors = np.flatnonzero(~last & ~walks.indoors)
    start, end = walks.place[outdoors], walks.place[outdoors + 1]
    low, high = np.minimum(start, end), np.maximum(start, end)
    person, begin = walks.person[outdoors], walks.time[outdoors]
    duration = walks.time[outdoors + 1] - begin
    found = []
    for index, camera in enumerate(cameras):
        near = (low < camera.place + camera.range) & (high > camera.place - camera.range)
        hit = np.flatnonzero(near.all(1))
        which, enter, leave = _visible(start[hit], end[hit], camera)
        segment = hit[which]
        glimpses = (
            person[segment],
            begin[segment] + enter * duration[segment],
            begin[segment] + leave * duration[segment],
        )
        found.append(_joined(index, *glimpses))
    table = np.concatenate(found)
    table = table[np.lexsort((table[:, 1], table[:, 0], table[:, 2]))]
    return Passages(
        person=table[:, 0].astype(np.int64),
        camera=table[:, 1].astype(np.int64),
        enter=table[:, 2],
        leave=table[:, 3],
    )


def _visible(
    start: np.ndarray, end: np.ndarray, camera: CityCamera
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of the way at which segments (S, 2) are in view.

    Returns:
        (V,) index of the segment, (V,) entry and (V,) exit as shares of 0..1; a segment through
        the blind spot under the camera appears twice.
    """
    a, way = start - camera.place, end - start
    enter, leave = _inside_disc(a, way, camera.range)
    for edge, sign in ((-camera.field_of_view / 2, 1.0), (camera.field_of_view / 2, -1.0)):
        # to the right of the left edge of the view, and to the left of the right edge
        ray = direction(camera.heading + edge)
        right = sign * np.array([ray[1], -ray[0]])
        enter, leave = _clip(enter, leave, a @ right, way @ right)
    blind, clear = _inside_disc(a, way, camera.near)
    blind = np.where(blind < clear, blind, 1.0)  # never in the blind spot
    clear = np.where(blind < clear, clear, 1.0)
    first, second = (enter, np.minimum(leave, blind)), (np.maximum(enter, clear), leave)
    index = np.arange(len(a))
    which, begin, stop = (
        np.concatenate(pair) for pair in zip((index, *first), (index, *second), strict=True)
    )
    seen = begin < stop
    return which[seen], begin[seen], stop[seen]


def _inside_disc(a: np.ndarray, way: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Shares between which ``a + share * way`` is within ``radius`` of 0; (1, 0): nowhere."""
    square = np.maximum((way * way).sum(1), 1e-12)
    middle = -(a * way).sum(1) / square
    half = middle**2 - ((a * a).sum(1) - radius**2) / square
    root = np.sqrt(np.maximum(half, 0.0))
    enter, leave = np.maximum(middle - root, 0.0), np.minimum(middle + root, 1.0)
    miss = (half <= 0) | (enter >= leave)
    return np.where(miss, 1.0, enter), np.where(miss, 0.0, leave)


def _clip(
    enter: np.ndarray, leave: np.ndarray, at: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the shares at which ``at + share * slope`` is not negative."""
    level = np.abs(slope) < 1e-12
    crossing = -at / np.where(level, 1.0, slope)
    never, always = level & (at < 0), level & (at >= 0)
    first = np.where(slope > 0, np.maximum(enter, crossing), enter)
    last = np.where(slope > 0, leave, np.minimum(leave, crossing))
    return np.where(never, 1.0, np.where(always, enter, first)), np.where(always, leave, last)


def _joined(camera: int, person: np.ndarray, enter: np.ndarray, leave: np.ndarray) -> np.ndarray:
    """Passages (P, 4) of one camera (person, camera, enter, leave): glimpses without gap joined."""
    order = np.lexsort((enter, person))
    person, enter, leave = person[order], enter[order], leave[order]
    if len(person) == 0:
        return np.empty((0, 4))
    new = np.ones(len(person), dtype=bool)
    new[1:] = (person[1:] != person[:-1]) | (enter[1:] - leave[:-1] > GAP)
    first = np.flatnonzero(new)
    leave = np.maximum.reduceat(leave, first)
    table = np.stack(
        [person[first], np.full(len(first), camera), enter[first], leave], axis=1
    ).astype(np.float64)
    return table[table[:, 3] - table[:, 2] >= SHORTEST]


@dataclass(frozen=True, kw_only=True)
class Observations:
    """S moments of people before cameras.

    Attributes:
        person: (S,) index of the person.
        camera: (S,) index of the camera.
        time: (S,) seconds since the start.
        heading: (S,) radians, the way the body faces: 0 toward the camera, pi / 2 to the
            picture's right.
        azimuth: (S,) radians to the right of the camera's heading at which the person stands.
        elevation: (S,) radians by which the camera looks down at the person's chest.
        distance: (S,) metres from the camera to the person's chest.
        phase: (S,) of the walk cycle, 0..1.
        box: (S, 4) x0, y0, x1, y1 in pixels of the frame, not cut at its border.
    """

    person: np.ndarray
    camera: np.ndarray
    time: np.ndarray
    heading: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray
    distance: np.ndarray
    phase: np.ndarray
    box: np.ndarray

    def __len__(self) -> int:
        return len(self.person)

    def take(self, index: np.ndarray) -> "Observations":
        """Some of the moments."""
        return Observations(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


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
        person=person,
        camera=camera,
        time=time,
        heading=np.radians((bearing(-offset) - bearing(way)) % 360.0),
        azimuth=np.radians((bearing(offset) - headings + 180.0) % 360.0 - 180.0),
        elevation=np.arctan2(down, ground),
        distance=np.hypot(ground, down),
        phase=_phase(place, way, person),
        box=_boxes(cameras, camera, place, stature[person]),
    )


def _phase(place: np.ndarray, way: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Phase from the distance walked along the present direction, shifted for each person."""
    return np.asarray(((place * way).sum(1) / STRIDE + person * 0.61803398875) % 1.0)


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
    return np.asarray(np.clip(boxes, 0.0, np.concatenate([frames, frames], axis=-1)))


def area(boxes: np.ndarray) -> np.ndarray:
    """Square pixels of boxes (S, 4)."""
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1))


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Square pixels shared by boxes (S, 4) and (S, 4)."""
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    return area(np.concatenate([low, high], axis=-1))
