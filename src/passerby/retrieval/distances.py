"""Distances between features."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from passerby.errors import InputError

Metric = Literal["cosine", "euclidean", "squared_euclidean"]
METRICS = ("cosine", "euclidean", "squared_euclidean")
Features = Tensor | ArrayLike

BLOCK_BYTES = 64 * 2**20  # of one block of distances
# On a CPU a wide product, whose rows are far apart in memory, has two thirds of the speed of a
# narrow one. A narrow one is also still in the cache when it is converted to distances.
WIDE = 4096  # columns above which a block is made of narrow tiles
TILE_COLUMNS = 1024


def distances(queries: Features, gallery: Features, *, metric: Metric = "cosine") -> Tensor:
    """Compute all distances (Q, G) float32 between rows of queries (Q, D) and gallery (G, D).

    Args:
        queries: (Q, D), any float type.
        gallery: (G, D).
        metric: ``"cosine"`` is 1 - cos. ``"squared_euclidean"`` and ``"euclidean"`` take features
            as they are. On unit rows all three give the same order.

    Raises:
        InputError: A shape does not fit, a value is not finite, a row is zero under cosine, or the
            metric is unknown. The message names the row.
    """
    left, right = prepare(queries, gallery, metric)
    block = distance_block(left, right, metric)
    return block.clamp_(min=0).sqrt_() if metric == "euclidean" else block


def prepare(queries: Features, gallery: Features, metric: Metric) -> tuple[Tensor, Tensor]:
    """Check both sides; convert them to float32 on one device, and to unit rows under cosine.

    Raises:
        InputError: As :func:`distances`.
    """
    if metric not in METRICS:
        raise InputError(f"no metric '{metric}'; there are: {', '.join(METRICS)}")
    left = checked(queries, "query", unit=metric == "cosine")
    right = checked(gallery, "gallery", unit=metric == "cosine").to(left.device)
    if left.shape[1] != right.shape[1]:
        raise InputError(
            f"queries have {left.shape[1]} dimensions and the gallery {right.shape[1]}; "
            "embed both with the same network"
        )
    return left, right


def distance_block(
    queries: Tensor, gallery: Tensor, metric: Metric, out: Tensor | None = None
) -> Tensor:
    """Compute distances (R, C) of prepared rows; Euclidean distances are squared.

    The arithmetic is that of the published code: 1 - product, or the sum of both squares minus
    twice the product.

    Args:
        queries: (R, D).
        gallery: (C, D).
        metric: One of ``METRICS``.
        out: Contiguous memory of at least R x C numbers for the result; None for new memory. New
            memory costs a tenth of the time of the product, so that a caller with many blocks gives
            the same memory for each.
    """
    R, C = len(queries), len(gallery)
    block = queries.new_empty(R, C) if out is None else out.view(-1)[: R * C].view(R, C)
    squares = None if metric == "cosine" else queries.square().sum(dim=1)[:, None]
    if C <= WIDE or block.device.type != "cpu":
        return _tile(queries, gallery, squares, block)
    scratch = queries.new_empty(R * TILE_COLUMNS)
    for start in range(0, C, TILE_COLUMNS):
        part = gallery[start : start + TILE_COLUMNS]
        _tile(queries, part, squares, block[:, start : start + TILE_COLUMNS], scratch)
    return block


def _tile(
    queries: Tensor,
    gallery: Tensor,
    squares: Tensor | None,
    target: Tensor,
    scratch: Tensor | None = None,
) -> Tensor:
    """Compute distances of some columns, through ``scratch`` where rows of ``target`` are apart."""
    tile = target if scratch is None else scratch[: target.numel()].view(target.shape)
    if squares is None:
        torch.mm(queries, gallery.T, out=tile)
        return torch.sub(queries.new_ones(()), tile, out=target)
    torch.add(squares, gallery.square().sum(dim=1), out=tile)
    tile.addmm_(queries, gallery.T, alpha=-2.0)
    return target if scratch is None else target.copy_(tile)


def checked(features: Features, what: str, *, unit: bool) -> Tensor:
    """Check features (N, D); return them as float32 and, where ``unit``, with unit rows.

    The input is never changed.

    Raises:
        InputError: The shape is not (N, D), or a row has NaN, infinity or (for unit rows) length
            zero. The message calls the features ``what``.
    """
    rows = features if isinstance(features, Tensor) else torch.from_numpy(_array(features, what))
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"{what} features are {tuple(rows.shape)}; give rows (N, D)")
    rows = rows.detach().float()
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
    if not bool(lengths.isfinite().all()):
        # the length of a row of large finite values may overflow, so that values decide
        wrong = (~rows.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if wrong:
            raise InputError(
                f"{what} features have NaN or infinite values in {_rows(wrong)}; embed these again"
            )
        rows = rows / rows.abs().amax(dim=1, keepdim=True).clamp(min=1.0) if unit else rows
        lengths = torch.linalg.vector_norm(rows, dim=1)
    if not unit:
        return rows
    empty = (lengths == 0).nonzero().flatten().tolist()
    if empty:
        raise InputError(
            f"{what} features are zero in {_rows(empty)}, which has no direction; embed these again"
        )
    if not len(rows) or float((lengths - 1).abs().max()) < 5e-7:
        return rows
    return rows / lengths[:, None]


def _array(features: ArrayLike, what: str) -> np.ndarray:
    array = np.asarray(features)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} features are of type {array.dtype}; give numbers (N, D)")
    array = array.astype(np.float32, copy=False)
    # torch warns about arrays that cannot be written, such as memory-mapped ones
    return array if array.flags.writeable and array.flags.c_contiguous else np.array(array)


def _rows(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:5]))
    return f"row{'s' if len(rows) > 1 else ''} {shown}{' ...' if len(rows) > 5 else ''}"
