"""The similarities of true and of false pairs, from one pass over queries and gallery."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.metrics.matches import find_matches
from passerby.metrics.protocols import Protocol, protocol_of
from passerby.retrieval.distances import Features, distance_block, prepare
from passerby.retrieval.search import smallest

BLOCK_BYTES = 16 * 2**20  # of distances; masks and copies of a block need more
STEPS = 1000  # of the histograms, per unit of similarity
HISTOGRAMS = ("true_pairs", "other_pairs")
NOWHERE = 4.0  # the distance of rows that take no part; real distances are 0..2


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """The nearest gallery rows of each query that shows a person, and histograms of all pairs.

    Attributes:
        protocol: The name of the protocol that says which rows take part.
        queries: (V,) int64 the queries of known people, with or without a true match.
        gallery: (V, k) int64 the nearest gallery rows that take part, nearest first; -1 where
            fewer take part.
        similarities: (V, k) float32 their cosine similarities.
        same: (V, k) whether they show the query's person.
        best_true: (V,) float32 the highest similarity of a true match; -inf where there is none.
        best_other: (V,) float32 the highest similarity of another person, distractors included;
            -inf where there is none.
        first: (V,) whether the nearest row that takes part is a true match.
        true_pairs: (2 * STEPS + 1,) int64 pairs of a query and a true match by distance
            1 - similarity, in steps of 1 / STEPS.
        other_pairs: As ``true_pairs``, of a query and somebody else.
        gallery_count: G, junk included.
    """

    protocol: str
    queries: NDArray[np.int64]
    gallery: NDArray[np.int64]
    similarities: NDArray[np.float32]
    same: NDArray[np.bool_]
    best_true: NDArray[np.float32]
    best_other: NDArray[np.float32]
    first: NDArray[np.bool_]
    true_pairs: NDArray[np.int64]
    other_pairs: NDArray[np.int64]
    gallery_count: int

    @property
    def mated(self) -> NDArray[np.bool_]:
        """(V,) whether the query has a true match in the gallery."""
        return np.isfinite(self.best_true)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sides:
    """Identities and cameras of both sides, on the device of the features."""

    query_ids: Tensor
    gallery_ids: Tensor
    query_cameras: Tensor
    gallery_cameras: Tensor
    rules: Protocol

    def masks(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mark the pairs (B, G) that are true matches, and those that take no part."""
        same = self.query_ids[rows, None] == self.gallery_ids
        lowest = 0 if self.rules.distractors else 1
        never = self.gallery_ids < lowest
        if self.rules.same_camera:
            return same, never.expand_as(same)
        own = self.query_cameras[rows, None] == self.gallery_cameras
        return same & ~own, never | (same & own)


def survey(  # noqa: PLR0917 - as evaluate
    queries: Features,
    gallery: Features,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    protocol: str | Protocol = "market1501",
    candidates: int = 100,
) -> Survey:
    """Compute all similarities once, block by block of queries, and keep a summary.

    Beyond the features and the answer it holds about 64 MiB. It works on the device of ``queries``.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        query_ids: (Q,) whole numbers; -1 is junk.
        gallery_ids: (G,); -1 is junk (takes no part), 0 a distractor unless a query has it too.
        query_cameras: (Q,).
        gallery_cameras: (G,).
        protocol: A name in ``PROTOCOLS``.
        candidates: k, the number of nearest gallery rows to keep for each query.

    Raises:
        InputError: As :func:`passerby.metrics.evaluate_features`; or ``candidates`` is below 1.
    """
    if candidates < 1:
        raise InputError(f"{candidates} candidates for each query are none; ask for at least 1")
    rules = protocol_of(protocol)
    find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, rules)
    left, right = prepare(queries, gallery, "cosine")
    given, wanted = (len(left), len(right)), (len(np.ravel(query_ids)), len(np.ravel(gallery_ids)))
    if given != wanted:
        raise InputError(f"features are of {given} queries and gallery; identities say {wanted}")
    sides = _Sides(
        query_ids=_on(query_ids, left),
        gallery_ids=_on(gallery_ids, left),
        query_cameras=_on(rules.cameras(np.asarray(query_cameras)), left),
        gallery_cameras=_on(rules.cameras(np.asarray(gallery_cameras)), left),
        rules=rules,
    )
    people = (sides.query_ids >= (0 if rules.distractors else 1)).nonzero().flatten()
    k = min(candidates, len(right))
    rows = max(1, BLOCK_BYTES // (4 * len(right)))
    parts = [_some(left, right, some, sides, k) for some in people.split(rows)]
    sums = {name: np.sum([part.pop(name) for part in parts], axis=0) for name in HISTOGRAMS}
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Survey(
        protocol=rules.name,
        queries=people.cpu().numpy(),
        gallery_count=len(right),
        **sums,
        **columns,
    )


def _on(values: ArrayLike, like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values).astype(np.int64)).to(like.device)


def _some(
    queries: Tensor, gallery: Tensor, rows: Tensor, sides: _Sides, k: int
) -> dict[str, NDArray[Any]]:
    """Compute the columns of a survey for some queries, and their histograms."""
    block = distance_block(queries[rows], gallery, "cosine").clamp_(0, 2)
    true, nobody = sides.masks(rows)
    block.masked_fill_(nobody, NOWHERE)
    values, columns = smallest(block, k)
    found = values < NOWHERE
    same = true.gather(1, columns) & found
    pairs = _histogram(block.flatten())
    places = true.nonzero(as_tuple=True)
    true_values = block[places]
    best = torch.full((len(rows),), NOWHERE, device=block.device)
    best = best.scatter_reduce(0, places[0], true_values, "amin")
    block[places] = NOWHERE  # now only other people are left
    true_pairs = _histogram(true_values)
    answer = {
        "gallery": torch.where(found, columns, -1),
        "similarities": torch.where(found, 1 - values, -torch.inf),
        "same": same,
        "best_true": _similarity(best),
        "best_other": _similarity(block.amin(dim=1)),
        "first": same[:, 0],
        "true_pairs": true_pairs,
        "other_pairs": pairs - true_pairs,
    }
    return {name: column.cpu().numpy() for name, column in answer.items()}


def _similarity(distance: Tensor) -> Tensor:
    return torch.where(distance < NOWHERE, 1 - distance, -torch.inf)


def _histogram(distances: Tensor) -> Tensor:
    """Count distances in (2 * STEPS + 1,) steps, without those of rows that take no part."""
    steps = (distances * STEPS).int()
    return torch.bincount(steps, minlength=2 * STEPS + 1)[: 2 * STEPS + 1]
