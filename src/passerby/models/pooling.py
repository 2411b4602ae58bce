"""From a feature map to one vector: average, maximum and generalised mean."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from passerby.errors import InputError


class AveragePooling(nn.Module):
    """Global average pooling, (B, D, H, W) -> (B, D)."""

    def forward(self, features: Tensor) -> Tensor:
        """Mean over the H x W positions."""
        return features.mean(dim=(2, 3))


class MaximumPooling(nn.Module):
    """Global maximum, (B, D, H, W) -> (B, D); MGN's."""

    def forward(self, features: Tensor) -> Tensor:
        """Maximum over the H x W positions."""
        return features.amax(dim=(2, 3))


class GeneralizedMeanPooling(nn.Module):
    """GeM pooling: ``(mean(clamp(x, eps) ** p)) ** (1 / p)``, (B, D, H, W) -> (B, D).

    One ``p`` for all channels, learnt from the start value 3, as in AGW (Ye et al. 2021) and
    Cluster Contrast, or fixed, as in fast-reid's AGW; ``p = 1`` is average pooling and a large
    ``p`` approaches the maximum.
    """

    p: Tensor

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, learnt: bool = True) -> None:
        super().__init__()
        if learnt:
            self.p = nn.Parameter(torch.tensor([p]))
        else:
            self.register_buffer("p", torch.tensor([p]), persistent=False)
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """Power mean over the H x W positions, at least in float32: powers overflow in half."""
        with torch.autocast(features.device.type, enabled=False):
            wide = features if features.dtype == torch.float64 else features.float()
            raised = wide.clamp(min=self.eps).pow(self.p)
            return raised.mean(dim=(2, 3)).pow(1.0 / self.p)


def fixed_gem() -> nn.Module:
    """GeM with p fixed at 3: nothing to learn, nothing in the state dictionary."""
    return GeneralizedMeanPooling(learnt=False)


POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": AveragePooling,
    "gem": GeneralizedMeanPooling,
    "gem-fixed": fixed_gem,
    "maximum": MaximumPooling,
}


def make_pooling(name: str) -> nn.Module:
    """A pooling by name.

    Raises:
        InputError: If there is none of that name.
    """
    if name not in POOLINGS:
        raise InputError(f"no pooling '{name}'; there are {', '.join(sorted(POOLINGS))}")
    return POOLINGS[name]()
