"""Where a person went: the best path through the tracks that may show the person.

The tracks nearest to the query, and those nearest to the best of them, are the candidates. Each
gets log odds from its appearance, its group and walking times (:mod:`passerby.city.evidence`). The
best path is taken through them. Sightings that an operator has confirmed are on every path and join
the group, rejected ones are on none.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from passerby.city.city import City
from passerby.city.evidence import Evidence, gather, log_odds, presence
from passerby.city.paths import (
    FloatArray64,
    Path,
    Walking,
    best_paths,
    camera_distances,
    conflicts,
    edges,
    marginals,
)
from passerby.city.report import Trajectory, trajectory_of
from passerby.city.search import UNCALIBRATED, Found, person_vector
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.city.tracks import Track, TrackFinder, best_similarities, track_name
from passerby.errors import InputError
from passerby.metrics import Calibration

ANCHOR = 1e4  # log odds of a confirmed track: above any sum of others
SEEDS = 5  # nearest tracks whose own neighbours are candidates too
PRESENT = 0.18  # chance that the person is in the scope below which the answer is empty


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceOptions:
    """How to search for a path.

    Attributes:
        candidates: Number of tracks that are compared; half of them are the nearest to the query.
        alternatives: Number of further paths to return.
        prior: Chance, before the search, that the person is in the scope at all. With 1 the answer
            is never empty for want of the person.
        walking: How people walk.
    """

    candidates: int = 100
    alternatives: int = 2
    prior: float = 0.5
    walking: Walking = field(default_factory=Walking)

    def __post_init__(self) -> None:
        """Check the prior.

        Raises:
            InputError: It is no chance above 0.
        """
        if not 0 < self.prior <= 1:
            raise InputError(f"the prior is {self.prior}; give a chance above 0, at most 1")


DEFAULTS = TraceOptions()


def trace(
    city: City,
    vectors: FloatArray,
    scope: Scope,
    *,
    model: str | None = None,
    calibration: Calibration = UNCALIBRATED,
    confirmed: Iterable[str] = (),
    rejected: Iterable[str] = (),
    options: TraceOptions = DEFAULTS,
) -> Trajectory:
    """Reconstruct where the person of the query pictures went within the scope.

    Args:
        city: The city to search.
        vectors: (Q, D) or (D,) vectors of pictures that all show the one person.
        scope: Units x cameras x window; nothing outside it is read.
        model: Id of the network that made the vectors.
        calibration: Turns a similarity into a probability.
        confirmed: Ids of sightings that an operator has confirmed; those outside the scope do not
            count.
        rejected: Ids of sightings that show someone else.
        options: How to search.

    Returns:
        The best path. It has no visits when no track of the scope is likely the person.

    Raises:
        InputError: The gallery is empty, a unit or camera is unknown, the vectors are of another
            network, or sightings of one tracklet are both confirmed and rejected.
    """
    city.check(scope)
    if city.gallery.dimension is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    search = PathSearch.of(
        city,
        vectors,
        scope,
        model=model,
        calibration=calibration,
        confirmed=confirmed,
        rejected=rejected,
        options=options,
    )
    found = [trajectory_of(city, scope, tracks, chances) for tracks, chances in search.paths()]
    if not found:
        return trajectory_of(city, scope, [], np.zeros(0))
    return replace(found[0], alternatives=tuple(found[1:]))


def reorder(
    found: Found,
    city: City,
    vectors: FloatArray,
    *,
    model: str | None,
    calibration: Calibration,
    k: int,
) -> Found:
    """Order matches by the evidence of a path: groups of tracks, and times that a walk allows.

    Only the order changes, not the scores. Matches whose track is no candidate of a path come last.

    Args:
        found: Matches of one search.
        city: The city that was searched.
        vectors: (Q, D) or (D,) vectors of that search.
        model: Id of the network that made the vectors.
        calibration: Turns a similarity into a probability.
        k: Number of matches to return.
    """
    search = PathSearch.of(city, vectors, found.scope, model=model, calibration=calibration)
    odds: dict[object, float] = {}
    if search.evidence is not None:
        names = (track.name for track in search.tracks)
        odds = dict(zip(names, log_odds(search.evidence).tolist(), strict=True))
    order = sorted(
        found.matches, key=lambda match: -odds.get(track_name(match.sighting), -math.inf)
    )
    return replace(found, matches=tuple(order[:k]), space_time=True)


def _different(paths: list[Path], wanted: int) -> list[Path]:
    """Further paths with a positive score that are not part of a better one."""
    chosen: list[Path] = [paths[0]]
    for path in paths[1:]:
        nodes = set(path.nodes)
        if path.score > 0 and not any(nodes <= set(better.nodes) for better in chosen):
            chosen.append(path)
    return chosen[1 : wanted + 1]


@dataclass(kw_only=True)
class PathSearch:
    """The candidates of one search and what is known of them; also for fitting the evidence.

    Attributes:
        tracks: In order of time.
        evidence: Of these tracks; None when there is no track.
        walks: (N, N) log scores of walking from a track to a later one.
        options: How to search.
    """

    tracks: list[Track]
    evidence: Evidence | None
    walks: FloatArray64
    options: TraceOptions

    @classmethod
    def of(
        cls,
        city: City,
        vectors: FloatArray,
        scope: Scope,
        *,
        model: str | None,
        calibration: Calibration,
        confirmed: Iterable[str] = (),
        rejected: Iterable[str] = (),
        options: TraceOptions = DEFAULTS,
    ) -> "PathSearch":
        """Find the candidates and compare them; arguments as in :func:`trace`."""
        query, not_them = person_vector(vectors), frozenset(rejected)
        finder = TrackFinder(city, scope, not_them, model=model)
        anchors = _anchors(city, finder, scope, tuple(dict.fromkeys(confirmed)), not_them)
        tracks = _candidates(finder, query, anchors, calibration, options.candidates)
        if not tracks:
            return cls(tracks=[], evidence=None, walks=np.zeros((0, 0)), options=options)
        names = {track.name for track in anchors}
        times = Times.of(city, tracks)
        conflict = times.conflicts(options.walking)
        evidence = gather(
            tracks,
            query,
            calibration=calibration,
            conflict=conflict,
            fixed=np.array([track.name in names for track in tracks]),
        )
        walks = edges(
            times.arrive,
            times.leave,
            distance=times.distance,
            conflict=conflict,
            window=times.window(scope),
            walking=options.walking,
        )
        return cls(tracks=tracks, evidence=evidence, walks=walks, options=options)

    def paths(self) -> list[tuple[list[Track], FloatArray64]]:
        """The tracks of each path, best path first, with the chance of each track.

        There is no path when the person is hardly in the scope.
        """
        if self.evidence is None:
            return []
        found, fixed = log_odds(self.evidence), self.evidence.fixed
        present = presence(self.evidence, found, self.options.prior)
        if present < PRESENT:
            return []
        node = np.where(fixed, ANCHOR, found)
        # two confirmed tracks always connect: an operator overrides the speed limit
        both = fixed[:, None] & fixed[None, :]
        edge = np.where(both, 0.0, self.walks)
        paths = best_paths(node, edge, 1 + 4 * self.options.alternatives)
        if not paths or paths[0].score <= 0:
            return []
        chances = present * marginals(node, edge)
        wanted = [paths[0], *_different(paths, self.options.alternatives)]
        return [
            ([self.tracks[i] for i in path.nodes], chances[list(path.nodes)]) for path in wanted
        ]


def _anchors(
    city: City,
    finder: TrackFinder,
    scope: Scope,
    confirmed: tuple[str, ...],
    rejected: frozenset[str],
) -> list[Track]:
    """Tracks of the confirmed sightings in the scope."""
    known = city.gallery.get([*confirmed, *rejected])
    names = {one.id: track_name(one) for one in known}
    clash = {names[x] for x in confirmed} & {names[x] for x in rejected}
    if clash:
        raise InputError(
            f"sightings of the tracklet '{sorted(clash)[0][1]}' are both confirmed and "
            "rejected; it shows one person, so take one of them back"
        )
    inside: list[Sighting] = [one for one in known if one.id not in rejected and scope.holds(one)]
    return finder.of(inside)


def _candidates(
    finder: TrackFinder,
    query: FloatArray,
    anchors: list[Track],
    calibration: Calibration,
    wanted: int,
) -> list[Track]:
    """Tracks near the query, tracks near the best of those, and the anchors, in order of time."""
    near = finder.near(query[0], max(wanted // 2, 1))
    if not near and not anchors:
        return []
    seeds = near[:SEEDS]
    if near:
        likely = calibration.log_odds(best_similarities(seeds, query)[0]) > 0
        seeds = [one for one, is_likely in zip(seeds, likely, strict=True) if is_likely] or near[:1]
    group = list({track.name: track for track in [*anchors, *seeds]}.values())
    middle = np.stack([track.vectors.mean(axis=0) for track in group]).mean(axis=0)
    more = finder.near((middle / max(float(np.linalg.norm(middle)), 1e-12)), wanted)
    every = list({track.name: track for track in [*near, *more]}.values())[:wanted]
    chosen = {track.name: track for track in [*anchors, *every]}.values()
    return sorted(chosen, key=lambda track: (track.arrive, track.leave))


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """When and how far apart N tracks are; arguments of :mod:`passerby.city.paths`."""

    arrive: FloatArray64
    leave: FloatArray64
    distance: FloatArray64
    reach: FloatArray64

    @classmethod
    def of(cls, city: City, tracks: list[Track]) -> "Times":
        """Read the times of tracks and the ways between their cameras."""
        cameras = [city.camera(track.camera, track.arrive) for track in tracks]
        return cls(
            arrive=np.array([track.arrive for track in tracks]) / 1000.0,
            leave=np.array([track.leave for track in tracks]) / 1000.0,
            distance=camera_distances(cameras, city.streets),
            reach=np.array([camera.range for camera in cameras]),
        )

    def conflicts(self, walking: Walking) -> FloatArray64:
        """(N, N) see :func:`passerby.city.paths.conflicts`."""
        return conflicts(
            self.arrive, self.leave, distance=self.distance, reach=self.reach, walking=walking
        )

    def window(self, scope: Scope) -> float:
        """Seconds of the scope, or from the first to the last track where it has no bounds."""
        start = self.arrive.min() if scope.start is None else scope.start / 1000.0
        end = self.leave.max() if scope.end is None else scope.end / 1000.0
        return float(max(end - start, 60.0))
