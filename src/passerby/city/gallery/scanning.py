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
    parts = [(one.number, one.rows, one.day.segment) for one in few if one.rows is not None]
    matrix = np.concatenate([segment.check(rows)[rows] for _, rows, segment in parts])
    numbers = np.concatenate([np.full(len(rows), number) for number, rows, _ in parts])
    rows = np.concatenate([rows for _, rows, _ in parts])
    for proposal, scores in zip(proposals, kernel.scan(matrix, tensor), strict=True):
        proposal.offer(numbers, rows, scores)


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
