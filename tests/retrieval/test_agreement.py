"""Search and re-ranking on random cases: ties, one query, more asked for than there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.retrieval import (
    distances,
    expand_gallery,
    expand_queries,
    k_reciprocal_distances,
    rerank,
    search,
)


def whole_numbers(seed: int, Q: int, G: int, D: int) -> tuple[NDArray, NDArray]:
    """Features of small whole numbers: squared distances are exact, and many are equal."""
    random = np.random.default_rng(seed)
    return random.integers(-2, 3, (Q, D)), random.integers(-2, 3, (G, D))


cases = st.builds(
    whole_numbers,
    st.integers(0, 2**20),
    st.integers(1, 6),
    st.integers(1, 70),
    st.integers(1, 4),
)


@given(cases, st.integers(1, 100), st.integers(1, 400))
@settings(max_examples=120, deadline=None)
def test_search_is_walking_the_sorted_list(case, k: int, block_bytes: int) -> None:
    queries, gallery = case
    found = search(queries, gallery, k, metric="squared_euclidean", block_bytes=block_bytes)
    for q, query in enumerate(queries):
        exact = [
            sum((int(a) - int(b)) ** 2 for a, b in zip(query, g, strict=True)) for g in gallery
        ]
        order = sorted(range(len(gallery)), key=lambda g: (exact[g], g))[:k]
        assert found.indices[q].tolist() == order
        assert found.distances[q].tolist() == [exact[g] for g in order]


@given(cases, st.integers(1, 100), st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_rerank_lists_the_distances_in_order(case, k: int, k1: int) -> None:
    queries, gallery = case
    options = {"k1": k1, "k2": 3, "metric": "squared_euclidean"}
    whole = k_reciprocal_distances(queries, gallery, **options)
    found = rerank(queries, gallery, k, **options)
    assert found.indices.shape == (len(queries), min(k, len(gallery)))
    order = np.argsort(whole, axis=1, kind="stable")[:, :k]
    assert np.array_equal(found.indices, order)


@given(cases)
@settings(max_examples=40, deadline=None)
def test_one_query_gets_what_it_gets_among_others(case) -> None:
    queries, gallery = case
    together = search(queries, gallery, 5, metric="squared_euclidean")
    for q in range(len(queries)):
        alone = search(queries[q : q + 1], gallery, 5, metric="squared_euclidean")
        assert alone.indices[0].tolist() == together.indices[q].tolist()


CALLS = {
    "distances": distances,
    "search": lambda q, g: search(q, g, 2),
    "rerank": lambda q, g: rerank(q, g, 2),
    "k_reciprocal_distances": k_reciprocal_distances,
    "expand_queries": lambda q, g: expand_queries(q, g, count=2),
}


@pytest.mark.parametrize("side", ["query", "gallery"])
@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "NaN or infinite values in row 3"), (np.inf, "row 3"), (0.0, "are zero in row 3")],
)
@pytest.mark.parametrize("name", CALLS)
def test_the_row_that_is_no_feature_is_named(
    name: str, value: float, words: str, side: str
) -> None:
    rows = {"query": np.eye(6), "gallery": np.eye(6)}
    rows[side][3] = value
    with pytest.raises(InputError, match=f"{side} features") as caught:
        CALLS[name](rows["query"], rows["gallery"])
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_expanding_a_gallery_names_the_row(value: float) -> None:
    rows = np.eye(6)
    rows[4] = value
    with pytest.raises(InputError, match="row 4"):
        expand_gallery(rows)
