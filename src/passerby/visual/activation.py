"""Activation maps: the energy of a network's last feature map, without gradients or classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from passerby.data.store import read_crop
from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.train.features import normalise
from passerby.visual.page import data_uri
from passerby.visual.rank_lists import RankList
from passerby.visual.results import Results

# strength 0, 1/4 ... 1 -> RGB; lightness grows with strength, so it is readable without colour
COLOURS = np.array(
    [[12, 8, 38], [86, 16, 110], [187, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64
)


@dataclass(frozen=True, kw_only=True)
class ActivationMap:
    """One crop with its activation map.

    Attributes:
        kind: ``"query"``, ``"true"`` or ``"false"``.
        says: Rank and camera.
        crop: Data URI.
        map: Data URI of the crop with its map.
    """

    kind: str
    says: str
    crop: str
    map: str


def draw_activation_maps(
    results: Results, item: RankList, network: nn.Module, card: ModelCard
) -> list[ActivationMap]:
    """Draw the maps of a rank list's query, its first true match and its first wrong crop.

    Raises:
        InputError: The network has no feature map.
    """
    query, gallery = results.query, results.gallery
    shown = [("query", f"query, camera {query.camera[item.query]}", query.paths()[item.query])]
    true = next((e for e in item.entries if e.kind == "true"), item.best_true)
    wrong = next((e for e in item.entries if e.kind == "false"), None)
    paths = gallery.paths()
    for entry in (true, wrong):
        if entry is not None:
            says = f"rank {entry.rank}, camera {gallery.camera[entry.row]}"
            shown.append((entry.kind, says, paths[entry.row]))
    crops = np.stack([read_crop(p, card.input_size, card.interpolation) for _, _, p in shown])
    maps = activation_maps(network, card, crops)
    return [
        ActivationMap(
            kind=kind, says=says, crop=data_uri(crop), map=data_uri(overlay(crop, strength))
        )
        for (kind, says, _), crop, strength in zip(shown, crops, maps, strict=True)
    ]


@torch.inference_mode()
def activation_maps(
    network: nn.Module, card: ModelCard, crops: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Sum the squares of the backbone's last feature map over the channels, at the crops' size.

    This is the activation-based attention map of Zagoruyko and Komodakis, ICLR 2017, section 3.1
    (F^2_sum). It shows where features are strong, not why two crops match.

    Args:
        network: A :class:`~passerby.models.ReidNetwork`, or any module with a ``backbone`` that
            returns a map (B, D, h, w).
        card: Normalisation of the crops.
        crops: (B, H, W, 3) uint8 RGB of the card's input size.

    Returns:
        (B, H, W) float32, each map scaled to 0..1 by its own extremes.

    Raises:
        InputError: The network has no feature map, such as a transformer with a single token.
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
    """Blend a map (H, W) in 0..1 with a crop (H, W, 3): strong parts are bright, weak ones grey."""
    grey = crop.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    colour = np.stack(
        [np.interp(strength, np.linspace(0, 1, len(COLOURS)), COLOURS[:, c]) for c in range(3)],
        axis=2,
    )
    share = (0.25 + 0.45 * strength.astype(np.float64))[..., None]
    blended = (1 - share) * grey[..., None] + share * colour
    picture: NDArray[np.uint8] = np.clip(blended, 0, 255).astype(np.uint8)
    return picture


def _last_map(found: Any) -> Tensor:
    """Return the last map (B, D, h, w) with more than one position in a backbone's output."""
    parts = list(found) if isinstance(found, tuple | list) else [found]
    maps = [p for p in parts if isinstance(p, Tensor) and p.ndim == 4 and p[0, 0].numel() > 1]
    if not maps:
        raise InputError("this network's backbone gives a single vector, not a map to draw")
    return maps[-1]
