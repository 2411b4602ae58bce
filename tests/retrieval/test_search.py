"""Search against sorting everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from passerby.errors import InputError
from passerby.retrieval import Ranking, distances, search
from passerby.retrieval.distances import distance_block
from passerby.retrieval.search import smallest


@given(
    st.integers(0, 2**20),
    st.integers(1, 5),
    st.integers(1, 50),
    st.integers(1, 60),
    st.sampled_from([1, 3, 10**6]),
)
@settings(max_examples=150, deadline=None)
def test_smallest_is_a_stable_sort(seed: int, R: int, N: int, k: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    block = torch.from_numpy(random.integers(0, levels, (R, N)).astype(np.float32))
    values, columns = smallest(block, k)
    expected = np.argsort(block.numpy(), axis=1, kind="stable")[:, :k]
    assert np.array_equal(columns.numpy(), expected)
    assert np.array_equal(values.numpy(), np.take_along_axis(block.numpy(), expected, 1))


@pytest.mark.parametrize("levels", [2, 300, 10**6])
def test_smallest_in_groups_is_a_stable_sort(levels: int) -> None:
    random = np.random.default_rng(1)
    block = random.integers(0, levels, (9, 5003)).astype(np.float32)
    values, columns = smallest(torch.from_numpy(block), 10)
    expected = np.argsort(block, axis=1, kind="stable")[:, :10]
    assert np.array_equal(columns.numpy(), expected)
    assert np.array_equal(values.numpy(), np.take_along_axis(block, expected, 1))


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "squared_euclidean"])
@pytest.mark.parametrize("k", [1, 7, 500])
def test_search_is_sorting_everything(metric: str, k: int) -> None:
    random = np.random.default_rng(2)
    queries, gallery = random.normal(size=(13, 6)), random.normal(size=(300, 6))
    if metric == "cosine":
        a = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        b = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
        expected = 1 - a @ b.T
    else:
        expected = ((queries[:, None] - gallery[None]) ** 2).sum(-1)
        expected = np.sqrt(expected) if metric == "euclidean" else expected
    ranking = search(queries, gallery, k, metric=metric, block_bytes=4 * 100)
    order = np.argsort(expected, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ranking.indices, order)
    assert ranking.distances.dtype == np.float32
    assert np.allclose(ranking.distances, np.take_along_axis(expected, order, 1), atol=1e-5)
    assert np.allclose(distances(queries, gallery, metric=metric), expected, atol=1e-5)


def test_blocks_of_the_gallery_are_merged_in_order() -> None:
    gallery = np.tile(np.eye(4, dtype=np.float32), (20_000, 1))  # 80,000 rows, all tied
    ranking = search(np.eye(4), gallery, 5)
    assert ranking.indices.tolist() == [[i, i + 4, i + 8, i + 12, i + 16] for i in range(4)]
    assert (ranking.distances == 0).all()


def test_a_search_in_part_is_part_of_the_search() -> None:
    random = np.random.default_rng(3)
    queries, gallery = random.normal(size=(5, 16)), random.normal(size=(400, 16))
    part = np.flatnonzero(random.random(400) < 0.3)
    whole = search(queries, gallery, 400)
    some = search(queries, gallery[part], len(part))
    for q in range(5):
        assert part[some.indices[q]].tolist() == [g for g in whole.indices[q] if g in set(part)]


def test_half_precision_and_read_only_galleries_are_taken() -> None:
    gallery = np.eye(4, dtype=np.float16)
    gallery.flags.writeable = False
    assert search(torch.eye(4), gallery, 1).indices.ravel().tolist() == [0, 1, 2, 3]


def test_ranking_head() -> None:
    ranking = search(np.eye(3), np.eye(3), 3)
    assert (len(ranking), ranking.k, ranking.head(2).k) == (3, 3, 2)
    with pytest.raises(InputError, match=r"must be \(Q, k\)"):
        Ranking(np.zeros((2, 2), np.int64), np.zeros((2, 3), np.float32))


def test_no_queries_give_an_empty_ranking() -> None:
    assert search(np.zeros((0, 4)), np.eye(4), 2).indices.shape == (0, 2)


ROWS = np.ones((3, 4))


@pytest.mark.parametrize(
    ("queries", "gallery", "k", "message"),
    [
        (np.zeros((3, 4)), ROWS, 1, "query features are zero in rows 0, 1, 2"),
        (ROWS, np.full((3, 4), np.nan), 1, "gallery features have NaN or infinite values in rows"),
        (ROWS, ROWS * np.inf, 1, "infinite"),
        (ROWS, np.ones((3, 5)), 1, "4 dimensions and the gallery 5"),
        (ROWS[0], ROWS, 1, r"give rows \(N, D\)"),
        (ROWS, np.zeros((0, 4)), 1, "the gallery is empty"),
        (ROWS, ROWS, 0, "at least 1"),
        (np.array([["a"]]), ROWS, 1, "give numbers"),
    ],
)
def test_bad_input_is_named(queries, gallery, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        search(queries, gallery, k)


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(InputError, match="no metric 'dot'; there are: cosine"):
        search(ROWS, ROWS, 1, metric="dot")  # type: ignore[arg-type]


def test_very_long_rows_still_have_a_direction() -> None:
    ranking = search(np.eye(3) * 1e30, np.eye(3) * 1e25, 1)
    assert ranking.indices.ravel().tolist() == [0, 1, 2]


@pytest.mark.parametrize("metric", ["cosine", "squared_euclidean"])
def test_the_arithmetic_is_that_of_torchreid(metric: str) -> None:
    # rounding and all, so that figures agree to the last hit
    random = torch.Generator().manual_seed(8)
    queries = functional.normalize(torch.randn(60, 96, generator=random))
    gallery = functional.normalize(torch.randn(5000, 96, generator=random))
    if metric == "cosine":
        expected = 1 - queries @ gallery.T
    else:
        squares = queries.pow(2).sum(1, keepdim=True), gallery.pow(2).sum(1, keepdim=True)
        expected = squares[0].expand(60, 5000) + squares[1].expand(5000, 60).t()
        expected.addmm_(queries, gallery.T, beta=1, alpha=-2)
    got = distance_block(queries, gallery, metric)
    assert torch.allclose(got, expected, rtol=0, atol=2.5e-7)
