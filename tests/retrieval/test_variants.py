"""Each published form of re-ranking against a dense oracle of its own, one element at a time."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.retrieval import VARIANTS, Variant, k_reciprocal_distances, rerank


def people(seed: int, Q: int, G: int, D: int = 8) -> tuple[NDArray, NDArray]:
    """Unit features: several pictures of each of a few people."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(2, (Q + G) // 7), D))
    rows = centres[random.integers(0, len(centres), Q + G)]
    rows = rows + 0.6 * random.normal(size=(Q + G, D))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[:Q], rows[Q:]


def squared(rows: NDArray) -> NDArray:
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


def reciprocal(order: NDArray, i: int, length: int) -> set[int]:
    return {j for j in order[i, :length] if i in order[j, :length]}


def members_of(order: NDArray, i: int, length: int, half: int) -> list[int]:
    base = reciprocal(order, i, length)
    members = set(base)
    for c in base:
        other = reciprocal(order, c, half)
        if len(other & base) > 2 / 3 * len(other):
            members |= other
    return sorted(members)


def jaccard(V: NDArray, Q: int) -> NDArray:
    N = len(V)
    found = np.empty((Q, N - Q))
    for q in range(Q):
        for g in range(Q, N):
            m = np.minimum(V[q], V[g]).sum()
            found[q, g - Q] = 1 - m / (2 - m)
    return found


def averaged(V: NDArray, order: NDArray, k2: int) -> NDArray:
    return np.stack([V[order[i, :k2]].mean(axis=0) for i in range(len(V))]) if k2 > 1 else V


def torchreid(queries: NDArray, gallery: NDArray, k1: int, k2: int, share: float) -> NDArray:
    """Its input is the squared Euclidean distance, and is squared again."""
    rows, Q = np.concatenate([queries, gallery]), len(queries)
    distance = squared(rows) ** 2
    distance = (distance / distance.max(axis=0)).T
    order = np.argsort(distance, axis=1, kind="stable")
    V = np.zeros_like(distance)
    for i in range(len(rows)):
        chosen = members_of(order, i, k1 + 1, int(np.around(k1 / 2)) + 1)
        V[i, chosen] = np.exp(-distance[i, chosen])
        V[i] /= V[i].sum()
    return (1 - share) * jaccard(averaged(V, order, k2), Q) + share * distance[:Q, Q:]


def fast_reid(queries: NDArray, gallery: NDArray, k1: int, k2: int, share: float) -> NDArray:
    """The search returns k1 columns, so that every list is cut there."""
    rows, Q = np.concatenate([queries, gallery]), len(queries)
    distance = squared(rows)
    order = np.argsort(distance, axis=1, kind="stable")[:, :k1]
    V = np.zeros_like(distance)
    for i in range(len(rows)):
        chosen = members_of(order, i, k1 + 1, int(np.around(k1 / 2)) + 1)
        softmax = np.exp(-distance[i, chosen] - (-distance[i, chosen]).max())
        V[i, chosen] = softmax / softmax.sum()
    found = np.maximum(jaccard(averaged(V, order, k2), Q), 0)
    return (1 - share) * found + share * (1 - queries @ gallery.T)


def matlab(queries: NDArray, gallery: NDArray, k1: int, k2: int, share: float) -> NDArray:
    """Distances not squared, over the maximum of the row; round() takes halves upwards."""
    rows, Q = np.concatenate([queries, gallery]), len(queries)
    distance = np.sqrt(squared(rows))
    order = np.argsort(distance, axis=1, kind="stable")
    distance = distance / distance.max(axis=1, keepdims=True)
    half = math.floor((k1 + 1) / 2 + 0.5)
    V = np.zeros_like(distance)
    for i in range(len(rows)):
        chosen = members_of(order, i, k1 + 1, half)
        V[i, chosen] = np.exp(-distance[i, chosen])
        V[i] /= V[i].sum()
    return (1 - share) * jaccard(averaged(V, order, k2), Q) + share * distance[:Q, Q:]


ORACLES = {"torchreid": torchreid, "fast-reid": fast_reid, "matlab": matlab}


@pytest.mark.parametrize("name", ORACLES)
@given(st.integers(0, 2**20), st.integers(1, 5), st.integers(1, 45), st.data())
@settings(max_examples=40, deadline=None)
def test_a_variant_is_its_oracle(name: str, seed: int, Q: int, G: int, data) -> None:
    queries, gallery = people(seed, Q, G)
    k1, k2 = data.draw(st.integers(1, 24)), data.draw(st.integers(1, 7))
    share = data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    got = k_reciprocal_distances(queries, gallery, k1=k1, k2=k2, lambda_value=share, variant=name)
    difference = np.abs(got - ORACLES[name](queries, gallery, k1, k2, share))
    assert difference.max() <= 1e-5


@pytest.mark.parametrize("name", ORACLES)
def test_a_larger_case_of_a_variant(name: str) -> None:
    queries, gallery = people(8, 30, 330, 24)
    got = k_reciprocal_distances(queries, gallery, variant=name)
    expected = ORACLES[name](queries, gallery, 20, 6, 0.3)
    assert np.abs(got - expected).max() <= 1e-5
    ranking = rerank(queries, gallery, 50, variant=name)
    best = np.sort(expected, axis=1)[:, :50]
    assert np.abs(ranking.distances - best).max() <= 1e-5
    # where the order differs, the distances are a tie
    assert np.abs(np.take_along_axis(expected, ranking.indices, 1) - best).max() <= 2e-5


def test_the_variants_differ() -> None:
    queries, gallery = people(9, 10, 120)
    found = [k_reciprocal_distances(queries, gallery, variant=name) for name in VARIANTS]
    for i, one in enumerate(found):
        for other in found[i + 1 :]:
            assert np.abs(one - other).max() > 1e-3


def test_euclidean_distances_are_half_the_exponent() -> None:
    queries, gallery = people(10, 6, 60)
    root = replace(VARIANTS["bag-of-tricks"], exponent=0.5)
    a = k_reciprocal_distances(queries, gallery, metric="euclidean")
    b = k_reciprocal_distances(queries, gallery, metric="squared_euclidean", variant=root)
    assert np.array_equal(a, b)


def test_lengths_of_lists() -> None:
    default, matlab_form = VARIANTS["bag-of-tricks"], VARIANTS["matlab"]
    assert (default.list_length(20), default.half_length(20)) == (21, 11)
    assert (VARIANTS["fast-reid"].list_length(20), matlab_form.half_length(20)) == (20, 11)
    assert [default.half_length(k) for k in (21, 22, 23)] == [11, 12, 13]
    assert [matlab_form.half_length(k) for k in (21, 22, 23)] == [11, 12, 12]


def test_names_and_bad_options() -> None:
    for name, variant in VARIANTS.items():
        assert variant.name == name
        assert variant.says
    with pytest.raises(InputError, match="no re-ranking variant 'faiss'; there are: bag-of-tricks"):
        k_reciprocal_distances(np.eye(4), np.eye(4), variant="faiss")
    with pytest.raises(InputError, match="exponent 0"):
        Variant(name="none", says="-", exponent=0)
