"""What torchreid's FeatureExtractor computes for a list of files, on our network.

Kaiyang Zhou and Tao Xiang, Torchreid, arXiv 1910.10093; ``torchreid/utils/feature_extractor.py``:
each file is opened by PIL, resized, made a tensor and normalised by torchvision's transforms; the
list is stacked and goes through the network as it is, eagerly, in fp32 and channels first.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from passerby.models import load


class FeatureExtractor:
    """Lists of files to features."""

    def __init__(self, weights: Path) -> None:
        self.network, card = load(weights)
        self.preprocess = transforms.Compose(
            [
                transforms.Resize(card.input_size),
                transforms.ToTensor(),
                transforms.Normalize(mean=card.mean, std=card.std),
            ]
        )

    def __call__(self, paths: Sequence[Path]) -> np.ndarray:
        """(N, D) float32 of N files."""
        images = [self.preprocess(Image.open(path).convert("RGB")) for path in paths]
        with torch.no_grad():
            return self.network(torch.stack(images)).numpy()
