"""Estimate how far the clocks of cameras are off, from people who pass several cameras.

Two tracklets of different cameras that are each other's nearest are taken for one person. The time
between them is the walk, in one direction or the other, and the difference of the two clocks. A
walk has a known distribution (:mod:`passerby.city.paths`); pairs of two different people are
uniform. The offsets of all cameras maximise the sum of the log likelihoods, one camera after the
other until nothing changes. A bootstrap over the pairs gives the interval of each.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from passerby.city.changes import clock_time, pages_of
from passerby.city.city import City
from passerby.city.paths import FloatArray64, Walking
from passerby.city.sightings import FloatArray, Scope
from passerby.metrics import Calibration

LEAST_PEOPLE = 8  # people who pass the camera and another one
LEAST_BACK = 0.15  # of them in the rarer direction: there and back tell a walk from a clock
LEAST_GAIN = 8.0  # log likelihood by which an offset must be better than none
WIDEST = 90.0  # seconds of an interval that still says something
MOST_TRACKLETS = 20_000
MOST_WITHIN = 3600.0
SAME = 0.5  # share of pairs that are taken to be one person
STEP, FINE = 5.0, 1.0  # seconds of the grid, and around its best point
MODEL = 10.0  # seconds that the walking model may be wrong by
USUAL = 10.0  # seconds by which a clock that is right is off
ROUNDS = 20
DRAWS = 200
REFITS = 40  # of these draws, with all clocks fitted anew
NEAR = 60.0  # seconds around the best offset
REASONS = {  # why there is no proposal; a longer window helps with each
    "nobody": "nobody was seen by it",
    "alone": "no other camera saw anybody",
    "few": "only {people} people pass it and another camera, and at least {least} are needed",
    "one_way": "{there} walks begin here and {back} end here: with so few in one direction a walk "
    "cannot be told from a clock",
    "wide": "the people disagree: anything from {low:.0f} to {high:.0f} s fits",
    "no_better": "without an offset the people fit nearly as well as with {offset:.0f} s",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockEstimate:
    """What the people say about one camera's clock.

    Attributes:
        camera: Its id.
        offset: Seconds to add to its clock; the median of all cameras is taken to be right.
        low: Lower bound of the 95 % interval, given the clocks of the other cameras.
        high: Upper bound.
        people: Number of people seen here and by another camera who fit the estimate.
        pairs: Number of their pairs of tracklets, one here and one there.
        there: How many of these pairs began here.
        back: How many of them ended here.
        tracklets: Number of tracklets of the camera that were looked at.
        reason: Why this is no proposal, in a word of ``REASONS``; empty where it is one.
    """

    camera: str
    offset: float
    low: float
    high: float
    people: int
    pairs: int
    there: int
    back: int
    tracklets: int
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**asdict(self), "refusal": self.refusal, "differs": self.differs}

    @property
    def refusal(self) -> str:
        """Why this is no proposal, in words that say what helps; empty where it is one."""
        if not self.reason:
            return ""
        words = REASONS[self.reason].format(least=LEAST_PEOPLE, **asdict(self))
        return f"{words}; look at a longer window"

    @property
    def differs(self) -> bool:
        """Whether it is a proposal other than no offset."""
        return not self.reason and not self.low <= 0 <= self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """N pairs of tracklets that are taken for one person.

    Attributes:
        first: (N,) number of the camera of one.
        second: (N,) number of the camera of the other.
        between: (N,) seconds from one to the other, by the cameras' own clocks.
        metres: (N,) walking metres between the cameras.
        person: (N,) number of the person: pairs that share a tracklet are one person's.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    between: FloatArray64
    metres: FloatArray64
    person: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> "Pairs":
        """Return some pairs."""
        return Pairs(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def estimate_clocks(
    city: City,
    scope: Scope,
    *,
    calibration: Calibration,
    within: float = 900.0,
    walking: Walking = Walking(),
) -> list[ClockEstimate]:
    """Estimate the offset of each camera of a scope, in order of their numbers.

    Args:
        city: The city.
        scope: The cameras and the window whose people are looked at: the newest ``MOST_TRACKLETS``.
        calibration: Turns a similarity into the probability of the same person.
        within: Largest offset that is looked for, in seconds.
        walking: How people walk.
    """
    tracks = _tracks(city, scope)
    seen = Counter(track.camera for track in tracks)
    order = dict.fromkeys([*city.cameras_in(scope), *seen])
    if len(seen) < 2:
        return [_none(name, seen[name]) for name in order]
    cameras = sorted(seen)
    pairs = _pairs(city, tracks, cameras, calibration, within)
    likelihood = _Likelihood(within=within, walking=walking)
    offsets = _offsets(pairs, len(cameras), likelihood)
    # one person makes many pairs: people are drawn, not pairs
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(DRAWS, len(tracks)))
    refits = np.array(
        [_refined(pairs, offsets, likelihood, draw[pairs.person])[1] for draw in draws[:REFITS]]
    )
    fit = _Fit(offsets, refits, draws, likelihood)
    found = {
        name: _estimate(name, number, _own(pairs, number, offsets), fit, seen[name])
        for number, name in enumerate(cameras)
    }
    return [found.get(name) or _none(name, 0) for name in order]


def _none(name: str, tracklets: int) -> ClockEstimate:
    """No estimate for a camera: it saw nobody, or no other camera did."""
    return ClockEstimate(
        camera=name, offset=0.0, low=0.0, high=0.0, people=0, pairs=0, there=0, back=0,
        tracklets=tracklets, reason="alone" if tracklets else "nobody",
    )  # fmt: skip


# people ------------------------------------------------------------------------------------------


@dataclass(kw_only=True, slots=True)
class _Tracklet:
    camera: str
    first: int
    last: int
    vector: FloatArray

    @property
    def middle(self) -> float:
        return (self.first + self.last) / 2000.0


def _tracks(city: City, scope: Scope) -> list[_Tracklet]:
    """The newest tracklets of a scope, with the sum of their vectors and their cameras' times."""
    tracks: dict[str, _Tracklet] = {}
    for page in pages_of(city, scope):
        vectors = city.gallery.vectors([one.id for one in page])
        for one, vector in zip(page, vectors, strict=True):
            time = clock_time(one)
            track = tracks.setdefault(
                one.tracklet or one.id,
                _Tracklet(camera=one.camera, first=time, last=time, vector=0 * vector),
            )
            track.vector += max(one.quality, 1e-3) * vector
            track.first, track.last = min(track.first, time), max(track.last, time)
        if len(tracks) >= MOST_TRACKLETS:
            break
    return list(tracks.values())


def _pairs(
    city: City,
    tracks: Sequence[_Tracklet],
    cameras: Sequence[str],
    calibration: Calibration,
    within: float,
) -> Pairs:
    """Pairs of tracklets that are each other's nearest, and more likely one person than not."""
    own = np.array([cameras.index(track.camera) for track in tracks])
    time = np.array([track.middle for track in tracks])
    vectors = np.stack([track.vector / np.linalg.norm(track.vector) for track in tracks])
    found = []
    for a in range(len(cameras)):
        for b in range(a + 1, len(cameras)):
            left, right = np.flatnonzero(own == a), np.flatnonzero(own == b)
            similar = vectors[left] @ vectors[right].T
            best, back = similar.argmax(axis=1), similar.argmax(axis=0)
            mutual = np.flatnonzero(back[best] == np.arange(len(left)))
            likely = calibration.probability(similar[mutual, best[mutual]].astype(float)) >= SAME
            found += [(a, b, left[i], right[best[i]]) for i in mutual[likely]]
    first, second, i, j = np.array(found, np.int64).reshape(-1, 4).T
    places = [city.camera(tracks[x].camera, tracks[x].first) for x in i]
    others = [city.camera(tracks[x].camera, tracks[x].first) for x in j]
    metres = [city.streets.distance(p, q) for p, q in zip(places, others, strict=True)]
    pairs = Pairs(
        first=first,
        second=second,
        between=time[j] - time[i],
        metres=np.array(metres, float),
        person=_people(i, j, len(tracks)),
    )
    # farther apart than a walk and two wrong clocks explain: other visits of the same people
    near = np.isfinite(pairs.metres) & (np.abs(pairs.between) <= 2 * within + pairs.metres)
    return pairs.take(near)


def _people(i: NDArray[np.int64], j: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(N,) the component to which each pair of tracklets belongs."""
    joined = coo_array((np.ones(len(i)), (i, j)), shape=(count, count))
    people: NDArray[np.int64] = connected_components(joined, directed=False)[1][i].astype(np.int64)
    return people


# clocks ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Likelihood:
    within: float
    walking: Walking

    def of(self, own: "_Own", offsets: FloatArray64) -> FloatArray64:
        """(G, N) log likelihood of each pair of a camera for its offsets (G,)."""
        return self.between(own.seconds(offsets[:, None]), own.pairs.metres)

    def between(self, seconds: FloatArray64, metres: FloatArray64) -> FloatArray64:
        """Log likelihood of seconds (..., N) between the two of a pair, relative to strangers."""
        seconds, walking = np.abs(seconds), self.walking
        window = 4 * self.within + 2 * metres
        usual = np.maximum(metres, 5.0) / walking.usual_speed
        some = np.maximum(seconds, 0.5)
        z = np.log(some / usual) / walking.spread
        walk = np.exp(-0.5 * z * z) / (some * walking.spread * np.sqrt(2 * np.pi))
        extra = np.maximum(seconds - usual, 0.0)
        stop = np.where(seconds > usual, np.exp(-extra / walking.stop_seconds), 0.0)
        stop = walking.stop_chance * stop / walking.stop_seconds
        density = (1 - walking.stop_chance) * walk + stop
        scores: FloatArray64 = np.log(SAME * density / 2 * window + 1 - SAME)
        return scores


def _prior(offset: FloatArray64) -> FloatArray64:
    """Log prior of an offset, up to a constant: most clocks are right, a few are far off."""
    prior: FloatArray64 = -np.log1p((offset / USUAL) ** 2)
    return prior


@dataclass(frozen=True, kw_only=True, slots=True)
class _Own:
    """The pairs of one camera, and the clocks of the others.

    Attributes:
        pairs: N pairs.
        sign: (N,) 1 where the camera is the second of the pair, -1 where it is the first.
        shift: (N,) seconds that the other clock adds to the time between.
    """

    pairs: Pairs
    sign: FloatArray64
    shift: FloatArray64

    def seconds(self, offset: FloatArray64 | float) -> FloatArray64:
        """Seconds between the two tracklets of each pair with this offset of the camera."""
        between: FloatArray64 = self.pairs.between + self.shift + self.sign * offset
        return between


def _own(pairs: Pairs, camera: int, offsets: FloatArray64) -> _Own:
    rows = np.flatnonzero((pairs.first == camera) | (pairs.second == camera))
    own = pairs.take(rows)
    sign = np.where(own.second == camera, 1.0, -1.0)
    other = np.where(own.second == camera, own.first, own.second)
    return _Own(pairs=own, sign=sign, shift=-sign * offsets[other])


def _offsets(pairs: Pairs, count: int, likelihood: _Likelihood) -> FloatArray64:
    """(C,) offsets in seconds that explain most pairs.

    The pairs know only differences. So the search also begins with each clock that seems off as the
    one that is right, and the offsets with the largest sum of likelihoods and priors stay.
    """
    ones = np.ones(len(pairs.between))
    best = _ascent(pairs, np.zeros(count), likelihood)
    others = [best - offset for offset in dict.fromkeys(best.tolist()) if abs(offset) > USUAL]
    found = [best, *(_ascent(pairs, start, likelihood) for start in others)]
    refined = [_refined(pairs, start, likelihood, ones) for start in found]
    return min(refined, key=lambda one: one[0])[1]


def _ascent(pairs: Pairs, start: FloatArray64, likelihood: _Likelihood) -> FloatArray64:
    """(C,) offsets of the grid, improved one camera at a time until nothing changes."""
    offsets, grid = start.copy(), _grid(likelihood.within)
    for _ in range(ROUNDS):
        before = offsets.copy()
        for camera in range(len(offsets)):
            own = _own(pairs, camera, offsets)
            total = likelihood.of(own, grid).sum(axis=1) + _prior(grid)
            offsets[camera] = grid[int(total.argmax())]
        if (offsets == before).all():
            break
    return offsets


def _refined(
    pairs: Pairs, start: FloatArray64, likelihood: _Likelihood, weights: FloatArray64
) -> tuple[float, FloatArray64]:
    """The loss, and (C,) offsets near others that are best for weighted pairs, all at once."""

    def loss(offsets: FloatArray64) -> tuple[float, FloatArray64]:
        seconds = pairs.between + offsets[pairs.second] - offsets[pairs.first]
        low, mid, high = likelihood.between(
            seconds + np.array([[-FINE / 2], [0.0], [FINE / 2]]), pairs.metres
        )
        slope = weights * (high - low) / FINE
        prior = -2 * offsets / (USUAL**2 + offsets**2)
        second = np.bincount(pairs.second, slope, len(offsets)).astype(np.float64)
        first = np.bincount(pairs.first, slope, len(offsets)).astype(np.float64)
        return -float(weights @ mid + _prior(offsets).sum()), first - second - prior

    bounds = [(offset - NEAR, offset + NEAR) for offset in start]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.fun), found.x


def _grid(within: float) -> FloatArray64:
    steps = np.arange(int(within / STEP) + 1) * STEP
    return np.concatenate([-steps[:0:-1], steps])


@dataclass(frozen=True, slots=True)
class _Fit:
    """Offsets (C,), those of R draws (R, C), all draws of people (B, T), and the likelihood."""

    offsets: FloatArray64
    refits: FloatArray64
    draws: FloatArray64
    likelihood: _Likelihood


def _estimate(name: str, number: int, own: _Own, fit: _Fit, tracklets: int) -> ClockEstimate:
    """The estimate of one camera with its interval, or why there is none."""
    likelihood, best = fit.likelihood, float(fit.offsets[number])
    fits = likelihood.of(own, np.array([best]))[0] > 0
    there = int(np.count_nonzero(fits & (own.sign * own.seconds(best) < 0)))
    pairs = int(np.count_nonzero(fits))
    people = len(np.unique(own.pairs.person[fits]))
    low, high, gain = best, best, 0.0
    if pairs:
        gain = -float(np.diff(likelihood.of(own, np.array([best, 0.0])).sum(axis=1))[0])
        points = np.union1d(_grid(likelihood.within), best + np.arange(-NEAR, NEAR + 1, FINE))
        # without the prior: it would hide that the people say little
        total = likelihood.of(own, points) @ fit.draws[:, own.pairs.person].T
        peaks = points[total.argmax(axis=0)]
        bounds = [np.percentile(some, [2.5, 97.5]) for some in (peaks, fit.refits[:, number])]
        low = min(best, bounds[0][0], bounds[1][0]) - MODEL
        high = max(best, bounds[0][1], bounds[1][1]) + MODEL
    reason = ""
    if people < LEAST_PEOPLE:
        reason = "few"
    elif min(there, pairs - there) < LEAST_BACK * pairs:
        reason = "one_way"
    elif high - low > WIDEST:
        reason = "wide"
    elif not low <= 0 <= high and gain < LEAST_GAIN:
        reason = "no_better"
    return ClockEstimate(
        camera=name, offset=best, low=float(low), high=float(high), people=people, pairs=pairs,
        there=there, back=pairs - there, tracklets=tracklets, reason=reason,
    )  # fmt: skip
