"""Compiled steps of :mod:`passerby.retrieval.scan`; importing this module needs numba.

Row i's candidate j has the score <y_i, y_j> + shift_j, which is their cosine less i's own shift,
with y the rows less their mean. The product of their codes knows it within ``_doubt``. Where the
farthest rows are sought, scores are taken times -1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.retrieval.compiled import kernel

FLOAT = np.float32
TOP = FLOAT(127)  # largest code
SLACK = FLOAT(2e-5)  # far more than float32 rounds off sums of products of unit rows
MARGIN = FLOAT(1.0001)  # likewise off a length
WIDTH = 32  # candidates looked at together: nearly always none of them is near


class Codes(NamedTuple):
    """Rows less their mean as whole numbers, and what is lost.

    Attributes:
        values: (N, D) int8.
        scales: (N,) float32 by which a row's codes are multiplied.
        shifts: (N,) <x, mean> - |mean|^2 / 2: a cosine is <y_i, y_j> and both shifts.
        lengths: (N,) |y|, rather too long than too short.
        errors: (N,) |y - scale codes|, likewise.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    shifts: NDArray[np.float32]
    lengths: NDArray[np.float32]
    errors: NDArray[np.float32]


class Search(NamedTuple):
    """What is sought, and the candidates so far.

    Attributes:
        k: How many for each row.
        sign: 1 for the nearest, -1 for the farthest.
        codes: Of all rows.
        uppers: (N, capacity, 2) float32: [i, n, 0] is the largest score that candidate n of row i
            may have, ...
        others: ... and [i, n, 1] of the same memory as int32 is its row.
        counts: (N,) int32 candidates of each row.
        limits: (N,) float32 score that at least k candidates reach; infinity for a row that has
            been given up, as too many cannot be told apart.
    """

    k: int
    sign: np.float32
    codes: Codes
    uppers: NDArray[np.float32]
    others: NDArray[np.int32]
    counts: NDArray[np.int32]
    limits: NDArray[np.float32]


@kernel(reordered=True)
def dot(left: NDArray[np.float32], right: NDArray[np.float32]) -> np.float32:
    """Sum of products of two vectors (D,)."""
    total = FLOAT(0)
    for d in range(left.shape[0]):
        total += left[d] * right[d]
    return total


@kernel(reordered=True)
def encode(
    rows: NDArray[np.float32], mean: NDArray[np.float32], codes: Codes, start: int, stop: int
) -> None:
    """Fill in the codes of rows ``start`` to ``stop``."""
    D = rows.shape[1]
    y = np.empty(D, FLOAT)
    half = dot(mean, mean) * FLOAT(0.5)
    for i in range(start, stop):
        largest = FLOAT(0)
        for d in range(D):
            y[d] = rows[i, d] - mean[d]
            largest = max(largest, abs(y[d]))
        scale = largest / TOP if largest > 0 else FLOAT(1)
        lost = FLOAT(0)
        for d in range(D):
            code = np.floor(y[d] / scale + FLOAT(0.5))
            codes.values[i, d] = np.int8(code)
            rest = y[d] - code * scale
            lost += rest * rest
        codes.scales[i] = scale
        codes.shifts[i] = dot(rows[i], mean) - half
        codes.lengths[i] = np.sqrt(dot(y, y)) * MARGIN
        codes.errors[i] = np.sqrt(lost) * MARGIN


@kernel()
def _doubt(
    length: np.float32, error: np.float32, other_length: np.float32, other_error: np.float32
) -> np.float32:
    """How far a product of codes may be from that of the rows (Cauchy-Schwarz)."""
    return error * (other_length + other_error) + length * other_error


@kernel()
def first_limits(
    products: NDArray[np.int32], first: int, search: Search, start: int, stop: int
) -> None:
    """Raise limits by the products (R, C) of rows 0 .. R and rows ``first`` .., by the former.

    Of 2 k groups of candidates each has one that reaches its largest lower bound: the k-th largest
    of these is reached by k candidates. It is not quite as high as the k-th of all, but fast.

    Args:
        products: Of codes, R at least 2 k.
        first: Row of the first column.
        search: Its limits are changed.
        start: The first column to serve.
        stop: The first column not to serve.
    """
    k, sign, codes = search.k, search.sign, search.codes
    groups, C = 2 * k, stop - start
    size = products.shape[0] // groups
    own = slice(first + start, first + stop)
    scales, lengths, errors = codes.scales[own], codes.lengths[own], codes.errors[own]
    best = np.full((groups, C), FLOAT(-np.inf))
    for i in range(groups * size):
        row, group = products[i, start:stop], best[i // size]
        scale, shift = sign * codes.scales[i], sign * codes.shifts[i]
        length, error = codes.lengths[i], codes.errors[i]
        for c in range(C):
            score = FLOAT(row[c]) * (scale * scales[c]) + shift
            group[c] = max(group[c], score - _doubt(length, error, lengths[c], errors[c]))
    for c in range(C):
        j = first + start + c
        search.limits[j] = max(search.limits[j], _kth_largest(best[:, c], k) - SLACK)


@kernel()
def _kth_largest(values: NDArray[np.float32], k: int) -> np.float32:
    best = np.full(k, FLOAT(-np.inf))
    for value in values:
        place = k
        while place > 0 and value > best[place - 1]:
            if place < k:
                best[place] = best[place - 1]
            place -= 1
        if place < k:
            best[place] = value
    return best[k - 1]


@kernel()
def offer(
    products: NDArray[np.int32], corner: tuple[int, int], search: Search, start: int, stop: int
) -> None:
    """Offer rows and columns of a block of ``products`` (R, C) to each other as candidates.

    Args:
        products: Of the codes of rows corner[0] .. and rows corner[1] .., corner[0] <= corner[1].
        corner: As above.
        search: Changed, in other places for every number served.
        start: The first to serve; first come the R rows of the block, then its columns but for
            those that are rows of it.
        stop: The first not to serve.
    """
    R = products.shape[0]
    if start < R:
        _offer_columns(products, corner, search, start, min(stop, R))
    if stop > R:
        columns = max(0, corner[0] + R - corner[1]) - R
        _offer_rows(products, corner, search, max(start, R) + columns, stop + columns)


@kernel()
def _offer_columns(
    products: NDArray[np.int32], corner: tuple[int, int], search: Search, start: int, stop: int
) -> None:
    """Offer rows ``start`` to ``stop`` of the block all columns."""
    sign, codes, limits = search.sign, search.codes, search.limits
    first, C = corner[1], products.shape[1]
    others = slice(first, first + C)
    scales, shifts = codes.scales[others], codes.shifts[others]
    lengths, errors = codes.lengths[others], codes.errors[others]
    uppers, candidates, counts = search.uppers, search.others, search.counts
    scores = np.empty(C, FLOAT)
    for r in range(start, stop):
        i, row = corner[0] + r, products[r]
        scale, length, error = sign * codes.scales[i], codes.lengths[i], codes.errors[i]
        for c in range(C):
            score = FLOAT(row[c]) * (scale * scales[c]) + sign * shifts[c]
            scores[c] = score + _doubt(length, error, lengths[c], errors[c])
        for c in range(0, C, WIDTH):
            limit, near = limits[i], np.int32(0)
            for score in scores[c : c + WIDTH]:
                near += np.int32(score >= limit)
            if near == 0:
                continue
            for n in range(c, min(c + WIDTH, C)):
                # written out twice: a call here takes longer than the rest
                if scores[n] >= limits[i] and counts[i] == uppers.shape[1]:
                    _sift(i, search)
                if scores[n] >= limits[i]:
                    uppers[i, counts[i], 0] = scores[n]
                    candidates[i, counts[i], 1] = first + n
                    counts[i] += 1


@kernel()
def _offer_rows(
    products: NDArray[np.int32], corner: tuple[int, int], search: Search, start: int, stop: int
) -> None:
    """Offer columns ``start`` to ``stop`` of the block all rows."""
    sign, codes = search.sign, search.codes
    first, C = corner[1] + start, stop - start
    own = slice(first, first + C)
    scales, lengths, errors = codes.scales[own], codes.lengths[own], codes.errors[own]
    uppers, candidates = search.uppers[own], search.others[own]
    counts, limits = search.counts[own], search.limits[own]
    scores = np.empty(C, FLOAT)
    for r in range(products.shape[0]):
        i, row = corner[0] + r, products[r, start:stop]
        scale, shift = sign * codes.scales[i], sign * codes.shifts[i]
        length, error = codes.lengths[i], codes.errors[i]
        for c in range(C):
            score = FLOAT(row[c]) * (scale * scales[c]) + shift
            scores[c] = score + _doubt(length, error, lengths[c], errors[c])
        for c in range(0, C, WIDTH):
            near, theirs = np.int32(0), limits[c : c + WIDTH]
            for n, score in enumerate(scores[c : c + WIDTH]):
                near += np.int32(score >= theirs[n])
            if near == 0:
                continue
            for n in range(c, min(c + WIDTH, C)):
                if scores[n] >= limits[n] and counts[n] == uppers.shape[1]:
                    _sift(first + n, search)
                if scores[n] >= limits[n]:
                    uppers[n, counts[n], 0] = scores[n]
                    candidates[n, counts[n], 1] = i
                    counts[n] += 1


@kernel()
def _sift(i: int, search: Search) -> None:
    """Raise the limit of row ``i`` to its k-th largest lower bound, drop the candidates below it.

    A row of which most candidates remain is given up.
    """
    codes, uppers, others = search.codes, search.uppers, search.others
    count, capacity = search.counts[i], uppers.shape[1]
    lowers = np.empty(count, FLOAT)
    for n in range(count):
        j = others[i, n, 1]
        doubt = _doubt(codes.lengths[i], codes.errors[i], codes.lengths[j], codes.errors[j])
        lowers[n] = uppers[i, n, 0] - FLOAT(2) * doubt
    limit, kept = max(_kth_largest(lowers, search.k) - SLACK, search.limits[i]), 0
    for n in range(count):
        if uppers[i, n, 0] >= limit:
            uppers[i, kept, 0], others[i, kept, 1] = uppers[i, n, 0], others[i, n, 1]
            kept += 1
    search.counts[i] = kept
    search.limits[i] = limit if 4 * kept <= 3 * capacity else np.inf


@kernel()
def settle(
    rows: NDArray[np.float32],
    search: Search,
    found: tuple[NDArray[np.int32], NDArray[np.float32]],
    start: int,
    stop: int,
) -> None:
    """Score the candidates of rows ``start`` to ``stop`` in float32 and write down the best.

    Args:
        rows: (N, D), of unit length.
        search: Over; rows that have been given up are left alone.
        found: To be filled: (N, k) rows in order of distance, equal ones in order of rows; (N, k)
            distances 1 - cos.
        start: The first row to settle.
        stop: The first row not to settle.
    """
    best, distances = found
    k, sign, others = search.k, search.sign, search.others
    for i in range(start, stop):
        if search.limits[i] == np.inf:
            continue
        order = _descending(search.uppers[i, : search.counts[i], 0])
        last, count = len(order) - 1, 0
        for n in range(0, last + 1, 4):
            # the least that the next distance, times the sign, may be
            least = sign - sign * search.codes.shifts[i] - search.uppers[i, order[n], 0] - SLACK
            if count == k and least > distances[i, k - 1]:
                break
            four = (
                others[i, order[n], 1],
                others[i, order[min(n + 1, last)], 1],
                others[i, order[min(n + 2, last)], 1],
                others[i, order[min(n + 3, last)], 1],
            )
            products = _four_products(rows, (i, i, i, i), four)
            for m in range(min(4, last + 1 - n)):
                distance = sign * (FLOAT(1) - products[m])
                count = _insert(best[i], distances[i], count, four[m], distance)
        for n in range(k):
            distances[i, n] *= sign


@kernel()
def _descending(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """The order of values from the largest to the smallest; there are not many."""
    order, keys = np.empty(len(values), np.int32), np.empty(len(values), FLOAT)
    for n, value in enumerate(values):
        _insert(order, keys, n, n, -value)
    return order


@kernel()
def _insert(
    best: NDArray[np.int32],
    distances: NDArray[np.float32],
    count: int,
    j: int,
    distance: np.float32,
) -> int:
    """Put row ``j`` in its place among ``count`` best of at most ``len(best)``; their new count."""
    place = min(count, best.shape[0] - 1)
    if count > place and not _before(distance, j, distances[place], best[place]):
        return count
    while place > 0 and _before(distance, j, distances[place - 1], best[place - 1]):
        distances[place], best[place] = distances[place - 1], best[place - 1]
        place -= 1
    distances[place], best[place] = distance, j
    return min(count + 1, best.shape[0])


@kernel()
def _before(distance: np.float32, j: int, other_distance: np.float32, other: int) -> bool:
    return bool(distance < other_distance or (distance == other_distance and j < other))


@kernel()
def pair_products(
    rows: NDArray[np.float32],
    pairs: tuple[NDArray[np.int64], NDArray[np.int32]],
    found: NDArray[np.float32],
    start: int,
    stop: int,
) -> None:
    """Fill in products ``found`` (E,) of ``pairs`` of rows (N, D), from ``start`` to ``stop``."""
    left, right = pairs
    for e in range(start, stop, 4):
        # the last one is repeated where fewer than four are left
        f, g, h = min(e + 1, stop - 1), min(e + 2, stop - 1), min(e + 3, stop - 1)
        found[e], found[f], found[g], found[h] = _four_products(
            rows, (left[e], left[f], left[g], left[h]), (right[e], right[f], right[g], right[h])
        )


@kernel(reordered=True)
def _four_products(
    rows: NDArray[np.float32], left: tuple[int, int, int, int], right: tuple[int, int, int, int]
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Products of four pairs of ``rows`` at once: while one waits for memory, others are added up.

    A pair has the same product in each of the four places, so that equal rows stay tied.
    """
    a, b, c, d = rows[left[0]], rows[left[1]], rows[left[2]], rows[left[3]]
    e, f, g, h = rows[right[0]], rows[right[1]], rows[right[2]], rows[right[3]]
    first = second = third = fourth = FLOAT(0)
    for n in range(rows.shape[1]):
        first += a[n] * e[n]
        second += b[n] * f[n]
        third += c[n] * g[n]
        fourth += d[n] * h[n]
    return first, second, third, fourth
