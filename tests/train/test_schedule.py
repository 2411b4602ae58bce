import pytest
import torch

from passerby.train.schedule import Constant, Cosine, MultiStep, ScheduledOptimiser

BASE = 3.5e-4


@pytest.mark.parametrize(
    ("convention", "epoch", "rate"),
    [
        ("paper", 1, 3.5e-5),
        ("paper", 5, 1.75e-4),
        ("paper", 10, 3.5e-4),
        ("paper", 40, 3.5e-4),
        ("paper", 41, 3.5e-5),
        ("paper", 70, 3.5e-5),
        ("paper", 71, 3.5e-6),
        ("paper", 120, 3.5e-6),
        ("code", 1, 3.815e-5),
        ("code", 5, 1.7675e-4),
        ("code", 10, 3.5e-4),
        ("code", 39, 3.5e-4),
        ("code", 40, 3.5e-5),
        ("code", 69, 3.5e-5),
        ("code", 70, 3.5e-6),
    ],
)
def test_bag_of_tricks_rates(convention: str, epoch: int, rate: float) -> None:
    schedule = MultiStep(convention=convention)  # type: ignore[arg-type]
    assert BASE * schedule.factor(epoch, 0.0) == pytest.approx(rate, rel=1e-9)
    assert schedule.factor(epoch, 0.0) == schedule.factor(epoch, 0.9)


def test_no_warmup_starts_high() -> None:
    assert MultiStep(warmup=0).factor(1, 0.0) == 1.0


def test_cosine_rises_then_falls_to_its_floor() -> None:
    schedule = Cosine(epochs=20, warmup=4, floor=0.05)
    assert 0 < schedule.factor(1, 0.0) < 0.05
    assert schedule.factor(3, 0.0) == pytest.approx(0.5)
    assert schedule.factor(5, 0.0) == pytest.approx(1.0)
    assert schedule.factor(13, 0.0) == pytest.approx(0.05 + 0.95 / 2)
    assert schedule.factor(20, 1.0) == pytest.approx(0.05)
    falling = [schedule.factor(epoch, 0.5) for epoch in range(5, 21)]
    assert falling == sorted(falling, reverse=True)


def test_optimiser_groups_keep_their_ratio() -> None:
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([{"params": [one], "lr": 0.1}, {"params": [two], "lr": 0.2}])
    scheduled = ScheduledOptimiser(sgd, MultiStep())
    assert scheduled.set_rate(41, 0.0) == pytest.approx(0.01)
    assert [g["lr"] for g in sgd.param_groups] == pytest.approx([0.01, 0.02])
    assert scheduled.set_rate(10, 0.0) == pytest.approx(0.1)
    assert Constant().factor(99, 0.5) == 1.0


def test_linear_warmup_grows_step_by_step_to_the_full_rate() -> None:
    schedule = MultiStep(convention="linear", start=0.1, warmup=2.5, milestones=(4,))
    rates = [schedule.factor(epoch, part) for epoch in (1, 2, 3, 4, 5) for part in (0.0, 0.5)]
    expected = [0.1, 0.28, 0.46, 0.64, 0.82, 1.0, 1.0, 1.0, 0.1, 0.1]
    assert rates == pytest.approx(expected)
    assert MultiStep(convention="linear", warmup=0).factor(1, 0.0) == 1.0


def test_each_group_may_have_a_schedule_of_its_own() -> None:
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([{"params": [one]}, {"params": [two]}], lr=0.1)
    scheduled = ScheduledOptimiser(sgd, [MultiStep(), Constant()])
    assert scheduled.set_rate(41, 0.0) == pytest.approx(0.01)
    assert [g["lr"] for g in sgd.param_groups] == pytest.approx([0.01, 0.1])
    with pytest.raises(ValueError, match="3 schedules for 2 parameter groups"):
        ScheduledOptimiser(sgd, [Constant()] * 3)
