"""Horizontal stripes of a feature map."""

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError


def stripe_bounds(rows: int, count: int) -> list[tuple[int, int]]:
    """First row and the row after the last of each of ``count`` stripes.

    Equal stripes where ``count`` divides ``rows``; otherwise neighbours share a row, as PyTorch's
    adaptive pooling has it.

    Raises:
        InputError: If there are fewer rows than stripes.
    """
    if rows < count:
        raise InputError(
            f"a feature map of {rows} rows has no {count} stripes; take higher pictures, a last "
            "stride of 1, or fewer stripes"
        )
    return [(i * rows // count, -((-(i + 1) * rows) // count)) for i in range(count)]


def stripes(features: Tensor, count: int) -> list[Tensor]:
    """Cut (B, D, H, W) into ``count`` maps (B, D, about H / count, W), top to bottom."""
    bounds = stripe_bounds(int(features.shape[2]), count)
    return [features[:, :, top:bottom] for top, bottom in bounds]


def stripe_pools(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean and maximum of each stripe of (B, D, H, W), both (B, D, ``count``)."""
    rows, columns = (int(side) for side in features.shape[2:])
    if rows % count == 0:
        # forward and backward three times as fast as by slices
        window = (rows // count, columns)
        return F.avg_pool2d(features, window).flatten(2), F.max_pool2d(features, window).flatten(2)
    parts = stripes(features, count)
    means = [part.mean(dim=(2, 3)) for part in parts]
    maxima = [F.max_pool2d(part, (int(part.shape[2]), columns)).flatten(1) for part in parts]
    return torch.stack(means, dim=2), torch.stack(maxima, dim=2)
