"""Centre loss (Wen et al., ECCV 2016) as used in person re-identification."""

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.losses.pairs import check_batch


def center(features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Mean over the batch of the squared distance of a feature to its class's centre.

    The papers print one half of the sum; the code behind their figures takes the mean without the
    half, and their weights (0.0005, 0.005) belong to that. (The reference also adds (C - 1) 1e-12
    by clamping its masked matrix; left out here.)

    Args:
        features: (B, D).
        labels: (B,) int64 in 0..C-1.
        centers: (C, D).

    Returns:
        A scalar.
    """
    check_batch(features, labels)
    if centers.shape[1] != features.shape[1]:
        raise InputError(
            f"centres have {centers.shape[1]} dimensions, features {features.shape[1]}; "
            "make the centres for this network"
        )
    with torch.autocast(features.device.type, enabled=False):
        gaps = features.to(centers.dtype) - centers[labels]
        return gaps.square().sum(dim=1).mean()


class CenterLoss(nn.Module):
    """Centre loss with its centres (C, D), normally distributed at first.

    The centres learn by an optimiser of their own (plain SGD, rate 0.5). As they take part in the
    total loss with a small weight, call :meth:`rescale_gradients` before that optimiser steps.
    """

    def __init__(
        self, classes: int, dimension: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(classes, dimension, generator=generator))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, D) and labels (B,) to a scalar."""
        return center(features, labels, self.centers)

    def rescale_gradients(self, weight: float) -> None:
        """Divide the centres' gradients by the loss's ``weight``, so that it does not slow them."""
        if self.centers.grad is not None:
            self.centers.grad /= weight
