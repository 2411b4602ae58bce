"""Sparse Jaccard distances and pseudo labels against the dense textbook."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

from passerby.cluster import jaccard_neighbours, pseudo_labels
from passerby.cluster.jaccard import encode, neighbours
from passerby.errors import InputError
from passerby.retrieval import compiled


def draw(
    seed: int, N: int, *, D: int = 16, people: int | None = None, spread: float = 0.5
) -> tuple[NDArray, NDArray]:
    """Unit features (N, D) and whose they are (N,)."""
    random = np.random.default_rng(seed)
    people = people or max(2, N // 8)
    identities = random.integers(0, people, N)
    centres = random.normal(size=(people, D))
    rows = centres[identities] + spread * random.normal(size=(N, D))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), identities


def textbook(features: NDArray, *, k1: int = 30, k2: int = 6) -> NDArray:
    """Jaccard distances (N, N) of Cluster Contrast with sets and loops, in float64."""
    rows = np.asarray(features, dtype=np.float64)
    N = len(rows)
    squared = 2 - 2 * rows @ rows.T
    rank = np.argsort(squared, axis=1, kind="stable")[:, :k1]

    def reciprocal(i: int, length: int) -> set[int]:
        return {j for j in rank[i, :length] if i in rank[j, :length]}

    V = np.zeros((N, N))
    full = [reciprocal(i, k1 + 1) for i in range(N)]
    half = [reciprocal(i, int(np.around(k1 / 2)) + 1) for i in range(N)]
    for i, base in enumerate(full):
        members = set(base)
        for candidate in base:
            theirs = half[candidate]
            if len(theirs & base) > 2 / 3 * len(theirs):
                members |= theirs
        chosen = sorted(members)
        weights = np.exp(-squared[i, chosen])
        V[i, chosen] = weights / weights.sum()
    if k2 != 1:
        V = np.stack([V[rank[i, :k2]].mean(axis=0) for i in range(N)])
    shared = np.stack([np.minimum(V, row).sum(axis=1) for row in V])
    return np.maximum(1 - shared / (2 - shared), 0)


def filled(graph) -> NDArray:
    """The dense matrix, with 1 where nothing is stored."""
    whole = np.ones(graph.shape, dtype=np.float32)
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    whole[rows, graph.indices] = graph.data
    return whole


@given(st.integers(0, 2**20), st.integers(1, 70), st.integers(1, 31), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_distances_are_the_textbook(seed: int, N: int, k1: int, k2: int) -> None:
    features, _ = draw(seed, N)
    graph = jaccard_neighbours(features, k1=k1, k2=k2)
    expected = textbook(features, k1=k1, k2=k2)
    assert graph.dtype == np.float32
    assert graph.has_canonical_format
    assert np.abs(filled(graph) - expected).max() <= 2e-6
    assert graph.data.max(initial=0) < 1
    assert (graph != graph.T).nnz == 0


@pytest.mark.parametrize("eps", [0.2, 0.4, 0.6, 0.75])
@pytest.mark.parametrize("spread", [0.3, 0.6, 0.9])
def test_labels_are_those_of_the_dense_form(eps: float, spread: float) -> None:
    features, _ = draw(3, 240, D=24, people=15, spread=spread)
    expected = DBSCAN(eps=eps, min_samples=4, metric="precomputed").fit_predict(textbook(features))
    labels = pseudo_labels(features, eps=eps)
    assert labels.dtype == np.int64
    assert np.array_equal(labels, expected)  # even the numbers agree


def test_labels_of_a_thousand_pictures() -> None:
    features, _ = draw(4, 1000, D=32, people=60, spread=1.0)
    expected = DBSCAN(eps=0.6, min_samples=4, metric="precomputed").fit_predict(textbook(features))
    assert 40 < expected.max() < 90
    assert 50 < (expected < 0).sum() < 400
    assert np.array_equal(pseudo_labels(features), expected)


@given(st.integers(0, 2**20), st.integers(5, 60), st.integers(1, 6), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_labels_of_any_small_set(seed: int, N: int, min_samples: int, eps: float) -> None:
    features, _ = draw(seed, N, D=8)
    matrix = textbook(features, k1=10, k2=3)
    if np.abs(matrix - eps).min() < 1e-5:
        return  # a distance of eps itself: rounding decides
    expected = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(matrix)
    labels = pseudo_labels(features, k1=10, k2=3, eps=eps, min_samples=min_samples)
    assert np.array_equal(labels, expected)


def test_small_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = draw(5, 500)
    whole = jaccard_neighbours(features)
    monkeypatch.setattr("passerby.cluster.jaccard.CELLS", 1300)
    monkeypatch.setattr("passerby.cluster.jaccard.SHARED", 700)
    parts = jaccard_neighbours(features)
    assert np.array_equal(whole.indices, parts.indices)
    assert np.array_equal(whole.data, parts.data)


@given(
    st.integers(0, 2**20), st.integers(1, 90), st.integers(1, 15), st.sampled_from([None, 0.3, 0.6])
)
@settings(max_examples=60, deadline=None)
def test_compiled_distances_are_numpys(seed: int, N: int, k1: int, limit: float | None) -> None:
    pytest.importorskip("numba")
    features, _ = draw(seed, N, D=8, spread=0.8)
    features[: N // 4] = features[0]
    rows = encode(features, k1=k1, k2=3).rows
    plain = neighbours(rows, limit=limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "ROWS", 1)
        found = neighbours(rows, limit=limit)
    assert np.array_equal(found.indptr, plain.indptr)
    assert np.array_equal(found.indices, plain.indices)
    assert np.array_equal(found.data, plain.data)


@pytest.mark.parametrize("spread", [0.3, 0.9, 1.5])
def test_compiled_labels_are_numpys(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    features, _ = draw(11, 1000, D=64, people=60, spread=spread)
    plain = pseudo_labels(features)
    monkeypatch.setattr(compiled, "ROWS", 1)
    assert np.array_equal(pseudo_labels(features), plain)


def test_limit_keeps_the_near_ones() -> None:
    features, _ = draw(6, 300)
    whole, near = jaccard_neighbours(features), jaccard_neighbours(features, limit=0.5)
    assert near.nnz == (whole.data <= 0.5).sum() > 300
    assert (filled(near) == np.where(filled(whole) <= 0.5, filled(whole), 1)).all()


def test_copies_are_zero_apart_and_stored() -> None:
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(12, 8)), 8, axis=0)
    graph = jaccard_neighbours(features, k1=8, k2=4)
    assert graph.nnz == 12 * 8 * 8
    assert graph.data.max() <= 1e-6
    assert np.array_equal(pseudo_labels(features, k1=8, k2=4), np.repeat(np.arange(12), 8))


def test_more_copies_than_a_list_is_long() -> None:
    # the later copies are not in their own lists; the mean over k2 rows joins them again
    features = np.concatenate([np.ones((50, 4)), np.eye(4)])
    labels = pseudo_labels(features)
    assert (labels[:50] == 0).all()
    assert np.isfinite(jaccard_neighbours(features, k2=1).data).all()


def test_order_of_rows_only_renames() -> None:
    features, _ = draw(7, 300, people=20)
    order = np.random.default_rng(0).permutation(300)
    before, after = pseudo_labels(features)[order], pseudo_labels(features[order])
    assert np.array_equal(before < 0, after < 0)
    pairs = set(zip(before.tolist(), after.tolist(), strict=True))
    assert len(pairs) == len(np.unique(before))


def test_lengths_and_kinds_of_features_do_not_matter() -> None:
    features, _ = draw(8, 200)
    scaled = torch.from_numpy(features * np.linspace(0.1, 10, 200)[:, None])
    assert np.array_equal(pseudo_labels(features), pseudo_labels(scaled))
    again = pseudo_labels(features)
    assert np.array_equal(again, pseudo_labels(features))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_gives_the_same_labels() -> None:
    features, _ = draw(9, 800, people=60)
    on_gpu = torch.from_numpy(features).cuda()
    assert np.array_equal(pseudo_labels(on_gpu), pseudo_labels(features))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 0"),
        ({"k2": 0}, "k2 0"),
        ({"eps": 1.0}, "eps 1.0"),
        ({"eps": 0.0}, "eps 0.0"),
        ({"min_samples": 0}, "min_samples 0"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pseudo_labels(np.eye(4), **options)


def test_bad_features_are_named() -> None:
    with pytest.raises(InputError, match="no features"):
        pseudo_labels(np.zeros((0, 4)))
    rows = np.eye(4)
    rows[2] = np.nan
    with pytest.raises(InputError, match=r"clustered features have NaN .* row 2"):
        pseudo_labels(rows)
    rows[2] = 0
    with pytest.raises(InputError, match="zero in row 2"):
        pseudo_labels(rows)
