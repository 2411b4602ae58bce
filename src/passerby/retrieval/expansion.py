"""Expansion: the mean of a query, or of a gallery row, and its nearest gallery rows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.retrieval.distances import Features, checked, prepare
from passerby.retrieval.neighbours import nearest_rows
from passerby.retrieval.search import search

MIXED_BYTES = 32 * 2**20  # of neighbours' features gathered at once


def expand_queries(
    queries: Features, gallery: Features, *, count: int = 5, power: float = 3.0
) -> NDArray[np.float32]:
    """Compute unit means (Q, D) of each query and its ``count`` nearest gallery rows.

    The weight of the query is one. The weight of a neighbour is its cosine similarity to the given
    power, and zero where that is negative: alpha query expansion (Radenovic et al., TPAMI 2019).
    With power 0 it is average query expansion (Chum et al., ICCV 2007).

    Args:
        queries: (Q, D).
        gallery: (G, D).
        count: Number of neighbours.
        power: alpha.

    Raises:
        InputError: As :func:`passerby.retrieval.search`; or the power is negative.
    """
    _check_power(power)
    left, right = prepare(queries, gallery, "cosine")
    ranking = search(left, right, count)
    indices = torch.from_numpy(ranking.indices).to(right.device)
    distances = torch.from_numpy(ranking.distances).to(right.device)
    means = left + _mixed(right, indices, distances, power)
    return F.normalize(means, dim=1).cpu().numpy()


def expand_gallery(gallery: Features, *, count: int = 5, power: float = 3.0) -> NDArray[np.float32]:
    """Compute unit means (G, D) of each gallery row and its ``count`` nearest other rows.

    This is database-side feature augmentation (Arandjelovic and Zisserman, CVPR 2012), weighted by
    similarity as in :func:`expand_queries`. It is done once for a gallery, before any query. On
    queries and gallery stacked it is the expansion of fast-reid.

    Args:
        gallery: (G, D).
        count: Number of neighbours of each row; all other rows where it is G or more.
        power: alpha, as in :func:`expand_queries`.

    Raises:
        InputError: As :func:`passerby.retrieval.search`; or the power is negative.
    """
    _check_power(power)
    if count < 1:
        raise InputError(f"an expansion by {count} neighbours is empty; ask for at least 1")
    rows = checked(gallery, "gallery", unit=True)
    if not len(rows):
        raise InputError("the gallery is empty; there is nothing to expand")
    # a row is its own nearest neighbour, at distance 0, so that its weight is one
    wanted = min(count + 1, len(rows))
    indices, distances, _ = nearest_rows(rows, wanted, metric="cosine", farthest=False)
    return F.normalize(_mixed(rows, indices, distances, power), dim=1).cpu().numpy()


def _mixed(rows: Tensor, indices: Tensor, distances: Tensor, power: float) -> Tensor:
    """Compute weighted sums (M, D) of the listed ``rows`` (N, D); indices are (M, k)."""
    weights = (1 - distances).clamp(min=0) ** power
    step = max(1, MIXED_BYTES // (4 * rows.shape[1] * indices.shape[1]))
    parts = zip(indices.split(step), weights.split(step), strict=True)
    return torch.cat([torch.einsum("mk,mkd->md", w, rows[i]) for i, w in parts])


def _check_power(power: float) -> None:
    if power < 0:
        raise InputError(f"expansion with power {power}; it must be 0 or more")
