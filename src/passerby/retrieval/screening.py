"""Exact nearest rows by codes of one byte: a fast screen selects candidates, float64 decides.

A row u of unit length is stored as whole numbers c of eight bits: u = s c + r, with one scale s.
e >= |r| is a bound of the rounding error. The same holds for a query q = t d + w with |w| <= f. By
the inequality of Cauchy and Schwarz, as |u| = |q| = 1 and |s c| <= 1 + e:

    |<u, q> - s t <c, d>|  =  |<s c, w> + <r, q>|  <=  (1 + e) f + e

<c, d> is a sum of whole numbers, so that it is exact in any order of its terms. A row whose upper
bound is below the k-th largest lower bound cannot be among the k nearest. The few other rows are
bounded again by the query itself, within e. The remaining rows are the candidates. Their cosines
are summed in float64, each row by itself. The answer therefore does not depend on blocks, threads,
kernels or the other rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import numkong
except ImportError:  # no wheel for this machine: slower, the same answers
    numkong = None  # type: ignore[assignment]

LARGEST = 127  # code
GROUP = 32  # rows of which only the best lower bound is used
ENCODED = 256  # rows encoded at once, so that they stay in the cache
BLOCK = 4096  # rows multiplied at once
EXACT_TERMS = 1024  # products of two codes that float32 adds up without rounding
SLACK = 2e-6  # far more than the float32 rounding of a score, a bound or a distance


@dataclass(frozen=True)
class Codes:
    """N rows of unit length as codes.

    Attributes:
        values: (N, D) int8.
        scales: (N,) float32; a row is about its scale times its values.
        errors: (N,) float32 upper bounds of the length of the rounding error.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    errors: NDArray[np.float32]

    def __getitem__(self, rows: Any) -> "Codes":
        """Select the codes of some rows by a slice, a mask or row numbers."""
        return Codes(self.values[rows], self.scales[rows], self.errors[rows])

    def __len__(self) -> int:
        return len(self.values)


def encode(rows: NDArray[Any]) -> Codes:
    """Encode rows (N, D) of any float type, with lengths from 1e-30 to 1e30."""
    N, D = rows.shape
    codes = Codes(np.empty((N, D), np.int8), np.empty(N, np.float32), np.empty(N, np.float32))
    for start in range(0, N, ENCODED):
        part = slice(start, min(start + ENCODED, N))
        unit = rows[part].astype(np.float32, order="C")
        unit *= (1 / np.sqrt(np.einsum("nd,nd->n", unit, unit, dtype=np.float64)))[:, None].astype(
            np.float32
        )
        scales = np.abs(unit).max(axis=1) / np.float32(LARGEST)
        values = np.rint(unit / scales[:, None])
        unit -= values * scales[:, None]
        codes.values[part], codes.scales[part] = values, scales
        # the margins cover the rounding of the sum, of the unit row and of the rest
        lengths = np.sqrt(np.einsum("nd,nd->n", unit, unit))
        codes.errors[part] = lengths * (1.0001 + 2**-24 * D) + 4e-7
    return codes


def products(left: NDArray[np.int8], right: NDArray[np.int8]) -> NDArray[np.float32]:
    """Compute all products of codes (Q, D) and codes (N, D): (Q, N) whole numbers as float32."""
    found = np.zeros((len(left), len(right)), np.float32)
    if numkong is not None and found.size:
        # numkong sums whole numbers and only writes them as float32; as int32 it writes them ten
        # times more slowly
        numkong.cdist(left, right, "dot", out=found, out_dtype="float32")
        return found
    for start in range(0, len(right), BLOCK):
        block = right[start : start + BLOCK].astype(np.float32)
        total = np.zeros((len(left), len(block)))
        for first in range(0, left.shape[1], EXACT_TERMS):
            some = slice(first, first + EXACT_TERMS)
            total += left[:, some].astype(np.float32) @ block[:, some].T
        found[:, start : start + BLOCK] = total
    return found


def unit_rows(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Scale rows (Q, D) to unit length in float64.

    Raises:
        ValueError: A row is zero or not finite.
    """
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms)) or np.any(norms == 0):
        raise ValueError("a vector is zero or not finite")
    unit: NDArray[np.float64] = rows / norms
    return unit


def cosine_distances(rows: NDArray[Any], query: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute 1 - cos (N,) of rows (N, D) and a unit query (D,), each row summed by itself."""
    wide = rows.astype(np.float64, order="C")  # the order of the sum depends on the layout
    lengths = np.sqrt((wide * wide).sum(axis=1))
    distances: NDArray[np.float64] = 1.0 - (wide * query).sum(axis=1) / lengths
    return np.maximum(distances, 0.0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows for a screen.

    Attributes:
        keys: (n,) numbers that identify the rows, or the number of the first row.
        codes: Codes of the n rows.
        mask: (n,) which of the rows count; all when None.
    """

    keys: NDArray[np.int64] | int
    codes: Codes
    mask: NDArray[np.bool_] | None = None

    @property
    def shown(self) -> NDArray[np.bool_]:
        """(n,) which of the rows count."""
        return np.ones(len(self.codes), bool) if self.mask is None else self.mask

    def names(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the keys of some rows."""
        return self.keys[rows] if isinstance(self.keys, np.ndarray) else rows + self.keys


class Screen:
    """The candidates for the k nearest rows of unit queries (Q, D), from any number of blocks.

    Several screens in several threads may each take a part of the blocks; :meth:`merge` joins them.
    """

    def __init__(self, queries: NDArray[np.float64], k: int) -> None:
        """Start without candidates."""
        self.k = k
        self._codes = encode(queries)
        self._unit = queries.astype(np.float32)
        self._scale, self._error = (
            self._codes.scales.astype(float),
            self._codes.errors.astype(float),
        )
        # scores and bounds by the query's codes are stored divided by its scale
        self._factor = ((1 + self._error) / self._scale).astype(np.float32)
        self._gap = 2 * (self._error + SLACK) / self._scale
        # the k largest lower bounds in any order: by the query's codes, and by the query itself
        self._best = np.full((len(queries), k), -np.inf, np.float32)
        self._fine = self._best.copy()
        self._rounding = queries.shape[1] * 2.0**-23  # of a sum of float32, and more
        self._found: list[list[tuple[NDArray[np.int64], NDArray[np.float32]]]] = [
            [] for _ in queries
        ]

    def add_candidates(self, pieces: Sequence["Piece"]) -> None:
        """Look for candidates in pieces; many small ones are about as fast as a large one."""
        pieces = [piece for piece in pieces if len(piece.codes)]
        if not pieces:
            return
        edges = np.cumsum([0, *(len(piece.codes) for piece in pieces)])
        multiplied = np.empty((len(self._codes), edges[-1]), np.float32)
        for start, piece in zip(edges.tolist(), pieces, strict=False):
            stop = start + len(piece.codes)
            multiplied[:, start:stop] = products(self._codes.values, piece.codes.values)
        scales = _joined([piece.codes.scales for piece in pieces])
        errors = _joined([piece.codes.errors for piece in pieces])
        hidden = None
        if any(piece.mask is not None for piece in pieces):
            hidden = ~np.concatenate([piece.shown for piece in pieces])
        for q, row in enumerate(multiplied):
            score = np.multiply(row, scales, out=row)
            doubt = errors * self._factor[q]
            if hidden is not None:  # codes of hidden rows may have any value, even NaN
                score[hidden], doubt[hidden] = -np.inf, 0
            _raise(self._best[q], _largest(score - doubt, self.k))
            score += doubt
            near = np.flatnonzero(score >= self._limit(q))
            cuts = np.searchsorted(near, edges)
            for piece, start, a, b in zip(pieces, edges, cuts[:-1], cuts[1:], strict=False):
                if b > a:
                    self._look_closely(q, piece, near[a:b] - start)

    def _limit(self, q: int) -> float:
        """Compute the lowest upper bound, by the query's codes, of a possible candidate."""
        fine = (float(self._fine[q].min()) - self._error[q] - 2 * SLACK) / self._scale[q]
        return float(max(float(self._best[q].min()) - self._gap[q], fine))

    def _look_closely(self, q: int, piece: "Piece", rows: NDArray[np.int64]) -> None:
        """Bound few rows by the query itself, without the error of its codes: |<r, q>| <= e."""
        if piece.mask is not None:  # while there are fewer than k others, hidden rows come here
            rows = rows[piece.mask[rows]]
        codes = piece.codes[rows]
        score = (codes.values.astype(np.float32) @ self._unit[q]) * codes.scales
        error = codes.errors + np.float32(self._rounding)
        _raise(self._fine[q], score - error)
        upper = score + error
        keep = upper >= self._fine[q].min() - SLACK
        self._found[q].append((piece.names(rows[keep]), upper[keep]))

    def merge(self, other: "Screen") -> None:
        """Add the candidates and bounds of another screen of the same queries."""
        for q, found in enumerate(other._found):
            _raise(self._best[q], other._best[q])
            _raise(self._fine[q], other._fine[q])
            self._found[q] += found

    def candidates(self) -> Iterator[NDArray[np.int64]]:
        """Yield for each query the keys of all rows that may be among its k nearest."""
        for q, found in enumerate(self._found):
            if not found:
                yield np.zeros(0, np.int64)
                continue
            keys = np.concatenate([names for names, _ in found])
            upper = np.concatenate([bounds for _, bounds in found])
            yield keys[upper >= self._fine[q].min() - SLACK]


def _raise(best: NDArray[np.float32], values: NDArray[np.float32]) -> None:
    """Keep the k largest of k values and some others, in place."""
    both = np.concatenate([best, values])
    best[:] = np.partition(both, len(both) - len(best))[len(both) - len(best) :]


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return at most k large values of (n,); the k largest where n is small."""
    whole = len(values) // GROUP * GROUP
    if whole >= 8 * GROUP * k:  # one fast pass over groups gives nearly as high bounds
        best = values[:whole].reshape(GROUP, -1).max(axis=0)
        values = np.concatenate([best, values[whole:]])
    if len(values) <= k:
        return values
    return np.partition(values, len(values) - k)[len(values) - k :]
