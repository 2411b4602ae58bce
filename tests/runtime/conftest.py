"""A small network with random weights, and pictures to embed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from passerby.models import ModelCard, build, save

REAL = Path(__file__).parents[2].parent / "shared" / "real"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build("slim18")
    for module in network.modules():  # statistics as after training, not 0 and 1
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    card = ModelCard(architecture="slim18", dimension=network.dimension, input_size=(128, 64))
    path = tmp_path_factory.mktemp("weights") / "slim18.safetensors"
    save(network, card, path)
    return path


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Ten smooth colour pictures of different sizes."""
    rng = np.random.default_rng(0)
    result = []
    for index in range(10):
        coarse = rng.integers(0, 256, (8, 4, 3)).astype(np.uint8)
        result.append(np.kron(coarse, np.ones((10 + index, 12 + index, 1), np.uint8)))
    return result


@pytest.fixture(scope="session")
def real_models() -> Path:
    if not REAL.is_dir():
        pytest.skip("the real clips and networks (../shared/real) are not here")
    return REAL / "models"
