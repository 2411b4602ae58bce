"""Compiled forms of k-reciprocal sets, sums of minima and products of pairs; they need numba.

The results equal those of numpy in :mod:`passerby.retrieval.encoding` and
:mod:`passerby.cluster.jaccard` bit for bit. Only products of pairs of rows differ by the rounding
of float32.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.retrieval.compiled import kernel

WIDTH = 32  # sums that are tested together, as nearly always all of them are small
Pairs = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


@kernel()
def reciprocal_mask(
    lists: NDArray[np.int32], mask: NDArray[np.bool_], start: int, stop: int
) -> None:
    """Fill rows ``start`` to ``stop`` of ``mask`` (N, L): whether i is in the entry's own list."""
    L = lists.shape[1]
    for i in range(start, stop):
        for n in range(L):
            theirs, found = lists[lists[i, n]], False
            for m in range(L):
                found |= theirs[m] == i
            mask[i, n] = found


@kernel()
def additional_members(
    lists: NDArray[np.int32],
    mutual: NDArray[np.bool_],
    half_mutual: NDArray[np.bool_],
    start: int,
    stop: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Find the pairs of :func:`passerby.retrieval.encoding.expanded_sets` of some rows."""
    (N, L), half = lists.shape, half_mutual.shape[1]
    # for each number the last row whose reciprocal set, and whose expanded set, contains it
    inside, joined = np.full(N, -1, np.int32), np.full(N, -1, np.int32)
    rows = np.empty(stop - start + L * half, np.int64)
    columns = np.empty(len(rows), np.int32)
    count = 0
    for i in range(start, stop):
        first = count
        if count + L * half > len(rows):
            rows, columns = _longer(rows), _longer(columns)
        for n in range(L):
            if mutual[i, n]:
                inside[lists[i, n]] = joined[lists[i, n]] = i
        for n in range(L):
            candidate = lists[i, n]
            if not mutual[i, n] or not _joins(lists[candidate], half_mutual[candidate], inside, i):
                continue
            for m in range(half):
                member = lists[candidate, m]
                if half_mutual[candidate, m] and joined[member] != i:
                    joined[member] = rows[count] = i
                    place = count
                    while place > first and columns[place - 1] > member:
                        columns[place] = columns[place - 1]
                        place -= 1
                    columns[place] = member
                    count += 1
    return rows[:count].copy(), columns[:count].copy()


@kernel()
def _joins(
    theirs: NDArray[np.int32], counted: NDArray[np.bool_], inside: NDArray[np.int32], i: int
) -> bool:
    """Whether more than two thirds of a candidate's reciprocal set are in that of row ``i``."""
    members, overlap = np.int64(0), np.int64(0)
    for m in range(len(counted)):
        if counted[m]:
            members += 1
            overlap += np.int64(inside[theirs[m]] == i)
    return bool(3 * overlap > 2 * members)


@kernel()
def _longer(array: NDArray[Any]) -> NDArray[Any]:
    """Copy the numbers into an array of twice the length."""
    made = np.empty(2 * len(array), array.dtype)
    made[: len(array)] = array
    return made


@kernel()
def near_pairs(
    encoding: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]],
    members: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]],
    limits: tuple[np.float32, float],
    start: int,
    stop: int,
) -> Pairs:
    """Find pairs i <= j of rows i from ``start`` to ``stop`` whose Jaccard distance is small.

    Args:
        encoding: Starts, columns and values of sparse rows (N, N).
        members: The same by columns: for each member the rows that have it, in order, and values.
        limits: The largest distance to keep, and a sum of minima (0 or more) that all such pairs
            exceed.
        start: The first row.
        stop: The row after the last.

    Returns:
        Rows, columns and distances (E,), rows in order.
    """
    starts, columns, values = encoding
    largest, least = limits
    member_starts, owners, shares = members
    N = len(starts) - 1
    sums = np.zeros(N)
    # the position of row i in the list of each member; earlier rows are done
    heads = np.empty(N, np.int64)
    for m in range(N):
        own = owners[member_starts[m] : member_starts[m + 1]]
        heads[m] = member_starts[m] + np.searchsorted(own, start)
    rows = np.empty(16 * (stop - start) + WIDTH, np.int64)
    others, distances = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    count = 0
    for i in range(start, stop):
        for e in range(starts[i], starts[i + 1]):
            m, value = columns[e], values[e]
            for place in range(heads[m], member_starts[m + 1]):
                sums[owners[place]] += min(value, shares[place])
            heads[m] += 1
        for first in range(i, N, WIDTH):
            near = np.int64(0)
            for total in sums[first : first + WIDTH]:
                near += np.int64(total > least)
            if near == 0:
                continue
            if count + WIDTH > len(rows):
                rows, others, distances = _longer(rows), _longer(others), _longer(distances)
            for j in range(first, min(first + WIDTH, N)):
                distance = np.float32(max(1 - sums[j] / (2 - sums[j]), 0.0))
                if sums[j] > least and distance <= largest:
                    rows[count], others[count], distances[count] = i, j, distance
                    count += 1
        sums[i:] = 0
    return rows[:count].copy(), others[:count].copy(), distances[:count].copy()


@kernel()
def pair_products(
    rows: NDArray[np.float32],
    pairs: tuple[NDArray[np.int64], NDArray[np.int32]],
    found: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Fill products ``found`` (E,) of ``pairs`` of rows (N, D), from ``start`` to ``stop``."""
    left, right = pairs
    for e in range(start, stop, 4):
        # the last pair is repeated where fewer than four are left
        f, g, h = min(e + 1, stop - 1), min(e + 2, stop - 1), min(e + 3, stop - 1)
        found[e], found[f], found[g], found[h] = _four_products(
            rows, (left[e], left[f], left[g], left[h]), (right[e], right[f], right[g], right[h])
        )


@kernel(reordered=True)
def _four_products(
    rows: NDArray[np.float32], left: tuple[int, int, int, int], right: tuple[int, int, int, int]
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Compute products of four pairs of ``rows`` at once, so that waits for memory overlap.

    A pair has the same product in each of the four positions, so that equal rows stay tied.
    """
    a, b, c, d = rows[left[0]], rows[left[1]], rows[left[2]], rows[left[3]]
    e, f, g, h = rows[right[0]], rows[right[1]], rows[right[2]], rows[right[3]]
    first = second = third = fourth = np.float32(0)
    for n in range(rows.shape[1]):
        first += a[n] * e[n]
        second += b[n] * f[n]
        third += c[n] * g[n]
        fourth += d[n] * h[n]
    return first, second, third, fourth
