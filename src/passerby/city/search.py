"""Find a person in a scope: exact nearest sightings, re-ranked, grouped by tracklet or visit."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from passerby.city.city import City
from passerby.city.gallery import UnknownSightingError
from passerby.city.networks import SecondStage
from passerby.city.recorded import shares
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.city.tracks import track_name
from passerby.errors import InputError
from passerby.metrics import Calibration

MORE_CANDIDATES = 4  # candidates for re-ranking and grouping per wanted match
MIN_CANDIDATES = 200
VISIT_GAP_MS = 120_000  # a person whom a camera sees again after this is on another visit
ATTEMPTS = 5  # sightings may be deleted between the search and the reading of their facts
UNCALIBRATED = Calibration()
Per = Literal["sighting", "tracklet", "visit"]
Group = tuple[int, list[Sighting]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """One answer.

    Attributes:
        sighting: the nearest sighting of the answer.
        similarity: its cosine similarity to the query, -1..1.
        score: 0..1, the calibrated probability of the same person, or where the answer is not
            calibrated a curve that only orders. Re-ranking changes the order, not the score.
        members: ids of further sightings of the same tracklet or visit among the candidates, best
            first.
    """

    sighting: Sighting
    similarity: float
    score: float
    members: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all sightings of the match, the nearest first."""
        return (self.sighting.id, *self.members)

    def as_dict(self) -> dict[str, Any]:
        """The match as JSON."""
        return {
            **self.sighting.facts(),
            "similarity": round(self.similarity, 6),
            "score": round(self.score, 6),
            "members": list(self.members),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Match":
        """The match that :meth:`as_dict` wrote."""
        return cls(
            sighting=Sighting.from_facts(record),
            similarity=record["similarity"],
            score=record["score"],
            members=tuple(record["members"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Matches, best first, and what was searched to find them.

    Attributes:
        matches: best first.
        scope: where and when was searched.
        searched: how many sightings the scope holds.
        cameras: ids of the cameras that the scope covers, sorted.
        silent: ids of those of them without a sighting in the scope. Such a camera may have been
            away, so its silence does not say that nobody was there.
        recorded: id -> the part of the window that the camera recorded, 0..1; None where it is not
            known. See :mod:`passerby.city.recorded`.
        calibrated: whether scores are probabilities measured for this model.
        reranked: whether candidates were put in order by k-reciprocal re-ranking.
        second_stage: whether the first of them were then put in order by a second stage.
        space_time: whether they were put in order by the evidence of a path.
    """

    matches: tuple[Match, ...]
    scope: Scope
    searched: int
    cameras: tuple[str, ...]
    silent: tuple[str, ...]
    calibrated: bool
    reranked: bool
    second_stage: bool = False
    space_time: bool = False
    recorded: Mapping[str, float | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The answer as JSON."""
        return {
            "scope": self.scope.as_dict(),
            "searched": self.searched,
            "cameras": list(self.cameras),
            "silent": list(self.silent),
            "recorded": dict(self.recorded),
            "calibrated": self.calibrated,
            "reranked": self.reranked,
            "second_stage": self.second_stage,
            "space_time": self.space_time,
            "matches": [
                {"rank": rank, **match.as_dict()} for rank, match in enumerate(self.matches, 1)
            ],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Found":
        """The answer that :meth:`as_dict` wrote."""
        return cls(
            matches=tuple(Match.from_dict(match) for match in record["matches"]),
            scope=Scope.parse(**record["scope"]),
            searched=record["searched"],
            cameras=tuple(record["cameras"]),
            silent=tuple(record["silent"]),
            recorded=record["recorded"],
            calibrated=record["calibrated"],
            reranked=record["reranked"],
            second_stage=record["second_stage"],
            space_time=record.get("space_time", False),
        )


def find(
    city: City,
    vectors: FloatArray,
    scope: Scope,
    *,
    k: int = 50,
    rerank: bool = True,
    per: Per = "sighting",
    model: str | None = None,
    calibration: Calibration = UNCALIBRATED,
    second_stage: SecondStage | None = None,
    candidates: int | None = None,
) -> Found:
    """Find the person of the query pictures in the scope.

    The exact nearest sightings are the candidates. They are re-ordered once or twice and then
    grouped.

    Args:
        city: The city to search.
        vectors: (Q, D) or (D,) unit vectors of pictures that all show the one person. Their mean is
            the query.
        scope: Units x cameras x window x attributes. The candidates equal those of the whole city,
            filtered. The neighbours that re-ranking uses are those of the scope.
        k: Number of matches.
        rerank: Re-order the candidates by k-reciprocal re-ranking (Zhong et al., "Re-ranking Person
            Re-identification with k-reciprocal Encoding", CVPR 2017).
        per: One match for each sighting, tracklet, or visit to a camera; see :func:`visits`.
        model: Id of the network that made the vectors; it must be the gallery's.
        calibration: Turns a similarity into a score.
        second_stage: Re-orders the first candidates once more, after ``rerank``.
        candidates: Number of candidates. Without it there are enough of them for k matches.

    Raises:
        InputError: The gallery is empty, a unit or camera is unknown, or the vectors or the second
            stage are of another network.
    """
    if k < 1:
        raise InputError(f"k is {k}; ask for at least one match")
    if candidates is not None and candidates < k:
        raise InputError(f"{candidates} candidates cannot give {k} matches; ask for more")
    if per not in get_args(Per):
        raise InputError(f"per is '{per}'; it must be one of {', '.join(get_args(Per))}")
    city.check(scope)
    held = city.gallery.model_id
    if held is None:
        raise InputError(f"the gallery of {city.folder} is empty; ingest a clip or crops first")
    if second_stage is not None:
        second_stage.check(held)
    asked = _Asked(
        city=city,
        query=person_vector(vectors),
        scope=scope,
        model=model or held,  # all steps must see the vectors of one model
        rerank=rerank,
        second_stage=second_stage,
        per=per,
    )
    cameras = sorted(city.cameras_in(scope))
    seen = {one.camera: one.sightings for one in city.gallery.coverage(scope)}
    groups, similarities = _groups_of(asked, k, candidates)
    scores = calibration.probability(similarities)
    return Found(
        matches=tuple(
            Match(
                sighting=members[0],
                similarity=float(similarities[at]),
                score=float(scores[at]),
                members=tuple(one.id for one in members[1:]),
            )
            for at, members in groups[:k]
        ),
        scope=scope,
        searched=sum(seen.values()),
        cameras=tuple(cameras),
        silent=tuple(camera for camera in cameras if camera not in seen),
        calibrated=calibration.measured,
        reranked=rerank,
        second_stage=second_stage is not None,
        recorded=shares(city, scope),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    city: City
    query: FloatArray
    scope: Scope
    model: str
    rerank: bool
    second_stage: SecondStage | None
    per: Per


def _groups_of(
    asked: _Asked, k: int, candidates: int | None
) -> tuple[list[Group], NDArray[np.float64]]:
    """Groups, best first, and the similarities of all candidates."""
    plain = asked.per == "sighting" and not asked.rerank and asked.second_stage is None
    wanted = candidates or (k if plain else max(MIN_CANDIDATES, MORE_CANDIDATES * k))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            while True:
                ids, similarities = _candidates(asked, wanted)
                groups = _grouped(asked.city.gallery.get(ids), asked.per)
                if candidates or len(groups) >= k or len(ids) < wanted:
                    return groups, similarities
                wanted *= 2  # long tracklets: more candidates until there are k groups
        except UnknownSightingError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError


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


def _candidates(asked: _Asked, wanted: int) -> tuple[list[str], NDArray[np.float64]]:
    """Ids, best first, and their cosine similarities."""
    gallery = asked.city.gallery
    hits = gallery.search(asked.query, wanted, asked.scope, model=asked.model)[0]
    ids, similarities = list(hits.ids), 1.0 - hits.distances.astype(np.float64)
    if len(ids) < 2 or not (asked.rerank or asked.second_stage):
        return ids, similarities
    vectors = gallery.vectors(ids, model=asked.model)
    order = np.arange(len(ids))
    if asked.rerank and len(ids) > 2:
        from passerby.retrieval import k_reciprocal_distances

        distances = k_reciprocal_distances(asked.query, vectors)[0]
        order = np.argsort(np.asarray(distances), kind="stable")
    if asked.second_stage is not None:
        order = order[asked.second_stage.order(asked.query, vectors[order])]
    return [ids[at] for at in order], similarities[order]


def _grouped(sightings: Sequence[Sighting], per: Per) -> list[Group]:
    """(position of the first, sightings) of each match, in order."""
    if per == "sighting":
        return [(at, [one]) for at, one in enumerate(sightings)]
    names = [track_name(one) for one in sightings] if per == "tracklet" else visits(sightings)
    groups: dict[Hashable, Group] = {}
    for at, (one, name) in enumerate(zip(sightings, names, strict=True)):
        groups.setdefault(name, (at, []))[1].append(one)
    return list(groups.values())


def visits(sightings: Sequence[Sighting], *, gap: int = VISIT_GAP_MS) -> list[int]:
    """The number of the camera visit that each sighting belongs to.

    Sightings of one tracklet belong to one visit. Sightings of one camera that follow each other
    within ``gap`` milliseconds do so too. The sightings are those that a search has found, so a
    visit may hold sightings of another person who looks alike at the same time.
    """
    if not sightings:
        return []
    firsts: dict[tuple[str, str], int] = {}
    pairs = [(firsts.setdefault(track_name(one), at), at) for at, one in enumerate(sightings)]
    order = sorted(range(len(sightings)), key=lambda at: (sightings[at].camera, sightings[at].time))
    for before, after in pairwise(order):
        one, other = sightings[before], sightings[after]
        if one.camera == other.camera and other.time - one.time <= gap:
            pairs.append((before, after))
    joined = coo_array((np.ones(len(pairs)), np.transpose(pairs)), shape=(len(sightings),) * 2)
    numbers: list[int] = connected_components(joined, directed=False)[1].tolist()
    return numbers
