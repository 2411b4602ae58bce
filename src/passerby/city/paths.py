"""Paths of one person through tracks: which tracks can follow each other, and the best paths.

Tracks are the nodes of a directed acyclic graph, in order of time. A path collects scores (log
odds) of its nodes and edges, and may start and end at any node.
"""

import heapq
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
        max_speed: Upper bound of walking, in m/s.
        usual_speed: Median, in m/s.
        spread: Standard deviation of the logarithm of the time that a known way takes.
        stop_chance: Share of ways with a stop on them.
        stop_seconds: Mean length of such a stop.
        weight: Weight of the time between two tracks, relative to their appearance.
        bound: Largest absolute log ratio of one pair of tracks.
        unwalkable: Log odds that a path loses for two tracks in conflict; a clock may be wrong.
        clock_error: Seconds by which the clocks of two cameras may differ; a walk that is too fast
            by less is no conflict.
    """

    max_speed: float = 2.6
    usual_speed: float = 1.3
    spread: float = 0.35
    stop_chance: float = 0.3
    stop_seconds: float = 600.0
    weight: float = 0.15
    bound: float = 3.0
    unwalkable: float = 4.0
    clock_error: float = 120.0


def camera_distances(cameras: list[Camera], streets: StreetGraph) -> FloatArray64:
    """(N, N) walking metres between the cameras of N tracks."""
    unique = {camera.id: camera for camera in cameras}
    order = {name: i for i, name in enumerate(unique)}
    between = streets.distances(list(unique.values()))
    at = np.array([order[camera.id] for camera in cameras], dtype=np.int64)
    return between[np.ix_(at, at)]


def conflicts(
    arrive: FloatArray64,
    leave: FloatArray64,
    *,
    distance: FloatArray64,
    reach: FloatArray64,
    walking: Walking,
) -> FloatArray64:
    """(N, N) 1 where nobody can have walked from one track to the other, else 0; symmetric.

    Args:
        arrive: (N,) times of the first sightings in seconds, ascending.
        leave: (N,) times of the last sightings in seconds.
        distance: (N, N) walking metres between the cameras; infinite where no way is known, which
            is no conflict: the map may lack a street.
        reach: (N,) metres up to which each camera sees people. The walk may be shorter than the way
            from camera to camera by these.
        walking: How people walk.
    """
    gap = np.maximum(arrive[None, :] - leave[:, None], arrive[:, None] - leave[None, :])
    shortest = np.maximum(distance - reach[:, None] - reach[None, :], 0.0)
    # two cameras that see the same spot may see a person at the same time
    needed = shortest / walking.max_speed - walking.clock_error
    too_fast = np.isfinite(distance) & (shortest > 0) & (gap < needed)
    out: FloatArray64 = too_fast.astype(np.float64)
    return out


def edges(
    arrive: FloatArray64,
    leave: FloatArray64,
    *,
    distance: FloatArray64,
    conflict: FloatArray64,
    window: float,
    walking: Walking,
) -> FloatArray64:
    """(N, N) log scores of walking from track i to the later track j.

    Args:
        arrive: (N,) times of the first sightings in seconds, ascending.
        leave: (N,) times of the last sightings in seconds.
        distance: (N, N) walking metres between the cameras.
        conflict: (N, N) see :func:`conflicts`.
        window: Seconds of the searched window, in which a stranger appears at any time with the
            same probability.
        walking: How people walk.
    """
    gap = np.maximum(arrive[None, :] - leave[:, None], 1.0)
    score = walking.weight * log_ratio(gap, distance, window, walking)
    return np.where(conflict > 0, -walking.unwalkable, score)


def log_ratio(
    seconds: FloatArray64, metres: FloatArray64, window: float, walking: Walking
) -> FloatArray64:
    """Log of p(time between | same person, distance) / p(time | stranger), bounded.

    The walk takes a log-normal time around distance / usual speed. A stop of exponential length is
    added with some probability. A stranger's time is uniform over the window.
    """
    usual = np.maximum(metres, 5.0) / walking.usual_speed
    z = np.log(seconds / usual) / walking.spread
    walk = np.exp(-0.5 * z * z) / (seconds * walking.spread * np.sqrt(2 * np.pi))
    extra = np.maximum(seconds - usual, 0.0)
    stop = np.exp(-extra / walking.stop_seconds) / walking.stop_seconds
    density = (1 - walking.stop_chance) * walk + walking.stop_chance * stop
    # the person may also have gone elsewhere in between: then the time says nothing
    with np.errstate(invalid="ignore"):
        ratio = np.log(0.5 * density * max(window, 1.0) + 0.5)
    bounded: FloatArray64 = np.clip(np.nan_to_num(ratio, nan=0.0), -walking.bound, walking.bound)
    return bounded


@dataclass(frozen=True, slots=True)
class Path:
    """Nodes in order of time, and the sum of their scores."""

    nodes: tuple[int, ...]
    score: float


def best_paths(node: FloatArray64, edge: FloatArray64, k: int = 1) -> list[Path]:
    """The k best non-empty paths, best first (list Viterbi).

    Args:
        node: (N,) score of each node, in order of time.
        edge: (N, N) score of going from i to j; only i < j is read.
        k: Number of paths.
    """
    # per node: up to k (score, predecessor, which of the predecessor's paths)
    ends: list[list[tuple[float, int, int]]] = []
    scores = np.full((len(node), k), -np.inf)
    for j in range(len(node)):
        options = [(float(node[j]), -1, 0)]
        if j:
            totals = scores[:j] + edge[:j, j, None] + node[j]
            flat = totals.ravel()
            few = np.argpartition(-flat, k - 1)[:k] if len(flat) > k else np.arange(len(flat))
            options += [(float(flat[x]), int(x // k), int(x % k)) for x in few if flat[x] > -np.inf]
        ends.append(heapq.nlargest(k, options, key=lambda option: option[0]))
        scores[j, : len(ends[j])] = [option[0] for option in ends[j]]
    finals = [(option[0], j, rank) for j, own in enumerate(ends) for rank, option in enumerate(own)]
    finals.sort(key=lambda final: (-final[0], final[1], final[2]))
    return [Path(_trail(ends, j, rank), score) for score, j, rank in finals[:k]]


def _trail(ends: list[list[tuple[float, int, int]]], j: int, rank: int) -> tuple[int, ...]:
    nodes = []
    while j >= 0:
        nodes.append(j)
        _, j, rank = ends[j][rank]
    return tuple(reversed(nodes))


def marginals(node: FloatArray64, edge: FloatArray64) -> FloatArray64:
    """(N,) probability that each node lies on the path, over all paths and the empty one.

    A path has the weight exp(score). The sums run forward and backward through the graph.
    """
    n = len(node)
    forward, backward = np.zeros(n), np.zeros(n)
    for j in range(n):
        before = forward[:j] + edge[:j, j]
        forward[j] = node[j] + np.logaddexp(0.0, np.logaddexp.reduce(before))
    for i in range(n - 1, -1, -1):
        after = edge[i, i + 1 :] + node[i + 1 :] + backward[i + 1 :]
        backward[i] = np.logaddexp(0.0, np.logaddexp.reduce(after))
    total = np.logaddexp(0.0, np.logaddexp.reduce(forward))
    chance: FloatArray64 = np.exp(np.minimum(forward + backward - total, 0.0))
    return chance
