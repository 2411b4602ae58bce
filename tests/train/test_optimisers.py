import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.models import build
from passerby.train import MultiStep, ScheduledOptimiser, parameter_groups
from passerby.train.optimisers import layer_depths


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
