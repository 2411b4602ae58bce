"""What torchreid's FeatureExtractor computes for a list of files, on our network.

Kaiyang Zhou and Tao Xiang, Torchreid, arXiv 1910.10093; ``torchreid/utils/feature_extractor.py``:
each file is opened by PIL, resized, made a tensor and normalised by torchvision's transforms; the
list is stacked and goes through the network as it is, eagerly, in fp32 and channels first.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from passerby.models import load


class OwnProcess:
    """A :class:`FeatureExtractor` in a process of its own, as who uses one has it.

    A third of its time goes into fresh pages for its maps. In a process that has run other networks
    for a while the C library keeps more memory at hand, and it is faster, by half when last seen.
    """

    def __init__(self, weights: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, context, _open, (weights,))

    def __call__(self, paths: Sequence[Path]) -> np.ndarray:
        """(N, D) float32 of N files."""
        return self.pool.submit(_extract, list(paths)).result()

    def close(self) -> None:
        """End the process."""
        self.pool.shutdown()


_opened: list["FeatureExtractor"] = []


def _open(weights: Path) -> None:
    _opened.append(FeatureExtractor(weights))


def _extract(paths: list[Path]) -> np.ndarray:
    return _opened[0](paths)


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
