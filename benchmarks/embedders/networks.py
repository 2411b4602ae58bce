"""A ResNet-50 to time: weights of a short training, or random ones fitted on simulated crops.

Speed does not depend on weights, but what rounding does to the vectors does: the deep, purely
random network is chaotic (it tells apart what trained ones do not), so batch normalisation is
fitted on crops, and the last scale of every residual branch, 1 at the start of training, is set to
a value as trained networks have it. Of a trained network batch normalisation alone is fitted again,
as it may have been trained on smaller pictures.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from passerby.models import ModelCard, build, load, save
from passerby.runtime import read_image, resize
from passerby.runtime.torch_backend import Normalised

BRANCH_SCALE = 0.15
BATCH = 32


def make_resnet50(
    path: Path, crops: list[Path], *, start: Path | None = None, seed: int = 0
) -> None:
    """Write a ResNet-50 (last stride 1, BNNeck, 256 x 128) that was fitted on ``crops``."""
    torch.manual_seed(seed)
    network = load(start)[0] if start else build("resnet50")
    card = ModelCard(architecture="resnet50", dimension=network.dimension)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches
            module.reset_running_stats()
        if start is None and name.endswith("bn3"):
            nn.init.constant_(module.weight, BRANCH_SCALE)
    fitting = Normalised(network, card).train()
    with torch.no_grad():
        for first in range(0, len(crops), BATCH):
            batch = [resize(read_image(crop), card.input_size) for crop in crops[first:][:BATCH]]
            network(_normal(fitting, np.stack(batch)))
    save(network.eval(), card, path)


def _normal(module: Normalised, pictures: np.ndarray) -> torch.Tensor:
    images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
    return (images - module.mean) / module.std


def gigaflops(network: nn.Module, card: ModelCard) -> float:
    """Arithmetic of one picture, additions and multiplications counted apart, in 10^9."""
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(torch.zeros(1, 3, *card.input_size))
    return counter.get_total_flops() / 1e9
