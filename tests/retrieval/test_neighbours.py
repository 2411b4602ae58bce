"""Neighbour lists from half of the products, against sorting everything."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.retrieval.distances import distance_block
from passerby.retrieval.neighbours import NearestRows, nearest_rows, pack, true_places, unpack


@given(
    st.integers(0, 2**20),
    st.integers(1, 70),
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([2, 5, 1000]),
)
@settings(max_examples=100, deadline=None)
def test_nearest_rows_are_a_stable_sort(seed: int, N: int, k: int, rows: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    # few levels in few dimensions: many rows are the same
    features = torch.from_numpy(random.integers(1, levels + 1, (N, 3)).astype(np.float32))
    k = min(k, N)
    columns, values, farthest = nearest_rows(features, k, metric="squared_euclidean", rows=rows)
    whole = distance_block(features, features, "squared_euclidean").numpy()
    expected = np.argsort(whole, axis=1, kind="stable")[:, :k]
    assert np.array_equal(columns.numpy(), expected)
    assert np.array_equal(values.numpy(), np.take_along_axis(whole, expected, 1))
    assert np.array_equal(farthest.numpy(), whole.max(axis=1))


def people(seed: int, N: int, D: int, spread: float) -> torch.Tensor:
    """Unit rows, all much alike for small spreads; every tenth row is a copy of another."""
    random = np.random.default_rng(seed)
    centres = 1 + spread * random.normal(size=(max(1, N // 8), D))
    rows = centres[random.integers(0, len(centres), N)] + 0.5 * spread * random.normal(size=(N, D))
    copies = random.random(N) < 0.1
    rows[copies] = rows[random.integers(0, N, int(copies.sum()))]
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True)).float()


@given(
    st.integers(0, 2**20),
    st.integers(1, 150),
    st.sampled_from([1, 2, 64, 333]),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.01, 0.3, 3.0]),
)
@settings(max_examples=60, deadline=None)
def test_cosine_lists_are_those_of_a_sort_in_float64(
    seed: int, N: int, D: int, k: int, spread: float
) -> None:
    features, k = people(seed, N, D, spread), min(k, N)
    found = nearest_rows(features, k, metric="cosine", rows=[25, 64, 2048][seed % 3])
    columns, values, farthest = (part.numpy() for part in found)
    rows = features.double().numpy()
    whole, close = 1 - rows @ rows.T, 2e-6  # rounding of float32
    assert columns.shape == values.shape == (N, k)
    assert (np.diff(np.sort(columns, axis=1), axis=1) > 0).all()
    assert np.abs(np.take_along_axis(whole, columns, 1) - values).max() < close
    assert np.abs(np.sort(whole, axis=1)[:, :k] - values).max() < close
    assert np.abs(whole.max(axis=1) - farthest).max() < close
    # equal distances stand in order of rows
    later, right = np.diff(values, axis=1), np.diff(columns, axis=1) > 0
    assert ((later > 0) | ((later == 0) & right)).all()


def test_the_farthest_are_left_out_where_not_wanted() -> None:
    features = people(1, 90, 16, 1.0)
    whole = nearest_rows(features, 5, metric="cosine", rows=40)
    columns, values, farthest = nearest_rows(features, 5, metric="cosine", rows=40, farthest=False)
    assert torch.equal(columns, whole[0])
    assert torch.equal(values, whole[1])
    assert farthest is None


@pytest.mark.parametrize("direction", [1, -1])
def test_rows_that_come_nearer_and_nearer(direction: int) -> None:
    # on a line every later row may be nearer than all before: sorting takes over from picking
    line = torch.arange(400.0)[::direction, None] if direction > 0 else torch.arange(400.0).flip(0)
    features = line.reshape(-1, 1) ** 1.5
    columns, _, _ = nearest_rows(features, 5, metric="squared_euclidean", rows=32)
    whole = distance_block(features, features, "squared_euclidean").numpy()
    assert np.array_equal(columns.numpy(), np.argsort(whole, axis=1, kind="stable")[:, :5])


def test_a_block_nearer_than_all_before_it() -> None:
    found = NearestRows(3, 2, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    blocks = [torch.rand(3, 640, generator=random) + shift for shift in (2.0, 1.0, 3.0)]
    for number, block in enumerate(blocks):
        found.add_candidates(0, block, 640 * number)
    values, columns = unpack(found.keys)
    expected = torch.cat(blocks, dim=1).topk(2, largest=False)
    assert torch.equal(values, expected.values)
    assert torch.equal(columns, expected.indices)


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    st.integers(0, 2**32 - 1),
)
def test_keys_are_in_the_order_of_value_then_column(numbers: list[float], column: int) -> None:
    values = torch.tensor(numbers, dtype=torch.float32)
    columns = torch.full((len(values),), column)
    keys = pack(values, columns)
    back, same = unpack(keys)
    assert torch.equal(back, values)
    assert torch.equal(same, columns)
    assert torch.equal(values[keys.argsort()], values.sort().values)
    if column:
        assert bool((pack(values, columns - 1) < keys).all())


def test_zero_has_one_key() -> None:
    zeros = pack(torch.tensor([0.0, -0.0]), torch.tensor([1, 1]))
    assert zeros[0] == zeros[1]


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 1003])
def test_places_are_those_below_the_limit(columns: int) -> None:
    block = torch.rand(40, columns, generator=torch.Generator().manual_seed(columns))
    limit = torch.full((40, 1), 0.001)
    block[3, columns // 2] = block[39, columns - 1] = 0
    rows, places = true_places(block, limit) or (torch.empty(0), torch.empty(0))
    expected = (block < limit).nonzero(as_tuple=True)
    if columns > 100:
        assert torch.equal(rows, expected[0])
        assert torch.equal(places, expected[1])
    assert true_places(block, torch.full((40, 1), 2.0)) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_lists_on_a_gpu_are_those_on_the_cpu() -> None:
    # whole numbers: both devices add them without rounding
    features = torch.randint(-3, 4, (700, 6), generator=torch.Generator().manual_seed(1)).float()
    here = nearest_rows(features, 9, metric="squared_euclidean", rows=64)
    there = nearest_rows(features.cuda(), 9, metric="squared_euclidean", rows=64)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(here, there, strict=True))
