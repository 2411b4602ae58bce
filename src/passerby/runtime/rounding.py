"""Rounding the weights of convolutions to 8 bits, as ones whose typical inputs are known.

Neighbouring pixels rise and fall together, and so do channels: what counts is not the error of each
weight but that of their sum over what the filter is laid on. Rounded one by one, the weights of a
filter for edges begin to answer brightness too, and batch normalisation amplifies it. Here each
weight takes up the errors of those rounded before it.

Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers,
ICLR 2023, equations 2 to 4 and section 3.3 (lazy batches).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from passerby.runtime.openvino_models import (
    LAYERS,
    inner_values,
    is_constant,
    kinds_before,
    set_constant,
)

LEVELS = 127
FIRST_LEVELS = 63  # 7 bits in the first layer: old processors add two products in 16 bits
DAMPING = 1e-3  # share of the mean eigenvalue added to all
CROPS = 64  # the second moments are taken of
COLUMNS = 128  # rounded before the rest is told


def round_weights(model: Any, crops: NDArray[np.uint8]) -> Any:
    """Round the weights of all plain convolutions to the grids that NNCF will lay them on.

    Args:
        model: an OpenVINO model that takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those it will see.

    Returns:
        A copy.
    """
    model = model.clone()
    layers = list(_convolutions(model))
    moments = _second_moments(model, layers, crops[:: max(1, len(crops) // CROPS)])
    for layer, moment in zip(layers, moments, strict=True):
        weights = _weights(layer)
        first = kinds_before(layer.input_value(0)).isdisjoint(LAYERS)
        levels = FIRST_LEVELS if first else LEVELS
        rounded = round_filters(weights.flatten(1), moment, levels).view_as(weights)
        set_constant(layer.input(1), rounded.float().numpy())
    model.validate_nodes_and_infer_types()
    return model


def round_filters(filters: Tensor, moment: Tensor, levels: int = LEVELS) -> Tensor:
    """Round weights so that the errors of their sums over typical inputs are small.

    Args:
        filters: (O, I) weights, a filter a row.
        moment: (I, I) sums of the products of two inputs, not centred.
        levels: of the grid on either side of zero, whose end is each filter's largest weight.

    Returns:
        (O, I) float64: multiples of each filter's step; its largest weight is kept.
    """
    rest = filters.double().clone()
    widest = rest.abs().argmax(dim=1)
    ends = rest.gather(1, widest[:, None])[:, 0]
    steps = ends.abs().clamp(min=torch.finfo(torch.float32).tiny) / levels
    rounded, factor = torch.zeros_like(rest), _factor(moment.double())
    for first in range(0, rest.shape[1], COLUMNS):
        last = min(first + COLUMNS, rest.shape[1])
        errors = torch.zeros_like(rest[:, first:last])
        for at in range(first, last):
            whole = (rest[:, at] / steps).round().clamp(-levels, levels)
            rounded[:, at] = torch.where(widest == at, ends, whole * steps)
            error = (rest[:, at] - rounded[:, at]) / factor[at, at]
            rest[:, at + 1 : last] -= error[:, None] * factor[at, at + 1 : last]
            errors[:, at - first] = error
        rest[:, last:] -= errors @ factor[first:last, last:]
    return rounded


def _factor(moment: Tensor) -> Tensor:
    """The upper triangular U of the damped moment's inverse U^T U."""
    size = len(moment)
    damping = DAMPING * max(float(moment.trace()) / size, 1e-12)
    damped = moment + damping * torch.eye(size, dtype=moment.dtype)
    lower = torch.linalg.cholesky(damped.flip(0, 1))  # from the end: U is its inverse, turned
    inverse = torch.linalg.solve_triangular(lower, torch.eye(size, dtype=moment.dtype), upper=False)
    return inverse.flip(0, 1)


def _convolutions(model: Any) -> Iterator[Any]:
    """Those whose weights are known and lie on their input without gaps."""
    for node in model.get_ordered_ops():
        if (
            node.get_type_name() == "Convolution"
            and is_constant(node.input_value(1))
            and list(node.get_attributes()["dilations"]) == [1, 1]
        ):
            yield node


def _weights(layer: Any) -> Tensor:
    return torch.from_numpy(np.array(layer.input_value(1).get_node().data, np.float32))


def _second_moments(model: Any, layers: list[Any], crops: NDArray[np.uint8]) -> list[Tensor]:
    """Of what each layer's filters are laid on over the crops, (I, I)."""
    inputs = inner_values(model, [layer.input_value(0) for layer in layers], crops)
    sizes = [math.prod(layer.input_value(1).get_shape()[1:]) for layer in layers]
    sums = [torch.zeros(size, size) for size in sizes]
    for maps in inputs:
        for layer, one, total in zip(layers, maps, sums, strict=True):
            patches = _patches(torch.from_numpy(one), layer)
            total.addmm_(patches.T, patches)
    return sums


def _patches(maps: Tensor, layer: Any) -> Tensor:
    """What a layer's filters are laid on: (B, C, H, W) -> (places, C * kernel)."""
    how = layer.get_attributes()
    (top, left), (bottom, right) = how["pads_begin"], how["pads_end"]
    padded = F.pad(maps, (left, right, top, bottom))
    kernel = tuple(layer.input_value(1).get_shape()[2:])
    return F.unfold(padded, kernel, stride=tuple(how["strides"])).transpose(1, 2).flatten(0, 1)
