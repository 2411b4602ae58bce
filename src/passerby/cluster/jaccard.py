"""Sparse Jaccard distances between pictures, as unsupervised re-identification clusters them.

The k-reciprocal encoding of Zhong et al. (CVPR 2017) in the form of the SpCL and Cluster Contrast
code (Ge et al., NeurIPS 2020; Dai et al., ACCV 2022). That form holds three dense N x N matrices;
here only neighbour lists, sparse rows and one block of sums are held, with the same result.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from passerby.errors import InputError
from passerby.retrieval.distances import Features, checked
from passerby.retrieval.reciprocal import (
    expanded_sets,
    nearest,
    pair_distances,
    query_expansion,
    sparse_rows,
)

BLOCK_BYTES = 64 * 2**20  # of one block of distances between features
CELLS = 1 << 18  # sums of one block of Jaccard distances, so that they stay in the cache
SHARED = 1 << 18  # shared members added up at once


def jaccard_neighbours(
    features: Features, *, k1: int = 30, k2: int = 6, limit: float | None = None
) -> sparse.csr_matrix:
    """Jaccard distances of all pairs that have anything in common, sparse (N, N) float32.

    Stored are the pairs with J < 1, exact zeros and the diagonal among them; every pair that is
    not stored has J = 1. The matrix is symmetric, its rows are in order of columns.

    Args:
        features: (N, D), brought to unit rows; the neighbour search runs on their device.
        k1: Length of the neighbour lists, the row itself included (re-ranking counts without it).
        k2: Rows averaged in the local query expansion, the row itself included; 1 for none.
        limit: Store only distances up to this one; what DBSCAN needs is its eps.

    Raises:
        InputError: As :func:`passerby.retrieval.distances`; no rows; k1 or k2 below 1.
    """
    return neighbours(encode(features, k1=k1, k2=k2), limit=limit)


def encode(features: Features, *, k1: int = 30, k2: int = 6) -> sparse.csr_matrix:
    """The k-reciprocal encoding V: sparse (N, N) float32, rows that sum to one.

    The lists hold ``k1`` rows and those of candidates round(k1 / 2) + 1; members weigh
    softmax(-(2 - 2 cos)) over the expanded set (re-ranking divides the distance by its row's
    largest first), then come the means over ``k2`` rows. Options as :func:`jaccard_neighbours`.
    """
    if k1 < 1 or k2 < 1:
        raise InputError(f"clustering with k1 {k1} and k2 {k2}; both must be at least 1")
    rows = checked(features, "clustered", unit=True)
    if not len(rows):
        raise InputError("there are no features to cluster; give rows (N, D)")
    lists, distances, _ = nearest(
        rows, min(k1, len(rows)), metric="cosine", block_bytes=BLOCK_BYTES
    )
    half = round(k1 / 2) + 1  # half to even, as numpy.around in the published code
    mutual, left, right = expanded_sets(lists, half)
    extra = pair_distances(rows, left, right, "cosine")
    # softmax over a row's members is exp() and then division by the row's sum
    weights = sparse_rows(lists, mutual, np.exp(-2 * distances), (left, right, np.exp(-2 * extra)))
    return query_expansion(weights, lists, k2)


def neighbours(encoding: sparse.csr_matrix, *, limit: float | None = None) -> sparse.csr_matrix:
    """As :func:`jaccard_neighbours`, of an :func:`encode`-d set."""
    N = encoding.shape[0]
    members = Members.of(encoding)
    starts, columns, values = [], [], []
    for start, sums in members.blocks():
        cells = np.flatnonzero(sums)
        distances = _distances(sums[cells])
        kept = distances < 1 if limit is None else distances <= limit
        cells, distances = cells[kept], distances[kept]
        starts.append((cells // N + start).astype(np.int32))
        columns.append((cells % N).astype(np.int32))
        values.append(distances)
    row, column, value = (np.concatenate(parts) for parts in (starts, columns, values))
    mirrored = column != row
    return sparse.csr_matrix(
        (
            np.concatenate([value, value[mirrored]]),
            (
                np.concatenate([row, column[mirrored]]),
                np.concatenate([column, row[mirrored]]),
            ),
        ),
        shape=(N, N),
    )


def kth_distances(
    encoding: sparse.csr_matrix, k: int, *, sample: int = 1000
) -> NDArray[np.float32]:
    """Jaccard distance to the ``k``-th nearest row, itself the first: what eps is compared with.

    Ester et al. (KDD 1996), section 4.2. Of at most about ``sample`` rows, evenly spread; 1 where
    fewer than ``k`` rows have anything in common.
    """
    N = encoding.shape[0]
    rows = encoding[:: max(1, N // sample)]
    found = np.ones(rows.shape[0], dtype=np.float32)
    inverse = encoding.tocsc()
    for i in range(rows.shape[0]):
        row = rows[i]
        sums = np.zeros(N)
        for member, value in zip(row.indices, row.data, strict=True):
            own = slice(inverse.indptr[member], inverse.indptr[member + 1])
            sums[inverse.indices[own]] += np.minimum(inverse.data[own], value)
        if k <= N:
            found[i] = _distances(np.partition(sums, N - k)[N - k])
    return found


@dataclass(frozen=True, eq=False)
class Members:
    """An encoding by rows and by members at once, to add up minima of pairs i <= j.

    J is symmetric, so that a row needs only those that stand after it in its members' lists.

    Attributes:
        encoding: (N, N), rows.
        rows: (E,) of the same entries by member, in order of rows.
        values: (E,) likewise.
        places: (E,) where each entry of ``encoding`` stands in these two.
        counts: (E,) how many entries of its member stand from there on.
    """

    encoding: sparse.csr_matrix
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, encoding: sparse.csr_matrix) -> "Members":
        """Sort the entries of ``encoding`` by member."""
        numbers = np.arange(encoding.nnz, dtype=np.int64)
        order = sparse.csr_matrix(
            (numbers, encoding.indices, encoding.indptr), shape=encoding.shape
        ).tocsc()
        places = np.empty_like(numbers)
        places[order.data] = numbers
        counts = order.indptr[1:].astype(np.int64)[encoding.indices] - places
        return cls(encoding, order.indices, encoding.data[order.data], places, counts)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """First row of a block, and the sums of minima m(i, j) of its rows (b N,), i <= j."""
        N, indptr = self.encoding.shape[0], self.encoding.indptr
        work = np.concatenate([[0], self.counts.cumsum()])[indptr]
        start = 0
        while start < N:
            stop = int(np.searchsorted(work, work[start] + SHARED, side="right")) - 1
            stop = min(max(stop, start + 1), start + max(1, CELLS // N), N)
            yield start, self._sums(start, stop)
            start = stop

    def _sums(self, start: int, stop: int) -> NDArray[np.float64]:
        N, indptr = self.encoding.shape[0], self.encoding.indptr
        own = slice(indptr[start], indptr[stop])
        counts = self.counts[own]
        ends = counts.cumsum()
        # the concatenated ranges places[e] .. places[e] + counts[e]
        total = ends[-1] if len(ends) else 0
        places = np.repeat(self.places[own] - (ends - counts), counts) + np.arange(total)
        shared = np.minimum(self.values[places], np.repeat(self.encoding.data[own], counts))
        row = np.repeat(np.arange(stop - start), np.diff(indptr[start : stop + 1]))
        cells = np.repeat(row * N, counts) + self.rows[places]
        sums = np.bincount(cells, weights=shared, minlength=(stop - start) * N)
        return sums.astype(np.float64, copy=False)  # whole numbers where nothing is shared


def _distances(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """J = 1 - m / (2 - m) of the sums of minima m; rounding below 0 is cut off."""
    return np.maximum(1 - sums / (2 - sums), 0).astype(np.float32)
