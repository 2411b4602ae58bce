"""The scan of whole numbers against sorting everything in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.retrieval import compiled, scan
from passerby.retrieval.neighbours import _nearest_rows, nearest_rows

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(
    not scan.has_fast_products(), reason="this processor has no fast products of whole numbers"
)

CLOSE = 2e-6  # rounding of float32


def unit(rows: NDArray) -> torch.Tensor:
    rows = np.asarray(rows, dtype=np.float64)
    return torch.from_numpy((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def draw(seed: int, N: int, D: int, spread: float) -> torch.Tensor:
    """People, far from the origin for small spreads, every tenth row a copy of another."""
    random = np.random.default_rng(seed)
    centres = 1 + spread * random.normal(size=(max(1, N // 8), D))
    rows = centres[random.integers(0, len(centres), N)] + 0.5 * spread * random.normal(size=(N, D))
    copies = random.random(N) < 0.1
    rows[copies] = rows[random.integers(0, N, int(copies.sum()))]
    return unit(rows)


def check(features: torch.Tensor, k: int, found: tuple) -> None:
    """Lists in order, complete, with right distances; equal rows in order of rows."""
    columns, values, farthest = (part.numpy() for part in found)
    rows = features.double().numpy()
    whole = 1 - rows @ rows.T
    assert columns.shape == values.shape == (len(rows), k)
    assert (np.diff(np.sort(columns, axis=1), axis=1) > 0).all()
    assert np.abs(np.take_along_axis(whole, columns, 1) - values).max() < CLOSE
    assert np.abs(np.sort(whole, axis=1)[:, :k] - values).max() < CLOSE
    assert np.abs(whole.max(axis=1) - farthest).max() < CLOSE
    ascending = (np.diff(values, axis=1) > 0) | (
        (np.diff(values, axis=1) == 0) & (np.diff(columns, axis=1) > 0)
    )
    assert ascending.all()


@given(
    st.integers(0, 2**20),
    st.integers(1, 150),
    st.integers(1, 70),
    st.integers(1, 12),
    st.sampled_from([0.01, 0.3, 3.0]),
)
@settings(max_examples=80, deadline=None)
def test_lists_are_those_of_a_sort(seed: int, N: int, D: int, k: int, spread: float) -> None:
    features, k = draw(seed, N, D, spread), min(k, N)
    block = [(25, 40), (64, 32), (40, 1000)][seed % 3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BLOCK", block)
        patch.setattr(scan, "CAPACITY", (8, 2))  # some rows are given up
        patch.setattr(scan, "GIVEN_UP", 0)
        found = scan.nearest_rows(features, k, farthest=True)
    check(features, k, found)


@pytest.mark.parametrize("D", [64, 100, 333])
def test_lists_of_more_rows_than_a_block(D: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BLOCK", (256, 512))
    features = draw(D, 1500, D, 1.0)
    found = scan.nearest_rows(features, 30, farthest=True)
    check(features, 30, found)
    # what only rounding orders is ordered alike
    assert torch.equal(found[0], _nearest_rows(features, 30, "cosine", 2048, False)[0])


def test_whole_numbers_leave_at_most_what_is_doubted() -> None:
    features = draw(3, 200, 48, 0.5)
    features[7] = 0
    features[7, 5] = 1  # one large number, nothing else
    codes = scan.encode(features)
    rows = features.double().numpy()
    kept = codes.values * codes.scales.astype(np.float64)[:, None]
    score = kept @ kept.T + codes.shifts[:, None] + codes.shifts[None, :]
    lengths, errors = codes.lengths, codes.errors
    doubt = errors[:, None] * (lengths + errors)[None, :] + lengths[:, None] * errors[None, :]
    assert (np.abs(score - rows @ rows.T) <= doubt + 1e-6).all()
    assert doubt.max() < 0.05


def test_rows_that_are_all_alike_are_left_to_float32() -> None:
    features = unit(np.ones((400, 64)))
    assert scan.nearest_rows(features, 5, farthest=False) is None
    features = unit(1 + 1e-6 * np.random.default_rng(0).normal(size=(400, 64)))
    assert scan.nearest_rows(features, 5, farthest=False) is None


def test_many_copies_of_few_rows_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BLOCK", (1024, 1500))
    random = np.random.default_rng(5)
    features = unit(random.normal(size=(4000, 64)))
    features[random.choice(4000, 100, replace=False)] = features[0].clone()
    columns, values, farthest = scan.nearest_rows(features, 4, farthest=True)
    copies = (features == features[0]).all(dim=1).nonzero().flatten()
    assert (columns[copies] == copies[:4]).all()
    check(features, 4, (columns, values, farthest))


def test_the_rule() -> None:
    features = torch.empty(compiled.ROWS, 128)
    assert scan.fits(features, 30, "cosine")
    assert not scan.fits(features[1:], 30, "cosine")
    assert not scan.fits(features[:, 1:], 30, "cosine")
    assert not scan.fits(features, 65, "cosine")
    assert not scan.fits(features, 30, "squared_euclidean")
    assert not scan.fits(features.to("meta"), 30, "cosine")


def test_nearest_rows_take_the_scan_or_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    features = draw(1, 700, 128, 1.0)
    plain = _nearest_rows(features, 9, "cosine", 2048, True)
    monkeypatch.setattr(compiled, "ROWS", 100)
    scanned = nearest_rows(features, 9, metric="cosine")
    assert not torch.equal(plain[1], scanned[1])
    assert torch.equal(plain[0], scanned[0])
    assert (plain[1] - scanned[1]).abs().max() < CLOSE
    assert (plain[2] - scanned[2]).abs().max() < CLOSE
    alike = unit(np.ones((200, 128)))
    columns, _, largest = nearest_rows(alike, 3, metric="cosine", farthest=False)
    assert (columns == torch.arange(3)).all()
    assert largest is None
    monkeypatch.setattr(compiled, "installed", lambda: False)
    assert torch.equal(nearest_rows(features, 9, metric="cosine")[1], plain[1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads: int) -> None:
    features = draw(2, 600, 64, 1.0)
    before = torch.get_num_threads()
    whole = scan.nearest_rows(features, 7, farthest=True)
    try:
        torch.set_num_threads(threads)
        again = scan.nearest_rows(features, 7, farthest=True)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(whole, again, strict=True))
