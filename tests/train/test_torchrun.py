"""``torchrun ... passerby train`` from the command line to the model file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.models import load

PEOPLE, PICTURES = 12, 6


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A Market-1501-style tree: half of the people to train on."""
    noise = np.random.default_rng(0)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (tmp_path / "market" / folder).mkdir(parents=True)
    for person in range(1, PEOPLE + 1):
        colour = np.random.default_rng(person).integers(0, 256, 3)
        for picture in range(PICTURES):
            folder = "bounding_box_train"
            if person > PEOPLE // 2:
                folder = "query" if picture == 0 else "bounding_box_test"
            name = f"{person:04d}_c{picture % 3 + 1}s1_{picture:06d}_00.png"
            pixels = np.clip(colour + noise.normal(0, 20, (64, 32, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "market" / folder / name)
    return tmp_path / "market"


@pytest.mark.slow
def test_two_processes_train_evaluate_and_write_once(market: Path, tmp_path: Path) -> None:
    train = [
        "-m", "passerby", "train", "bag-of-tricks-small", "--data", f"market1501:{market}",
        "--size", "64", "32",
        "--identities", "4", "--images", "4", "--epochs", "2", "--no-progress",
        "--precision", "fp32", "--device", "cpu", "--threads", "1", "--ema", "0.9",
    ]  # fmt: skip
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for out, command in (("one", []), ("two", start)):
        done = subprocess.run(
            [sys.executable, *command, *train, "--out", str(tmp_path / out)],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.count("protocol") == 1, done.stdout
    one, two = (load(tmp_path / out / "model.safetensors")[0] for out in ("one", "two"))
    for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
        assert (mine - theirs).abs().max() < 2e-3
    reports = [json.loads((tmp_path / out / "report.json").read_text()) for out in ("one", "two")]
    assert reports[0]["mAP"] == pytest.approx(reports[1]["mAP"], abs=0.05)
    assert not (tmp_path / "two" / "checkpoint.pt").exists()
