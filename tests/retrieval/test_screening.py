"""The screen of one-byte codes against float64: its bound, its candidates, its independence."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.retrieval import screening
from passerby.retrieval.screening import (
    Codes,
    Piece,
    Screen,
    cosine_distances,
    encode,
    products,
    unit_rows,
)

Draw = Callable[[np.random.Generator, int, int], NDArray]


def clustered(random: np.random.Generator, N: int, D: int) -> NDArray:
    centres = random.normal(size=(max(1, N // 10), D))
    return centres[random.integers(0, len(centres), N)] + 0.05 * random.normal(size=(N, D))


def spike(random: np.random.Generator, N: int, D: int) -> NDArray:
    rows = random.normal(size=(N, D))
    rows[np.arange(N), random.integers(0, D, N)] = random.choice([-6e4, 6e4], N)
    return rows


def half_codes(random: np.random.Generator, N: int, D: int) -> NDArray:
    """Every number but the first lies half-way between two codes: the rounding loses most."""
    rows = (random.integers(-126, 126, (N, D)) + 0.5) / 127
    rows[:, 0] = 1
    return rows


def last_bits(random: np.random.Generator, N: int, D: int) -> NDArray:
    """One row, of which each copy differs in the last bits of half precision."""
    bits = random.normal(size=D).astype(np.float16).view(np.int16)
    return (bits + random.integers(-1, 2, (N, D), dtype=np.int16)).view(np.float16)


def whole(random: np.random.Generator, N: int, D: int) -> NDArray:
    """Codes are exact and nearly alike, so only what a query's rounding loses tells them apart."""
    rows = random.integers(-126, 127, D) + random.integers(-1, 2, (N, D))
    rows[:, 0] = 127
    return rows


KINDS: dict[str, Draw] = {
    "normal": lambda random, N, D: random.normal(size=(N, D)),
    "clustered": clustered,
    "alike": lambda random, N, D: np.tile(random.normal(size=D), (N, 1)),
    "tied": lambda random, N, D: random.normal(size=(3, D))[random.integers(0, 3, N)],
    "opposite": lambda random, N, D: random.normal(size=D) * random.choice([-1, 1], (N, 1)),
    "subnormal": lambda random, N, D: 6e-8 * random.integers(1, 9, (N, D)),
    "near zero": lambda random, N, D: 10.0 ** random.uniform(-7, 0, (N, D)),
    "spike": spike,
    "half codes": half_codes,
    "last bits": last_bits,
    "whole": whole,
}
SEEDS = st.integers(0, 2**20)
NAMES = st.sampled_from(sorted(KINDS))
DIMENSIONS = st.sampled_from([1, 2, 3, 31, 64, 257, 2049])


def draw(seed: int, name: str, N: int, D: int) -> tuple[np.random.Generator, NDArray[np.float16]]:
    random = np.random.default_rng(seed)
    rows = KINDS[name](random, N, D).astype(np.float16)
    rows[~rows.any(axis=1), 0] = 1  # a zero row has no direction
    return random, rows


def some_queries(random: np.random.Generator, rows: NDArray, Q: int) -> NDArray[np.float64]:
    """Unit queries (Q, D): rows themselves, the opposite of rows, others."""
    chosen = rows[random.integers(0, len(rows), Q)].astype(np.float64)
    chosen *= random.choice([-1, 1], (Q, 1))
    return unit_rows(chosen + random.choice([0, 1e-3, 1], (Q, 1)) * random.random(chosen.shape))


def nearest(
    keys: NDArray[np.int64], rows: NDArray, query: NDArray[np.float64], k: int
) -> list[tuple[float, int]]:
    """Distance and key of the k nearest of the rows called ``keys``, and of all ties at the end."""
    if not len(keys):
        return []
    found = cosine_distances(rows[keys], query)
    near = found <= np.sort(found)[min(k, len(found)) - 1]
    return sorted(zip(found[near].tolist(), keys[near].tolist(), strict=True))


def screened(
    rows: NDArray,
    queries: NDArray[np.float64],
    k: int,
    edges: list[int],
    *,
    mask: NDArray[np.bool_] | None = None,
    order: NDArray[np.int64] | None = None,
) -> list[list[tuple[float, int]]]:
    """The nearest by way of candidates, from blocks offered to two screens that are then merged."""
    codes, screens = encode(rows), [Screen(queries, k), Screen(queries, k)]
    blocks = list(zip([0, *edges], [*edges, len(rows)], strict=True))
    for number in range(len(blocks)) if order is None else order:
        part = slice(*blocks[number])
        keys = part.start if number % 2 else np.arange(part.start, part.stop)
        screens[number % 2].add_candidates(
            [Piece(keys, codes[part], None if mask is None else mask[part])]
        )
    screens[1].merge(screens[0])
    return [
        nearest(np.sort(keys), rows, query, k)
        for keys, query in zip(screens[1].candidates(), queries, strict=True)
    ]


@given(SEEDS, NAMES, st.integers(1, 40), st.sampled_from([1, 2, 31, 512, 8192]))
@settings(max_examples=150, deadline=None)
def test_the_bound_holds(seed: int, name: str, N: int, D: int) -> None:
    random, rows = draw(seed, name, N, D)
    queries = some_queries(random, rows, 3)
    codes, others = encode(rows), encode(queries)
    kept = codes.values.astype(np.int64) @ others.values.T.astype(np.int64)
    scores = kept * (codes.scales.astype(float)[:, None] * others.scales.astype(float))
    errors, own = codes.errors.astype(float)[:, None], others.errors.astype(float)
    wide = unit_rows(rows)
    assert (np.abs(scores - wide @ queries.T) <= (1 + errors) * own + errors).all()
    # each row's own error too, which is no bound of the rest by chance
    rest = np.linalg.norm(wide - codes.values * codes.scales.astype(float)[:, None], axis=1)
    assert (rest <= codes.errors).all()
    assert (codes.errors <= 1.001 * rest + 1e-6).all()


@given(SEEDS, NAMES, st.integers(1, 700), DIMENSIONS, st.integers(1, 60), st.booleans())
@settings(max_examples=200, deadline=None)
def test_candidates_hold_the_nearest_and_all_ties(  # noqa: PLR0917 - drawn
    seed: int, name: str, N: int, D: int, k: int, masked: bool
) -> None:
    random, rows = draw(seed, name, N, D)
    queries = some_queries(random, rows, 2)
    mask = random.random(N) < random.choice([0.02, 0.5]) if masked else None
    edges = sorted(random.integers(0, N + 1, 4).tolist())  # some blocks are empty
    allowed = np.arange(N) if mask is None else np.flatnonzero(mask)
    expected = [nearest(allowed, rows, query, k) for query in queries]
    assert screened(rows, queries, k, edges, mask=mask) == expected


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("k", [1, 20])
def test_candidates_of_long_blocks(name: str, k: int) -> None:
    # long enough for the best of groups to stand for all rows, and no multiple of a group
    random, rows = draw(k, name, 8 * screening.GROUP * k * 2 + 17, 48)
    queries = some_queries(random, rows, 2)
    expected = [nearest(np.arange(len(rows)), rows, query, k) for query in queries]
    assert screened(rows, queries, k, []) == expected
    assert screened(rows, queries, k, [len(rows) // 3]) == expected


@given(SEEDS, NAMES, DIMENSIONS)
@settings(max_examples=60, deadline=None)
def test_neither_blocks_nor_order_nor_numkong_change_answers(seed: int, name: str, D: int) -> None:
    random, rows = draw(seed, name, 300, D)
    queries = some_queries(random, rows, 2)
    expected = screened(rows, queries, 7, [])
    edges = [30, 64, 200, 299]
    assert screened(rows, queries, 7, edges) == expected
    assert screened(rows, queries, 7, edges, order=random.permutation(5)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "BLOCK", 90)
        patch.setattr(screening, "ENCODED", 7)
        assert screened(rows, queries, 7, edges) == expected
        patch.setattr(screening, "numkong", None)
        assert screened(rows, queries, 7, edges) == expected


def with_signs(first: float, rest: float) -> NDArray[np.float64]:
    """A row (1, 64) of one number and of 63 others that differ in sign alone."""
    signs = np.where(np.arange(63) % 3, 1.0, -1.0)
    return np.concatenate([[first], rest * signs])[None]


def test_what_the_query_loses_counts_for_both_rows() -> None:
    # all of the query but its first number is lost; the rows lose nothing
    query = unit_rows(with_signs(127, 0.49))
    near, far = with_signs(0, 127), with_signs(58, -127)
    rows = np.concatenate([near, far]).astype(np.float16)
    lost = float(encode(query).errors[0])
    scores = products(encode(query).values, encode(rows).values)[0] * encode(query).scales
    scores *= encode(rows).scales
    assert 1.8 * lost < scores[1] - scores[0] < 2 * lost
    assert np.argmin(cosine_distances(rows, query[0])) == 0
    for edges in ([], [1]):
        assert [key for _, key in screened(rows, query, 1, edges)[0]] == [0]


def test_what_a_row_loses_counts() -> None:
    query = unit_rows(with_signs(0, 1))
    rows = np.concatenate([with_signs(127, 0.49), with_signs(127, 0.51)]).astype(np.float16)
    rows[1, 41:] = -0.49 * np.sign(rows[1, 41:])
    scores = products(encode(query).values, encode(rows).values)[0]
    assert scores[1] > scores[0] == 0
    assert np.argmin(cosine_distances(rows, query[0])) == 0
    assert [key for _, key in screened(rows, query, 1, [])[0]] == [0]


def test_the_candidates_are_few() -> None:
    random, rows = draw(0, "clustered", 4000, 128)
    screen = Screen(some_queries(random, rows, 4), 5)
    screen.add_candidates([Piece(0, encode(rows))])
    assert max(len(keys) for keys in screen.candidates()) < 100


def test_copies_are_as_far_wherever_they_lie() -> None:
    # distances this small show the last bit of a sum in float64
    _, rows = draw(5, "normal", 200, 130)
    turned = np.asfortranarray(rows)
    for n, query in enumerate(unit_rows(rows)):
        alone = cosine_distances(rows[n : n + 1], query)
        assert np.array_equal(cosine_distances(rows, query)[n : n + 1], alone)
        assert np.array_equal(cosine_distances(turned, query)[n : n + 1], alone)


@pytest.mark.parametrize("D", [1, 5, 1024, 1025, 1999, 8192])
def test_products_are_exact(D: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(D)
    left = random.choice(np.array([-127, 127, 1], np.int8), (3, D))
    right = random.choice(np.array([-127, 127, 100], np.int8), (50, D))
    left[0], right[0] = 127, -127  # the largest sum
    expected = (left.astype(np.int64) @ right.T.astype(np.int64)).astype(np.float32)
    for block in (7, 4096):
        monkeypatch.setattr(screening, "BLOCK", block)
        assert np.array_equal(products(left, right), expected)
        assert np.array_equal(products(left, right[::2]), expected[:, ::2])
    monkeypatch.setattr(screening, "numkong", None)
    found = products(left, right)
    assert np.array_equal(found, expected)
    assert found.dtype == np.float32
    assert products(left, right[:0]).shape == (3, 0)
    assert products(left[:0], right).shape == (0, 50)


def assert_same(codes: Codes, others: Codes) -> None:
    for name in ("values", "scales", "errors"):
        assert np.array_equal(getattr(codes, name), getattr(others, name))


@pytest.mark.parametrize("D", [1, 3, 130, 2049])
def test_a_distance_does_not_depend_on_other_rows_or_layout(D: int) -> None:
    random, rows = draw(D, "normal", 200, D)
    query = unit_rows(random.normal(size=D))[0]
    wide = rows.astype(np.longdouble)
    exact = 1 - (wide * query).sum(axis=1) / np.sqrt((wide * wide).sum(axis=1))
    found = cosine_distances(rows, query)
    assert np.abs(found - exact).max() < 2e-7
    assert (found >= 0).all()
    single = np.concatenate([cosine_distances(rows[n : n + 1], query) for n in range(len(rows))])
    assert np.array_equal(found, single)
    padded = np.zeros((len(rows), 2 * D), np.float16)
    padded[:, ::2] = rows
    for other in (np.asfortranarray(rows), padded[:, ::2], rows.astype(np.float32)):
        assert np.array_equal(cosine_distances(other, query), found)
        assert_same(encode(other), encode(rows))


@pytest.mark.parametrize("length", [1e-30, 1.0, 1e30])
def test_codes_do_not_depend_on_lengths(length: float) -> None:
    unit = unit_rows(np.random.default_rng(0).normal(size=(5, 70)))
    codes = encode((length * unit).astype(np.float32))
    kept = codes.values * codes.scales.astype(float)[:, None]
    assert (np.linalg.norm(unit - kept, axis=1) <= codes.errors).all()
    assert (codes.errors < 0.02).all()


def test_some_codes_are_codes_of_some_rows() -> None:
    _, rows = draw(0, "normal", 20, 9)
    codes = encode(rows)
    chosen = np.array([3, 19, 0])
    assert len(codes) == 20
    assert len(codes[chosen]) == 3
    assert_same(codes[chosen], encode(rows[chosen]))
    assert_same(codes[3:4], encode(rows[3:4]))


def test_fewer_rows_than_asked_for_are_all_candidates() -> None:
    random, rows = draw(0, "normal", 6, 9)
    screen = Screen(some_queries(random, rows, 2), 10)
    assert [len(keys) for keys in screen.candidates()] == [0, 0]
    screen.add_candidates([Piece(np.int64(50), encode(rows), np.array([True] * 4 + [False] * 2))])
    assert [sorted(keys.tolist()) for keys in screen.candidates()] == [[50, 51, 52, 53]] * 2


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_hidden_rows_may_hold_rubbish(rubbish: float) -> None:
    random, rows = draw(2, "normal", 800, 9)
    queries, mask, codes = some_queries(random, rows, 2), random.random(800) < 0.5, encode(rows)
    codes.scales[~mask] = codes.errors[~mask] = rubbish
    screen = Screen(queries, 3)
    screen.add_candidates([Piece(0, codes, mask)])
    for keys, query in zip(screen.candidates(), queries, strict=True):
        assert mask[keys].all()
        assert nearest(np.sort(keys), rows, query, 3) == nearest(
            np.flatnonzero(mask), rows, query, 3
        )


@pytest.mark.parametrize("wrong", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_vector_without_direction_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="zero or not finite"):
        unit_rows(np.array([[1.0, 0.0], wrong]))
