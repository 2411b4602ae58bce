"""Horizontal stripes of a feature map."""

from torch import Tensor

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
