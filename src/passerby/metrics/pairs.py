"""Labelled pairs as a search meets them, to fit and to judge a calibration on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import InputError
from passerby.metrics.all_pairs import Survey

HALVES_SEED = 0  # which people are in which half: the same every time


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of a query and one of its nearest gallery pictures.

    Attributes:
        similarity: (N,) cosine similarity.
        same: (N,) whether both show the same person.
        weight: (N,) how many pairs of the whole search each stands for.
        people: Number of different people among the queries.
    """

    similarity: NDArray[np.float64]
    same: NDArray[np.bool_]
    weight: NDArray[np.float64]
    people: int

    def __len__(self) -> int:
        return len(self.similarity)

    @property
    def prior(self) -> float:
        """Share of pairs of the same person."""
        return float(np.average(self.same, weights=self.weight))


def candidate_pairs(found: Survey, query_ids: ArrayLike) -> Pairs:
    """All of each query's nearest candidates; people of whom nothing is in the gallery included.

    Args:
        found: Of the whole table.
        query_ids: (Q,) of that table.
    """
    people = np.asarray(query_ids)[found.queries]
    taken = found.gallery >= 0
    return Pairs(
        similarity=found.similarities[taken].astype(np.float64),
        same=found.same[taken],
        weight=np.ones(int(taken.sum())),
        people=len(np.unique(people)),
    )


def halves(
    found: Survey, query_ids: ArrayLike, gallery_ids: ArrayLike, *, seed: int = HALVES_SEED
) -> tuple[Pairs, Pairs]:
    """Two sets of pairs that have no person in common.

    The people are dealt to two halves. A pair belongs to a half when both its pictures show people
    of that half (distractor pictures, of whom nobody knows the identity, are dealt one by one).
    About half of the false pairs so fall between the halves and are dropped; those that stay count
    for them, so that the prior is that of the whole search.

    Args:
        found: Of the whole table.
        query_ids: (Q,) of that table.
        gallery_ids: (G,) of that table.
        seed: Of the dealing.

    Raises:
        InputError: A half has no pair of the same person or none of different people.
    """
    query_ids, gallery_ids = np.asarray(query_ids), np.asarray(gallery_ids)
    random = np.random.default_rng(seed)
    asked = np.unique(query_ids[found.queries])
    others = np.setdiff1d(gallery_ids[gallery_ids > 0], asked)
    half = dict(zip(random.permutation(asked).tolist(), np.arange(len(asked)) % 2, strict=True))
    half |= dict(zip(random.permutation(others).tolist(), np.arange(len(others)) % 2, strict=True))
    of_row = random.integers(0, 2, len(gallery_ids))
    known = gallery_ids > 0
    of_row[known] = [half[identity] for identity in gallery_ids[known].tolist()]
    of_query = np.array([half[identity] for identity in query_ids[found.queries].tolist()])
    made = []
    for number in (0, 1):
        asks = np.broadcast_to(of_query[:, None] == number, found.gallery.shape)
        taken = asks & (found.gallery >= 0)
        kept = taken & (found.same | (of_row[found.gallery] == number))
        made.append(_weighted(found, taken, kept, int(np.sum(np.arange(len(asked)) % 2 == number))))
    return made[0], made[1]


def _weighted(
    found: Survey, taken: NDArray[np.bool_], kept: NDArray[np.bool_], people: int
) -> Pairs:
    """The pairs ``kept`` of those ``taken``; the false ones stand for all false ones."""
    same = found.same[kept]
    false = int((taken & ~found.same).sum())
    if not same.any() or same.all():
        raise InputError(
            "half of the people have no pairs of the same or none of different people; "
            "calibrate on a data set with more people"
        )
    return Pairs(
        similarity=found.similarities[kept].astype(np.float64),
        same=same,
        weight=np.where(same, 1.0, false / np.count_nonzero(~same)),
        people=people,
    )
