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
from passerby.retrieval import compiled
from passerby.retrieval import encoding as reciprocal
from passerby.retrieval.distances import Features, checked
from passerby.retrieval.encoding import Encoding
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
SHARED = 1 << 16  # shared members added up at once


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
    return neighbours(encode(features, k1=k1, k2=k2).rows, limit=limit)


def encode(features: Features, *, k1: int = 30, k2: int = 6) -> Encoding:
    """The k-reciprocal encoding of features (N, D), every row of which is in the gallery.

    Members weigh softmax(-(2 - 2 cos)) over a row's expanded set, then come the means over ``k2``
    rows. Options and errors as :func:`jaccard_neighbours`.
    """
    if k1 < 1 or k2 < 1:
        raise InputError(f"clustering with k1 {k1} and k2 {k2}; both must be at least 1")
    rows = checked(features, "clustered", unit=True)
    if not len(rows):
        raise InputError("there are no features to cluster; give rows (N, D)")
    return reciprocal.encode(rows, 0, k1=k1, k2=k2, metric="cosine", variant=FORM)


def neighbours(encoding: sparse.csr_matrix, *, limit: float | None = None) -> sparse.csr_matrix:
    """As :func:`jaccard_neighbours`, of encoded rows (N, N) that each sum to one."""
    N = encoding.shape[0]
    largest = np.nextafter(np.float32(1), np.float32(0)) if limit is None else np.float32(limit)
    find = _compiled_pairs if compiled.pays(N) else _near_pairs
    # J = 1 - m / (2 - m) falls with m: few sums are large enough, the division is for these
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
    """Rows, columns and distances (E,) of pairs i <= j up to the distance ``largest``.

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
    """As :func:`_near_pairs`, compiled."""
    from passerby.retrieval.set_kernels import near_pairs

    members = encoding.tocsc()
    rows = (encoding.indptr, encoding.indices, encoding.data)
    columns = (members.indptr, members.indices, members.data)
    limits = (largest, least)
    # first rows have most pairs
    return _joined(
        compiled.in_parts(
            lambda a, b: near_pairs(rows, columns, limits, a, b), encoding.shape[0], each=8
        )
    )


def _joined(parts: list[Pairs]) -> Pairs:
    rows, columns, distances = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rows, columns, distances


def kth_distances(encoding: Encoding, k: int, *, sample: int = 1000) -> NDArray[np.float32]:
    """Jaccard distance to the ``k``-th nearest row, itself the first: what eps is compared with.

    Ester et al. (KDD 1996), section 4.2. Of at most about ``sample`` rows, evenly spread; 1 where
    fewer than ``k`` rows have anything in common.
    """
    N = encoding.rows.shape[0]
    shared = [encoding.overlap(row)[1] for row in range(0, N, max(1, N // sample))]
    nearest = [np.partition(sums, -k)[-k] if len(sums) >= k else 0.0 for sums in shared]
    return _distances(np.array(nearest))


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
        places: NDArray[np.int64] = np.repeat(self.places[own] - (ends - counts), counts)
        places += np.arange(total)
        shared = self.values.take(places)
        np.minimum(shared, np.repeat(self.encoding.data[own], counts), out=shared)
        first = np.repeat(np.arange(stop - start) * N, np.diff(indptr[start : stop + 1]))
        cells: NDArray[np.int64] = np.repeat(first, counts)
        cells += self.rows.take(places)
        sums = np.bincount(cells, weights=shared, minlength=(stop - start) * N)
        return sums.astype(np.float64, copy=False)  # whole numbers where nothing is shared


def _distances(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """J = 1 - m / (2 - m) of the sums of minima m; rounding below 0 is cut off."""
    return np.maximum(1 - sums / (2 - sums), 0).astype(np.float32)
