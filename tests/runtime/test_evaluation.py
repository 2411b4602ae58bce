"""The score of an embedder is that of its vectors."""

from pathlib import Path

import numpy as np
from PIL import Image

from passerby.data import CropTable
from passerby.metrics import evaluate_features
from passerby.runtime import Embedder
from passerby.runtime.evaluation import evaluate_embedder


def test_the_score_is_that_of_the_vectors(
    weights: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    for number, picture in enumerate(pictures[:8]):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    table = CropTable(
        path=np.array([f"{number}.png" for number in range(8)]),
        identity=np.array([1, 2, 1, 2, 3, 1, 0, -1]),
        camera=np.array([1, 1, 2, 2, 2, 1, 2, 2]),
        split=np.array(["query"] * 2 + ["gallery"] * 6),
        root=tmp_path,
        name="few",
    )
    embedder = Embedder.load(weights, runtime="torch")
    vectors = embedder.embed(table.paths())
    report = evaluate_embedder(embedder, table)
    expected = evaluate_features(
        vectors[:2],
        vectors[2:],
        table.identity[:2],
        table.identity[2:],
        table.camera[:2],
        table.camera[2:],
    )
    assert report.valid_queries == 2
    assert report.summary() == expected.summary()
