"""Sparse Jaccard distances between pictures, for clustering in unsupervised re-identification.

It is the k-reciprocal encoding of Zhong et al. (CVPR 2017) in the form of the SpCL and Cluster
Contrast code (Ge et al., NeurIPS 2020; Dai et al., ACCV 2022). That code holds three dense N x N
matrices. Here only neighbour lists, sparse rows and one block of sums are in memory. The result is
the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from passerby.errors import InputError
from passerby.retrieval import compiled
from passerby.retrieval import encoding as reciprocal
from passerby.retrieval.distances import Features, checked
from passerby.retrieval.encoding import Encoding, joined_ranges
from passerby.retrieval.variants import Variant

# lists of k1 rows with the row itself; members weigh softmax(-(2 - 2 cos)) over the expanded set
FORM = Variant(
    name="cluster-contrast",
    says="the encoding of SpCL and Cluster Contrast",
    scaled=False,
    counts_itself=True,
)
Pairs = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
CELLS = 1 << 18  # sums of one block of Jaccard distances, so that they stay in the cache
SHARED = 1 << 16  # shared members summed at once


def jaccard_neighbours(
    features: Features, *, k1: int = 30, k2: int = 6, limit: float | None = None
) -> sparse.csr_matrix:
    """Compute Jaccard distances of all pairs with a common member, sparse (N, N) float32.

    The matrix stores the pairs with J < 1, with exact zeros and the diagonal. Every other pair has
    J = 1. The matrix is symmetric; its rows are in order of columns.

    Args:
        features: (N, D); they are scaled to unit rows. The neighbour search runs on their device.
        k1: Length of the neighbour lists, including the row itself. (Re-ranking counts without it.)
        k2: Rows averaged in the local query expansion, including the row itself; 1 for none.
        limit: Largest distance to store; DBSCAN needs those up to its eps.

    Raises:
        InputError: As :func:`passerby.retrieval.distances`; or there are no rows, or k1 or k2 is
            below 1.

    Example:
        >>> import numpy as np
        >>> graph = jaccard_neighbours(np.eye(4).repeat(2, axis=0), k1=2, k2=1)
        >>> graph.shape, round(float(graph[0, 1]), 3)  # the second picture of the first person
        ((8, 8), 0.0)
    """
    return neighbours(encode(features, k1=k1, k2=k2).rows, limit=limit)


def encode(features: Features, *, k1: int = 30, k2: int = 6) -> Encoding:
    """Compute the k-reciprocal encoding of features (N, D); every row is in the gallery.

    The weights of members are softmax(-(2 - 2 cos)) over a row's expanded set, averaged over ``k2``
    rows. Options and errors are those of :func:`jaccard_neighbours`.
    """
    if k1 < 1 or k2 < 1:
        raise InputError(f"clustering with k1 {k1} and k2 {k2}; both must be at least 1")
    rows = checked(features, "clustered", unit=True)
    if not len(rows):
        raise InputError("there are no features to cluster; give rows (N, D)")
    return reciprocal.encode(rows, 0, k1=k1, k2=k2, metric="cosine", variant=FORM)


def neighbours(encoding: sparse.csr_matrix, *, limit: float | None = None) -> sparse.csr_matrix:
    """Compute :func:`jaccard_neighbours` from encoded rows (N, N) that each sum to one."""
    N = encoding.shape[0]
    largest = np.nextafter(np.float32(1), np.float32(0)) if limit is None else np.float32(limit)
    find = _compiled_pairs if compiled.pays(N) else _near_pairs
    # J = 1 - m / (2 - m) falls with m; few sums are large enough, and only these are divided
    least = max(0.0, float(2 * (1 - largest) / (2 - largest) - 1e-6))
    row, column, value = find(encoding, largest, least)
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


def _near_pairs(encoding: sparse.csr_matrix, largest: np.float32, least: float) -> Pairs:
    """Find rows, columns and distances (E,) of pairs i <= j up to the distance ``largest``.

    Their sums of minima exceed ``least``.
    """
    N = encoding.shape[0]
    found: list[Pairs] = []
    for start, sums in Members.of(encoding).blocks():
        cells = np.flatnonzero(sums > least)
        distances = _distances(sums[cells])
        kept = distances <= largest
        cells, distances = cells[kept], distances[kept]
        found.append((cells // N + start, (cells % N).astype(np.int32), distances))
    return _joined(found)


def _compiled_pairs(encoding: sparse.csr_matrix, largest: np.float32, least: float) -> Pairs:
    """Compute :func:`_near_pairs` by compiled functions."""
    from passerby.retrieval.set_kernels import near_pairs

    members = encoding.tocsc()
    rows = (encoding.indptr, encoding.indices, encoding.data)
    columns = (members.indptr, members.indices, members.data)
    limits = (largest, least)
    # eight parts per thread, as the first rows have most pairs
    parts = compiled.in_parts(
        lambda a, b: near_pairs(rows, columns, limits, a, b), encoding.shape[0], each=8
    )
    return _joined(parts)


def _joined(parts: list[Pairs]) -> Pairs:
    rows, columns, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rows, columns, distances


def kth_distances(encoding: Encoding, k: int, *, sample: int = 1000) -> NDArray[np.float32]:
    """Compute the Jaccard distance to the ``k``-th nearest row, for the choice of eps.

    The nearest row is the row itself (Ester et al., KDD 1996, section 4.2). The distances are those
    of at most about ``sample`` rows, evenly spread. They are 1 where fewer than ``k`` rows have a
    common member.
    """
    N = encoding.rows.shape[0]
    shared = [encoding.overlap(row)[1] for row in range(0, N, max(1, N // sample))]
    nearest = [np.partition(sums, -k)[-k] if len(sums) >= k else 0.0 for sums in shared]
    return _distances(np.array(nearest))


@dataclass(frozen=True, eq=False)
class Members:
    """An encoding sorted by rows and by members, to sum minima of pairs i <= j.

    J is symmetric, so that a row needs only the later rows in its members' lists.

    Attributes:
        encoding: (N, N), sorted by rows.
        rows: (E,) rows of the same entries sorted by member, then by row.
        values: (E,) their values.
        places: (E,) position of each entry of ``encoding`` in these two.
        counts: (E,) number of entries of its member from that position on.
    """

    encoding: sparse.csr_matrix
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, encoding: sparse.csr_matrix) -> Members:
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
        """Yield the first row of a block, and sums of minima m(i, j) of its rows (b N,), i <= j."""
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
        places = joined_ranges(self.places[own], counts)
        shared = self.values.take(places)
        np.minimum(shared, np.repeat(self.encoding.data[own], counts), out=shared)
        first = np.repeat(np.arange(stop - start) * N, np.diff(indptr[start : stop + 1]))
        cells: NDArray[np.int64] = np.repeat(first, counts)
        cells += self.rows.take(places)
        sums = np.bincount(cells, weights=shared, minlength=(stop - start) * N)
        return sums.astype(np.float64, copy=False)  # whole numbers where nothing is shared


def _distances(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute J = 1 - m / (2 - m) from sums of minima m; negative rounding errors become 0."""
    return np.maximum(1 - sums / (2 - sums), 0).astype(np.float32)
