"""Where a person went: the best path through the tracks that may show them (system.md 2.5).

Retrieve the nearest sightings, join them to tracks, turn looks into log odds, and take the best
path over the tracks that can be walked one after another. Twice the search is repeated with more
than the query picture: first with the most certain tracks, then with those of the path found.
Sightings an operator has confirmed are on every path; those rejected are on none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from passerby.city.city import City
from passerby.city.paths import FloatArray64, Path, best_paths, marginals
from passerby.city.report import Trajectory, trajectory_of
from passerby.city.search import UNCALIBRATED, person_vector
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.city.tracks import Track, TrackFinder, affinity, track_name
from passerby.city.walking import Walking, camera_distances, edges
from passerby.errors import InputError
from passerby.metrics import Calibration

ANCHOR = 1e4  # log odds of a confirmed track: above any sum of others


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceOptions:
    """How to look for a path.

    Attributes:
        candidates: nearest sightings taken in each search.
        expand: how many of the most certain tracks join the query before the first path.
        passes: how often the search is repeated with the tracks of the path.
        alternatives: how many further paths to give.
        walking: how people walk.
    """

    candidates: int = 300
    expand: int = 6
    passes: int = 1
    alternatives: int = 2
    walking: Walking = field(default_factory=Walking)


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
        city: where.
        vectors: (Q, D) or (D,) vectors of pictures that all show the one person.
        scope: units x cameras x window; nothing outside it is looked at.
        model: id of the model that made the vectors.
        calibration: how similarity becomes a probability.
        confirmed: ids of sightings that an operator has confirmed; those outside the scope do
            not count.
        rejected: ids of sightings that are someone else.
        options: how to look.

    Returns:
        The best path, without visits when nobody in the scope is more likely the person than not.

    Raises:
        InputError: an empty gallery, an unknown unit or camera, another model, or a sighting of
            the same tracklet both confirmed and rejected.
    """
    city.check(scope)
    if city.gallery.dimension is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    search = _Search(
        city,
        person_vector(vectors),
        scope,
        model=model,
        calibration=calibration,
        options=options,
    )
    search.judge(tuple(dict.fromkeys(confirmed)), frozenset(rejected))
    tracks = search.widen(search.anchors)
    sure = sorted(zip(search.looks(tracks, search.anchors), tracks, strict=True), key=_by_score)
    group = [track for score, track in sure if score > 0][: options.expand]
    for _ in range(options.passes + 1):
        group = search.with_anchors(group)
        tracks = search.widen(group)
        node, edge = search.graph(tracks, group)
        paths = best_paths(node, edge, 1 + 4 * options.alternatives) if tracks else []
        if not paths or paths[0].score <= 0:
            break
        group = [tracks[i] for i in paths[0].nodes]
    else:
        chances = marginals(node, edge)
        wanted = [paths[0], *_different(paths, options.alternatives)]
        found = [
            trajectory_of(city, scope, [tracks[i] for i in path.nodes], chances[list(path.nodes)])
            for path in wanted
        ]
        return found[0].with_alternatives(found[1:])
    return trajectory_of(city, scope, [], np.zeros(0))


def _by_score(pair: tuple[float, Track]) -> tuple[float, int]:
    return (-pair[0], pair[1].arrive)


def _different(paths: list[Path], wanted: int) -> list[Path]:
    """Further paths with a positive score that are no mere part of a better one."""
    chosen: list[Path] = [paths[0]]
    for path in paths[1:]:
        nodes = set(path.nodes)
        if path.score > 0 and not any(nodes <= set(better.nodes) for better in chosen):
            chosen.append(path)
    return chosen[1 : wanted + 1]


class _Search:
    """The parts of one question that every pass needs."""

    def __init__(
        self,
        city: City,
        query: FloatArray,
        scope: Scope,
        *,
        model: str | None,
        calibration: Calibration,
        options: TraceOptions,
    ) -> None:
        self.city = city
        self.query = query
        self.scope = scope
        self.model = model
        self.calibration = calibration
        self.options = options
        self.anchors: list[Track] = []
        self.finder = TrackFinder(city, scope, frozenset(), model=model)

    def judge(self, confirmed: tuple[str, ...], rejected: frozenset[str]) -> None:
        """Take in what the operator has said."""
        known = self.city.gallery.get([*confirmed, *rejected])
        names = {one.id: track_name(one) for one in known}
        clash = {names[x] for x in confirmed} & {names[x] for x in rejected}
        if clash:
            raise InputError(
                f"sightings of the tracklet '{sorted(clash)[0][1]}' are both confirmed and "
                "rejected; it shows one person, so take one of them back"
            )
        self.finder = TrackFinder(self.city, self.scope, rejected, model=self.model)
        inside: list[Sighting] = [
            one for one in known if one.id not in rejected and self.scope.holds(one)
        ]
        self.anchors = self.finder.of(inside)

    def with_anchors(self, group: list[Track]) -> list[Track]:
        """The group and every anchor, each once."""
        return list({track.name: track for track in [*self.anchors, *group]}.values())

    def widen(self, group: list[Track]) -> list[Track]:
        """Tracks near the query and the group, with the anchors, in order of time."""
        rows = np.stack([*self.query, *(track.vector for track in group)])
        near = self.finder.near(rows.mean(axis=0), self.options.candidates)
        return sorted(self.with_anchors(near), key=lambda track: (track.arrive, track.leave))

    def looks(self, tracks: list[Track], group: list[Track]) -> FloatArray64:
        """(N,) log odds that each track shows the person, from looks alone."""
        if not tracks:
            return np.zeros(0)
        return self.calibration.log_odds(affinity(tracks, self.query, group))

    def graph(self, tracks: list[Track], group: list[Track]) -> tuple[FloatArray64, FloatArray64]:
        """Scores of nodes and edges."""
        node = self.looks(tracks, group)
        if not tracks:
            return node, np.zeros((0, 0))
        cameras = [self.city.camera(track.camera) for track in tracks]
        arrive = np.array([track.arrive for track in tracks]) / 1000.0
        leave = np.array([track.leave for track in tracks]) / 1000.0
        edge = edges(
            arrive,
            leave,
            distance=camera_distances(cameras, self.city.streets),
            reach=np.array([camera.range for camera in cameras]),
            window=self._window(arrive, leave),
            walking=self.options.walking,
        )
        anchors = {track.name for track in self.anchors}
        fixed = np.array([track.name in anchors for track in tracks])
        node = np.where(fixed, ANCHOR, node)
        # the operator knows better than the speed limit: two confirmed tracks always connect
        both = np.triu(fixed[:, None] & fixed[None, :], 1)
        return node, np.where(both & np.isinf(edge), 0.0, edge)

    def _window(self, arrive: FloatArray64, leave: FloatArray64) -> float:
        start = arrive.min() if self.scope.start is None else self.scope.start / 1000.0
        end = leave.max() if self.scope.end is None else self.scope.end / 1000.0
        return float(max(end - start, 60.0))
