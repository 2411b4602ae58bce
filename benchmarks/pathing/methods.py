"""What stands beside the path: thresholds, top-k, greedy in time, a vote; and their figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.pathing.cities import Person
from passerby.city import City, Sighting
from passerby.city.paths import FloatArray64, Walking, camera_distances, conflicts
from passerby.metrics import Calibration

DRAWS = 10_000  # of the bootstrap over people


@dataclass(frozen=True, kw_only=True)
class Listed:
    """All tracklets of a city as the plain methods see them, in order of time.

    Attributes:
        names: (N,)
        crops: (N,) number of crops.
        vectors: (M, D) of all crops, by tracklet.
        first: (N,) where each tracklet's crops begin.
        pairs: (N, N) log odds of the best pair of crops.
        conflict: (N, N) 1 where nobody can walk from one to the other with right clocks.
        calibration: from similarity to log odds.
    """

    names: NDArray[np.str_]
    crops: NDArray[np.intp]
    vectors: NDArray[np.float32]
    first: NDArray[np.intp]
    pairs: FloatArray64
    conflict: FloatArray64
    calibration: Calibration

    @classmethod
    def of(cls, city: City, rows: Sequence[Sighting], calibration: Calibration) -> "Listed":
        """Read the tracklets of a city from its sightings."""
        groups: dict[str, list[Sighting]] = {}
        for one in sorted(rows, key=lambda one: one.time):
            groups.setdefault(one.tracklet, []).append(one)
        vectors = np.stack([np.asarray(one.vector) for group in groups.values() for one in group])
        crops = np.array([len(group) for group in groups.values()])
        first = np.cumsum([0, *crops[:-1]])
        best = np.maximum.reduceat(vectors @ vectors.T, first, axis=0)
        cameras = [city.camera(group[0].camera) for group in groups.values()]
        return cls(
            names=np.array(list(groups)),
            crops=crops,
            vectors=vectors,
            first=first,
            pairs=calibration.log_odds(np.maximum.reduceat(best, first, axis=1)),
            conflict=conflicts(
                np.array([group[0].time for group in groups.values()]) / 1000.0,
                np.array([group[-1].time for group in groups.values()]) / 1000.0,
                distance=camera_distances(cameras, city.streets),
                reach=np.array([camera.range for camera in cameras]),
                walking=Walking(clock_error=0.0),
            ),
            calibration=calibration,
        )

    def scores(self, person: Person) -> FloatArray64:
        """(N,) log odds of each tracklet's best crop, as the list of a search shows them."""
        similar = np.maximum.reduceat(self.vectors @ person.vector, self.first)
        return self.calibration.log_odds(similar)


Method = Callable[[Listed, FloatArray64], NDArray[np.intp]]


def threshold(least: float) -> Method:
    """Every tracklet with log odds of at least ``least``."""
    return lambda _, own: np.flatnonzero(own >= least)


def several_crops(least: float) -> Method:
    """The same, tracklets of a single crop left out."""
    return lambda listed, own: np.flatnonzero((own >= least) & (listed.crops > 1))


def top(count: float) -> Method:
    """The best ``count`` tracklets."""
    return lambda _, own: np.argsort(-own, kind="stable")[: int(count)]


def greedy(least: float) -> Method:
    """Best first, each that a person can have walked together with all those before."""

    def choose(listed: Listed, own: FloatArray64) -> NDArray[np.intp]:
        chosen: list[int] = []
        for at in np.argsort(-own, kind="stable"):
            if own[at] < least:
                break
            if not listed.conflict[at, chosen].any():
                chosen.append(int(at))
        return np.array(chosen, dtype=np.intp)

    return choose


def vote(_: float = 0.0) -> Method:
    """Seeds by score, then two rounds: a good score, or likely the same as half of the seeds."""

    def choose(listed: Listed, own: FloatArray64) -> NDArray[np.intp]:
        seeds = np.flatnonzero(own > 1.0)
        for _ in range(2):
            if len(seeds):
                share = (listed.pairs[:, seeds] > 1.0).mean(axis=1)
                seeds = np.flatnonzero((own >= 0.0) | (share >= 0.5))
        return seeds

    return choose


TUNED: dict[str, tuple[Callable[[float], Method], Sequence[float]]] = {
    "threshold tuned on other cities": (threshold, tuple(np.arange(-1.5, 2.1, 0.25))),
    "top-k, k tuned on other cities": (top, tuple(range(2, 13))),
    "tuned score, greedy in time": (greedy, tuple(np.arange(-1.5, 2.1, 0.25))),
}
PLAIN: dict[str, Method] = {
    "score >= 0.5": threshold(0.0),
    "score >= 0.5, more than one crop": several_crops(0.0),
    "vote": vote(),
}


def tuned(cities: Sequence[tuple[Listed, Sequence[Person]]]) -> dict[str, Method]:
    """The tuned methods, each with the value that has the best mean F1 on tuning cities."""
    out: dict[str, Method] = {}
    for name, (make, values) in TUNED.items():
        means = []
        for value in values:
            rows = [
                agreement(set(listed.names[make(value)(listed, listed.scores(one))]), one.mine)[2]
                for listed, people in cities
                for one in people
            ]
            means.append(float(np.mean(rows)))
        best = float(values[int(np.argmax(means))])
        print(f"{name}: {best:g} (F1 {max(means):.3f} on the tuning cities)")
        out[name] = make(best)
    return out


def agreement(found: set[str], mine: frozenset[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 of names of tracklets; precision is 0 for an empty answer."""
    hits = len(found & mine)
    precision = hits / len(found) if found else 0.0
    recall = hits / len(mine)
    return precision, recall, 2 * hits / (len(found) + len(mine))


def interval(differences: Sequence[float], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of a mean of paired differences."""
    values, rng = np.asarray(differences), np.random.default_rng(seed)
    draws = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def reliability(claimed: Sequence[float], right: Sequence[bool]) -> tuple[float, list[list[float]]]:
    """Expected calibration error, and (mean claim, share that is right, number) of ten bins."""
    claim, truth = np.asarray(claimed), np.asarray(right, dtype=float)
    bins = np.clip((claim * 10).astype(int), 0, 9)
    rows = [
        [float(claim[bins == b].mean()), float(truth[bins == b].mean()), int((bins == b).sum())]
        for b in range(10)
        if (bins == b).any()
    ]
    return sum(abs(a - b) * n for a, b, n in rows) / max(len(claim), 1), rows
