"""The k-reciprocal encoding of queries and gallery, as sparse rows, and the overlap of its rows.

Zhong et al., CVPR 2017: section 3.2 (k-reciprocal sets), 3.3 (weights of the members), 3.4 (local
query expansion). Re-ranking and clustering share it. They differ in the length of their lists and
in the weights of the members.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from passerby.retrieval import compiled
from passerby.retrieval.distances import Metric
from passerby.retrieval.neighbours import nearest_rows
from passerby.retrieval.variants import Variant

ROWS = 512  # rows of neighbour lists processed at once
PAIRS = 2048  # feature pairs multiplied at once,
PAIR_BYTES = 2**21  # and their largest size, so that they stay in the cache


@dataclass(frozen=True, eq=False)
class Encoding:
    """The k-reciprocal encoding of queries and gallery.

    Attributes:
        rows: (N, N) sparse weights of the members; each row sums to one. Queries come first.
        inverse: (N, G) sparse: for each row of the set, the gallery rows of which it is a member,
            and its weight.
        farthest: (N,) the divisor of each row's distances: its largest distance, never zero. It is
            one where the variant does not scale.
    """

    rows: sparse.csr_matrix
    inverse: sparse.csr_matrix
    farthest: NDArray[np.float32]

    def overlap(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find gallery rows (E,) that share members with ``query``, and sums of minima m (E,).

        The Jaccard distance to such a row is 1 - m / (2 - m). To any other row it is 1.
        """
        own = slice(self.rows.indptr[query], self.rows.indptr[query + 1])
        members, values = self.rows.indices[own], self.rows.data[own]
        starts = self.inverse.indptr[members]
        counts = self.inverse.indptr[members + 1] - starts
        places = joined_ranges(starts, counts)
        columns = self.inverse.indices[places]
        shared = np.minimum(self.inverse.data[places], np.repeat(values, counts))
        sums = np.bincount(columns, weights=shared, minlength=1)
        touched = np.flatnonzero(sums).astype(np.int64)
        return touched, sums[touched].astype(np.float32)


def joined_ranges(starts: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.int64]:
    """Concatenate the ranges starts[i] .. starts[i] + counts[i] - 1."""
    ends = counts.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    places: NDArray[np.int64] = np.repeat(starts - (ends - counts), counts)
    places += np.arange(total)
    return places


def encode(
    features: Tensor, queries: int, *, k1: int, k2: int, metric: Metric, variant: Variant
) -> Encoding:
    """Encode prepared features (N, D); the first ``queries`` rows are the queries."""
    N = len(features)
    length = variant.list_length(k1)
    # codes whose lists have k1 rows average over these rows at most
    wanted = min(length if variant.counts_itself else max(length, k2), N)
    found = nearest_rows(features, wanted, metric=metric, farthest=variant.scaled)
    longest, distances = found[0].to(torch.int32).cpu().numpy(), found[1].cpu().numpy()
    lists = np.ascontiguousarray(longest[:, :length])
    farthest = np.ones(N, np.float32) if found[2] is None else found[2].cpu().numpy()
    farthest = np.maximum(farthest, np.finfo(np.float32).tiny)
    mutual, rows, members = expanded_sets(lists, variant.half_length(k1))
    extra = pair_distances(features, rows, members, metric)
    # rounding leaves a small distance between a row and itself, which a root would enlarge
    itself = lists == np.arange(N, dtype=lists.dtype)[:, None]
    listed = np.where(itself, np.float32(0), distances[:, :length])
    if variant.scaled:
        extra, listed = extra / farthest[rows], listed / farthest[:, None]
    elif metric == "cosine":
        extra, listed = 2 * extra, 2 * listed  # squared Euclidean between unit rows
    weights = sparse_rows(
        lists,
        mutual,
        _weight(listed, variant, metric),
        (rows, members, _weight(extra, variant, metric)),
    )
    weights = query_expansion(weights, longest, k2)
    return Encoding(weights, weights[queries:].T.tocsr(), farthest)


def _weight(
    distances: NDArray[np.float32], variant: Variant, metric: Metric
) -> NDArray[np.float32]:
    """Compute exp(-distance); the rows are scaled to a sum of one later."""
    raised = raise_(torch.from_numpy(np.array(distances)), variant, metric)
    weights: NDArray[np.float32] = np.exp(-raised.numpy())
    return weights


def raise_(distances: Tensor, variant: Variant, metric: Metric) -> Tensor:
    """Raise squared distances to the power of the variant, in place."""
    # distances that are not squared need half of the power
    exponent = variant.exponent / (2 if metric == "euclidean" else 1)
    if exponent == 1:
        return distances
    # rounding can make distances of nearly equal rows negative
    distances.clamp_(min=0)
    return distances.sqrt_() if exponent == 0.5 else distances.pow_(exponent)


def reciprocal_mask(lists: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the entries j of row i of ``lists`` (N, L) that have i in their own list, (N, L)."""
    mask = np.empty(lists.shape, dtype=bool)
    for start in range(0, len(lists), ROWS):
        part = lists[start : start + ROWS]
        own = np.arange(start, start + len(part), dtype=lists.dtype)
        mask[start : start + ROWS] = (lists[part] == own[:, None, None]).any(axis=2)
    return mask


def expanded_sets(
    lists: NDArray[np.int32], half: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
    """Compute the expanded reciprocal sets R*(i) of all rows.

    R(i) contains the entries of row i that are reciprocal. For each c in R(i), the reciprocal set
    of c in lists of length ``half`` is added if more than two thirds of it are in R(i) (equation
    4).

    Args:
        lists: (N, L) nearest rows, including the row itself.
        half: Length of the lists of candidates, about L / 2.

    Returns:
        R as a mask (N, L) of ``lists``, and the additional members as pairs: rows (E,) and columns
        (E,), ordered by row. Each pair occurs once, and none is in R.
    """
    if compiled.pays(len(lists)):
        return _expanded_sets(lists, half)
    mutual = reciprocal_mask(lists)
    halves = np.ascontiguousarray(lists[:, :half])
    half_mutual = reciprocal_mask(halves)
    found_rows, found_columns = [], []
    N = len(lists)
    for start in range(0, N, ROWS):
        near, inside = lists[start : start + ROWS], mutual[start : start + ROWS]
        # entries outside R become a number that is no row
        members = np.where(inside, near, np.int32(-1))
        candidates = halves[near]  # (b, L, half)
        counted = half_mutual[near] & inside[:, :, None]
        already = (candidates[..., None] == members[:, None, None, :]).any(axis=3)
        overlap = (already & counted).sum(axis=2)
        joins = 3 * overlap > 2 * counted.sum(axis=2)
        new = counted & joins[:, :, None] & ~already
        places = new.nonzero()
        pairs = np.unique(places[0].astype(np.int64) * N + candidates[places])
        found_rows.append(pairs // N + start)
        found_columns.append((pairs % N).astype(np.int32))
    return mutual, np.concatenate(found_rows), np.concatenate(found_columns)


def _expanded_sets(
    lists: NDArray[np.int32], half: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
    """Compute :func:`expanded_sets` by compiled functions."""
    from passerby.retrieval import set_kernels as kernels

    N, halves = len(lists), np.ascontiguousarray(lists[:, :half])
    mutual, half_mutual = np.empty(lists.shape, dtype=bool), np.empty(halves.shape, dtype=bool)
    compiled.in_parts(lambda a, b: kernels.reciprocal_mask(lists, mutual, a, b), N)
    compiled.in_parts(lambda a, b: kernels.reciprocal_mask(halves, half_mutual, a, b), N)
    parts = compiled.in_parts(
        lambda a, b: kernels.additional_members(lists, mutual, half_mutual, a, b), N
    )
    rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mutual, rows, columns


def pair_distances(
    features: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int32], metric: Metric
) -> NDArray[np.float32]:
    """Compute distances (E,) of single pairs of prepared rows; Euclidean ones are squared."""
    host = np.ascontiguousarray(features.cpu().numpy())
    found = np.empty(len(rows), dtype=np.float32)
    if metric == "cosine" and compiled.pays(len(host)):
        from passerby.retrieval.set_kernels import pair_products

        pairs = (rows, columns)
        compiled.in_parts(lambda a, b: pair_products(host, pairs, found, a, b), len(rows))
        return np.subtract(1.0, found, out=found)
    # numpy, in parts so small that torch's threads would not make them faster
    step = max(1, min(PAIRS, PAIR_BYTES // (8 * host.shape[1])))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        left, right = host[rows[part]], host[columns[part]]
        if metric != "cosine":
            left = right = left - right
        found[part] = np.einsum("ed,ed->e", left, right)
    return np.subtract(1.0, found, out=found) if metric == "cosine" else found


def sparse_rows(
    lists: NDArray[np.int32],
    mutual: NDArray[np.bool_],
    weights: NDArray[np.float32],
    extra: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]],
) -> sparse.csr_matrix:
    """Make rows (N, N) that sum to one from weights of list entries (N, L) and of extra pairs."""
    N = len(lists)
    listed = mutual.nonzero()
    rows = np.concatenate([listed[0].astype(np.int32), extra[0].astype(np.int32)])
    columns = np.concatenate([lists[mutual], extra[1]])
    values = np.concatenate([weights[mutual], extra[2]])
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(N, N))
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    matrix.data /= np.repeat(sums, np.diff(matrix.indptr)).astype(np.float32)
    return matrix


def query_expansion(
    matrix: sparse.csr_matrix, lists: NDArray[np.int32], k2: int
) -> sparse.csr_matrix:
    """Average each row over its ``k2`` nearest rows (equation 11 of the paper)."""
    N, width = len(lists), min(k2, lists.shape[1])
    if width <= 1:
        return matrix
    columns = lists[:, :width].ravel()
    starts = np.arange(0, N * width + 1, width)
    shares = np.full(N * width, 1.0 / width, dtype=np.float32)
    return (sparse.csr_matrix((shares, columns, starts), shape=(N, N)) @ matrix).tocsr()
