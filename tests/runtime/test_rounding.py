"""Weights on the grids of int8, their errors taken up by one another."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from passerby.models import load
from passerby.runtime.parity import crops_or_samples
from passerby.runtime.rounding import FIRST_LEVELS, LEVELS, round_filters, round_weights


def smooth_inputs(count: int = 4000, size: int = 27) -> Tensor:
    """Inputs that rise and fall together, as neighbouring pixels do."""
    torch.manual_seed(0)
    common = torch.randn(count, 1, dtype=torch.float64)
    return common + 0.1 * torch.randn(count, size, dtype=torch.float64)


def plain(filters: Tensor, levels: int) -> Tensor:
    step = filters.abs().amax(dim=1, keepdim=True) / levels
    return (filters / step).round() * step


def test_the_error_on_typical_inputs_is_small() -> None:
    inputs = smooth_inputs()
    filters = torch.randn(40, 27, dtype=torch.float64)
    rounded = round_filters(filters, inputs.T @ inputs, 15)

    def error(other: Tensor) -> float:
        return float((inputs @ (other - filters).T).square().mean())

    assert error(rounded) < error(plain(filters, 15)) / 10


def test_what_comes_out_lies_on_the_grid_and_keeps_the_largest_weight() -> None:
    inputs = smooth_inputs(size=300)  # more columns than are rounded at a time
    filters = torch.randn(8, 300)
    rounded = round_filters(filters, inputs.T @ inputs)
    widest = filters.abs().amax(dim=1, keepdim=True).double()
    torch.testing.assert_close(rounded.abs().amax(dim=1, keepdim=True), widest)
    whole = rounded / widest * LEVELS
    torch.testing.assert_close(whole, whole.round(), atol=1e-9, rtol=0)


def test_inputs_that_have_nothing_to_do_with_one_another_change_nothing() -> None:
    filters = torch.randn(8, 50, dtype=torch.float64)
    torch.testing.assert_close(round_filters(filters, torch.eye(50)), plain(filters, LEVELS))


@pytest.mark.parametrize("moment", [torch.zeros(9, 9), torch.ones(9, 9)])
def test_inputs_that_are_dead_or_all_the_same(moment: Tensor) -> None:
    filters = torch.randn(4, 9)
    filters[0] = 0.0
    rounded = round_filters(filters, moment)
    assert torch.isfinite(rounded).all()
    assert (rounded - filters).abs().max() <= 9 * filters.abs().max() / LEVELS


def test_blocks_are_the_same_as_one_weight_after_another() -> None:
    """Equation 3 of the paper, the inverse of what is left worked out anew at each step."""
    inputs = smooth_inputs(size=150) + torch.randn(4000, 150, dtype=torch.float64)
    moment = inputs.T @ inputs
    filters = torch.randn(3, 150, dtype=torch.float64)
    damped = moment + 1e-3 * moment.trace() / 150 * torch.eye(150, dtype=torch.float64)
    rest, expected = filters.clone(), torch.zeros_like(filters)
    widest = filters.abs().argmax(dim=1)
    step = filters.abs().amax(dim=1) / LEVELS
    for at in range(150):
        whole = (rest[:, at] / step).round().clamp(-LEVELS, LEVELS) * step
        expected[:, at] = torch.where(widest == at, filters[:, at], whole)
        inverse = torch.linalg.inv(damped[at:, at:])
        error = (rest[:, at] - expected[:, at]) / inverse[0, 0]
        rest[:, at:] -= error[:, None] * inverse[0]
    torch.testing.assert_close(round_filters(filters, moment), expected)


def grids(model: Any) -> list[float]:
    """Of each convolution how far its weights are from multiples of largest / 127 and / 63."""
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            weights = np.asarray(node.input_value(1).get_node().data, np.float64)
            weights = weights.reshape(len(weights), -1)
            levels = LEVELS if found else FIRST_LEVELS
            whole = weights / np.abs(weights).max(axis=1, keepdims=True) * levels
            found.append(float(np.abs(whole - whole.round()).max()))
    return found


@pytest.mark.slow
def test_a_network_keeps_its_vectors(weights: Path) -> None:
    pytest.importorskip("openvino")
    from passerby.runtime.openvino_backend import OpenVINOBackend
    from passerby.runtime.openvino_models import convert_torch
    from passerby.runtime.torch_backend import UnitVectors

    network, card = load(weights)
    model = convert_torch(UnitVectors(network, card), card)
    crops = crops_or_samples([], card)
    rounded = round_weights(model, crops)
    assert max(grids(rounded)) < 1e-3
    assert max(grids(model)) > 0.4  # left as it was
    before, after = (
        OpenVINOBackend(one, card, name="it").features(crops) for one in (model, rounded)
    )
    assert np.sum(before * after, axis=1).min() > 0.999


def test_padding_strides_and_filters_without_constant_weights() -> None:
    openvino = pytest.importorskip("openvino")
    from passerby.models import ModelCard
    from passerby.runtime.openvino_models import convert_torch

    class Uneven(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 5, (3, 5), stride=(2, 1), padding=(1, 2))
            self.gaps = nn.Conv2d(5, 4, 3, dilation=2)

        def forward(self, pictures: Tensor) -> Tensor:
            maps = self.first(pictures.permute(0, 3, 1, 2).float())
            return self.gaps(nn.functional.pad(maps, (1, 0, 0, 2))).mean(dim=(2, 3))

    torch.manual_seed(0)
    card = ModelCard(architecture="slim18", dimension=4, input_size=(32, 16))
    model = convert_torch(Uneven(), card)
    crops = np.random.default_rng(0).integers(0, 256, (4, 32, 16, 3)).astype(np.uint8)
    rounded = round_weights(model, crops)
    first, gaps = grids(rounded)
    assert first < 1e-3
    assert gaps > 0.1  # such a layer is left to NNCF
    core = openvino.Core()
    one, other = (core.compile_model(m, "CPU")(crops)[0] for m in (model, rounded))
    assert np.abs(one - other).max() < 0.02 * np.abs(one).max()
