"""Who is who among all tracks of a scope: average-linkage clustering of their best crops.

This is a function for studies and benchmarks. No route of the service and no command lists it:
operators look for one person of one case.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from passerby.city.city import City
from passerby.city.evidence import BOUND, CONFLICT
from passerby.city.paths import Walking
from passerby.city.search import UNCALIBRATED
from passerby.city.sightings import FloatArray, Scope
from passerby.city.tracks import Track, TrackFinder, best_similarities
from passerby.city.trajectory import Times
from passerby.metrics import Calibration

LEVEL = -1.0  # mean log odds of two groups above which they are joined; tuned on simulated cities
NEIGHBOURS = 20  # tracks that are linked with each track before the exact comparison
BLOCK = 1024


def associate(
    city: City,
    scope: Scope,
    *,
    model: str | None = None,
    calibration: Calibration = UNCALIBRATED,
    level: float = LEVEL,
    walking: Walking = Walking(),
) -> list[list[Track]]:
    """Group the tracks of a scope by person, the largest group first.

    Tracks are linked with their nearest neighbours. Each connected part is clustered exactly:
    groups join while the mean log odds of their pairs is above ``level``; a pair that nobody can
    have walked loses log odds.

    Args:
        city: The city.
        scope: Units x cameras x window.
        model: Id of the network that made the vectors.
        calibration: Turns a similarity into log odds.
        level: See above.
        walking: How people walk.

    Raises:
        InputError: A unit or camera is unknown, or the vectors are of another network.
    """
    city.check(scope)
    everything = city.gallery.latest(city.gallery.count(scope), scope)
    tracks = TrackFinder(city, scope, frozenset(), model=model).of(everything)
    tracks.sort(key=lambda track: (track.arrive, track.leave))
    groups: list[list[Track]] = []
    for part in _parts(tracks, calibration):
        own = [tracks[at] for at in part]
        if len(own) == 1:
            groups.append(own)
            continue
        pairs = np.clip(
            calibration.log_odds(best_similarities(own, own[0].vectors)[1]), -BOUND, BOUND
        )
        pairs -= CONFLICT * Times.of(city, own).conflicts(walking)
        distance = np.maximum(BOUND - pairs, 0.0)
        np.fill_diagonal(distance, 0.0)
        merged = linkage(squareform(distance, checks=False), "average")
        labels = fcluster(merged, BOUND - level, "distance")
        groups += [
            [one for one, label in zip(own, labels, strict=True) if label == number]
            for number in np.unique(labels)
        ]
    return sorted(groups, key=len, reverse=True)


def _parts(tracks: list[Track], calibration: Calibration) -> list[NDArray[np.intp]]:
    """Connected parts of the graph of neighbours that are more likely one person than not."""
    if not tracks:
        return []
    means = np.stack([track.vectors.mean(axis=0) for track in tracks])
    rows, columns = [], []
    for start in range(0, len(means), BLOCK):
        near = _nearest(means[start : start + BLOCK], means)
        likely = calibration.log_odds(near[1]) > -CONFLICT
        rows.append(start + np.nonzero(likely)[0])
        columns.append(near[0][likely])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(len(means), len(means)))
    count, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.searchsorted(label[order], np.arange(1, count)))


def _nearest(block: FloatArray, means: FloatArray) -> tuple[NDArray[np.intp], FloatArray]:
    """Indices and similarities of the nearest rows of ``means`` to each row of a block."""
    similar = block @ means.T
    few = min(NEIGHBOURS + 1, similar.shape[1])
    best = np.argpartition(-similar, few - 1, axis=1)[:, :few]
    return best, np.take_along_axis(similar, best, axis=1)
