"""Find a person in a scope: exact nearest sightings, re-ranked, grouped by tracklet."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerby.city.city import City
from passerby.city.second_stage import SecondStage
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError
from passerby.metrics import Calibration

MORE_CANDIDATES = 4  # candidates for re-ranking and grouping per wanted match
MIN_CANDIDATES = 200
UNCALIBRATED = Calibration()


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """One answer.

    Attributes:
        sighting: the nearest sighting of the answer.
        similarity: its cosine similarity to the query, -1..1.
        score: 0..1, the calibrated probability of the same person, or where the answer is not
            calibrated a curve that only orders. Re-ranking changes the order, not the score.
        members: further sightings of the same tracklet among the candidates, best first.
    """

    sighting: Sighting
    similarity: float
    score: float
    members: tuple[Sighting, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The match as JSON."""
        return {
            **self.sighting.facts(),
            "similarity": round(self.similarity, 6),
            "score": round(self.score, 6),
            "members": [one.id for one in self.members],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Matches, best first, and what was searched to find them.

    Attributes:
        matches: best first.
        scope: where and when was searched.
        searched: how many sightings the scope holds.
        calibrated: whether scores are probabilities measured for this model.
        reranked: whether candidates were put in order by k-reciprocal re-ranking.
        second_stage: whether the first of them were then put in order by a second stage.
    """

    matches: tuple[Match, ...]
    scope: Scope
    searched: int
    calibrated: bool
    reranked: bool
    second_stage: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {
            "scope": self.scope.as_dict(),
            "searched": self.searched,
            "calibrated": self.calibrated,
            "reranked": self.reranked,
            "second_stage": self.second_stage,
            "matches": [
                {"rank": rank, **match.as_dict()} for rank, match in enumerate(self.matches, 1)
            ],
        }


def find(
    city: City,
    vectors: FloatArray,
    scope: Scope,
    *,
    k: int = 50,
    rerank: bool = True,
    per: Literal["sighting", "tracklet"] = "sighting",
    model: str | None = None,
    calibration: Calibration = UNCALIBRATED,
    second_stage: SecondStage | None = None,
) -> Found:
    """Find the person of the query pictures in the scope.

    Args:
        city: where.
        vectors: (Q, D) or (D,) unit vectors of pictures that all show the one person; they are
            averaged.
        scope: units x cameras x window; the answer equals that over the whole city, filtered
            (before re-ranking, whose neighbours are those of the scope).
        k: how many matches.
        rerank: k-reciprocal re-ranking of the nearest candidates (``methods.md`` 6.1).
        per: one match a sighting, or one a tracklet.
        model: id of the model that made the vectors; another than the gallery's is refused.
        calibration: how similarity becomes a score.
        second_stage: puts the first candidates in order once more, after ``rerank``.

    Raises:
        InputError: an empty gallery, an unknown unit or camera, another model, a second stage for
            another model.
    """
    if k < 1:
        raise InputError(f"k is {k}; ask for at least one match")
    if per not in ("sighting", "tracklet"):
        raise InputError(f"per is '{per}'; it must be 'sighting' or 'tracklet'")
    city.check(scope)
    if city.gallery.dimension is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    if second_stage is not None:
        second_stage.check(city.gallery.model_id)
    query = person_vector(vectors)
    searched = city.gallery.count(scope)
    plain = not rerank and second_stage is None
    wanted = k if plain and per == "sighting" else max(MIN_CANDIDATES, MORE_CANDIDATES * k)
    while True:
        ids, similarities = _candidates(city, query, wanted, scope, model, rerank=rerank)
        if second_stage is not None and len(ids) > 1:
            order = second_stage.order(query, city.gallery.vectors(ids))
            ids, similarities = [ids[i] for i in order], similarities[order]
        groups = _groups(city, ids, per)
        if len(groups) >= k or len(ids) < wanted:
            break
        wanted *= 2  # long tracklets: more candidates until there are k groups
    scores = calibration.probability(similarities)
    return Found(
        matches=tuple(
            Match(
                sighting=members[0],
                similarity=float(similarities[at]),
                score=float(scores[at]),
                members=tuple(members[1:]),
            )
            for at, members in groups[:k]
        ),
        scope=scope,
        searched=searched,
        calibrated=calibration.measured,
        reranked=rerank,
        second_stage=second_stage is not None,
    )


def person_vector(vectors: FloatArray) -> FloatArray:
    """(1, D) float32 unit mean of the vectors of one person.

    Raises:
        InputError: no vector, or vectors that cancel out.
    """
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    if rows.size == 0:
        raise InputError("there is no query vector; give at least one picture with a person")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    mean = (rows / np.maximum(lengths, 1e-12)).mean(axis=0, keepdims=True)
    norm = np.linalg.norm(mean)
    if not norm > 1e-6:
        raise InputError("the query vectors are zero or cancel out; choose other pictures")
    unit: FloatArray = (mean / norm).astype(np.float32)
    return unit


def _candidates(
    city: City, query: FloatArray, wanted: int, scope: Scope, model: str | None, *, rerank: bool
) -> tuple[list[str], NDArray[np.float64]]:
    """Ids, best first, and their cosine similarities."""
    hits = city.gallery.search(query, wanted, scope, model=model)[0]
    similarities = 1.0 - hits.distances.astype(np.float64)
    if not rerank or len(hits) < 3:
        return list(hits.ids), similarities
    from passerby.retrieval import k_reciprocal_distances

    distances = k_reciprocal_distances(query, city.gallery.vectors(hits.ids))[0]
    order = np.argsort(np.asarray(distances), kind="stable")
    return [hits.ids[i] for i in order], similarities[order]


def _groups(city: City, ids: list[str], per: str) -> list[tuple[int, list[Sighting]]]:
    """(position of the first, sightings) for each match, in order."""
    sightings = city.gallery.get(ids)
    if per == "sighting":
        return [(at, [one]) for at, one in enumerate(sightings)]
    groups: dict[tuple[str, str], tuple[int, list[Sighting]]] = {}
    for at, one in enumerate(sightings):
        name = ("tracklet", one.tracklet) if one.tracklet else ("sighting", one.id)
        groups.setdefault(name, (at, []))[1].append(one)
    return list(groups.values())
