"""Features of several people under several cameras, and the published algorithm, dense."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


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
    for i in range(N):
        base = reciprocal(i, k1 + 1)
        members = set(base)
        for candidate in base:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)) + 1)
            if len(theirs & base) > 2 / 3 * len(theirs):
                members |= theirs
        chosen = sorted(members)
        weights = np.exp(-squared[i, chosen])
        V[i, chosen] = weights / weights.sum()
    if k2 != 1:
        V = np.stack([V[rank[i, :k2]].mean(axis=0) for i in range(N)])
    shared = np.minimum(V[:, None, :], V[None, :, :]).sum(axis=2)
    return np.maximum(1 - shared / (2 - shared), 0)


@pytest.fixture
def people() -> Callable[..., tuple[NDArray, NDArray]]:
    return draw


@pytest.fixture
def dense() -> Callable[..., NDArray]:
    return textbook
