"""Exactly when who is in which camera's view: segments of walks against view sectors."""

from dataclasses import dataclass

import numpy as np

from passerby.simulate.cameras import CityCamera
from passerby.simulate.geometry import direction
from passerby.simulate.walks import Walks

SHORTEST = 1.2  # seconds: a shorter glimpse is no passage
GAP = 1.0  # seconds: two glimpses nearer than this are one passage


@dataclass(frozen=True, kw_only=True)
class Passages:
    """P passages, ordered by time of entry."""

    person: np.ndarray
    """(P,) index of the person."""
    camera: np.ndarray
    """(P,) index of the camera."""
    enter: np.ndarray
    """(P,) seconds since the start."""
    leave: np.ndarray
    """(P,) seconds since the start."""

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
