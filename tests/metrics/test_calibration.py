"""The curve from similarity to probability."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import InputError
from passerby.metrics import Calibration


def test_a_known_curve_is_recovered() -> None:
    rng = np.random.default_rng(0)
    similarity = rng.uniform(-0.2, 1, 20_000)
    truth = Calibration(slope=14.0, intercept=-7.0)
    same = rng.random(20_000) < truth.probability(similarity)
    fitted = Calibration.fit(similarity, same)
    assert fitted.measured
    assert fitted.slope == pytest.approx(14, rel=0.1)
    assert -fitted.intercept / fitted.slope == pytest.approx(0.5, abs=0.02)
    assert fitted.prior == pytest.approx(same.mean())
    again = Calibration.from_card(fitted.as_card())
    assert again.slope == pytest.approx(fitted.slope, abs=1e-5)
    assert again.prior == pytest.approx(fitted.prior, abs=1e-6)
    np.testing.assert_allclose(truth.probability(0.5), 0.5)


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(1)
    similarity = rng.uniform(0, 1, 300)
    same = rng.random(300) < similarity
    times = rng.integers(1, 5, 300)
    weighted = Calibration.fit(similarity, same, times)
    repeated = Calibration.fit(np.repeat(similarity, times), np.repeat(same, times))
    assert weighted.slope == pytest.approx(repeated.slope, rel=1e-3)
    assert weighted.intercept == pytest.approx(repeated.intercept, rel=1e-3)
    assert weighted.prior == pytest.approx(repeated.prior)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_similarities_that_are_all_high_are_calibrated_as_well(scale: float) -> None:
    rng = np.random.default_rng(4)
    similarity = rng.uniform(-0.2, 1, 5000)
    same = rng.random(5000) < Calibration(slope=14.0, intercept=-7.0).probability(similarity)
    high = 1 - scale * (1 - similarity)
    fitted, squeezed = Calibration.fit(similarity, same), Calibration.fit(high, same)
    assert squeezed.slope * scale == pytest.approx(fitted.slope, rel=1e-3)
    assert squeezed.probability(high) == pytest.approx(fitted.probability(similarity), abs=1e-3)


def draw(prior: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose similarities are normal, so that the true log-odds are linear."""
    rng = np.random.default_rng(2)
    same = rng.random(size) < prior
    return np.where(same, 0.6, 0.2) + 0.15 * rng.normal(size=size), same


def test_another_prior_is_what_a_fit_there_would_give() -> None:
    here = Calibration.fit(*draw(0.3, 200_000))
    there = Calibration.fit(*draw(0.02, 200_000))
    moved = here.with_prior(there.prior or 0)
    assert moved.slope == pytest.approx(there.slope, rel=0.05)
    assert moved.similarity(0.5) == pytest.approx(there.similarity(0.5), abs=0.01)
    assert moved.measured


@given(
    st.floats(1, 40), st.floats(-20, 5), st.floats(0.001, 0.999), st.floats(0.001, 0.999),
    st.floats(-1, 1),
)  # fmt: skip
def test_moving_the_prior_is_bayes_and_can_be_undone(
    slope: float, intercept: float, prior: float, other: float, similarity: float
) -> None:
    curve = Calibration(slope=slope, intercept=intercept, measured=True, prior=prior)
    moved = curve.with_prior(other)
    evidence = float(curve.log_odds(similarity)) - math.log(prior / (1 - prior))
    odds = math.exp(evidence) * other / (1 - other)
    assert float(moved.log_odds(similarity)) == pytest.approx(math.log(odds), abs=1e-6)
    assert moved.with_prior(prior).intercept == pytest.approx(intercept, abs=1e-9)


@given(st.floats(1, 40), st.floats(-20, 5), st.floats(0.01, 0.99))
def test_similarity_is_the_inverse_of_probability(
    slope: float, intercept: float, probability: float
) -> None:
    curve = Calibration(slope=slope, intercept=intercept)
    similarity = curve.similarity(probability)
    assert float(curve.probability(similarity)) == pytest.approx(probability)


def test_a_curve_without_a_prior_cannot_be_moved() -> None:
    old = Calibration.from_card({"slope": 17.2, "intercept": -9.0})
    assert old.prior is None
    assert "prior" not in old.as_card()
    with pytest.raises(InputError, match="does not say for which prior"):
        old.with_prior(0.1)
    with pytest.raises(InputError, match="not between 0 and 1"):
        Calibration(prior=0.5).with_prior(1.0)


@pytest.mark.parametrize(
    "card",
    [
        {"slope": "steep"},
        {"slope": -1, "intercept": 0},
        {"a": 1},
        {"slope": 3, "intercept": float("nan")},
        {"slope": float("inf"), "intercept": 0},
        {"slope": 3, "intercept": 0, "prior": 1.5},
        {"slope": 3, "intercept": 0, "prior": "often"},
        ["slope"],
    ],
)
def test_a_broken_calibration_is_refused(card: dict[str, object]) -> None:
    with pytest.raises(InputError, match="calibrat"):
        Calibration.from_card(card)


@pytest.mark.parametrize("same", [[True, True], [False, False]])
def test_one_kind_of_pair_is_refused(same: list[bool]) -> None:
    with pytest.raises(InputError, match="the same and of different people"):
        Calibration.fit([0.1, 0.9], same)


def test_pairs_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(InputError, match="cannot be calibrated"):
        Calibration.fit([0.1, 0.2, 0.8, 0.9], [True, True, False, False])
