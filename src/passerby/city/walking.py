"""Whether a person can have walked from one track to the next, and how likely that is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.city.cameras import Camera
from passerby.city.streets import StreetGraph

FloatArray64 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Walking:
    """How people walk.

    Attributes:
        max_speed: m/s; faster is not walking (``system.md`` 2.5).
        usual_speed: m/s, the median.
        spread: standard deviation of the logarithm of the time a known way takes.
        stop_chance: share of ways with a stop on them.
        stop_seconds: mean length of such a stop.
        weight: how much the time between two tracks counts beside their looks.
        bound: largest log ratio one pair of tracks may bring.
    """

    max_speed: float = 2.6
    usual_speed: float = 1.3
    spread: float = 0.35
    stop_chance: float = 0.3
    stop_seconds: float = 600.0
    weight: float = 0.4
    bound: float = 3.0


def camera_distances(cameras: list[Camera], streets: StreetGraph) -> FloatArray64:
    """(N, N) walking metres between the cameras of N tracks."""
    unique = {camera.id: camera for camera in cameras}
    order = {name: i for i, name in enumerate(unique)}
    between = streets.distances(list(unique.values()))
    at = np.array([order[camera.id] for camera in cameras], dtype=np.int64)
    return between[np.ix_(at, at)]


def edges(
    arrive: FloatArray64,
    leave: FloatArray64,
    *,
    distance: FloatArray64,
    reach: FloatArray64,
    window: float,
    walking: Walking,
) -> FloatArray64:
    """(N, N) log scores of walking from track i to the later track j; -inf where it cannot be.

    Args:
        arrive: (N,) seconds, ascending.
        leave: (N,) seconds.
        distance: (N, N) walking metres between the cameras.
        reach: (N,) metres within which each camera sees people: nearer to each other than that,
            the walk may be shorter than the way from camera to camera.
        window: seconds of the searched window: a stranger appears in it at any time alike.
        walking: how people walk.
    """
    gap = arrive[None, :] - leave[:, None]
    shortest = np.maximum(distance - reach[:, None] - reach[None, :], 0.0)
    # two cameras that see the same spot may see a person at the same time
    possible = (gap >= shortest / walking.max_speed) | ((shortest == 0) & (gap > -np.inf))
    possible &= np.isfinite(distance)
    score = walking.weight * log_ratio(np.maximum(gap, 1.0), distance, window, walking)
    score = np.where(possible, score, -np.inf)
    score[np.tril_indices(len(arrive))] = -np.inf
    return score


def log_ratio(
    seconds: FloatArray64, metres: FloatArray64, window: float, walking: Walking
) -> FloatArray64:
    """Log of p(time between | same person, distance) / p(time | stranger), bounded.

    The walk takes a log-normal time around distance / usual speed; with some chance a stop of
    exponential length comes on top. A stranger's time is uniform over the window.
    """
    usual = np.maximum(metres, 5.0) / walking.usual_speed
    z = np.log(seconds / usual) / walking.spread
    walk = np.exp(-0.5 * z * z) / (seconds * walking.spread * np.sqrt(2 * np.pi))
    extra = np.maximum(seconds - usual, 0.0)
    stop = np.exp(-extra / walking.stop_seconds) / walking.stop_seconds
    density = (1 - walking.stop_chance) * walk + walking.stop_chance * stop
    # someone may also have gone elsewhere in between: then the time says nothing
    with np.errstate(invalid="ignore"):
        ratio = np.log(0.5 * density * max(window, 1.0) + 0.5)
    return np.clip(np.nan_to_num(ratio, nan=0.0), -walking.bound, walking.bound)
