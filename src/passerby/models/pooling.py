"""From a feature map to one vector: average pooling and generalised-mean pooling."""

import torch
from torch import Tensor, nn


class AveragePooling(nn.Module):
    """Global average pooling, (B, D, H, W) -> (B, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the H x W positions."""
        return features.mean(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """GeM pooling: ``(mean(clamp(x, eps) ** p)) ** (1 / p)``, (B, D, H, W) -> (B, D).

    One ``p`` for all channels, learnt from the start value 3, as in AGW (Ye et al. 2021) and
    Cluster Contrast; ``p = 1`` is average pooling and a large ``p`` approaches the maximum.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """Power mean over the H x W positions, computed in float32: powers overflow in half."""
        with torch.autocast(features.device.type, enabled=False):
            raised = features.float().clamp(min=self.eps).pow(self.p)
            return raised.mean(dim=(2, 3)).pow(1.0 / self.p)


POOLINGS: dict[str, type[nn.Module]] = {
    "average": AveragePooling,
    "gem": GeneralizedMeanPooling,
}
