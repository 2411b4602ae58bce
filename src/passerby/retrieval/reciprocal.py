"""k-reciprocal neighbour sets as sparse rows (Zhong et al., CVPR 2017, section 3.2).

Shared by re-ranking and by clustering, which differ in the length of their lists and in the weights
of the members.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from passerby.retrieval import compiled
from passerby.retrieval.distances import Metric
from passerby.retrieval.neighbours import nearest_rows

ROWS = 512  # rows of neighbour lists worked on at once
PAIRS = 2048  # feature pairs multiplied at once,
PAIR_BYTES = 2**21  # at most so many bytes of them, so that they stay in the cache


def nearest(
    features: Tensor, k: int, *, metric: Metric, block_bytes: int, farthest: bool = True
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32] | None]:
    """The ``k`` nearest rows of each row among all, itself included, and the farthest distance.

    Args:
        features: (N, D), prepared.
        k: At most N.
        metric: As in :func:`passerby.retrieval.distances`; Euclidean distances stay squared.
        block_bytes: Largest size of one block of distances.
        farthest: Whether to find the farthest distances too.

    Returns:
        Rows (N, k) in order of distance, their distances (N, k), and per row the largest distance
        to any row (N,), or None.
    """
    # blocks of twice as many columns as rows, 2048 at most, so that they stay in the cache
    rows = max(1, min(2048, math.isqrt(block_bytes // 8)))
    columns, values, largest = nearest_rows(
        features, k, metric=metric, rows=rows, farthest=farthest
    )
    return (
        columns.to(torch.int32).cpu().numpy(),
        values.cpu().numpy(),
        None if largest is None else largest.cpu().numpy(),
    )


def reciprocal_mask(lists: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which entries j of row i of ``lists`` (N, L) have i in their own list: (N, L)."""
    mask = np.empty(lists.shape, dtype=bool)
    for start in range(0, len(lists), ROWS):
        part = lists[start : start + ROWS]
        own = np.arange(start, start + len(part), dtype=lists.dtype)
        mask[start : start + ROWS] = (lists[part] == own[:, None, None]).any(axis=2)
    return mask


def expanded_sets(
    lists: NDArray[np.int32], half: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
    """The expanded reciprocal sets R*(i) of all rows.

    R(i) are the entries of row i that are reciprocal. For each c in R(i) the reciprocal set of c
    in lists of length ``half`` joins, if more than two thirds of it are in R(i) (equation 4).

    Args:
        lists: (N, L) nearest rows, the row itself among them.
        half: Length of the lists of candidates, about L / 2.

    Returns:
        R as a mask (N, L) of ``lists``; the additional members as pairs: rows (E,) and columns
        (E,), ordered by row, each pair once and none of R.
    """
    if compiled.pays(len(lists)):
        return _expanded_sets(lists, half)
    mutual = reciprocal_mask(lists)
    halves = np.ascontiguousarray(lists[:, :half])
    half_mutual = reciprocal_mask(halves)
    found_rows, found_columns = [], []
    N = len(lists)
    for start in range(0, N, ROWS):
        near, inside = lists[start : start + ROWS], mutual[start : start + ROWS]
        # entries outside R become a number that no row has
        members = np.where(inside, near, np.int32(-1))
        candidates = halves[near]  # (b, L, half)
        counted = half_mutual[near] & inside[:, :, None]
        already = (candidates[..., None] == members[:, None, None, :]).any(axis=3)
        overlap = (already & counted).sum(axis=2)
        joins = 3 * overlap > 2 * counted.sum(axis=2)
        new = counted & joins[:, :, None] & ~already
        places = new.nonzero()
        pairs = np.unique(places[0].astype(np.int64) * N + candidates[places])
        found_rows.append(pairs // N + start)
        found_columns.append((pairs % N).astype(np.int32))
    return mutual, np.concatenate(found_rows), np.concatenate(found_columns)


def _expanded_sets(
    lists: NDArray[np.int32], half: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
    """As :func:`expanded_sets`, compiled."""
    from passerby.retrieval import set_kernels as kernels

    N, halves = len(lists), np.ascontiguousarray(lists[:, :half])
    mutual, half_mutual = np.empty(lists.shape, dtype=bool), np.empty(halves.shape, dtype=bool)
    compiled.in_parts(lambda a, b: kernels.reciprocal_mask(lists, mutual, a, b), N)
    compiled.in_parts(lambda a, b: kernels.reciprocal_mask(halves, half_mutual, a, b), N)
    parts = compiled.in_parts(
        lambda a, b: kernels.additional_members(lists, mutual, half_mutual, a, b), N
    )
    rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mutual, rows, columns


def pair_distances(
    features: Tensor, rows: NDArray[np.int64], columns: NDArray[np.int32], metric: Metric
) -> NDArray[np.float32]:
    """Distances (E,) of single pairs of prepared rows; Euclidean ones squared."""
    host = np.ascontiguousarray(features.cpu().numpy())
    found = np.empty(len(rows), dtype=np.float32)
    if metric == "cosine" and compiled.pays(len(host)):
        from passerby.retrieval.set_kernels import pair_products

        pairs = (rows, columns)
        compiled.in_parts(lambda a, b: pair_products(host, pairs, found, a, b), len(rows))
        return np.subtract(1.0, found, out=found)
    # numpy, in small parts: these are too short for torch's threads to pay
    step = max(1, min(PAIRS, PAIR_BYTES // (8 * host.shape[1])))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        left, right = host[rows[part]], host[columns[part]]
        if metric != "cosine":
            left = right = left - right
        found[part] = np.einsum("ed,ed->e", left, right)
    return np.subtract(1.0, found, out=found) if metric == "cosine" else found


def sparse_rows(
    lists: NDArray[np.int32],
    mutual: NDArray[np.bool_],
    weights: NDArray[np.float32],
    extra: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]],
) -> sparse.csr_matrix:
    """Rows that sum to one (N, N) from weights of list entries (N, L) and of additional pairs."""
    N = len(lists)
    listed = mutual.nonzero()
    rows = np.concatenate([listed[0].astype(np.int32), extra[0].astype(np.int32)])
    columns = np.concatenate([lists[mutual], extra[1]])
    values = np.concatenate([weights[mutual], extra[2]])
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(N, N))
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    matrix.data /= np.repeat(sums, np.diff(matrix.indptr)).astype(np.float32)
    return matrix


def query_expansion(
    matrix: sparse.csr_matrix, lists: NDArray[np.int32], k2: int
) -> sparse.csr_matrix:
    """Each row's mean over its ``k2`` nearest rows (equation 11 of the paper)."""
    N, width = len(lists), min(k2, lists.shape[1])
    if width <= 1:
        return matrix
    columns = lists[:, :width].ravel()
    starts = np.arange(0, N * width + 1, width)
    shares = np.full(N * width, 1.0 / width, dtype=np.float32)
    return (sparse.csr_matrix((shares, columns, starts), shape=(N, N)) @ matrix).tocsr()
