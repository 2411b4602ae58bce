"""Tracks: the tracklets that may show the person, with one mean vector each."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from passerby.city.city import City
from passerby.city.sightings import FloatArray, Scope, Sighting

TrackName = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One tracklet within the scope.

    Attributes:
        name: ("tracklet", its name) or ("sighting", its id) for a sighting without a tracklet.
        camera: Id of the camera.
        sightings: In order of time.
        vector: (D,) float32 mean of the unit vectors, weighted by quality. It is not normalised, so
            that its inner product with another such mean is the mean similarity of all pairs.
    """

    name: TrackName
    camera: str
    sightings: tuple[Sighting, ...]
    vector: FloatArray = field(repr=False, compare=False)

    @property
    def arrive(self) -> int:
        """Time of the first sighting, milliseconds."""
        return self.sightings[0].time

    @property
    def leave(self) -> int:
        """Time of the last sighting, milliseconds."""
        return self.sightings[-1].time


class TrackFinder:
    """Reads tracks within a scope, each only once during the passes of one search."""

    def __init__(
        self, city: City, scope: Scope, rejected: frozenset[str], *, model: str | None
    ) -> None:
        """Return no track that holds a rejected sighting; read the vectors of ``model``."""
        self._city = city
        self._scope = scope
        self._rejected = rejected
        self._model = model
        self._known: dict[TrackName, Track] = {}

    def near(self, vector: FloatArray, candidates: int) -> list[Track]:
        """Tracks of the nearest sightings to a (D,) vector."""
        gallery = self._city.gallery
        hits = gallery.search(vector[None], candidates, self._scope, model=self._model)[0]
        return self.of(gallery.get(hits.ids))

    def of(self, sightings: Iterable[Sighting]) -> list[Track]:
        """Tracks of sightings, each with all its sightings in the scope."""
        wanted = dict.fromkeys(track_name(one) for one in sightings)
        new = [name for name in wanted if name not in self._known]
        groups = self._city.gallery.tracklets([name for kind, name in new if kind == "tracklet"])
        lone = [name for kind, name in new if kind == "sighting"]
        loose = {one.id: [one] for one in self._city.gallery.get(lone)}
        members = {
            name: [
                one
                for one in (groups if name[0] == "tracklet" else loose).get(name[1], [])
                if self._scope.holds(one)  # a tracklet may reach beyond the scope
            ]
            for name in new
        }
        members = {name: group for name, group in members.items() if group}
        self._read_vectors(members)
        tracks = [self._known[name] for name in wanted if name in self._known]
        return [
            track for track in tracks if not any(s.id in self._rejected for s in track.sightings)
        ]

    def _read_vectors(self, members: dict[TrackName, list[Sighting]]) -> None:
        ids = [one.id for group in members.values() for one in group]
        if not ids:
            return
        rows = self._city.gallery.vectors(ids, model=self._model)
        start = 0
        for name, group in members.items():
            weights = np.array([max(one.quality, 1e-3) for one in group], dtype=np.float32)
            own = rows[start : start + len(group)]
            start += len(group)
            self._known[name] = Track(
                name=name,
                camera=group[0].camera,
                sightings=tuple(group),
                vector=(own * weights[:, None]).sum(axis=0) / weights.sum(),
            )


def track_name(one: Sighting) -> TrackName:
    """The name of a sighting's track."""
    return ("tracklet", one.tracklet) if one.tracklet else ("sighting", one.id)


def affinity(tracks: list[Track], query: FloatArray, group: list[Track]) -> FloatArray:
    """(N,) mean cosine similarity of each track to the query pictures and a group of tracks.

    A track that belongs to the group is not compared with itself. The result is a mean of plain
    similarities, so a calibration that was measured on pairs stays valid for it.

    Args:
        tracks: N tracks.
        query: (Q, D) unit vectors of the query pictures.
        group: Tracks that are taken to show the person.
    """
    matrix = np.stack([track.vector for track in tracks])
    own = np.stack([*query, *(track.vector for track in group)])
    pairs = matrix @ own.T
    counted = np.ones_like(pairs)
    for column, member in enumerate(group, start=len(query)):
        for row, track in enumerate(tracks):
            if track.name == member.name:
                counted[row, column] = 0.0
    similar: FloatArray = (pairs * counted).sum(axis=1) / counted.sum(axis=1)
    return similar
