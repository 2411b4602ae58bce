"""Re-ranking by k-reciprocal encoding (Zhong et al., CVPR 2017), sparse, in bounded memory.

The published code holds several dense (Q + G) x (Q + G) matrices; here only neighbour lists, sparse
rows and one block of distances at a time are held, with the same result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from passerby.errors import InputError
from passerby.retrieval.distances import Features, Metric, distance_block, prepare
from passerby.retrieval.ranking import Ranking
from passerby.retrieval.reciprocal import (
    expanded_sets,
    nearest,
    pair_distances,
    query_expansion,
    sparse_rows,
)
from passerby.retrieval.search import smallest

BLOCK_BYTES = 128 * 2**20


def k_reciprocal_distances(
    queries: Features,
    gallery: Features,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: Metric = "cosine",
) -> NDArray[np.float32]:
    """Re-ranked distances (Q, G): (1 - lambda) Jaccard + lambda original.

    In the form of the Bag of Tricks code: the original distance is squared Euclidean between unit
    rows (2 - 2 cos), each query's divided by its largest to any query or gallery row.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        k1: Length of the neighbour lists (without the row itself).
        k2: Rows averaged in the local query expansion; 1 for none.
        lambda_value: Share of the original distance, 0..1.
        metric: ``"cosine"`` brings rows to unit length; ``"squared_euclidean"`` takes them as
            they are, which is the published code on features that are not normalised;
            ``"euclidean"`` the same without squares, as in the MATLAB code.

    Raises:
        InputError: As :func:`passerby.retrieval.distances`; k1, k2 or lambda out of range.
    """
    parts = [
        block
        for _, block in reranked_blocks(
            queries, gallery, k1=k1, k2=k2, lambda_value=lambda_value, metric=metric
        )
    ]
    return torch.cat(parts).cpu().numpy()


def rerank(
    queries: Features,
    gallery: Features,
    k: int,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: Metric = "cosine",
) -> Ranking:
    """The ``k`` nearest gallery rows of each query by :func:`k_reciprocal_distances`.

    Never a matrix of all queries and the whole gallery; equal distances in order of rows.

    Raises:
        InputError: As :func:`k_reciprocal_distances`; k below 1.
    """
    if k < 1:
        raise InputError(f"a search for the nearest {k} is empty; ask for at least 1")
    found = [
        smallest(block, k)
        for _, block in reranked_blocks(
            queries, gallery, k1=k1, k2=k2, lambda_value=lambda_value, metric=metric
        )
    ]
    values = torch.cat([value for value, _ in found])
    columns = torch.cat([column for _, column in found])
    return Ranking(columns.cpu().numpy(), values.cpu().numpy())


def reranked_blocks(
    queries: Features,
    gallery: Features,
    *,
    k1: int,
    k2: int,
    lambda_value: float,
    metric: Metric,
) -> Iterator[tuple[int, Tensor]]:
    """Re-ranked distances block by block: the first query's number, and distances (B, G).

    Every block may be changed or kept; options as in :func:`k_reciprocal_distances`.
    """
    if k1 < 1 or k2 < 1:
        raise InputError(f"re-ranking with k1 {k1} and k2 {k2}; both must be at least 1")
    if not 0 <= lambda_value <= 1:
        raise InputError(f"re-ranking with lambda {lambda_value}; it must be in 0..1")
    left, right = prepare(queries, gallery, metric)
    if not len(right):
        raise InputError("the gallery is empty; there is nothing to re-rank")
    features = torch.cat([left, right])
    encoding = encode(features, len(left), k1=k1, k2=k2, metric=metric)
    step = max(1, BLOCK_BYTES // (4 * len(right)))
    for start in range(0, len(left), step):
        part = range(start, min(start + step, len(left)))
        block = distance_block(features[part.start : part.stop], features[len(left) :], metric)
        block /= torch.from_numpy(encoding.farthest[part.start : part.stop, None]).to(block.device)
        if metric == "euclidean":
            block = block.clamp_(min=0).sqrt_()
        block.mul_(lambda_value).add_(1 - lambda_value)
        host = block.cpu().numpy()
        for row, query in enumerate(part):
            columns, overlap = encoding.overlap(query)
            host[row, columns] -= (1 - lambda_value) * (overlap / (2 - overlap))
        yield start, torch.from_numpy(host)
    if not len(left):
        yield 0, torch.empty(0, len(right))


def memory_estimate(
    queries: int, gallery: int, dimension: int, *, k1: int = 20, k2: int = 6, dense: bool = False
) -> int:
    """About how many bytes re-ranking will take above its features, before it starts.

    Args:
        queries: Q.
        gallery: G.
        dimension: D.
        k1: As in :func:`rerank`.
        k2: As in :func:`rerank`.
        dense: Of :func:`k_reciprocal_distances`, which returns the whole matrix.
    """
    N = queries + gallery
    features = 2 * 4 * N * dimension  # unit rows, queries and gallery together
    lists = 2 * 8 * N * max(k1 + 1, k2)
    # a row's set has about 1.3 k1 members, its mean over k2 rows at most k2 times as many; value
    # and column take 8 bytes, and at most three copies are alive at once
    encoding = 3 * 8 * N * round(1.3 * k1) * min(k2, 4)
    output = 4 * queries * gallery * 2 if dense else 0
    return features + lists + encoding + 2 * BLOCK_BYTES + output


@dataclass(frozen=True, eq=False)
class Encoding:
    """The k-reciprocal encoding of queries and gallery.

    Attributes:
        rows: (N, N) sparse, each row sums to one; queries first.
        inverse: (N, G) sparse: for each row of the set, which gallery rows have it, and how much.
        farthest: (N,) largest distance of each row, never zero.
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


def encode(features: Tensor, queries: int, *, k1: int, k2: int, metric: Metric) -> Encoding:
    """Encode prepared features (N, D), of which the first ``queries`` are the queries."""
    N = len(features)
    longest, distances, farthest = nearest(
        features, min(max(k1 + 1, k2), N), metric=metric, block_bytes=BLOCK_BYTES
    )
    lists = np.ascontiguousarray(longest[:, : k1 + 1])
    farthest = np.maximum(farthest, np.finfo(np.float32).tiny)
    half = round(k1 / 2) + 1  # half to even, as numpy.around in the published code
    mutual, rows, columns = expanded_sets(lists, half)
    extra = pair_distances(features, rows, columns, metric) / farthest[rows]
    listed = distances[:, : k1 + 1] / farthest[:, None]
    if metric == "euclidean":
        extra, listed = np.sqrt(extra), np.sqrt(np.maximum(listed, 0))
    weights = sparse_rows(lists, mutual, np.exp(-listed), (rows, columns, np.exp(-extra)))
    weights = query_expansion(weights, longest, k2)
    return Encoding(weights, weights[queries:].T.tocsr(), farthest)
