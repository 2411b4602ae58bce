"""The rank of each true match, found by counting the nearer gallery rows.

The rank of a true match is one plus the number of gallery rows that take part and are nearer. Rows
at the same distance count as nearer if their row number is smaller. With a good network few rows
are nearer than a query's last true match. Only these are sorted.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.metrics.matches import Matches

# above this share of the gallery, comparing all of it is faster than sorting the near part
NEAR_SHARE = 0.125
SHOTS_SEED = 0  # of the random draws, so that every run gives the same figure


class RowCounter:
    """Counts ranks of the true matches, query by query, on the CPU, in one scratch row.

    It uses one thread. Its steps take microseconds, which is less than the hand-over of Python's
    lock between threads: two threads were measured a third slower than one.

    Attributes:
        matches: The true matches of all queries.
        row: (G,) distances of the last query; NaN where a row takes no part for it.
    """

    def __init__(self, matches: Matches, dtype: np.dtype) -> None:
        self.matches = matches
        # rows are left out by NaN, which whole numbers do not have; half precision is slow
        kind = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
        self.row = np.empty(matches.gallery_count, dtype=kind)
        self.mask = np.empty(matches.gallery_count, dtype=bool)

    def ranks(self, position: int, distances: NDArray[np.floating]) -> NDArray[np.int64]:
        """Count the ranks, ascending from 1, of the true matches of valid query ``position``.

        Args:
            position: Index into ``matches.queries``.
            distances: (G,) of this query to the whole gallery.
        """
        row, true = self.row, self.matches.true[position]
        np.copyto(row, distances)
        # the maximum is NaN if any value is
        if np.isnan(row.max()):
            query = int(self.matches.queries[position])
            column = int(np.isnan(row).argmax())
            raise InputError(
                f"the distance of query {query} to gallery row {column} is not a number; "
                "check the features"
            )
        # comparisons with NaN are false, so that rows that take no part are never nearer
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
        """Count the rows nearer than, and those exactly at, each of ascending values (M,)."""
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


def shot_hits(
    counter: RowCounter,
    position: int,
    ranks: Sequence[int],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Compute the share of draws in which the query's person is at each rank or before.

    This is the CMC of CUHK03's old protocol. Each draw keeps one random picture of every identity
    that takes part for the query. The number of draws is the protocol's ``shots``.

    Args:
        counter: Just after :meth:`RowCounter.ranks` of the same ``position``.
        position: Index into the valid queries.
        ranks: Ranks k of the CMC.
        random: The source of the draws.

    Returns:
        Shares (len(ranks),).
    """
    gallery_ids, shots = counter.matches.gallery_ids, counter.matches.protocol.shots
    part = np.flatnonzero(~np.isnan(counter.row))
    wanted = gallery_ids[counter.matches.true[position][0]]
    people, person = np.unique(gallery_ids[part], return_inverse=True)
    own = int(np.searchsorted(people, wanted))
    hits = np.zeros(len(ranks))
    for _ in range(shots):
        # the first picture of each person in a random order is a uniform draw
        order = random.permutation(len(part))
        chosen = part[order[np.unique(person[order], return_index=True)[1]]]
        value = counter.row[chosen]
        nearer = (value < value[own]) | ((value == value[own]) & (chosen < chosen[own]))
        rank = 1 + int(nearer.sum())
        hits += [rank <= k for k in ranks]
    return hits / shots


def ranks_on_device(
    matches: Matches, positions: NDArray[np.int64], distances: Tensor
) -> list[NDArray[np.int64]]:
    """Count ranks as :meth:`RowCounter.ranks`, for a block of queries on a GPU at once.

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
