"""Rounding of convolution weights to 8 bits, with the statistics of typical inputs.

Neighbouring pixels are correlated, and so are channels. So the error of a filter's output on
typical inputs counts, not the error of each weight. If the weights of an edge filter are rounded
one by one, the filter begins to respond to brightness, and batch normalisation amplifies this. Here
each weight compensates the errors of the weights rounded before it.

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
DAMPING = 1e-3  # this share of the mean eigenvalue is added to all eigenvalues
CROPS = 64  # number of crops for the second moments
COLUMNS = 128  # columns rounded before the remaining ones are updated (a lazy batch)


def round_weights(model: Any, crops: NDArray[np.uint8]) -> Any:
    """Return a copy in which the weights of plain convolutions lie on the grids that NNCF uses.

    Args:
        model: An OpenVINO model that takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those the network will see.
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
    """Round weights so that the errors of the outputs on typical inputs are small.

    Args:
        filters: (O, I) weights, one filter in a row.
        moment: (I, I) second moments of the inputs, not centred.
        levels: Grid steps on each side of zero; the end is the filter's largest absolute weight.

    Returns:
        (O, I) float64: multiples of each filter's step. The largest weight does not change.
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
    """Return the upper triangular U with U^T U the inverse of the damped moment."""
    size = len(moment)
    damping = DAMPING * max(float(moment.trace()) / size, 1e-12)
    unit = torch.eye(size, dtype=moment.dtype)
    damped = moment + damping * unit
    lower = torch.linalg.cholesky(damped.flip(0, 1))  # reversed order: U is its inverse, reversed
    inverse: Tensor = torch.linalg.solve_triangular(lower, unit, upper=False)
    return inverse.flip(0, 1)


def _convolutions(model: Any) -> Iterator[Any]:
    """Yield the convolutions with constant weights and without dilation."""
    for node in model.get_ordered_ops():
        if (
            node.get_type_name() == "Convolution"
            and is_constant(node.input_value(1))
            and list(node.get_attributes()["dilations"]) == [1, 1]
        ):
            yield node


def _weights(layer: Any) -> Tensor:
    """Return a convolution's weights (O, C, h, w)."""
    return torch.from_numpy(np.array(layer.input_value(1).get_node().data, np.float32))


def _second_moments(model: Any, layers: list[Any], crops: NDArray[np.uint8]) -> list[Tensor]:
    """Return for each layer the second moments (I, I) of its input patches over the crops."""
    inputs = inner_values(model, [layer.input_value(0) for layer in layers], crops)
    sizes = [math.prod(layer.input_value(1).get_shape()[1:]) for layer in layers]
    sums = [torch.zeros(size, size) for size in sizes]
    for maps in inputs:
        for layer, one, total in zip(layers, maps, sums, strict=True):
            patches = _patches(torch.from_numpy(one), layer)
            total.addmm_(patches.T, patches)
    return sums


def _patches(maps: Tensor, layer: Any) -> Tensor:
    """Return a layer's input patches: (B, C, H, W) -> (positions, C * kernel)."""
    how = layer.get_attributes()
    (top, left), (bottom, right) = how["pads_begin"], how["pads_end"]
    padded = F.pad(maps, (left, right, top, bottom))
    kernel = tuple(layer.input_value(1).get_shape()[2:])
    return F.unfold(padded, kernel, stride=tuple(how["strides"])).transpose(1, 2).flatten(0, 1)
