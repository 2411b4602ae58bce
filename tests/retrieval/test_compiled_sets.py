"""Compiled reciprocal sets and products of pairs against numpy's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.retrieval import compiled
from passerby.retrieval.encoding import expanded_sets, pair_distances

pytest.importorskip("numba")


@given(
    st.integers(0, 2**20), st.integers(1, 60), st.integers(1, 12), st.integers(1, 12), st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_expanded_sets_are_numpys(seed: int, N: int, L: int, half: int, near: bool) -> None:
    random = np.random.default_rng(seed)
    L = min(L, N)
    if near:  # lists of people on a line, else of nothing
        places = np.sort(random.random(N)) if seed % 2 else random.integers(0, 5, N).astype(float)
        order = np.argsort(np.abs(places[:, None] - places), axis=1, kind="stable")
    else:
        order = np.argsort(random.random((N, N)), axis=1)
    lists = np.ascontiguousarray(order[:, :L].astype(np.int32))
    plain = expanded_sets(lists, min(half, L))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "ROWS", 1)
        found = expanded_sets(lists, min(half, L))
    for mine, theirs in zip(found, plain, strict=True):
        assert mine.dtype == theirs.dtype
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 1001])
def test_distances_of_pairs_are_numpys(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(count)
    rows = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(90, 37))), dim=1)
    left, right = random.integers(0, 90, (2, count))
    pairs = left.astype(np.int64), right.astype(np.int32)
    plain = pair_distances(rows.float(), *pairs, "cosine")
    monkeypatch.setattr(compiled, "ROWS", 1)
    found = pair_distances(rows.float(), *pairs, "cosine")
    assert found.dtype == plain.dtype
    assert found.shape == plain.shape
    assert np.abs(found - plain).max(initial=0) < 1e-6
    squared = pair_distances(rows.float(), *pairs, "squared_euclidean")
    assert np.allclose(squared, 2 * plain, atol=1e-5)


def test_parts_cover_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    for count in (0, 1, 2, 3, 100):
        parts = compiled.in_parts(lambda a, b: list(range(a, b)), count, each=4)
        assert [n for part in parts for n in part] == list(range(count))


def test_without_a_folder_to_keep_code_in(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba.core import caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @compiled.kernel(reordered=True)
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42
