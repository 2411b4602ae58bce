"""Where a network looks: the energy of its last map of features, without gradients or classes."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.train.features import normalise

# strength 0, 1/4 ... 1 -> RGB; light grows with strength, so that it reads without colour too
COLOURS = np.array(
    [[12, 8, 38], [86, 16, 110], [187, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64
)


@torch.inference_mode()
def activation_maps(
    network: nn.Module, card: ModelCard, crops: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Sum of squares over channels of the backbone's last map, of unit length, at the crops' size.

    The activation-based attention map of Zagoruyko and Komodakis, ICLR 2017, section 3.1 (F^2_sum).
    It says where features are strong, not why two people are taken for the same.

    Args:
        network: A :class:`~passerby.models.ReidNetwork`, or any module with a ``backbone`` that
            gives a map (B, D, h, w).
        card: How to normalise the crops.
        crops: (B, H, W, 3) uint8 RGB of the card's input size.

    Returns:
        (B, H, W) float32, each map scaled to 0..1 by its own extremes.

    Raises:
        InputError: The network has no map of features, such as a transformer with a single token.
    """
    backbone = getattr(network, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise InputError("this network has no backbone whose map could be drawn")
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    images = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).to(device)
    training = network.training
    network.eval()
    try:
        found = _last_map(backbone(normalise(images, card)))
    finally:
        network.train(training)
    energy = found.float().square().sum(dim=1, keepdim=True)
    energy = energy / energy.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
    size = crops.shape[1:3]
    large = nn.functional.interpolate(energy, size=size, mode="bilinear", align_corners=False)
    low = large.amin(dim=(2, 3), keepdim=True)
    span = (large.amax(dim=(2, 3), keepdim=True) - low).clamp(min=1e-12)
    maps: NDArray[np.float32] = ((large - low) / span)[:, 0].cpu().numpy()
    return maps


def overlay(crop: NDArray[np.uint8], strength: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map (H, W) in 0..1 over a crop (H, W, 3): strong parts glow, weak ones stay grey."""
    grey = crop.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    colour = np.stack(
        [np.interp(strength, np.linspace(0, 1, len(COLOURS)), COLOURS[:, c]) for c in range(3)],
        axis=2,
    )
    share = (0.25 + 0.45 * strength.astype(np.float64))[..., None]
    return np.clip((1 - share) * grey[..., None] + share * colour, 0, 255).astype(np.uint8)


def _last_map(found: Any) -> Tensor:
    """The last map (B, D, h, w) with more than one position among what a backbone returned."""
    parts = list(found) if isinstance(found, tuple | list) else [found]
    maps = [p for p in parts if isinstance(p, Tensor) and p.ndim == 4 and p[0, 0].numel() > 1]
    if not maps:
        raise InputError("this network's backbone gives a single vector, not a map to draw")
    return maps[-1]
