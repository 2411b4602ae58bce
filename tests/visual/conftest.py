"""A small set of drawn people with features made to measure: who is mistaken for whom is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.data import CropTable
from passerby.visual import Results, collect_results

PEOPLE, CAMERAS, D = 12, 3, 16
Embed = Callable[[CropTable], torch.Tensor]
TWINS = (3, 4)  # person 3's queries find person 4 first


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> CropTable:
    """12 people seen twice by each of 3 cameras, 6 distractors, 3 junk boxes; boxes differ."""
    root = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    rows: list[tuple[str, int, int, str]] = []
    for identity in range(1, PEOPLE + 1):
        for camera in range(1, CAMERAS + 1):
            rows.append((f"q{identity}_{camera}.jpg", identity, camera, "query"))
            rows += [(f"g{identity}_{camera}_{n}.jpg", identity, camera, "gallery") for n in (0, 1)]
    rows += [(f"d{n}.jpg", 0, n % CAMERAS + 1, "gallery") for n in range(6)]
    rows += [(f"j{n}.jpg", -1, n % CAMERAS + 1, "gallery") for n in range(3)]
    for path, identity, *_ in rows:
        crop = np.full((32, 16, 3), 40 + 15 * max(identity, 0), dtype=np.uint8)
        crop += rng.integers(0, 20, crop.shape, dtype=np.uint8)
        Image.fromarray(crop).save(root / path)
    heights = rng.integers(40, 300, len(rows)).astype(np.float32)
    zero = np.zeros_like(heights)
    path, identity, camera, split = (np.array(column) for column in zip(*rows, strict=True))
    return CropTable(
        path=path,
        identity=identity,
        camera=camera,
        split=split,
        root=root,
        name="drawn",
        box=np.stack([zero, zero, heights / 2, heights], axis=1),
    )


def features(rows: CropTable, seed: int) -> np.ndarray:
    """Unit features (N, D) around a centre for each person; the queries of a twin lie wrong."""
    centres = np.random.default_rng(7).normal(size=(PEOPLE + 1, D))
    rng = np.random.default_rng(seed)
    made = rng.normal(size=(len(rows), D))
    known = rows.identity > 0
    shown = np.where(rows.identity == TWINS[0], np.where(rows.split == "query", TWINS[1], TWINS[0]),
                     rows.identity)  # fmt: skip
    made[known] = centres[shown[known]] + 0.25 * made[known]
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="session")
def results(table: CropTable) -> Results:
    """The rankings of all queries of ``table``."""
    return collect_results(table, lambda rows: features(rows, 1 + (rows.split[0] == "gallery")))


@pytest.fixture(scope="session")
def embed(results: Results) -> Embed:
    """Gives the features of ``results`` again."""
    return lambda rows: results.queries if rows.split[0] == "query" else results.features


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder with a log of 40 steps."""
    lines = [
        f'{{"event": "step", "step": {n}, "epoch": 1, "losses": {{"identity": {6 - n / 10}, '
        f'"triplet": 0.5, "loss": {6.5 - n / 10}}}, "learning_rate": {n * 1e-5}, '
        f'"images_per_second": {80 + n % 3}, "seconds": {n}}}\n'
        for n in range(10, 50, 10)
    ]
    (tmp_path / "log.jsonl").write_text("".join(lines) + '{"event": "epoch", "step": 4', "utf-8")
    return tmp_path
