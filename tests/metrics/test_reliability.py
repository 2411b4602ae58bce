"""Reliability, halves and thresholds against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.errors import InputError
from passerby.metrics import (
    Calibration,
    Pairs,
    calibrate,
    candidate_pairs,
    reliability,
    survey,
    thresholds,
)
from passerby.metrics.calibrating import halves
from passerby.metrics.identification import thresholds_table

CURVE = Calibration(slope=8.0, intercept=-4.0, measured=True, prior=0.3)


def random_pairs(seed: int, size: int, weighted: bool) -> Pairs:
    random = np.random.default_rng(seed)
    similarity = random.uniform(-1, 1, size)
    weight = random.integers(1, 4, size).astype(float) if weighted else np.ones(size)
    same = random.random(size) < CURVE.probability(similarity)
    return Pairs(similarity=similarity, same=same, weight=weight, people=3)


@given(st.integers(0, 2**20), st.integers(1, 200), st.booleans(), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_figures_are_their_definition(seed: int, size: int, weighted: bool, bins: int) -> None:
    pairs = random_pairs(seed, size, weighted)
    got = reliability(CURVE, pairs, bins=bins)
    rows = [
        (1 / (1 + np.exp(-(8 * s - 4))), float(y), w)
        for s, y, w in zip(pairs.similarity, pairs.same, pairs.weight, strict=True)
    ]
    total = sum(w for _, _, w in rows)
    ece = 0.0
    for number in range(bins):
        inside = [r for r in rows if number / bins <= r[0] < (number + 1) / bins]
        if inside:
            mass = sum(w for _, _, w in inside)
            gap = sum(w * p for p, _, w in inside) / mass - sum(w * y for _, y, w in inside) / mass
            ece += mass / total * abs(gap)
    assert got.ece == pytest.approx(ece)
    assert got.brier == pytest.approx(sum(w * (p - y) ** 2 for p, y, w in rows) / total)
    loss = sum(-w * np.log(p if y else 1 - p) for p, y, w in rows) / total
    assert got.log_loss == pytest.approx(loss)
    assert got.prior == pytest.approx(sum(w * y for _, y, w in rows) / total)
    assert sum(one.pairs for one in got.bins) == size
    for one in got.bins:
        assert one.low <= one.predicted <= one.high + 1e-12
        assert one.lowest <= one.observed + 1e-12 <= one.highest + 2e-12


def test_a_true_curve_is_reliable_and_a_wrong_one_is_not() -> None:
    pairs = random_pairs(1, 50_000, weighted=False)
    right = reliability(CURVE, pairs)
    assert right.ece < 0.01
    covered = [one.lowest <= one.predicted <= one.highest for one in right.bins]
    assert sum(covered) >= 8
    wrong = reliability(Calibration(slope=8.0, intercept=-1.0), pairs)
    assert wrong.ece > 0.1
    assert wrong.log_loss > right.log_loss
    assert wrong.brier > right.brier


def test_weighted_pairs_have_wider_intervals_than_their_sum() -> None:
    pairs = random_pairs(2, 400, weighted=False)
    heavy = np.where(np.arange(400) % 2 == 0, 10.0, 1.0)
    weighted = Pairs(similarity=pairs.similarity, same=pairs.same, weight=heavy, people=3)
    some = reliability(CURVE, weighted, bins=1).bins[0]
    all_of_it = reliability(CURVE, pairs, bins=1).bins[0]
    assert some.highest - some.lowest > all_of_it.highest - all_of_it.lowest


def test_the_curve_is_a_table_and_json() -> None:
    result = reliability(CURVE, random_pairs(3, 500, weighted=False))
    assert result.table().count("\n") == len(result.bins)
    assert result.summary()["bins"][0]["pairs"] == result.bins[0].pairs
    assert "bins" not in result.figures()


def test_candidates_are_the_nearest_that_take_part(world) -> None:
    found = survey(*world.all, candidates=7)
    pairs = candidate_pairs(found, world.query_ids)
    assert len(pairs) == int((found.gallery >= 0).sum())
    assert pairs.prior == pytest.approx(found.same[found.gallery >= 0].mean())
    assert pairs.people == len(set(world.query_ids[world.query_ids >= 0].tolist()))


def test_the_halves_share_nobody_and_keep_the_prior(large_world) -> None:
    found = survey(*large_world.all, candidates=50)
    parts = halves(found, large_world.query_ids, large_world.gallery_ids)
    whole = candidate_pairs(found, large_world.query_ids)
    assert sum(part.people for part in parts) == whole.people
    assert abs(parts[0].people - parts[1].people) <= 1
    assert sum(part.same.sum() for part in parts) == whole.same.sum()
    assert sum(part.weight.sum() for part in parts) == pytest.approx(len(whole))
    mean = sum(part.prior * part.weight.sum() for part in parts) / len(whole)
    assert mean == pytest.approx(whole.prior)
    again = halves(found, large_world.query_ids, large_world.gallery_ids)
    assert again[0].similarity.tolist() == parts[0].similarity.tolist()


def test_no_person_is_in_both_halves(large_world) -> None:
    # a similarity that says which two people a pair shows
    found = survey(*large_world.all, candidates=50)
    asks = large_world.query_ids[found.queries][:, None]
    code = (asks * 1000 + large_world.gallery_ids[found.gallery]).astype(np.float32)
    told = type(found)(**{**vars(found), "similarities": code})
    parts = halves(told, large_world.query_ids, large_world.gallery_ids)
    people = [
        {int(c) // 1000 for c in part.similarity} | {int(c) % 1000 for c in part.similarity} - {0}
        for part in parts
    ]
    assert not people[0] & people[1]
    assert all(people)


def test_calibrate_holds_on_people_it_has_not_seen(large_world) -> None:
    found = survey(*large_world.all)
    result = calibrate(found, large_world.query_ids, large_world.gallery_ids)
    theirs = result.held_out_figures()
    assert result.fitted.ece < 0.03
    assert theirs["ece"] < 0.05
    pairs = candidate_pairs(found, large_world.query_ids)
    assert result.fitted == reliability(result.curve, pairs)
    assert result.fitted.people == theirs["people"] == pairs.people
    assert theirs["log_loss"] >= result.fitted.log_loss - 1e-2
    slopes = sorted(half.slope for half in result.halves)
    assert slopes[0] * 0.9 < result.curve.slope < slopes[1] * 1.1


def test_each_half_is_judged_by_the_others_curve(large_world) -> None:
    found = survey(*large_world.all)
    result = calibrate(found, large_world.query_ids, large_world.gallery_ids)
    parts = halves(found, large_world.query_ids, large_world.gallery_ids)
    for part, own in zip(parts, result.halves, strict=True):
        assert own == Calibration.fit(part.similarity, part.same, part.weight)
    judged = [reliability(result.halves[1 - i], parts[i]) for i in (0, 1)]
    assert list(result.held_out) == judged[::-1]
    figures = result.held_out_figures()
    people = [one.people for one in judged]
    assert figures["ece"] == pytest.approx(np.average([one.ece for one in judged], weights=people))
    assert figures["pairs"] == sum(one.pairs for one in judged)


def test_the_card_says_what_the_curve_rests_on(large_world) -> None:
    found = survey(*large_world.all)
    result = calibrate(found, large_world.query_ids, large_world.gallery_ids)
    card = result.as_card("large")
    assert Calibration.from_card(card).prior == pytest.approx(result.fitted.prior, abs=1e-6)
    assert (card["data"], card["protocol"]) == ("large", "market1501")
    assert (card["candidates"], card["gallery"]) == (100, 3000)
    assert card["held_out"] == result.held_out_figures()
    assert "bins" not in card["held_out"]


def test_too_few_people_are_named() -> None:
    rows = np.eye(3)
    found = survey(rows[:1], rows, [1], [1, 2, 2], [1], [2, 2, 2])
    with pytest.raises(InputError, match="more people"):
        calibrate(found, [1], [1, 2, 2])


def test_thresholds_count_all_pairs(world) -> None:
    rows = thresholds(survey(*world.all), similarities=(0.9, 0.55, 0.125, -1.0), calibration=CURVE)
    similarity = (world.queries @ world.gallery.T).astype(np.float64)
    own = world.gallery_ids == world.query_ids[:, None]
    part = (world.query_ids[:, None] >= 0) & (world.gallery_ids >= 0)
    part &= ~(own & (world.gallery_cameras == world.query_cameras[:, None]))
    for row in rows:
        right = int((part & own & (similarity >= row.similarity)).sum())
        wrong = int((part & ~own & (similarity >= row.similarity)).sum())
        assert abs(row.true_pairs - right) <= 1  # to 0.001
        assert abs(row.other_pairs - wrong) <= 1
        assert row.recall == row.true_pairs / (part & own).sum()
        assert row.false_alarms == pytest.approx(1000 * row.other_pairs / (part & ~own).sum())
        if row.precision is not None:
            assert row.precision == row.true_pairs / (row.true_pairs + row.other_pairs)
        assert row.probability == pytest.approx(float(CURVE.probability(row.similarity)))
    assert rows[-1].recall == 1.0


def test_thresholds_stand_where_something_happens(large_world) -> None:
    rows = thresholds(survey(*large_world.all))
    recalls = [row.recall for row in rows]
    assert recalls == sorted(recalls)
    assert rows[0].false_alarms < 1
    assert recalls[-1] == 1.0 or rows[-1].false_alarms >= 100
    assert all(row.probability is None for row in rows)
    text = thresholds_table(rows)
    assert text.count("\n") == len(rows)
    assert rows[0].summary()["similarity"] == rows[0].similarity
