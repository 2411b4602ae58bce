"""Centre loss (Wen et al., ECCV 2016) in the form of person re-identification."""

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.losses.pairs import check_batch


def center(features: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """Compute the mean over the batch of the squared distance of a feature to its class's centre.

    The papers print one half of the sum. The code of their figures takes the mean without the half,
    and their weights (0.0005, 0.005) belong to that. (The reference also adds (C - 1) 1e-12, as it
    clamps a masked matrix. This is left out here.)

    Args:
        features: (B, D).
        labels: (B,) int64 in 0..C-1.
        centers: (C, D).

    Returns:
        A scalar.

    Example:
        >>> import torch
        >>> centers = torch.zeros(2, 3)
        >>> center(torch.ones(4, 3), torch.tensor([0, 0, 1, 1]), centers).item()
        3.0
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
    """Centre loss with its centres (C, D), which are normally distributed at first.

    The centres have an optimiser of their own (plain SGD, rate 0.5). The total loss contains the
    centre loss with a small weight, so that :meth:`rescale_gradients` must be called before that
    optimiser steps.
    """

    def __init__(
        self, classes: int, dimension: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.randn(classes, dimension, generator=generator))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Compute a scalar from features (B, D) and labels (B,)."""
        return center(features, labels, self.centers)

    def rescale_gradients(self, weight: float) -> None:
        """Divide the centres' gradients by the loss's ``weight``, so that it does not slow them."""
        if self.centers.grad is not None:
            self.centers.grad /= weight
