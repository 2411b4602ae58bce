"""Exact nearest rows on a CPU: a fast scan of whole numbers proposes, float32 decides.

Rows less their mean are rounded to whole numbers of eight bits. Products of such codes are exact,
and on processors with the instructions for them several times as fast as those of float32. By the
inequality of Cauchy and Schwarz the product of two rows is known within e |y'| + |y| e', with e and
e' the lengths of what the rounding has lost: a row that cannot be among the k nearest by that is
dropped, the others, a third more than k in features of networks, are scored in float32. Taking off
the mean matters: features of a network that has learned nothing are all alike, and so are their
errors without it.

Rows with ties but for rounding are compared with all others by the products of float32, so that
ties end the same way with and without a scan: the lists are the same, and only the rounding of
their distances differs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from passerby.retrieval import compiled
from passerby.retrieval.distances import Metric, distance_block
from passerby.retrieval.search import smallest

if TYPE_CHECKING:
    from passerby.retrieval.scan_kernels import Codes, Search

BLOCK = (2048, 8192)  # rows and columns of one block of products, 64 MiB
DIMENSIONS = (128, 1 << 13)  # fewer do not pay, of more the rounding of float32 is not looked at
LONGEST = 64  # of a list
CAPACITY = (64, 4)  # candidates held per row: so many, and so many times k
GIVEN_UP = 32  # where more than one row in so many has too many candidates, nothing is gained
TIE = 1e-6  # distances nearer to each other may be in another order by other rounding
EXACT_ROWS = 256  # rows whose distances to all are computed at once


def fits(features: Tensor, k: int, metric: Metric) -> bool:
    """Whether the scan finds the ``k`` nearest of unit rows (N, D) faster than float32 products.

    That is: numba is installed; cosine; N of ``compiled.ROWS`` at least, D within ``DIMENSIONS``,
    k at most ``LONGEST``; and the features are on a processor with VNNI, the instructions for sums
    of products of eight-bit numbers (Intel from 2019, AMD from 2022).
    """
    N, D = features.shape
    return (
        metric == "cosine"
        and features.device.type == "cpu"
        and DIMENSIONS[0] <= D <= DIMENSIONS[1]
        and k <= LONGEST
        and compiled.pays(N)
        and has_fast_products()
    )


def has_fast_products() -> bool:
    """Whether this processor has VNNI, as far as torch tells."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return supported is not None and bool(supported())


def nearest_rows(
    features: Tensor, k: int, *, farthest: bool
) -> tuple[Tensor, Tensor, Tensor | None] | None:
    """As :func:`passerby.retrieval.neighbours.nearest_rows`, of unit rows (N, D) under cosine.

    Args:
        features: (N, D).
        k: At most N.
        farthest: Whether to find the farthest distances too.

    Returns:
        Rows (N, k), distances (N, k) and farthest distances (N,) or None. None alone where too many
        rows are too much alike for the codes to tell them apart.
    """
    features = features.contiguous()
    codes = encode(features)
    # one more than is wanted tells whether the last one is tied
    searches = [begin(codes, min(k + 1, len(features)), sign=1)]
    if farthest:
        searches.append(begin(codes, 1, sign=-1))
    for start, first, products in _blocks(torch.from_numpy(codes.values)):
        for search in searches:
            offer(search, start, first, products)
        if first + len(products[0]) == len(features) and _hopeless(searches):
            return None
    (columns, values), *rest = (settle(search, features) for search in searches)
    open_ = torch.from_numpy(np.any([np.isposinf(s.limits) for s in searches], axis=0))
    columns[open_], values[open_] = 0, torch.inf  # nothing has been written there
    open_ |= _tied(features, columns, values)
    columns, values = columns[:, :k].contiguous(), values[:, :k].contiguous()
    largest = rest[0][1].flatten() if farthest else None
    for rows in open_.nonzero().flatten().split(EXACT_ROWS):
        block = distance_block(features[rows], features, "cosine")
        values[rows], columns[rows] = smallest(block, k)
        if largest is not None:
            largest[rows] = block.amax(dim=1)
    return columns, values, largest


def _tied(features: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """Which rows (N,) have neighbours that differ, but not in distance but for rounding."""
    rows, places = (values.diff(dim=1) < TIE).nonzero(as_tuple=True)
    left, right = columns[rows, places], columns[rows, places + 1]
    copies = torch.cat(
        [
            (features[a] == features[b]).all(dim=1)
            for a, b in zip(left.split(EXACT_ROWS), right.split(EXACT_ROWS), strict=True)
        ]
    )
    return torch.zeros(len(features), dtype=torch.bool).index_fill_(0, rows[~copies], True)


def encode(features: Tensor) -> "Codes":
    """The codes of unit rows (N, D)."""
    from passerby.retrieval import scan_kernels as kernels

    N, D = features.shape
    rows, mean = features.numpy(), features.mean(dim=0).numpy()
    values = np.empty((N, D), dtype=np.int8)
    codes = kernels.Codes(values, *(np.empty(N, dtype=np.float32) for _ in range(4)))
    compiled.in_parts(lambda a, b: kernels.encode(rows, mean, codes, a, b), N)
    return codes


def begin(codes: "Codes", k: int, *, sign: int) -> "Search":
    """A search for the ``k`` nearest of each row with sign 1, for the farthest with -1."""
    from passerby.retrieval import scan_kernels as kernels

    N = len(codes.values)
    uppers = np.empty((N, CAPACITY[0] + CAPACITY[1] * k, 2), dtype=np.float32)
    return kernels.Search(
        k=k,
        sign=np.float32(sign),
        codes=codes,
        uppers=uppers,
        others=uppers.view(np.int32),
        counts=np.zeros(N, dtype=np.int32),
        limits=np.full(N, -np.inf, dtype=np.float32),
    )


def offer(search: "Search", start: int, first: int, products: Tensor) -> None:
    """Make candidates of a block: products (R, C) of rows ``start`` .. and rows ``first`` ..

    The first blocks have start 0, and first is never below start.
    """
    from passerby.retrieval import scan_kernels as kernels

    block, corner = products.numpy(), (start, first)
    R, C = block.shape
    if start == 0 and 2 * search.k <= R:
        compiled.in_parts(lambda a, b: kernels.first_limits(block, first, search, a, b), C)
    served = min(C, max(0, start + R - first))  # columns that are rows of the block
    compiled.in_parts(
        lambda a, b: kernels.offer(block, corner, search, a, b), R + C - served, each=4
    )


def settle(search: "Search", features: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (N, k) int64 and distances (N, k), undefined for rows that have been given up."""
    from passerby.retrieval import scan_kernels as kernels

    N, rows = len(features), features.numpy()
    best, distances = np.empty((N, search.k), np.int32), np.empty((N, search.k), np.float32)
    compiled.in_parts(lambda a, b: kernels.settle(rows, search, (best, distances), a, b), N, each=8)
    return torch.from_numpy(best).long(), torch.from_numpy(distances)


def _blocks(codes: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """First row, first column and products (R, C) int32 of blocks that hold each pair i <= j."""
    N = len(codes)
    rows, columns = BLOCK
    memory = torch.empty(min(rows, N) * min(columns, N), dtype=torch.int32)
    for start in range(0, N, rows):
        stop = min(start + rows, N)
        for first in range(start, N, columns):
            last = min(first + columns, N)
            products = memory[: (stop - start) * (last - first)].view(stop - start, last - first)
            torch._int_mm(codes[start:stop], codes[first:last].T, out=products)
            yield start, first, products


def _hopeless(searches: list["Search"]) -> bool:
    """Whether too many rows have been given up."""
    return any(GIVEN_UP * np.isposinf(s.limits).sum() > len(s.limits) for s in searches)
