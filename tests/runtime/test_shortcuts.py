"""Branch and shortcut made one convolution: the same vectors, fewer sums, ranges that fit."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from passerby.models import ModelCard
from passerby.runtime.comparison import cosines
from passerby.runtime.openvino_models import convert_torch, inner_values
from passerby.runtime.quantise import SCHEMES, quantise
from passerby.runtime.rounding import round_weights
from passerby.runtime.shortcuts import REACH, merge_shortcuts

pytest.importorskip("openvino")

CARD = ModelCard(architecture="resnet50", dimension=64, input_size=(32, 16))
CROPS = np.random.default_rng(0).integers(0, 256, (8, 32, 16, 3)).astype(np.uint8)


class Blocks(nn.Module):
    """Bottlenecks that keep their width, change it, and change it at a stride of two."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(
            Bottleneck(16, 8, downsample=shortcut(16, 32, 1)),
            Bottleneck(32, 8),
            Bottleneck(32, 16, stride=2, downsample=shortcut(32, 64, 2)),
        )
        for block in self.blocks:
            nn.init.constant_(block.bn2.weight, 0.2)  # its branch is quiet
            nn.init.uniform_(block.bn2.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.stem(pictures.permute(0, 3, 1, 2).float() / 255).relu()
        return self.blocks(maps).mean(dim=(2, 3))


def shortcut(channels: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


def converted(network: nn.Module) -> Any:
    return convert_torch(network.eval(), CARD)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return converted(Blocks())


def vectors(model: Any) -> np.ndarray:
    [[found]] = inner_values(model, [model.output(0).get_node().input_value(0)], CROPS)
    return found


def sums(model: Any) -> list[str]:
    return [
        node.get_friendly_name()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add"
        and all(one.get_node().get_type_name() != "Constant" for one in node.input_values())
    ]


def test_the_vectors_are_the_same(model: Any) -> None:
    before = vectors(model)
    merged = merge_shortcuts(model, CROPS)
    assert np.abs(vectors(merged) - before).max() < 1e-5 * np.abs(before).max()
    assert len(sums(model)) == 3  # left as it was
    assert sums(merged) == [sums(model)[1]]
    np.testing.assert_array_equal(vectors(model), before)


def test_both_inputs_have_one_range(model: Any) -> None:
    def ratios(of: Any, inputs: Callable[[Any], list[Any]]) -> list[float]:
        values = [value for node in of.get_ordered_ops() for value in inputs(node)]
        [maps] = inner_values(of, values, CROPS)
        reach = [np.quantile(np.abs(one), REACH) for one in maps]
        return [one / other for one, other in zip(reach[::2], reach[1::2], strict=True)]

    def of_sum(node: Any) -> list[Any]:
        if node.get_friendly_name() not in (sums(model)[0], sums(model)[2]):
            return []
        layers = [value.get_node().input_value(0).get_node() for value in node.input_values()]
        return [layer.input_value(0) for layer in layers]

    def of_concat(node: Any) -> list[Any]:
        return list(node.input_values()) if node.get_type_name() == "Concat" else []

    apart = ratios(model, of_sum)
    merged = ratios(merge_shortcuts(model, CROPS), of_concat)
    assert max(apart) < 0.8
    # at a stride of two only a quarter of the shortcut's input is laid beside the branch's
    np.testing.assert_allclose(merged, 1.0, atol=0.05)


def test_any_batch_and_one_that_cannot_be_seen(model: Any) -> None:
    merged = merge_shortcuts(model, np.zeros_like(CROPS))  # dead or constant maps
    assert np.abs(vectors(merged) - vectors(model)).max() < 1e-4 * np.abs(vectors(model)).max()
    [[one]] = inner_values(merged, [merged.output(0).get_node().input_value(0)], CROPS[:1])
    np.testing.assert_allclose(one, vectors(merged)[:1], atol=1e-6)


class Sum(nn.Module):
    """A branch and a shortcut, one of them such that they cannot be merged."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem, self.inner = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 12, 3 if kind == "wide" else 1, padding=int(kind == "wide"))
        self.shortcut = nn.Conv2d(8, 12, 1, groups=2 if kind == "groups" else 1)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.stem(pictures.permute(0, 3, 1, 2).float() / 255).relu()
        inner = self.inner(maps)
        inner = nn.functional.gelu(inner) if self.kind == "gelu" else inner.relu()
        last, other = self.last(inner), self.shortcut(maps)
        if self.kind == "pooled":
            other = self.shortcut(maps.mean(dim=(2, 3), keepdim=True))
        out = (last + other).flatten(2).mean(2)
        if self.kind == "inner read twice":
            out = out + inner.mean()
        if self.kind == "last read twice":
            out = out + last.mean()
        return out


@pytest.mark.parametrize(
    "kind", ["wide", "groups", "gelu", "pooled", "inner read twice", "last read twice"]
)
def test_what_cannot_be_merged_is_left_alone(kind: str) -> None:
    torch.manual_seed(0)
    model = converted(Sum(kind))
    merged = merge_shortcuts(model, CROPS)
    assert sums(merged) == sums(model)
    np.testing.assert_array_equal(vectors(merged), vectors(model))


def test_a_plain_sum_is_merged() -> None:
    """The class above is refused for what its kinds say, nothing else."""
    torch.manual_seed(0)
    assert sums(merge_shortcuts(converted(Sum("plain")), CROPS)) == []


def test_int8_errs_less(model: Any) -> None:
    pytest.importorskip("nncf")

    def error(of: Any) -> float:
        quantised = quantise(round_weights(of, CROPS), CROPS, SCHEMES[0])
        return 1 - float(cosines(vectors(quantised), vectors(model)).mean())

    assert error(merge_shortcuts(model, CROPS)) < error(model)
