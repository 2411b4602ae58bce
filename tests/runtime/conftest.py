"""A small network with random weights, and pictures to embed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.data import CropTable, read
from passerby.models import ModelCard, build, save

REAL = Path(__file__).parents[2].parent / "shared" / "real"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Several workers share the cores; the tests' networks are too small for threads anyway."""
    torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> CropTable:
    """Twelve people in two cameras, each a colour field with noise of its own."""
    root = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(1)
    for person in range(12):
        coarse = rng.integers(0, 256, (8, 4, 3))
        for camera, part in ((1, "query"), (2, "bounding_box_test"), (3, "bounding_box_train")):
            noisy = np.clip(coarse + rng.normal(0, 25, coarse.shape), 0, 255).astype(np.uint8)
            path = root / part / f"{person + 1:04d}_c{camera}s1_{person:06d}_00.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(noisy).resize((64, 128), Image.Resampling.BICUBIC).save(path)
    return read("simcity", root)
