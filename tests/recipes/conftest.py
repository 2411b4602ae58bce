"""A small set of drawn people: coloured head, coat and trousers, seen by differing cameras."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

H, W = 64, 32


def draw(person: np.random.Generator, camera: int, shot: np.random.Generator) -> np.ndarray:
    """One crop (H, W, 3) uint8: parts jitter by shot, colours by camera."""
    parts = person.integers(30, 226, (4, 3))
    stripes = int(person.integers(2, 9))
    picture = np.empty((H, W, 3))
    picture[:] = 60 + 40 * camera + shot.normal(0, 15, (1, 1, 3))
    left, top = 6 + shot.integers(-2, 3), 4 + shot.integers(-2, 3)
    for part, (y0, y1) in enumerate(((0, 10), (10, 32), (32, 50), (50, 56))):
        picture[top + y0 : top + y1, left : left + 20] = parts[part]
    coat = picture[top + 10 : top + 32, left : left + 20]
    coat[:: max(1, stripes // 2)] *= 0.7
    gain = np.array([1.0 + 0.15 * camera, 1.0, 1.0 - 0.1 * camera])
    return np.clip(picture * gain + shot.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Market-1501-style tree: 16 people to train on, 10 others to test, 3 cameras."""
    root = tmp_path_factory.mktemp("market")
    folders = [root / name for name in ("bounding_box_train", "query", "bounding_box_test")]
    for folder in folders:
        folder.mkdir()
    shot = np.random.default_rng(0)
    for identity in range(1, 27):
        for frame in range(9):
            camera = frame % 3
            crop = draw(np.random.default_rng(identity), camera, shot)
            folder = folders[0] if identity <= 16 else folders[1 if frame < 2 else 2]
            name = f"{identity:04d}_c{camera + 1}s1_{frame:06d}_00.jpg"
            Image.fromarray(crop).save(folder / name, quality=90)
    return root


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
