from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.models import build
from passerby.train import (
    Constant,
    Cosine,
    MultiStep,
    ScheduledOptimiser,
    fit,
    parameter_groups,
)
from passerby.train.loop import CHECKPOINT, read_checkpoint
from passerby.train.optimisers import WeightAverage, layer_depths

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
        ("code-torch-1.0", 1, 3.5e-6),
        ("code-torch-1.0", 2, 3.815e-5),
        ("code-torch-1.0", 11, 3.5e-4),
        ("code-torch-1.0", 40, 3.5e-4),
        ("code-torch-1.0", 41, 3.5e-5),
        ("code-torch-1.0", 71, 3.5e-6),
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


def test_every_learning_parameter_is_in_one_group() -> None:
    network = build("resnet18", num_classes=5)
    network.backbone.conv1.requires_grad_(False)
    groups = parameter_groups(
        network,
        learning_rate=0.1,
        weight_decay=5e-4,
        rates={"backbone": 0.01, "backbone.layer4": 0.02},
        decay_vectors=False,
    )
    found = [p for group in groups for p in group["params"]]
    learning = [p for p in network.parameters() if p.requires_grad]
    assert len(found) == len(learning) == len({id(p) for p in found})
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            old = 0.02 if ".layer4." in name else 0.01
            assert rates[id(parameter)] == (old if name.startswith("backbone.") else 0.1), name
            assert decays[id(parameter)] == (5e-4 if parameter.dim() > 1 else 0.0), name
    assert groups[0]["name"] == "backbone, vectors"


def test_the_rates_of_pyramid() -> None:
    network = nn.ModuleDict({"backbone": nn.Linear(3, 3), "branches": nn.Linear(3, 3)})
    groups = parameter_groups(
        network, learning_rate=0.1, weight_decay=5e-4, rates={"backbone": 0.01}
    )
    sgd = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    schedule = MultiStep(milestones=(60, 70, 80, 90, 100), gamma=0.5, warmup=0)
    scheduled = ScheduledOptimiser(sgd, schedule)
    for epoch, factor in ((1, 1.0), (60, 1.0), (61, 0.5), (71, 0.25), (101, 1 / 32), (120, 1 / 32)):
        assert scheduled.set_rate(epoch, 0.0) == pytest.approx(0.01 * factor)
        assert [g["lr"] for g in sgd.param_groups] == pytest.approx([0.01 * factor, 0.1 * factor])
    assert {g["weight_decay"] for g in sgd.param_groups} == {5e-4}


def test_layers_nearer_the_input_learn_more_slowly() -> None:
    names = [
        "backbone.cls_token", "backbone.patch_embed.weight", "backbone.blocks.0.norm1.weight",
        "backbone.blocks.0.mlp.fc1.weight", "backbone.blocks.1.attn.qkv.weight",
        "backbone.blocks.10.norm1.weight", "backbone.norm.weight", "bnneck.weight",
    ]  # fmt: skip
    assert list(layer_depths(names).values()) == [0, 0, 1, 1, 2, 3, 4, 4]
    hierarchical = [
        "stem.0.weight", "stages.0.blocks.0.gamma", "stages.0.blocks.1.gamma",
        "stages.1.downsample.0.weight", "stages.1.blocks.0.gamma", "head.weight",
    ]  # fmt: skip
    assert list(layer_depths(hierarchical).values()) == [0, 1, 2, 3, 3, 4]
    residual = ["conv1.weight", "layer1.0.conv1.weight", "layer1.1.conv1.weight", "layer4.0.bn1.w"]
    assert list(layer_depths(residual).values()) == [0, 1, 2, 3]
    network = nn.ModuleDict({"patch": nn.Linear(2, 2), "blocks": nn.ModuleList([nn.Linear(2, 2)])})
    network["neck"] = nn.Linear(2, 2)
    groups = parameter_groups(network, learning_rate=1.0, layer_decay=0.5)
    assert [group["lr"] for group in groups] == [0.25, 0.5, 1.0]


def test_groups_that_cannot_be_are_refused() -> None:
    network = nn.Linear(2, 2)
    with pytest.raises(InputError, match="starts with 'backbone'"):
        parameter_groups(network, learning_rate=1.0, rates={"backbone": 0.1})
    network.requires_grad_(False)
    with pytest.raises(InputError, match="nothing to learn"):
        parameter_groups(network, learning_rate=1.0)


def test_the_average_is_the_sum_written_out() -> None:
    network = nn.BatchNorm1d(3)
    average = WeightAverage(network, 0.8)
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
    kept = read_checkpoint(tmp_path / CHECKPOINT)["method"]["network.0.weight"]
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
