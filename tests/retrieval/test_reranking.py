"""Re-ranking against the dense textbook, written out one element at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.retrieval import k_reciprocal_distances, memory_estimate, rerank
from passerby.retrieval.encoding import expanded_sets


def textbook(
    queries: NDArray,
    gallery: NDArray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    power: float = 1.0,
) -> NDArray:
    """Zhong et al. (2017) with sets and loops, in float64, of features as they are."""
    rows = np.concatenate([queries, gallery]).astype(np.float64)
    N, Q = len(rows), len(queries)
    distance = ((rows[:, None] - rows[None]) ** 2).sum(-1) ** power
    distance = distance / distance.max(axis=1, keepdims=True)
    order = np.argsort(distance, axis=1, kind="stable")

    def reciprocal(i: int, length: int) -> set[int]:
        return {j for j in order[i, :length] if i in order[j, :length]}

    V = np.zeros((N, N))
    for i in range(N):
        base = reciprocal(i, k1 + 1)
        members = set(base)
        for c in base:
            other = reciprocal(c, int(np.around(k1 / 2)) + 1)
            if len(other & base) > 2 / 3 * len(other):
                members |= other
        chosen = sorted(members)
        V[i, chosen] = np.exp(-distance[i, chosen])
        V[i] /= V[i].sum()
    if k2 > 1:
        V = np.stack([V[order[i, :k2]].mean(axis=0) for i in range(N)])
    final = np.empty((Q, N - Q))
    for q in range(Q):
        for g in range(Q, N):
            m = np.minimum(V[q], V[g]).sum()
            final[q, g - Q] = (1 - lambda_value) * (1 - m / (2 - m)) + lambda_value * distance[q, g]
    return final


def people(seed: int, Q: int, G: int, D: int = 8, unit: bool = True) -> tuple[NDArray, NDArray]:
    """Features with some structure: several pictures of each of a few people."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(2, (Q + G) // 6), D))
    rows = centres[random.integers(0, len(centres), Q + G)]
    rows = rows + 0.6 * random.normal(size=(Q + G, D))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows
    return rows[:Q], rows[Q:]


settings_of_reranking = st.fixed_dictionaries(
    {
        "k1": st.integers(1, 20),
        "k2": st.integers(1, 7),
        "lambda_value": st.sampled_from([0.0, 0.3, 1.0]),
    }
)


@given(st.integers(0, 2**20), st.integers(1, 6), st.integers(1, 50), settings_of_reranking)
@settings(max_examples=60, deadline=None)
def test_reranking_is_the_textbook(seed: int, Q: int, G: int, options: dict) -> None:
    queries, gallery = people(seed, Q, G)
    got = k_reciprocal_distances(queries, gallery, **options)
    assert got.dtype == np.float32
    assert np.abs(got - textbook(queries, gallery, **options)).max() <= 1e-5


@pytest.mark.parametrize(("metric", "power"), [("squared_euclidean", 1.0), ("euclidean", 0.5)])
def test_variants_on_features_as_they_are(metric: str, power: float) -> None:
    queries, gallery = people(4, 12, 150, unit=False)
    got = k_reciprocal_distances(queries, gallery, metric=metric)
    assert np.abs(got - textbook(queries, gallery, power=power)).max() <= 1e-5


def test_a_larger_case_in_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = people(5, 60, 540, 24)
    whole = k_reciprocal_distances(queries, gallery)
    monkeypatch.setattr("passerby.retrieval.reranking.BLOCK_BYTES", 4 * 600 * 7)
    monkeypatch.setattr("passerby.retrieval.encoding.ROWS", 11)
    monkeypatch.setattr("passerby.retrieval.encoding.PAIRS", 13)
    parts = k_reciprocal_distances(queries, gallery)
    assert np.abs(whole - parts).max() <= 1e-6
    assert np.abs(whole - textbook(queries, gallery)).max() <= 1e-5


@pytest.mark.parametrize("k", [1, 50, 1000])
def test_rerank_sorts_the_distances(k: int) -> None:
    queries, gallery = people(6, 20, 200)
    ranking = rerank(queries, gallery, k)
    distances = k_reciprocal_distances(queries, gallery)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ranking.indices, order)
    assert np.array_equal(ranking.distances, np.take_along_axis(distances, order, 1))


def test_all_the_same_picture() -> None:
    same = np.ones((30, 4))
    distances = k_reciprocal_distances(same[:3], same[3:], k1=5)
    assert np.isfinite(distances).all()
    assert rerank(same[:3], same[3:], 4, k1=5).indices.shape == (3, 4)


def test_no_queries() -> None:
    assert k_reciprocal_distances(np.ones((0, 4)), np.eye(4)).shape == (0, 4)
    assert rerank(np.ones((0, 4)), np.eye(4), 2).indices.shape == (0, 2)


def test_scale_of_features_does_not_matter_under_cosine() -> None:
    queries, gallery = people(7, 10, 90)
    scaled = gallery * np.linspace(0.1, 10, 90)[:, None]
    a, b = k_reciprocal_distances(queries, gallery), k_reciprocal_distances(queries, scaled)
    assert np.abs(a - b).max() <= 1e-5


def test_a_candidate_joins_only_above_two_thirds() -> None:
    # row 0 lists 0, 1, 2; of row 1's half list 1, 0, 3 two of three are in R(0): not more
    lists = np.array([[0, 1, 2], [1, 0, 3], [2, 0, 1], [3, 1, 0]], dtype=np.int32)
    mutual, rows, columns = expanded_sets(lists, 3)
    assert mutual[0].tolist() == [True, True, True]
    assert (0, 3) not in set(zip(rows.tolist(), columns.tolist(), strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 0"),
        ({"k2": 0}, "k2 0"),
        ({"lambda_value": 1.5}, r"0\.\.1"),
        ({"metric": "dot"}, "no metric"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        k_reciprocal_distances(np.eye(4), np.eye(4), **options)
    with pytest.raises(InputError, match=message):
        rerank(np.eye(4), np.eye(4), 2, **options)


def test_bad_features_are_named() -> None:
    rows = np.eye(4)
    rows[2] = np.nan
    with pytest.raises(InputError, match="query features have NaN or infinite values in row 2"):
        rerank(rows, np.eye(4), 2)
    rows[2] = 0
    with pytest.raises(InputError, match="gallery features are zero in row 2"):
        rerank(np.eye(4), rows, 2)
    with pytest.raises(InputError, match="empty"):
        rerank(np.eye(4), np.zeros((0, 4)), 2)
    with pytest.raises(InputError, match="at least 1"):
        rerank(np.eye(4), np.eye(4), 0)


def test_the_memory_is_estimated_before_it_starts() -> None:
    queries, gallery = people(12, 20, 200)
    needed = memory_estimate(20, 200, 8)
    assert memory_estimate(20, 200, 8, dense=True) == needed + 4 * 20 * 200
    enough = rerank(queries, gallery, 5, memory_limit=needed)
    assert np.array_equal(enough.indices, rerank(queries, gallery, 5).indices)
    with pytest.raises(InputError, match=r"20 queries in a gallery of 200 takes about \d+ MiB"):
        rerank(queries, gallery, 5, memory_limit=needed - 1)
    with pytest.raises(InputError, match=r"ask for the nearest ones by rerank\(\)"):
        k_reciprocal_distances(queries, gallery, memory_limit=needed)
    with pytest.raises(InputError, match=r"give rows \(N, D\)"):
        rerank(queries[0], gallery, 5, memory_limit=1)
    # the dense form of the published code at the size of MSMT17 takes over 200 GB
    assert memory_estimate(11_659, 82_161, 512) < 2.5e9
