"""A second stage of a search: a slow distance, for the first places of a ranking only."""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.retrieval.distances import BLOCK_BYTES, Features, checked
from passerby.retrieval.search import Ranking


class PairDistance(Protocol):
    """A distance between pairs of features."""

    def __call__(self, queries: Tensor, candidates: Tensor, /) -> Tensor:
        """Compute distances (Q, k) of queries (Q, D), each to its own candidates (Q, k, D)."""


def rerank_pairs(
    ranking: Ranking,
    queries: Features,
    gallery: Features,
    distance: PairDistance,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Sort the candidates of a ranking by another distance: k pairs for each query instead of G.

    Where the ranking lists the whole gallery, the result is the full search under ``distance``. The
    computation runs on the device of ``queries``. Rows at equal distance come in order of their
    numbers.

    Args:
        ranking: (Q, k), of these queries in this gallery.
        queries: (Q, D), in the form that ``distance`` takes.
        gallery: (G, D).
        distance: See :class:`PairDistance`.
        block_bytes: Size of the candidates' features that are held at once.

    Raises:
        InputError: The ranking is not of these queries and this gallery, features or distances are
            not finite, or ``distance`` returns another shape.
    """
    left = checked(queries, "query", unit=False)
    right = checked(gallery, "gallery", unit=False)
    if len(ranking) != len(left):
        raise InputError(f"the ranking has {len(ranking)} queries, the features {len(left)}")
    indices = torch.from_numpy(ranking.indices)
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(right):
        raise InputError(f"the ranking names rows outside the gallery of {len(right)}")
    # sorted by row first, so that a stable sort by distance keeps equal distances in order of rows
    indices = indices.sort(dim=1).values
    step = max(1, block_bytes // max(1, 4 * ranking.k * left.shape[1]))
    found = []
    for some, rows in zip(left.split(step), indices.split(step), strict=True):
        values = distance(some, right[rows.to(right.device)].to(some.device))
        if values.shape != rows.shape:
            raise InputError(
                f"the second stage gave distances {tuple(values.shape)}, not {tuple(rows.shape)}"
            )
        if not bool(values.isfinite().all()):
            raise InputError("the second stage gave distances that are not finite")
        ordered, order = values.detach().float().cpu().sort(dim=1, stable=True)
        found.append((rows.gather(1, order).numpy(), ordered.numpy()))
    if not found:
        return ranking
    return Ranking(np.concatenate([i for i, _ in found]), np.concatenate([d for _, d in found]))
