"""Exact nearest rows: a fast scan proposes, a slow sum decides.

The scan multiplies blocks of half-precision rows in float32. Its sums depend on the order of
additions, hence on where a row lies in a block, so it only proposes: every row within the scan's
error bound of the k-th best goes to the decision, a float64 sum of each row by itself. The answer
therefore does not depend on blocks, threads or on the other rows of the scope.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

GATHER_BELOW = 0.08  # share of a bucket under which gathering rows beats scanning (system.md 1.6)
SCAN_ROWS = 2048  # rows converted at once: 4 MiB of float32 at 512 dimensions stays in cache


def scan_error(dimension: int) -> float:
    """Bound of the scan's error against the cosine, for unit queries.

    D roundings of 2^-24 in the sum, twice for safety; and the stored rows were unit vectors before
    they were rounded to half precision (relative 2^-11, or 2^-25 for the smallest components).
    """
    return dimension * 2.0**-23 + 2.0**-11 + dimension**0.5 * 2.0**-25


def gathers(selected: int, total: int) -> bool:
    """Whether so few rows are selected that gathering them beats scanning the bucket."""
    return selected < GATHER_BELOW * total


@dataclass(slots=True)
class Proposals:
    """Rows that may be among the k nearest of one query, over several buckets."""

    k: int
    slack: float
    floor: float = -np.inf
    buckets: list[NDArray[np.int64]] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    scores: list[NDArray[np.float32]] = field(default_factory=list)

    def offer(
        self, bucket: int, rows: NDArray[np.int64] | None, scores: NDArray[np.float32]
    ) -> None:
        """Keep what can still be among the k best; ``rows`` None means row i has score i."""
        keep = np.flatnonzero(scores >= self.floor)
        if len(keep) > self.k:
            best = scores[keep]
            kth = np.partition(best, len(best) - self.k)[len(best) - self.k]
            self.floor = max(self.floor, float(kth) - 2 * self.slack)
            keep = keep[best >= self.floor]
        if len(keep) == 0:
            return
        self.buckets.append(np.full(len(keep), bucket))
        self.rows.append(keep if rows is None else rows[keep])
        self.scores.append(scores[keep])
        self._raise_floor()

    def _raise_floor(self) -> None:
        scores = np.concatenate(self.scores)
        if len(scores) < 2 * self.k:
            return
        kth = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
        self.floor = max(self.floor, float(kth) - 2 * self.slack)
        keep = scores >= self.floor
        self.buckets = [np.concatenate(self.buckets)[keep]]
        self.rows = [np.concatenate(self.rows)[keep]]
        self.scores = [scores[keep]]

    def settled(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bucket, row) of every proposal."""
        if not self.rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        scores = np.concatenate(self.scores)
        keep = scores >= self.floor
        if keep.sum() > self.k:
            kth = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
            keep &= scores >= kth - 2 * self.slack
        return np.concatenate(self.buckets)[keep], np.concatenate(self.rows)[keep]


def scan(
    vectors: NDArray[np.float16], rows: NDArray[np.int64] | None, queries: "torch.Tensor"
) -> NDArray[np.float32]:
    """(Q, n) float32 inner products of (Q, D) float32 queries with the selected rows.

    Few rows are gathered first; otherwise the whole bucket is scanned and the rest thrown away.
    """
    import torch

    if rows is not None and gathers(len(rows), len(vectors)):
        return (queries @ torch.from_numpy(vectors[rows]).float().T).numpy()
    bucket = torch.from_numpy(vectors)
    scores = torch.empty((len(queries), len(bucket)))
    buffer = torch.empty((min(SCAN_ROWS, len(bucket)), bucket.shape[1]))
    for start in range(0, len(bucket), SCAN_ROWS):
        part = bucket[start : start + SCAN_ROWS]
        block = buffer[: len(part)]
        block.copy_(part)
        torch.mm(queries, block.T, out=scores[:, start : start + len(part)])
    found: NDArray[np.float32] = scores.numpy()
    return found if rows is None else found[:, rows]


def decide(rows: NDArray[np.float16], query: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) float32 cosine distances of (n, D) rows: each row summed by itself in float64."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    return np.maximum(1.0 - (wide * query).sum(axis=1) / lengths, 0.0).astype(np.float32)
