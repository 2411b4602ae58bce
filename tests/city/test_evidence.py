"""The evidence of tracks, against explicit forms of it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.city.evidence import (
    BOUND,
    FEATURES,
    PRESENCE_FEATURES,
    Evidence,
    features,
    first_group,
    levels,
    log_odds,
    presence,
    presence_features,
)
from passerby.city.paths import Walking, conflicts


def some_evidence(seed: int, n: int) -> Evidence:
    rng = np.random.default_rng(seed)
    pairs = np.clip(rng.normal(0, 4, (n, n)), -BOUND, BOUND)
    pairs = (pairs + pairs.T) / 2
    means = rng.uniform(-1, 1, (n, n))
    conflict = np.triu((rng.random((n, n)) < 0.2).astype(float), 1)
    return Evidence(
        query=np.clip(rng.normal(0, 4, n), -BOUND, BOUND),
        pairs=pairs,
        joined=rng.normal(0, 3, n),
        conflict=conflict + conflict.T,
        lone=(rng.random(n) < 0.3).astype(float),
        query_mean=rng.uniform(-1, 1, n),
        pair_means=(means + means.T) / 2,
        fixed=np.zeros(n, dtype=bool),
    )


def average_linkage(pairs: np.ndarray) -> np.ndarray:
    """Join the two groups with the highest mean, again and again; when each pair met."""
    groups = [[i] for i in range(len(pairs))]
    out = np.full(pairs.shape, np.nan)
    while len(groups) > 1:
        means = {
            (a, b): np.mean([pairs[i, j] for i, j in product(groups[a], groups[b])])
            for a in range(len(groups))
            for b in range(a)
        }
        (a, b), mean = max(means.items(), key=lambda item: item[1])
        for i, j in product(groups[a], groups[b]):
            out[i, j] = out[j, i] = mean
        groups[b] += groups.pop(a)
    return out


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 8))
def test_levels_equal_the_slow_clustering(seed: int, n: int) -> None:
    pairs = some_evidence(seed, n).pairs
    apart = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(levels(pairs)[apart], average_linkage(pairs)[apart], atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 8))
def test_a_track_does_not_speak_for_itself(seed: int, n: int) -> None:
    evidence = some_evidence(seed, n)
    group = np.random.default_rng(seed).random(n)
    before = features(evidence, group)
    group[0] = 1 - group[0]
    np.testing.assert_allclose(features(evidence, group)[0], before[0])
    assert before.shape == (n, len(FEATURES))


def test_features_are_what_their_names_say() -> None:
    evidence = some_evidence(5, 4)
    group = np.array([0.0, 0.8, 0.6, 0.1])
    found = dict(zip(FEATURES, features(evidence, group)[0], strict=True))
    pairs = np.clip(evidence.pairs[0], -6, 6)
    total = 0.8 + 0.6 + 0.1
    assert found["query"] == evidence.query[0]
    assert found["mean"] == pytest.approx(
        (0.8 * pairs[1] + 0.6 * pairs[2] + 0.1 * pairs[3]) / total
    )
    assert found["best"] == max(pairs[1], pairs[2])
    assert found["anchor"] == max(evidence.query[1], evidence.query[2])
    assert found["vote"] == pytest.approx(
        sum(w for w, pair in zip((0.8, 0.6, 0.1), pairs[1:], strict=True) if pair > 1) / total
    )
    near = np.exp([*pairs[1:], np.clip(evidence.query[0], -6, 6)])
    assert found["share"] == pytest.approx((near @ [0.8, 0.6, 0.1, 1.0]) / near.sum())
    places = np.log([sum(near >= one) for one in near])
    assert found["rank"] == pytest.approx(places @ [0.8, 0.6, 0.1, 1.0] / (total + 1))
    assert found["query_mean"] == evidence.query_mean[0]
    assert found["group_mean"] == pytest.approx(
        evidence.pair_means[0, 1:] @ [0.8, 0.6, 0.1] / total
    )
    assert found["size"] == pytest.approx(np.log1p(total))
    assert found["empty"] == 0


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 8))
def test_the_order_of_tracks_does_not_matter(seed: int, n: int) -> None:
    evidence = some_evidence(seed, n)
    order = np.random.default_rng(seed).permutation(n)
    moved = Evidence(
        query=evidence.query[order],
        pairs=evidence.pairs[np.ix_(order, order)],
        joined=evidence.joined[order],
        conflict=evidence.conflict[np.ix_(order, order)],
        lone=evidence.lone[order],
        query_mean=evidence.query_mean[order],
        pair_means=evidence.pair_means[np.ix_(order, order)],
        fixed=evidence.fixed[order],
    )
    np.testing.assert_allclose(log_odds(moved), log_odds(evidence)[order], atol=1e-9)


def test_without_a_seed_the_best_track_is_the_group() -> None:
    evidence = some_evidence(1, 3)
    low = Evidence(
        query=np.array([-3.0, -1.0, -2.0]),
        pairs=evidence.pairs,
        joined=evidence.joined,
        conflict=evidence.conflict,
        lone=evidence.lone,
        query_mean=evidence.query_mean,
        pair_means=evidence.pair_means,
        fixed=evidence.fixed,
    )
    assert np.flatnonzero(first_group(low)).tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 6))
def test_conflicts_equal_the_explicit_form(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    arrive = np.sort(rng.uniform(0, 600, n))
    leave = arrive + rng.uniform(0, 30, n)
    distance = rng.choice([0.0, 50.0, 400.0, np.inf], (n, n))
    distance = np.minimum(distance, distance.T)
    reach = rng.uniform(5, 20, n)
    walking = Walking(max_speed=2.0, clock_error=10.0)
    got = conflicts(arrive, leave, distance=distance, reach=reach, walking=walking)
    for i, j in product(range(n), range(n)):
        way = distance[i, j] - reach[i] - reach[j]
        gap = max(arrive[j] - leave[i], arrive[i] - leave[j])
        blocked = np.isfinite(way) and way > 0 and gap + 10.0 < way / 2.0
        assert got[i, j] == float(blocked)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 8))
def test_presence_rises_with_the_prior(seed: int, n: int) -> None:
    evidence = some_evidence(seed, n)
    found = np.random.default_rng(seed).normal(0, 3, n)
    low, half, high = (presence(evidence, found, prior) for prior in (0.2, 0.5, 0.8))
    assert low <= half <= high < 1
    # Bayes: the odds of the prior multiply the odds of the evidence
    assert low / (1 - low) == pytest.approx(half / (1 - half) / 4, rel=1e-6, abs=1e-12)
    assert presence(evidence, found, 1.0) == 1


def test_presence_features_weigh_the_tracks_by_their_chance() -> None:
    evidence = some_evidence(3, 3)
    found = np.array([np.log(3.0), 0.0, -40.0])  # chances 0.75, 0.5, 0
    got = dict(zip(PRESENCE_FEATURES, presence_features(evidence, found), strict=True))
    assert got["best"] == evidence.query.max()
    assert got["best_mean"] == evidence.query_mean.max()
    assert got["query"] == pytest.approx(0.6 * evidence.query[0] + 0.4 * evidence.query[1])
    assert got["highest"] == found[0]
    assert got["size"] == pytest.approx(np.log(2.25))
