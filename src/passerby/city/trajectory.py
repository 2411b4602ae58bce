"""Where a person went: the best path through the tracks that may show the person.

The nearest sightings are retrieved and joined to tracks. The appearance of a track becomes log
odds. The best path is taken over the tracks that can be walked one after another. The search is
repeated twice with more than the query picture: first with the most certain tracks, then with those
of the path found. Sightings that an operator has confirmed are on every path, rejected ones are on
none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from passerby.city.city import City
from passerby.city.paths import (
    FloatArray64,
    Path,
    Walking,
    best_paths,
    camera_distances,
    edges,
    marginals,
)
from passerby.city.report import Trajectory, trajectory_of
from passerby.city.search import UNCALIBRATED, person_vector
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.city.tracks import Track, TrackFinder, affinity, track_name
from passerby.errors import InputError
from passerby.metrics import Calibration

ANCHOR = 1e4  # log odds of a confirmed track: above any sum of others


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceOptions:
    """How to search for a path.

    Attributes:
        candidates: Number of nearest sightings taken in each search.
        expand: Number of the most certain tracks that join the query before the first path.
        passes: Number of searches with the tracks of the path.
        alternatives: Number of further paths to return.
        walking: How people walk.
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
        The best path. It has no visits when no track in the scope is more likely the person than
        not.

    Raises:
        InputError: The gallery is empty, a unit or camera is unknown, the vectors are of another
            network, or sightings of one tracklet are both confirmed and rejected.
    """
    city.check(scope)
    if city.gallery.dimension is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    not_them = frozenset(rejected)
    search = _Search(
        city=city,
        query=person_vector(vectors),
        scope=scope,
        calibration=calibration,
        options=options,
        finder=TrackFinder(city, scope, not_them, model=model),
    )
    search.apply_feedback(tuple(dict.fromkeys(confirmed)), not_them)
    found = [trajectory_of(city, scope, tracks, chances) for tracks, chances in search.paths()]
    if not found:
        return trajectory_of(city, scope, [], np.zeros(0))
    return replace(found[0], alternatives=tuple(found[1:]))


def _different(paths: list[Path], wanted: int) -> list[Path]:
    """Further paths with a positive score that are not part of a better one."""
    chosen: list[Path] = [paths[0]]
    for path in paths[1:]:
        nodes = set(path.nodes)
        if path.score > 0 and not any(nodes <= set(better.nodes) for better in chosen):
            chosen.append(path)
    return chosen[1 : wanted + 1]


@dataclass(kw_only=True)
class _Search:
    """What every pass of one search needs."""

    city: City
    query: FloatArray
    scope: Scope
    calibration: Calibration
    options: TraceOptions
    finder: TrackFinder
    anchors: list[Track] = field(default_factory=list)
    """Tracks that an operator has confirmed."""

    def apply_feedback(self, confirmed: tuple[str, ...], rejected: frozenset[str]) -> None:
        """Make the confirmed sightings anchors."""
        known = self.city.gallery.get([*confirmed, *rejected])
        names = {one.id: track_name(one) for one in known}
        clash = {names[x] for x in confirmed} & {names[x] for x in rejected}
        if clash:
            raise InputError(
                f"sightings of the tracklet '{sorted(clash)[0][1]}' are both confirmed and "
                "rejected; it shows one person, so take one of them back"
            )
        inside: list[Sighting] = [
            one for one in known if one.id not in rejected and self.scope.holds(one)
        ]
        self.anchors = self.finder.of(inside)

    def paths(self) -> list[tuple[list[Track], FloatArray64]]:
        """The tracks of each path, best path first, with the chance of each track.

        There is no path when none is more likely the person than not.
        """
        tracks = self.widen(self.anchors)
        scores = self.appearance_scores(tracks, self.anchors)
        sure = [int(at) for at in np.argsort(-scores, kind="stable") if scores[at] > 0]
        group = [tracks[at] for at in sure[: self.options.expand]]
        for _ in range(self.options.passes + 1):
            group = self.with_anchors(group)
            tracks = self.widen(group)
            node, edge = self.graph(tracks, group)
            paths = best_paths(node, edge, 1 + 4 * self.options.alternatives) if tracks else []
            if not paths or paths[0].score <= 0:
                return []
            group = [tracks[i] for i in paths[0].nodes]
        chances = marginals(node, edge)
        wanted = [paths[0], *_different(paths, self.options.alternatives)]
        return [([tracks[i] for i in path.nodes], chances[list(path.nodes)]) for path in wanted]

    def with_anchors(self, group: list[Track]) -> list[Track]:
        """The group and every anchor, each once."""
        return list({track.name: track for track in [*self.anchors, *group]}.values())

    def widen(self, group: list[Track]) -> list[Track]:
        """Tracks near the query and the group, with the anchors, in order of time."""
        rows = np.stack([*self.query, *(track.vector for track in group)])
        near = self.finder.near(rows.mean(axis=0), self.options.candidates)
        return sorted(self.with_anchors(near), key=lambda track: (track.arrive, track.leave))

    def appearance_scores(self, tracks: list[Track], group: list[Track]) -> FloatArray64:
        """(N,) log odds that each track shows the person, from its appearance alone."""
        if not tracks:
            return np.zeros(0)
        return self.calibration.log_odds(affinity(tracks, self.query, group))

    def graph(self, tracks: list[Track], group: list[Track]) -> tuple[FloatArray64, FloatArray64]:
        """Scores of nodes and edges."""
        node = self.appearance_scores(tracks, group)
        if not tracks:
            return node, np.zeros((0, 0))
        cameras = [self.city.camera(track.camera, track.arrive) for track in tracks]
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
        # two confirmed tracks always connect: an operator overrides the speed limit
        both = np.triu(fixed[:, None] & fixed[None, :], 1)
        return node, np.where(both & np.isinf(edge), 0.0, edge)

    def _window(self, arrive: FloatArray64, leave: FloatArray64) -> float:
        start = arrive.min() if self.scope.start is None else self.scope.start / 1000.0
        end = leave.max() if self.scope.end is None else self.scope.end / 1000.0
        return float(max(end - start, 60.0))
