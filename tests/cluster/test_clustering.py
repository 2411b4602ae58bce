"""Counts, scores and findings of a clustering."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from passerby.cluster import cluster_features, jaccard_neighbours, pseudo_labels, summarise
from passerby.cluster.jaccard import encode, kth_distances
from passerby.errors import InputError


def people(seed: int, N: int, count: int, spread: float) -> tuple[NDArray, NDArray, NDArray]:
    """Features (N, 24), identities and cameras (N,)."""
    random = np.random.default_rng(seed)
    identities = random.integers(0, count, N)
    centres = random.normal(size=(count, 24))
    features = centres[identities] + spread * random.normal(size=(N, 24))
    return features, identities, random.integers(1, 5, N)


# --- scores -----------------------------------------------------------------------------------


def slow_scores(labels: list[int], truth: list[int]) -> dict[str, float | None]:
    """Definitions with loops over pictures and pairs."""
    known = [(c, p) for c, p in zip(labels, truth, strict=True) if p >= 0]
    inside = [(c, p) for c, p in known if c >= 0]
    right = 0
    for cluster in {c for c, _ in inside}:
        own = [p for c, p in inside if c == cluster]
        right += max(own.count(p) for p in own)
    pairs = list(itertools.combinations(known, 2))
    joined = [a[0] == b[0] >= 0 for a, b in pairs]
    same = [a[1] == b[1] for a, b in pairs]
    both = sum(j and s for j, s in zip(joined, same, strict=True))
    return {
        "purity": right / len(inside) if inside else None,
        "pair_precision": both / sum(joined) if any(joined) else None,
        "pair_recall": both / sum(same) if any(same) else None,
    }


@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 3)), max_size=25))
@settings(max_examples=100, deadline=None)
def test_scores_are_their_definitions(pairs: list[tuple[int, int]]) -> None:
    labels, truth = (np.array([p[i] for p in pairs], dtype=np.int64) for i in (0, 1))
    summary = summarise(labels, truth)
    for name, value in slow_scores(labels.tolist(), truth.tolist()).items():
        assert getattr(summary, name) == (None if value is None else pytest.approx(value)), name
    both = (labels >= 0) & (truth >= 0)
    if both.any():
        assert summary.nmi == pytest.approx(normalized_mutual_info_score(truth[both], labels[both]))
        assert summary.ari == pytest.approx(adjusted_rand_score(truth[both], labels[both]))
    assert summary.outliers == (labels < 0).sum()
    assert summary.text


def test_a_clustering_in_words_and_in_a_log() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1])
    summary = summarise(labels, np.array([7, 7, 8, 8, 8, 7]))
    assert summary.text == (
        "2 clusters of 2 to 3 pictures (median 2.5), 1 of 6 pictures outliers (16.7 %); "
        "2 people: purity 0.800, NMI 0.433, ARI 0.167, pairs right 0.500, found 0.333"
    )
    assert summary.values() == {
        "pictures": 6, "clusters": 2, "outliers": 1, "smallest": 2, "median": 2.5, "largest": 3,
        "people": 2, "purity": 0.8, "nmi": 0.432538, "ari": 0.166667,
        "pair_precision": 0.5, "pair_recall": 0.333333,
    }  # fmt: skip
    assert summarise(labels).text == (
        "2 clusters of 2 to 3 pictures (median 2.5), 1 of 6 pictures outliers (16.7 %)"
    )
    assert summarise(np.full(3, -1)).text == "0 clusters, 3 of 3 pictures outliers (100.0 %)"


# --- the clustering of an epoch -----------------------------------------------------------------


def test_a_good_clustering_has_no_findings() -> None:
    features, identities, cameras = people(0, 400, 25, 0.4)
    found = cluster_features(features, cameras=cameras, identities=identities)
    assert np.array_equal(found.labels, pseudo_labels(features))
    assert found.findings == ()
    assert found.usable
    assert found.obstacle is None
    assert found.summary == summarise(found.labels, identities)
    assert found.summary.purity > 0.9


def test_nothing_clusters() -> None:
    features = np.random.default_rng(0).normal(size=(200, 64))
    found = cluster_features(features, eps=0.2)
    assert not found.usable
    assert (found.labels == -1).all()
    assert [f.kind for f in found.findings] == [
        "nothing_clustered", "cameras_unknown", "people_unknown"
    ]  # fmt: skip
    message = found.obstacle
    assert "no picture of 200 has 4 within Jaccard distance 0.2" in message
    assert "raise eps" in message


def test_fewer_pictures_than_a_cluster_needs() -> None:
    found = cluster_features(np.eye(3))
    assert found.findings[0].kind == "nothing_clustered"
    assert "within 1.00 for every other" in found.obstacle
    assert cluster_features(np.eye(1)).summary.outliers == 1


def test_everything_is_one_cluster() -> None:
    features = 1 + 0.01 * np.random.default_rng(1).normal(size=(60, 8))
    cameras = np.repeat([1, 2], 30)
    found = cluster_features(features, eps=0.95, cameras=cameras)
    assert found.summary.clusters == 1
    assert not found.usable
    assert found.findings[0].kind == "one_cluster"
    assert "lower eps" in found.obstacle


def test_a_camera_without_clustered_pictures_is_named() -> None:
    features, identities, cameras = people(2, 400, 25, 0.3)
    features = np.pad(features, ((0, 10), (0, 10)))
    features[400:, 24:] = np.eye(10)  # like nobody else
    cameras = np.concatenate([cameras, np.full(10, 9)])
    identities = np.concatenate([identities, np.full(10, -1)])
    found = cluster_features(features, cameras=cameras, identities=identities, k2=1)
    assert (found.labels[-10:] == -1).all()
    assert found.usable
    assert [f.kind for f in found.findings] == ["camera_missing"]
    assert "camera 9 has no picture in any cluster (10 pictures)" in found.findings[0].message


def test_unknown_cameras_and_people_are_told() -> None:
    features, _, _ = people(4, 200, 12, 0.3)
    found = cluster_features(features, cameras=np.full(200, -1), identities=np.full(200, -1))
    assert found.usable
    assert [f.kind for f in found.findings] == ["cameras_unknown", "people_unknown"]


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="cameras are int64"):
        cluster_features(np.eye(4), cameras=np.array([1, 2]))
    with pytest.raises(InputError, match="identities are float64"):
        cluster_features(np.eye(4), identities=np.zeros(4))
    with pytest.raises(InputError, match="2 identities for 3"):
        summarise(np.zeros(3, dtype=np.int64), [1, 2])


def test_kth_distances_are_those_of_the_matrix() -> None:
    features, _, _ = people(5, 120, 12, 0.8)
    matrix = np.ones((120, 120), dtype=np.float32)
    graph = jaccard_neighbours(features).tocoo()
    matrix[graph.row, graph.col] = graph.data
    expected = np.sort(matrix, axis=1)[:, 3]
    assert np.abs(kth_distances(encode(features), 4) - expected).max() <= 1e-6
    assert np.abs(kth_distances(encode(features), 4, sample=40) - expected[::3]).max() <= 1e-6
