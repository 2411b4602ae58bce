from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.train import EMA, checkpoint, fit
from passerby.train.average import WeightAverage
from passerby.train.loop import CHECKPOINT


def test_the_average_is_the_sum_written_out() -> None:
    network = nn.BatchNorm1d(3)
    average = WeightAverage(network, EMA(decay=0.8, warmup=True))
    expected = torch.ones(3, dtype=torch.float64)
    for t in range(60):
        nn.init.constant_(network.weight, float(t))
        network.running_var.fill_(float(t))
        network.num_batches_tracked.fill_(t)
        decay = min(0.8, (1 + t) / (10 + t))
        assert average.decay() == decay
        average.update(network)
        expected = decay * expected + (1 - decay) * t
    other = nn.BatchNorm1d(3)
    average.copy_to(other)
    assert torch.allclose(other.weight.double(), expected)
    assert torch.allclose(other.running_var.double(), expected)
    assert int(other.num_batches_tracked) == 59


def test_without_warmup_the_decay_holds_from_the_start() -> None:
    average = WeightAverage(nn.Linear(1, 1), EMA(decay=0.99, warmup=False))
    assert average.decay() == 0.99
    with pytest.raises(InputError, match="0 <= decay < 1"):
        EMA(decay=1.0)


def test_training_ends_with_the_average_of_its_steps(tasks: ModuleType, tmp_path: Path) -> None:
    seen = []

    class Watched(tasks.Tiny):
        def after_step(self) -> None:
            seen.append(self.network[0].weight.detach().clone())

    method = Watched()
    expected = method.network[0].weight.detach().clone()
    options = tasks.fit_options(tmp_path, 2, 0.5, {})
    fit(method, tasks.crops(), tasks.noisy, options)
    for t, weight in enumerate(seen):
        expected += (1 - min(0.5, (1 + t) / (10 + t))) * (weight - expected)
    assert torch.allclose(method.network[0].weight, expected, atol=1e-6)
    # the weights to train on with are those of the last step
    kept = checkpoint.read(tmp_path / CHECKPOINT)["method"]["network.0.weight"]
    assert torch.equal(kept, seen[-1])


def test_more_epochs_continue_from_the_weights_not_from_their_average(
    tasks: ModuleType, tmp_path: Path
) -> None:
    whole = tasks.train(tmp_path / "whole", epochs=3, ema=0.9)
    tasks.train(tmp_path / "parts", epochs=2, ema=0.9)
    parts = tasks.train(tmp_path / "parts", epochs=3, ema=0.9)
    for mine, theirs in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_an_average_without_its_checkpoint_is_an_input_error(
    tasks: ModuleType, tmp_path: Path
) -> None:
    tasks.train(tmp_path, epochs=1)
    with pytest.raises(InputError, match="of another method"):
        tasks.train(tmp_path, epochs=2, ema=0.9)


def test_the_average_may_stay_in_the_checkpoint(tasks: ModuleType, tmp_path: Path) -> None:
    raw = tasks.train(tmp_path / "raw", epochs=1)
    method = tasks.Tiny()
    options = tasks.fit_options(tmp_path / "kept", 1, 0.0, {"ema": EMA(as_result=False)})
    fit(method, tasks.crops(), tasks.noisy, options)
    assert torch.equal(method.network[0].weight, raw.network[0].weight)
