"""Exact nearest neighbours in blocks, with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.retrieval.distances import BLOCK_BYTES, Features, Metric, distance_block, prepare


@dataclass(frozen=True, eq=False)
class Ranking:
    """The nearest gallery rows of each query, nearest first; rows at equal distance by number.

    Attributes:
        indices: (Q, k) int64 rows of the gallery.
        distances: (Q, k) float32, smaller is nearer.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that both arrays have one shape."""
        if self.indices.ndim != 2 or self.indices.shape != self.distances.shape:
            raise InputError(
                f"a ranking has indices {self.indices.shape} and distances "
                f"{self.distances.shape}; both must be (Q, k)"
            )

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def k(self) -> int:
        """Number of gallery rows listed for each query."""
        return int(self.indices.shape[1])

    def head(self, k: int) -> Ranking:
        """Return the first ``k`` rows of each query."""
        return Ranking(self.indices[:, :k], self.distances[:, :k])


def search(
    queries: Features,
    gallery: Features,
    k: int,
    *,
    metric: Metric = "cosine",
    block_bytes: int = BLOCK_BYTES,
) -> Ranking:
    """Find the ``k`` nearest gallery rows of each query, exactly.

    Rows at equal distance come in order of their numbers. No more than ``block_bytes`` of distances
    are held at once. The search runs on the device of ``queries``.

    >>> gallery = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
    >>> search([[0.0, 2.0]], gallery, 2).indices.tolist()
    [[1, 2]]

    Args:
        queries: (Q, D).
        gallery: (G, D).
        k: At least 1; where it exceeds G, all G rows are listed.
        metric: See :func:`passerby.retrieval.distances`.
        block_bytes: Size of one block of distances.

    Raises:
        InputError: As :func:`passerby.retrieval.distances`; or the gallery is empty, or k below 1.
    """
    if k < 1:
        raise InputError(f"a search for the nearest {k} is empty; ask for at least 1")
    left, right = prepare(queries, gallery, metric)
    if not len(right):
        raise InputError("the gallery is empty; there is nothing to search in")
    k = min(k, len(right))
    columns = min(len(right), max(4 * k, 1 << 15))
    rows = max(1, block_bytes // (4 * columns))
    found = [_search_rows(part, right, k, metric, columns) for part in left.split(rows)]
    if not found:
        found = [(left.new_empty(0, k), torch.empty(0, k, dtype=torch.int64))]
    values = torch.cat([v for v, _ in found]).clamp_(min=0)
    values = values.sqrt_() if metric == "euclidean" else values
    indices = torch.cat([i for _, i in found])
    return Ranking(indices.cpu().numpy(), values.cpu().numpy())


def _search_rows(
    queries: Tensor, gallery: Tensor, k: int, metric: Metric, columns: int
) -> tuple[Tensor, Tensor]:
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(gallery), columns):
        block = distance_block(queries, gallery[start : start + columns], metric)
        values, indices = smallest(block, k)
        indices = indices + start
        if best is not None:
            # rows found so far come first and have smaller numbers, which a stable sort keeps
            values, indices = torch.cat([best[0], values], 1), torch.cat([best[1], indices], 1)
            values, order = values.sort(dim=1, stable=True)
            values, indices = values[:, :k], indices.gather(1, order[:, :k])
        best = values, indices
    assert best is not None
    return best


def smallest(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` smallest of each row of ``block`` (R, N), in order; equal ones by column.

    Returns:
        Values (R, min(k, N)) and columns int64.
    """
    N = block.shape[1]
    if k >= N:
        return block.sort(dim=1, stable=True)
    values, columns = _top(block, k + 1)
    tied = values[:, k - 1] == values[:, k]
    columns, order = columns[:, :k].sort(dim=1)
    values, stable = values.gather(1, order).sort(dim=1, stable=True)
    columns = columns.gather(1, stable)
    # where equal values are on both sides of the cut, it is not defined which of them topk takes
    for row in tied.nonzero().flatten().tolist():
        ordered, places = block[row].sort(stable=True)
        values[row], columns[row] = ordered[:k], places[:k]
    return values, columns


def _top(block: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the smallest as ``topk`` does, in two steps where rows are long.

    The k smallest values of a row are in the k groups with the smallest minima. The minima of the
    groups are computed in one fast pass, so that topk, which is slow, runs on few numbers.
    """
    R, N = block.shape
    size = 32
    groups = N // size
    if groups < 8 * k or block.device.type != "cpu":
        return block.topk(k, dim=1, largest=False)
    # group g has the columns g, g + groups, ..., so that the minima are taken over whole stripes
    stripes = block[:, : groups * size].unflatten(1, (size, groups))
    chosen = stripes.amin(dim=1).topk(k, dim=1, largest=False, sorted=False).indices
    steps = torch.arange(0, groups * size, groups)
    rest = torch.arange(groups * size, N)
    columns = torch.cat([(chosen[:, :, None] + steps).flatten(1), rest.expand(R, -1)], dim=1)
    values, places = block.gather(1, columns).topk(k, dim=1, largest=False)
    return values, columns.gather(1, places)
