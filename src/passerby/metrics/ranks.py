"""The rank of each true match, by counting what is nearer.

Nothing is sorted that need not be: the rank of a true match is one plus the number of gallery rows
that take part and are nearer (or as near, with a smaller row number: ties go by row). For a good
network few rows are nearer than a query's last true match, so only those are looked at.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.metrics.matches import Matches

# above this share of the gallery, comparing all of it is faster than sorting the near part
NEAR_SHARE = 0.125


class RowCounter:
    """Ranks of the true matches of one query after another, on the CPU, in one scratch row.

    On one thread: its steps take microseconds each, shorter than threads take to hand over
    Python's lock (two threads were measured a third slower than one).
    """

    def __init__(self, matches: Matches, dtype: np.dtype) -> None:
        self.matches = matches
        # whole numbers know no NaN, by which rows are left out, and half precision is slow
        kind = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
        self.row = np.empty(matches.gallery_count, dtype=kind)
        self.mask = np.empty(matches.gallery_count, dtype=bool)

    def ranks(self, position: int, distances: NDArray[np.floating]) -> NDArray[np.int64]:
        """Ascending ranks (from 1) of the true matches of valid query number ``position``.

        Args:
            position: Index into ``matches.queries``.
            distances: (G,) of this query to the whole gallery.
        """
        row, true = self.row, self.matches.true[position]
        np.copyto(row, distances)
        # a maximum is not a number when anything is not
        if np.isnan(row.max()):
            query = int(self.matches.queries[position])
            column = int(np.isnan(row).argmax())
            raise InputError(
                f"the distance of query {query} to gallery row {column} is not a number; "
                "check the features"
            )
        # comparisons with NaN are false: rows that take no part are never nearer
        row[self.matches.left_out[position]] = np.nan
        if len(self.matches.never):
            row[self.matches.never] = np.nan
        values = row[true]
        order = values.argsort()
        nearer, as_near = self._count(values[order])
        for place in np.flatnonzero(as_near > 1):
            column = true[order[place]]
            before = row[:column] == values[order[place]]
            nearer[place] += np.count_nonzero(before)
        nearer.sort()
        return nearer + 1

    def _count(self, values: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many rows are nearer than, and how many exactly at, each of ascending values (M,)."""
        row, mask = self.row, self.mask
        nearer = np.empty(len(values), dtype=np.int64)
        as_near = np.empty(len(values), dtype=np.int64)
        last = len(values)
        while last:
            np.less_equal(row, values[last - 1], out=mask)
            within = np.count_nonzero(mask)
            if within <= NEAR_SHARE * len(row):
                near = row[mask.nonzero()[0]]
                near.sort()
                start = near.searchsorted(values[:last], side="left")
                nearer[:last] = start
                as_near[:last] = near.searchsorted(values[:last], side="right") - start
                break
            last -= 1
            nearer[last] = np.count_nonzero(np.less(row, values[last], out=mask))
            as_near[last] = within - nearer[last]
        return nearer, as_near


def ranks_on_device(
    matches: Matches, positions: NDArray[np.int64], distances: Tensor
) -> list[NDArray[np.int64]]:
    """As :meth:`RowCounter.ranks` for a block of queries at once, for distances on a GPU.

    Args:
        matches: Of all queries.
        positions: (B,) indices into ``matches.queries``.
        distances: (B, G) of these queries; overwritten.
    """
    device = distances.device
    wrong = distances.isnan().any(dim=1).nonzero().flatten().tolist()
    if wrong:
        query = int(matches.queries[positions[wrong[0]]])
        raise InputError(f"distances of query {query} are not numbers; check the features")
    out = [matches.left_out[p] for p in positions]
    rows = np.repeat(np.arange(len(positions)), [len(o) for o in out])
    distances[torch.from_numpy(rows), torch.from_numpy(np.concatenate(out))] = torch.nan
    distances[:, torch.from_numpy(matches.never).to(device)] = torch.nan
    true = [matches.true[p] for p in positions]
    counts = np.array([len(t) for t in true])
    padded = np.zeros((len(true), counts.max()), dtype=np.int64)
    padded[np.arange(counts.max()) < counts[:, None]] = np.concatenate(true)
    columns = torch.from_numpy(padded).to(device)
    values = distances.gather(1, columns)
    order = torch.arange(distances.shape[1], device=device)
    ranks = torch.empty_like(columns)
    for m in range(columns.shape[1]):
        value, column = values[:, m : m + 1], columns[:, m : m + 1]
        nearer = (distances < value) | ((distances == value) & (order < column))
        ranks[:, m] = nearer.sum(dim=1) + 1
    host = ranks.cpu().numpy()
    return [np.sort(host[i, :count]) for i, count in enumerate(counts)]
