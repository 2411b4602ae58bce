"""The nearest rows of each row of one set, from half of the products of all pairs.

A product of two blocks of rows is used for both: it is read by rows and by columns. Few of its
entries are nearer than the candidates that a row already has, and only these are examined. The
search takes little more time than the product.
"""

import torch
from torch import Tensor

from passerby.retrieval.distances import Metric, distance_block
from passerby.retrieval.search import smallest

FLOOD = 64  # if more than one in this many distances is near, sorting is faster than selecting
WORD = 8  # flags read at once
LAST = torch.iinfo(torch.int64).max


class NearestRows:
    """The ``k`` nearest candidates of each row so far; equal distances in order of rows.

    A candidate is one whole number: the distance in its high bits, the number of its row in its low
    bits. No two are equal, so that every sort gives the same lists.

    Attributes:
        keys: (N, k) int64 in ascending order, ``LAST`` where there is no candidate yet.
        limit: (N,) float32 distance of the last candidate.
    """

    def __init__(self, count: int, k: int, device: torch.device) -> None:
        self.keys = torch.full((count, k), LAST, dtype=torch.int64, device=device)
        self.limit = torch.full((count,), torch.inf, device=device)

    def add_candidates(self, start: int, block: Tensor, first: int) -> None:
        """Look for nearer candidates in distances of rows ``start`` .. to rows ``first`` ..

        Args:
            start: Number of the first row of the block.
            block: (R, C) distances; it may be the transpose of the tensor in memory.
            first: Number of the row of the first column. All columns must have higher numbers than
                those added to these rows before, so that they do not replace one at equal distance.
        """
        own = slice(start, start + len(block))
        flipped = not block.is_contiguous()
        limit = self.limit[own]
        # the flags are made and searched in the order of memory
        stored = block.T if flipped else block
        places = true_places(stored, limit if flipped else limit[:, None])
        if places is None:
            self._sort(start, block.contiguous(), first)
            return
        rows, columns = places
        if not len(rows):
            return
        values = stored[rows, columns]
        if flipped:
            columns, order = columns.sort(stable=True)
            rows, columns, values = columns, rows[order], values[order]
        self._merge(rows + start, pack(values, columns + first))

    def _sort(self, start: int, block: Tensor, first: int) -> None:
        """Add the best candidates of every row, found by sorting."""
        own = slice(start, start + len(block))
        k = self.keys.shape[1]
        values, columns = smallest(block, k)
        both = torch.cat([self.keys[own], pack(values, columns + first)], dim=1)
        self._retain(own, both)

    def _merge(self, rows: Tensor, keys: Tensor) -> None:
        """Add candidates (E,), ordered by row."""
        touched, counts = torch.unique_consecutive(rows, return_counts=True)
        k = self.keys.shape[1]
        both = torch.full(
            (len(touched), k + int(counts.max())), LAST, dtype=torch.int64, device=rows.device
        )
        both[:, :k] = self.keys[touched]
        line = torch.arange(len(touched), device=rows.device).repeat_interleave(counts)
        starts = (counts.cumsum(0) - counts).repeat_interleave(counts)
        both[line, torch.arange(len(rows), device=rows.device) - starts + k] = keys
        self._retain(touched, both)

    def _retain(self, rows: slice | Tensor, keys: Tensor) -> None:
        kept = keys.topk(self.keys.shape[1], dim=1, largest=False).values
        self.keys[rows] = kept
        last = kept[:, -1]
        self.limit[rows] = torch.where(last == LAST, torch.inf, unpack(last)[0])


def pack(values: Tensor, columns: Tensor) -> Tensor:
    """Pack float32 values and columns into one int64 each, ordered by value, then by column."""
    # adding zero turns -0 into 0; the bits of negative numbers count downwards
    bits = (values + 0.0).view(torch.int32).to(torch.int64)
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return (bits << 32) | columns


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values float32 and columns int64 that :func:`pack` packed."""
    bits = keys >> 32
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    return bits.to(torch.int32).view(torch.float32), keys & 0xFFFFFFFF


def true_places(block: Tensor, limit: Tensor) -> tuple[Tensor, Tensor] | None:
    """Find rows and columns (E,) where ``block`` (R, C) is below ``limit``, in order of memory.

    Returns:
        None where there are so many that sorting is faster.
    """
    R, C = block.shape
    width = -(-C // WORD) * WORD
    near = torch.empty(R, width, dtype=torch.bool, device=block.device)
    near[:, C:] = False
    torch.lt(block, limit, out=near[:, :C])
    # eight flags are read at once, as nearly all are false
    words = near.view(torch.int64).nonzero(as_tuple=True)
    if len(words[0]) * FLOOD > R * C:
        return None
    which, flag = near.view(R, -1, WORD)[words].nonzero(as_tuple=True)
    return words[0][which], words[1][which] * WORD + flag


def nearest_rows(
    features: Tensor, k: int, *, metric: Metric, rows: int = 2048, farthest: bool = True
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Find the ``k`` nearest rows of each row, itself included, and the farthest distance.

    It takes N^2 D multiplications and additions, half of those of all pairs.

    Args:
        features: (N, D), prepared.
        k: At most N.
        metric: As in :func:`passerby.retrieval.distances`; Euclidean distances stay squared.
        rows: Rows of one block of distances, which has twice as many columns.
        farthest: Whether to find the farthest distances too.

    Returns:
        Rows (N, k) int64 in order of distance, their distances (N, k), and per row the largest
        distance to any row (N,), or None.
    """
    N = len(features)
    found = NearestRows(N, k, features.device)
    largest = torch.full((N,), -torch.inf, device=features.device) if farthest else None
    memory = features.new_empty(min(rows, N) * min(2 * rows, N))
    for start in range(0, N, rows):
        stop = min(start + rows, N)
        for first in range(start, N, 2 * rows):
            last = min(first + 2 * rows, N)
            block = distance_block(features[start:stop], features[first:last], metric, memory)
            found.add_candidates(start, block, first)
            others = max(first, stop)  # rows of the block itself already have all candidates
            rest = block[:, others - first :]
            if others < last:
                found.add_candidates(others, rest.T, start)
            if largest is not None:
                own, theirs = largest[start:stop], largest[others:last]
                torch.maximum(own, block.amax(dim=1), out=own)
                if others < last:
                    torch.maximum(theirs, rest.amax(dim=0), out=theirs)
    values, columns = unpack(found.keys)
    return columns, values, largest
