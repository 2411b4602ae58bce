"""Exact nearest rows: a fast scan proposes, a slow sum decides.

The scan multiplies half-precision rows in blocks. Its sums are rounded, and depend on the order of
additions, hence on where a row lies in a block; so it only proposes: every row within the scan's
error bound of the k-th best goes to the decision, a float64 sum of each row by itself. The answer
therefore does not depend on blocks, threads, kernels or on the other rows of the scope.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

GATHER_BELOW = 0.15  # share of a bucket under which gathering beats scanning; measured at 512-d
SCAN_ROWS = 2048  # rows converted at once: 4 MiB of float32 at 512 dimensions stays in cache
HALF = 2.0**-11  # largest relative error of rounding to half precision
TINY = 2.0**-25  # largest absolute error of rounding to half precision near zero


def scan_error(dimension: int) -> float:
    """Bound of the scan's error against the cosine, for unit queries.

    The stored rows were unit vectors before they were rounded to half precision; the fast product
    rounds the query and its result likewise; and the sum has D roundings of 2^-24, twice for
    safety.
    """
    root: float = dimension**0.5
    return 3 * HALF + dimension * 2.0**-23 + (2 * root + 1) * TINY


@cache
def half_product_adds_wide(dimension: int) -> bool:
    """Whether torch adds half-precision products up in float32 on this machine.

    Probed, as it depends on the processor: sums of equal signs of every size would lose several
    times the bound if they were kept in half precision.
    """
    import torch

    rows = np.abs(np.random.default_rng(0).standard_normal((256, dimension)))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    exact = rows.astype(np.float64) @ rows[0].astype(np.float64)
    tensor = torch.from_numpy(rows)
    product = torch.mv(tensor, tensor[0]).double().numpy()
    return bool(np.abs(product - exact).max() < 1.5 * HALF + dimension * 2.0**-23)


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
        self, buckets: NDArray[np.int64], rows: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> None:
        """Keep what can still be among the k best of n rows; ``buckets`` is (n,) or (1,)."""
        keep = np.flatnonzero(scores >= self.floor)
        if len(keep) > self.k:
            best = scores[keep]
            kth = np.partition(best, len(best) - self.k)[len(best) - self.k]
            self.floor = max(self.floor, float(kth) - 2 * self.slack)
            keep = keep[best >= self.floor]
        if len(keep) == 0:
            return
        self.buckets.append(np.broadcast_to(buckets, len(rows))[keep])
        self.rows.append(rows[keep])
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


def scan(vectors: NDArray[np.float16], queries: "torch.Tensor") -> NDArray[np.float32]:
    """(Q, n) inner products of (Q, D) float32 queries with (n, D) rows, within the scan's error."""
    import torch

    rows = torch.from_numpy(vectors)
    if len(queries) == 1 and half_product_adds_wide(vectors.shape[1]):
        half: NDArray[np.float32] = torch.mv(rows, queries[0].half()).float().numpy()[None]
        return half
    scores = torch.empty((len(queries), len(rows)))
    buffer = torch.empty((min(SCAN_ROWS, len(rows)), rows.shape[1]))
    for start in range(0, len(rows), SCAN_ROWS):
        part = rows[start : start + SCAN_ROWS]
        block = buffer[: len(part)]
        block.copy_(part)
        torch.mm(queries, block.T, out=scores[:, start : start + len(part)])
    found: NDArray[np.float32] = scores.numpy()
    return found


def decide(rows: NDArray[np.float16], query: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n,) float32 cosine distances of (n, D) rows: each row summed by itself in float64."""
    wide = rows.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    return np.maximum(1.0 - (wide * query).sum(axis=1) / lengths, 0.0).astype(np.float32)
