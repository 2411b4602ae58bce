"""Test features of many crops."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from passerby.models import ModelCard
from passerby.train import distributed
from passerby.train.device import autocast


def normalise(crops: Tensor, card: ModelCard) -> Tensor:
    """Convert RGB uint8 (B, 3, H, W) to the network's input: colour order, range, mean, std."""
    images = crops.float()
    if card.colour_order == "BGR":
        images = images.flip(1)
    scale = card.value_range / 255.0
    mean = torch.tensor(card.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(card.std, device=images.device).view(1, 3, 1, 1)
    return (images * scale - mean) / std


@torch.inference_mode()
def extract(
    network: nn.Module,
    card: ModelCard,
    crops: Tensor,
    *,
    device: str = "cpu",
    batch_size: int = 128,
    precision: str = "fp32",
    progress: bool = False,
    unit: bool = True,
) -> Tensor:
    """Test features (N, D) float32 on the CPU, of uint8 crops (N, 3, H, W).

    Rows have unit length, or with ``unit`` off the length that the network gives them. The network
    is in evaluation mode during the call, and afterwards in the mode it had. In a run of several
    processes each takes a share of the crops and all get all features, so all must call.
    """
    training = network.training
    network.eval()
    mine = crops[distributed.portion(len(crops))]
    try:
        rows = [
            _features(network, card, batch.to(device), precision)
            for batch in _batches(mine, batch_size, progress and distributed.is_main())
        ]
    finally:
        network.train(training)
    features = torch.cat(rows) if rows else torch.empty(0, card.dimension)
    features = nn.functional.normalize(features, dim=1) if unit else features
    return distributed.join(features, len(crops))


def _batches(crops: Tensor, size: int, progress: bool) -> Iterator[Tensor]:
    starts = range(0, len(crops), size)
    for start in tqdm(starts, desc="features", disable=not progress, leave=False):
        yield crops[start : start + size]


def _features(network: nn.Module, card: ModelCard, crops: Tensor, precision: str) -> Tensor:
    images = normalise(crops, card).contiguous(memory_format=torch.channels_last)
    with autocast(crops.device, precision):
        features: Tensor = network(images)
    return features.float().cpu()
