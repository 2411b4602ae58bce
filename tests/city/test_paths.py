from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.city.paths import best_paths, marginals


def random_graph(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    node, edge = rng.normal(0, 2, n), rng.normal(0, 1, (n, n))
    edge[rng.random((n, n)) < 0.4] = -np.inf
    return node, edge


def every_path(node: np.ndarray, edge: np.ndarray) -> dict[tuple[int, ...], float]:
    """All non-empty paths of the graph with their scores, one by one."""
    out = {}
    for size in range(1, len(node) + 1):
        for path in combinations(range(len(node)), size):
            score = sum(node[i] for i in path)
            score += sum(edge[i, j] for i, j in pairwise(path))
            if score > -np.inf:
                out[path] = score
    return out


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7), k=st.integers(1, 6))
def test_best_paths_equal_enumeration(seed: int, n: int, k: int) -> None:
    node, edge = random_graph(seed, n)
    want = sorted(every_path(node, edge).items(), key=lambda item: -item[1])[:k]
    got = best_paths(node, edge, k)
    assert [path.nodes for path in got] == [path for path, _ in want]
    np.testing.assert_allclose([path.score for path in got], [score for _, score in want])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 7))
def test_marginals_equal_enumeration(seed: int, n: int) -> None:
    node, edge = random_graph(seed, n)
    paths = every_path(node, edge)
    total = 1.0 + sum(np.exp(score) for score in paths.values())
    for i in range(n):
        through = sum(np.exp(score) for path, score in paths.items() if i in path)
        assert marginals(node, edge)[i] == pytest.approx(through / total)


def test_an_anchor_of_any_weight_is_certain() -> None:
    node = np.array([1e4, -3.0, 1e4])
    edge = np.zeros((3, 3))
    assert best_paths(node, edge)[0].nodes == (0, 2)
    chances = marginals(node, edge)
    assert chances[0] == pytest.approx(1.0)
    assert chances[2] == pytest.approx(1.0)
    assert 0 < chances[1] < 0.1


def test_no_nodes() -> None:
    assert best_paths(np.zeros(0), np.zeros((0, 0)), 3) == []
    assert len(marginals(np.zeros(0), np.zeros((0, 0)))) == 0
