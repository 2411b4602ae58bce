"""One search over the days of a gallery: what to read of each, proposals, decision."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import kernel
from passerby.city.gallery.columns import Columns

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Chosen:
    """What one search reads of one day; the day may grow meanwhile, ``total`` does not."""

    number: int
    day: Columns
    total: int
    rows: NDArray[np.int64] | None  # None: all


def propose(queries: NDArray[np.float64], k: int, chosen: list[Chosen]) -> list[kernel.Proposals]:
    """Rows that may be among the k nearest of each (Q, D) query.

    Days of which much is selected are scanned whole and masked; of the others the few rows are
    gathered into one matrix (``system.md`` 1.6).
    """
    import torch

    slack = kernel.scan_error(queries.shape[1])
    proposals = [kernel.Proposals(k, slack) for _ in queries]
    tensor = torch.from_numpy(queries.astype(np.float32))
    few: list[Chosen] = []
    for one in chosen:
        if one.total == 0 or (one.rows is not None and len(one.rows) == 0):
            continue
        if one.rows is not None and kernel.gathers(len(one.rows), one.total):
            few.append(one)
            continue
        scores = kernel.scan(one.day.segment.check()[: one.total], tensor)
        rows = np.arange(one.total) if one.rows is None else one.rows
        for proposal, row in zip(proposals, scores, strict=True):
            proposal.offer(np.array([one.number]), rows, row if one.rows is None else row[rows])
    if few:
        _gather(proposals, few, tensor)
    return proposals


def _gather(proposals: list[kernel.Proposals], few: list[Chosen], tensor: "torch.Tensor") -> None:
    """Copy the selected rows into a buffer that stays in cache, and scan it when it is full."""
    import torch

    dimension = few[0].day.segment.dimension
    size = min(kernel.SCAN_ROWS, sum(len(one.rows) for one in few if one.rows is not None))
    buffer = np.empty((size, dimension), np.float16)
    half = torch.from_numpy(buffer)
    numbers, places, filled = np.empty(size, np.int64), np.empty(size, np.int64), 0

    def offer() -> None:
        scores = kernel.scan(buffer[:filled], tensor)
        for proposal, row in zip(proposals, scores, strict=True):
            # copies: proposals are kept, the buffers are filled again
            proposal.offer(numbers[:filled].copy(), places[:filled].copy(), row)

    for one in few:
        assert one.rows is not None
        matrix, start = torch.from_numpy(one.day.segment.check(one.rows)), 0
        while start < len(one.rows):
            part = one.rows[start : start + size - filled]
            here = slice(filled, filled + len(part))
            # on all cores, which numpy's take is not
            torch.index_select(matrix, 0, torch.from_numpy(part), out=half[here])
            numbers[here], places[here] = one.number, part
            start, filled = start + len(part), filled + len(part)
            if filled == size:
                offer()
                filled = 0
    if filled:
        offer()


def decide(
    days: list[Columns], proposal: kernel.Proposals, query: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Places and exact distances of what was proposed for one query."""
    buckets, rows = proposal.settled()
    if len(rows) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    order = np.argsort(buckets, kind="stable")
    buckets, rows = buckets[order], rows[order]
    cuts = np.flatnonzero(np.diff(buckets)) + 1
    parts = [
        days[bucket].segment.mapped()[part]
        for bucket, part in zip(buckets[np.r_[0, cuts]], np.split(rows, cuts), strict=True)
    ]
    numbers = np.array([day.day for day in days], dtype=np.int64)
    return (numbers[buckets] << 32) + rows, kernel.decide(np.concatenate(parts), query)
