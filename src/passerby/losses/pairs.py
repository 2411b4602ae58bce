"""What losses over pairs of a batch share: distances and who is whose partner."""

import torch
from torch import Tensor

from passerby.errors import InputError


def euclidean_distances(features: Tensor) -> Tensor:
    """Distances (B, B) between rows of ``features`` (B, D), with a gradient that is never NaN.

    The squares are clamped at 1e-12 before the root, so that the diagonal and equal rows have a
    finite gradient (zero, as the clamp cuts it). Under autocast the product stays in float32.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = wide(features)
        squares = rows.square().sum(dim=1)
        squared = squares[:, None] + squares[None, :] - 2 * rows @ rows.T
        return squared.clamp(min=1e-12).sqrt()


def partners(labels: Tensor) -> Tensor:
    """Mask (B, B): both rows have the same label; the diagonal is included."""
    return labels[:, None] == labels[None, :]


def wide(values: Tensor) -> Tensor:
    """At least float32: half precision, as autocast makes it, is too coarse for a loss."""
    return values if values.dtype == torch.float64 else values.float()


def check_batch(features: Tensor, labels: Tensor) -> None:
    """Refuse a batch whose shapes do not belong together.

    Raises:
        InputError: ``features`` is not (B, ...) with labels (B,), or B is 0.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise InputError(
            f"a loss got rows {tuple(features.shape)} and labels {tuple(labels.shape)}; "
            "give (B, ...) and (B,)"
        )
