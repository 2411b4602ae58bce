"""Helpers of the losses: distances in a batch, masks of pairs, checks."""

import torch
from torch import Tensor

from passerby.errors import InputError


def euclidean_distances(features: Tensor) -> Tensor:
    """Compute distances (B, B) between rows of ``features`` (B, D); the gradient is never NaN.

    The squares are clamped at 1e-12 before the root, so that the gradient of the diagonal and of
    equal rows is zero. Under autocast the product stays in float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = wide(features)
        squares = rows.square().sum(dim=1)
        squared = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        return squared.clamp(min=1e-12).sqrt()


def partners(labels: Tensor) -> Tensor:
    """Mark the pairs (B, B) with the same label, the diagonal included."""
    return labels[:, None] == labels[None, :]


def wide(values: Tensor) -> Tensor:
    """Convert to float32, or keep float64, as half precision is too coarse for a loss."""
    return values if values.dtype == torch.float64 else values.float()


def check_batch(features: Tensor, labels: Tensor) -> None:
    """Check the shapes of a batch.

    Raises:
        InputError: They are not (B, ...) and (B,), or B is 0.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise InputError(
            f"a loss got rows {tuple(features.shape)} and labels {tuple(labels.shape)}; "
            "give (B, ...) and (B,)"
        )
