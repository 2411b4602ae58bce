import math

import numpy as np
import pytest
import torch

from passerby.losses import DynamicBalance


def oracle(
    mode: str, losses: list[tuple[float, float]], alpha: float, gamma: float, delta: float
) -> list[tuple[bool, float, float]]:
    """The rule in plain Python, a step a line: (both, FL_id, FL_tri)."""
    averages = [0.0, 0.0]
    told = []
    for step, pair in enumerate(losses):
        weights = []
        for n, loss in enumerate(pair):
            before = averages[n]
            if step == 0 and mode == "paper":
                before = loss
            after = alpha * loss + (1 - alpha) * before
            averages[n] = after
            p = 0.5 if before == 0 else min(after, before) / before
            weights.append(-((1 - p) ** gamma) * math.log(p))
        identity, triplet = weights
        if mode == "official":  # numpy divides as torch does: by -0.0 to -inf or NaN
            with np.errstate(divide="ignore", invalid="ignore"):
                both = not np.float64(triplet) / np.float64(identity) < delta
        elif identity > 0:
            both = triplet / identity >= delta
        else:
            both = triplet > 0
        told.append((both, identity, triplet))
    return told


def tensors(pair: tuple[float, float]) -> list[torch.Tensor]:
    return [torch.tensor(loss, dtype=torch.float64) for loss in pair]


LOSSES = [
    (6.0, 3.0), (5.0, 3.1), (4.0, 3.05), (3.5, 2.0), (3.6, 1.5), (3.9, 1.2),
    (3.0, 2.5), (1.0, 2.5), (0.5, 2.6), (0.4, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["official", "paper"])
@pytest.mark.parametrize(("alpha", "gamma", "delta"), [(0.25, 2.0, 0.16), (0.5, 1.0, 0.5)])
def test_the_rule_is_the_papers(mode: str, alpha: float, gamma: float, delta: float) -> None:
    balance = DynamicBalance(mode, alpha=alpha, gamma=gamma, delta=delta)  # type: ignore[arg-type]
    for pair, (both, identity, triplet) in zip(
        LOSSES, oracle(mode, LOSSES, alpha, gamma, delta), strict=True
    ):
        assert balance.update(*tensors(pair)) == both
        assert balance.weights.tolist() == pytest.approx([identity, triplet], abs=1e-12)
        assert sum(balance.shares()) == pytest.approx(1.0)


def test_both_decisions_occur_in_the_example() -> None:
    for mode in ("official", "paper"):
        assert {told[0] for told in oracle(mode, LOSSES, 0.25, 2.0, 0.16)} == {True, False}


def test_how_each_mode_begins() -> None:
    flat = (torch.tensor(2.0), torch.tensor(1.0))
    official, paper = DynamicBalance("official"), DynamicBalance("paper")
    assert bool(official.both)
    assert not bool(paper.both)
    # averages that rise from 0 tell nothing: the code's 0 / 0 counts as both
    assert [official.update(*flat) for _ in range(3)] == [True] * 3
    assert [paper.update(*flat) for _ in range(3)] == [False] * 3
    static = DynamicBalance("static")
    assert static.update(torch.tensor(1.0), torch.tensor(5.0))


def test_focal_weights_are_those_listed() -> None:
    balance = DynamicBalance("paper", alpha=1.0)
    balance.update(torch.tensor(1.0), torch.tensor(1.0))
    balance.update(torch.tensor(0.9), torch.tensor(0.95))
    assert balance.weights.tolist() == pytest.approx([1.053605e-3, 1.282332e-4], rel=1e-5)


def test_the_state_is_saved_with_the_module() -> None:
    one = DynamicBalance("paper")
    for pair in LOSSES[:5]:
        one.update(*tensors(pair))
    other = DynamicBalance("paper")
    other.load_state_dict(one.state_dict())
    for pair in LOSSES[5:]:
        losses = tensors(pair)
        assert one.update(*losses) == other.update(*losses)
        assert torch.equal(one.weights, other.weights)
