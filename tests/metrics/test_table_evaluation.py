"""The one evaluator: its scores are those of the features, whatever embeds the rows."""

from pathlib import Path

import numpy as np
import pytest

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Reranking, evaluate_features, evaluate_table
from passerby.retrieval import expand_queries

Q, G, D = 6, 30, 8


@pytest.fixture
def table() -> CropTable:
    rng = np.random.default_rng(0)
    return CropTable(
        path=np.array([f"{row}.png" for row in range(Q + G + 2)]),
        identity=np.concatenate([np.arange(Q) % 3 + 1, rng.integers(-1, 4, G), [7, 8]]),
        camera=np.concatenate([np.ones(Q, int), rng.integers(1, 4, G), [1, 1]]),
        split=np.array(["query"] * Q + ["gallery"] * G + ["train"] * 2),
        root=Path("nowhere"),
        name="few",
    )


def embed(rows: CropTable) -> np.ndarray:
    """Features that depend on the picture alone."""
    seeds = [int(path.split(".")[0]) for path in rows.path]
    made = np.stack([np.random.default_rng(seed).normal(size=D) for seed in seeds])
    return made + np.eye(10)[np.maximum(rows.identity, 0)][:, :D]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"protocol": "any-camera", "ranks": (1, 3)},
        {"metric": "euclidean"},
        {"reranking": Reranking(k1=5, k2=2)},
    ],
)
def test_the_scores_are_those_of_the_features(table: CropTable, options: dict) -> None:
    found = evaluate_table(table, embed, **options)
    queries, gallery = embed(table.query), embed(table.gallery)
    expected = evaluate_features(queries, gallery, *table.match_labels(), **options)
    assert found.report.summary() == expected.summary()
    np.testing.assert_array_equal(found.queries, queries)
    np.testing.assert_array_equal(found.gallery, gallery)


def test_expanded_queries_rank_but_are_not_returned(table: CropTable) -> None:
    found = evaluate_table(table, embed, expand=2)
    queries, gallery = embed(table.query), embed(table.gallery)
    expanded = expand_queries(queries, gallery, count=2)
    expected = evaluate_features(expanded, gallery, *table.match_labels())
    assert found.report.mAP == expected.mAP
    np.testing.assert_array_equal(found.queries, queries)


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_a_table_without_queries_or_gallery_is_refused(table: CropTable, split: str) -> None:
    def unused(rows: CropTable) -> np.ndarray:
        raise AssertionError("nothing is embedded")

    with pytest.raises(InputError, match="'few' has no query or no gallery rows"):
        evaluate_table(table.select(table.split != split), unused)
