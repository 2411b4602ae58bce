"""The k-reciprocal encoding of queries and gallery, and the overlap of its rows.

Zhong et al., CVPR 2017: section 3.3 (weights of the members), 3.4 (local query expansion).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from passerby.retrieval.distances import Metric
from passerby.retrieval.reciprocal import (
    expanded_sets,
    nearest,
    pair_distances,
    query_expansion,
    sparse_rows,
)
from passerby.retrieval.variants import Variant

NEAREST_BYTES = 32 * 2**20  # of one block of distances of the neighbour search


@dataclass(frozen=True, eq=False)
class Encoding:
    """The k-reciprocal encoding of queries and gallery.

    Attributes:
        rows: (N, N) sparse, each row sums to one; queries first.
        inverse: (N, G) sparse: for each row of the set, which gallery rows have it, and how much.
        farthest: (N,) by what distances of each row are divided: its largest, never zero; one where
            the variant does not scale.
    """

    rows: sparse.csr_matrix
    inverse: sparse.csr_matrix
    farthest: NDArray[np.float32]

    def overlap(self, query: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Gallery rows (E,) that share members with ``query``, and the sum of minima (E,).

        The Jaccard distance to such a row is 1 - m / (2 - m), to any other 1.
        """
        own = slice(self.rows.indptr[query], self.rows.indptr[query + 1])
        members, values = self.rows.indices[own], self.rows.data[own]
        starts = self.inverse.indptr[members]
        counts = self.inverse.indptr[members + 1] - starts
        ends = counts.cumsum()
        # the concatenated ranges starts[m] .. starts[m] + counts[m]
        places = np.repeat(starts - (ends - counts), counts) + np.arange(ends[-1])
        columns = self.inverse.indices[places]
        shared = np.minimum(self.inverse.data[places], np.repeat(values, counts))
        sums = np.bincount(columns, weights=shared, minlength=1)
        touched = np.flatnonzero(sums).astype(np.int64)
        return touched, sums[touched].astype(np.float32)


def encode(
    features: Tensor, queries: int, *, k1: int, k2: int, metric: Metric, variant: Variant
) -> Encoding:
    """Encode prepared features (N, D), of which the first ``queries`` are the queries."""
    N = len(features)
    length = variant.list_length(k1)
    # a search that returns k1 rows has no more to average over
    longest, distances, farthest = nearest(
        features,
        min(length if variant.counts_itself else max(length, k2), N),
        metric=metric,
        block_bytes=NEAREST_BYTES,
        farthest=variant.scaled,
    )
    lists = np.ascontiguousarray(longest[:, :length])
    if farthest is None:
        farthest = np.ones(N, dtype=np.float32)
    farthest = np.maximum(farthest, np.finfo(np.float32).tiny)
    mutual, rows, columns = expanded_sets(lists, variant.half_length(k1))
    extra = pair_distances(features, rows, columns, metric)
    # rounding leaves a row a little away from itself, of which a root would make much
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
        (rows, columns, _weight(extra, variant, metric)),
    )
    weights = query_expansion(weights, longest, k2)
    return Encoding(weights, weights[queries:].T.tocsr(), farthest)


def _weight(
    distances: NDArray[np.float32], variant: Variant, metric: Metric
) -> NDArray[np.float32]:
    """exp(-distance); the rows are brought to sum to one later."""
    raised = raise_(torch.from_numpy(np.array(distances)), variant, metric)
    return np.exp(-raised.numpy())


def raise_(distances: Tensor, variant: Variant, metric: Metric) -> Tensor:
    """Squared distances to the power of the variant, in place."""
    # without squares: the same as half of the power
    exponent = variant.exponent / (2 if metric == "euclidean" else 1)
    if exponent == 1:
        return distances
    # rounding takes distances of nearly equal rows below zero
    distances.clamp_(min=0)
    return distances.sqrt_() if exponent == 0.5 else distances.pow_(exponent)
