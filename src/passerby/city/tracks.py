"""Tracks: the tracklets that may show the person, with the vectors of their crops."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from passerby.city.city import City
from passerby.city.sightings import FloatArray, Scope, Sighting

TrackName = tuple[str, str]
MOST_CROPS = (
    16  # crops of one track that are compared: the best ones, so that long tracks cost less
)
FIRST_LOOK = 4  # sightings asked for per wanted track in the first look


@dataclass(frozen=True, kw_only=True, slots=True)
class Track:
    """One tracklet within the scope.

    Attributes:
        name: ("tracklet", its name) or ("sighting", its id) for a sighting without a tracklet.
        camera: Id of the camera.
        sightings: In order of time.
        vectors: (K, D) float32 unit vectors of its crops of the highest quality, at most
            ``MOST_CROPS``.
    """

    name: TrackName
    camera: str
    sightings: tuple[Sighting, ...]
    vectors: FloatArray = field(repr=False, compare=False)

    @property
    def arrive(self) -> int:
        """Time of the first sighting, milliseconds."""
        return self.sightings[0].time

    @property
    def leave(self) -> int:
        """Time of the last sighting, milliseconds."""
        return self.sightings[-1].time

    @property
    def lone(self) -> bool:
        """Whether the tracker saw this tracklet in one crop only."""
        return self.name[0] == "tracklet" and len(self.sightings) == 1


class TrackFinder:
    """Reads tracks within a scope, each only once during one search."""

    def __init__(
        self, city: City, scope: Scope, rejected: frozenset[str], *, model: str | None
    ) -> None:
        """Return no track that holds a rejected sighting; read the vectors of ``model``."""
        self._city = city
        self._scope = scope
        self._rejected = rejected
        self._model = model
        self._known: dict[TrackName, Track] = {}

    def near(self, vector: FloatArray, wanted: int) -> list[Track]:
        """The ``wanted`` tracks nearest to a (D,) vector by their best crops, nearest first."""
        gallery = self._city.gallery
        asked = FIRST_LOOK * wanted
        while True:
            hits = gallery.search(vector[None], asked, self._scope, model=self._model)[0]
            tracks = self.of(gallery.get(hits.ids))
            if len(tracks) >= wanted or len(hits.ids) < asked:
                return tracks[:wanted]
            asked *= 4  # long tracklets: their crops fill the list

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
        self._read({name: group for name, group in members.items() if group})
        tracks = [self._known[name] for name in wanted if name in self._known]
        return [
            track for track in tracks if not any(s.id in self._rejected for s in track.sightings)
        ]

    def _read(self, members: dict[TrackName, list[Sighting]]) -> None:
        """Read the vectors of new tracks, those of all at once."""
        best = {
            name: sorted(group, key=lambda one: -one.quality)[:MOST_CROPS]
            for name, group in members.items()
        }
        ids = [one.id for group in best.values() for one in group]
        if not ids:
            return
        rows = iter(self._city.gallery.vectors(ids, model=self._model))
        for name, group in members.items():
            self._known[name] = Track(
                name=name,
                camera=group[0].camera,
                sightings=tuple(group),
                vectors=np.stack(list(islice(rows, len(best[name])))),
            )


def track_name(one: Sighting) -> TrackName:
    """The name of a sighting's track."""
    return ("tracklet", one.tracklet) if one.tracklet else ("sighting", one.id)


def best_similarities(tracks: list[Track], query: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosine similarity of the best pair of crops, of each track to the query and to each other.

    Args:
        tracks: N tracks, at least one.
        query: (Q, D) unit vectors of the query pictures.

    Returns:
        (N,) to the query and (N, N) between tracks.
    """
    rows = np.concatenate([track.vectors for track in tracks])
    first = np.cumsum([0, *(len(track.vectors) for track in tracks[:-1])])
    to_query = np.maximum.reduceat((rows @ query.T).max(axis=1), first)
    between = np.maximum.reduceat(np.maximum.reduceat(rows @ rows.T, first, axis=0), first, axis=1)
    return to_query, between
