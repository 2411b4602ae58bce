"""Open-set rates against their definition, search by search."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from passerby.errors import InputError
from passerby.metrics import Calibration, evaluate_features, open_set, survey
from passerby.metrics.report import wilson


def searches(world) -> tuple[list[float], list[tuple[bool, float]]]:
    """The best similarity of each non-mated search; of each mated one its hit and its best."""
    similarity = world.queries @ world.gallery.T
    non_mated, mated = [], []
    for q in range(len(world.query_ids)):
        if world.query_ids[q] < 0:
            continue
        own = world.gallery_ids == world.query_ids[q]
        person_removed = ~own & (world.gallery_ids >= 0)
        non_mated.append(max(similarity[q, person_removed], default=-np.inf))
        true = own & (world.gallery_cameras != world.query_cameras[q])
        if true.any():
            part = true | person_removed
            nearest = np.flatnonzero(part)[np.argmax(similarity[q, part])]
            mated.append((bool(true[nearest]), float(similarity[q, true].max())))
    return non_mated, mated


@given(
    seed=st.integers(0, 2**20), Q=st.integers(1, 30), G=st.integers(2, 60), people=st.integers(1, 9)
)
@settings(max_examples=80, deadline=None)
def test_the_rates_are_their_definition(make, seed, Q, G, people) -> None:
    world = make(seed, Q, G, people)
    result = open_set(survey(*world.all), fpirs=(0.0, 0.01, 0.2, 0.5, 1.0))
    non_mated, mated = searches(world)
    assert (result.non_mated, result.mated) == (len(non_mated), len(mated))
    for rate in result.rates:
        near = 1e-5  # the similarities here are summed in another order
        alarms = sum(best >= rate.threshold + near for best in non_mated)
        assert alarms <= rate.wanted * len(non_mated)
        assert rate.fpir <= rate.wanted + 1e-9
        if rate.wanted < 1:  # a lower threshold would let too many through
            more = sum(best >= rate.threshold - near for best in non_mated)
            assert more > rate.wanted * len(non_mated) - 1e-9 or rate.threshold == -1
        passed = [hit for hit, best in mated if best >= rate.threshold]
        assert rate.any_rank == pytest.approx(len(passed) / len(mated), abs=1.5 / len(mated))
        assert rate.rank1 == pytest.approx(sum(passed) / len(mated), abs=1.5 / len(mated))
        assert rate.rank1 <= rate.any_rank


def test_with_every_alarm_allowed_rank_one_is_the_cmc(large_world) -> None:
    rate = open_set(survey(*large_world.all), fpirs=(1.0,)).rates[0]
    assert (rate.threshold, rate.any_rank) == (-1.0, 1.0)
    assert rate.rank1 == pytest.approx(evaluate_features(*large_world.all).cmc[1])


def test_more_alarms_find_more(large_world) -> None:
    rates = open_set(survey(*large_world.all), fpirs=(0.001, 0.01, 0.05, 0.1, 0.5)).rates
    for before, after in pairwise(rates):
        assert before.threshold >= after.threshold
        assert before.fpir <= after.fpir
        assert before.rank1 <= after.rank1
        assert before.any_rank <= after.any_rank
        assert before.any_rank_interval[0] <= before.any_rank <= before.any_rank_interval[1]


def test_equal_scores_pass_together_or_not_at_all() -> None:
    # four people, each query as near to one other person: one alarm allowed of four is none
    ids = np.arange(1, 5)
    same = np.ones((4, 3))
    found = survey(same, same, ids, ids, np.ones(4, int), np.full(4, 2))
    rate = open_set(found, fpirs=(0.25,)).rates[0]
    assert (rate.fpir, rate.any_rank) == (0.0, 0.0)
    assert rate.threshold > found.best_other.max()


def test_a_gallery_of_one_person_alarms_never() -> None:
    found = survey(np.eye(3)[:1], np.eye(3)[:1], [1], [1], [1], [2])
    rate = open_set(found, fpirs=(0.0,)).rates[0]
    assert (rate.fpir, rate.rank1, rate.threshold) == (0.0, 1.0, -1.0)


def test_the_table_says_where_there_are_too_few_searches(large_world) -> None:
    curve = Calibration(slope=10.0, intercept=-5.0, measured=True)
    result = open_set(survey(*large_world.all), calibration=curve)
    text = result.table()
    assert f"{result.mated} mated and {result.non_mated} non-mated" in text
    assert "0.1 %" in text
    assert f"no false alarm in {result.non_mated}: FPIR is under" in text
    rate = result.rates[1]
    assert rate.probability == pytest.approx(float(curve.probability(rate.threshold)))
    assert (
        open_set(survey(*large_world.all), calibration=Calibration()).rates[0].probability is None
    )


def test_a_rate_that_is_none_is_named(world) -> None:
    with pytest.raises(InputError, match="not all shares"):
        open_set(survey(*world.all), fpirs=(5,))


@given(st.integers(0, 60), st.integers(1, 60))
@settings(deadline=None)
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    low, high = wilson(successes, trials)
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_without_trials_anything_is_possible() -> None:
    low, high = wilson([0, 1], [0, 2])
    assert (low[0], high[0]) == (0.0, 1.0)
