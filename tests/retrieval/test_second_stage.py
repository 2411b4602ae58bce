"""The second stage against sorting all candidates by the other distance."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from passerby.errors import InputError
from passerby.retrieval import Ranking, rerank_pairs, search


def manhattan(queries: Tensor, candidates: Tensor) -> Tensor:
    return (queries[:, None] - candidates).abs().sum(dim=2)


def features(seed: int, count: int, levels: int = 10**6) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, levels + 1, (count, 4)).astype(np.float32)


@given(
    st.integers(0, 2**20),
    st.integers(0, 6),
    st.integers(1, 30),
    st.integers(1, 40),
    st.sampled_from([2, 10**4]),
    st.sampled_from([1, 100, 10**6]),
)
@settings(max_examples=100, deadline=None)
def test_the_candidates_in_the_order_of_the_other_distance(  # noqa: PLR0917
    seed: int, Q: int, G: int, k: int, levels: int, block_bytes: int
) -> None:
    queries, gallery = features(seed, Q, levels), features(seed + 1, G, levels)
    first = search(queries, gallery, k)
    found = rerank_pairs(first, queries, gallery, manhattan, block_bytes=block_bytes)
    assert found.indices.shape == first.indices.shape
    assert found.distances.dtype == np.float32
    for row, query in enumerate(queries):
        pairs = sorted((float(np.abs(query - gallery[i]).sum()), i) for i in first.indices[row])
        assert found.indices[row].tolist() == [i for _, i in pairs]
        assert found.distances[row] == pytest.approx([d for d, _ in pairs])


def test_over_the_whole_gallery_it_is_the_full_search() -> None:
    queries, gallery = features(1, 5), features(2, 40)
    found = rerank_pairs(search(queries, gallery, 40), queries, gallery, manhattan)
    every = np.abs(queries[:, None] - gallery[None]).sum(2)
    assert np.array_equal(found.indices, np.argsort(every, axis=1, kind="stable"))


def test_each_query_costs_k_pairs() -> None:
    asked = []

    def counted(queries: Tensor, candidates: Tensor) -> Tensor:
        asked.append(candidates.shape[:2].numel())
        return manhattan(queries, candidates)

    queries, gallery = features(1, 7), features(2, 400)
    rerank_pairs(search(queries, gallery, 10), queries, gallery, counted)
    assert sum(asked) == 70


def test_bad_input_is_named() -> None:
    queries, gallery = features(1, 3), features(2, 5)
    first = search(queries, gallery, 4)
    with pytest.raises(InputError, match="3 queries, the features 2"):
        rerank_pairs(first, queries[:2], gallery, manhattan)
    with pytest.raises(InputError, match="outside the gallery of 2"):
        rerank_pairs(first, queries, gallery[:2], manhattan)
    with pytest.raises(InputError, match="outside the gallery"):
        rerank_pairs(Ranking(first.indices - 9, first.distances), queries, gallery, manhattan)
    with pytest.raises(InputError, match=r"gave distances \(3,\)"):
        rerank_pairs(first, queries, gallery, lambda q, c: q.sum(1))
    with pytest.raises(InputError, match="not finite"):
        rerank_pairs(first, queries, gallery, lambda q, c: torch.full(c.shape[:2], np.nan))
    with pytest.raises(InputError, match="NaN or infinite values in rows 0"):
        rerank_pairs(first, queries * np.nan, gallery, manhattan)
