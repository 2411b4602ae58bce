from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Write a small JPEG or PNG of one colour; its folder is made."""

    def write(path: Path, colour: tuple[int, int, int] = (120, 60, 30), size=(8, 16)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path)
        return path

    return write


@pytest.fixture
def market(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """A tree in Market-1501's layout with junk, distractors and a two-digit camera."""
    names = {
        "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0007_c12s3_070952_01.jpg"],
        "query": ["0001_c1s1_001051_00.jpg", "0003_c15s1_000001_00.jpg"],
        "bounding_box_test": [
            "-1_c1s1_000401_03.jpg",
            "0000_c2s1_000401_03.jpg",
            "0001_c3s1_001051_01.jpg",
            "0003_c2s1_000051_01.jpg",
        ],
    }
    for folder, files in names.items():
        for number, file in enumerate(files):
            picture(tmp_path / folder / file, (10 * number, 100, 200))
    (tmp_path / "query" / "Thumbs.db").write_bytes(b"not a picture")
    return tmp_path


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    def make(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return make
