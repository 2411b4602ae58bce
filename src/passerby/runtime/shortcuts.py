"""Merging of two convolutions whose results are added, in networks to be quantised.

A bottleneck block that changes its width adds the 1x1 convolution of its branch and that of its
shortcut. The sum equals one 1x1 convolution over both inputs, concatenated. The merged convolution
adds in the accumulator, so the two results are not rounded, written and read before the addition.

After the merge both inputs share one scale. So the range of the branch's input is first made equal
to that of the shortcut's input: the weights of the layer before are scaled, which is possible
across a ReLU (Nagel et al., Data-Free Quantization, ICCV 2019, section 4.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.runtime.openvino_models import (
    import_openvino,
    inner_values,
    is_constant,
    set_constant,
)

CROPS = 32  # number of crops for the ranges
REACH = 0.9999  # share of an input's values inside its range


def merge_shortcuts(model: Any, crops: NDArray[np.uint8]) -> Any:
    """Merge each pair of 1x1 convolutions whose results are added into one convolution.

    Args:
        model: An OpenVINO model that takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those the network will see.

    Returns:
        A copy that gives the same vectors.
    """
    model = model.clone()
    blocks = list(_blocks(model))
    if blocks:
        for block, ratio in zip(blocks, _ratios(model, blocks, crops), strict=True):
            block.merge(ratio)
        model.validate_nodes_and_infer_types()
    return model


@dataclass(frozen=True)
class _Layer:
    """A convolution with constant weights, and its bias."""

    convolution: Any
    bias: Any = None
    """The input of the addition that holds the bias, if there is one."""

    @classmethod
    def behind(cls, value: Any) -> "_Layer | None":
        """Return the layer that computes a value, if nothing else reads its results."""
        node = value.get_node()
        layer = cls(node)
        if node.get_type_name() == "Add":
            for constant, other in (node.inputs(), node.inputs()[::-1]):
                if is_constant(constant.get_source_output()):
                    layer = cls(other.get_source_output().get_node(), constant)
        convolution = layer.convolution
        if convolution.get_type_name() != "Convolution" or not is_constant(
            convolution.input_value(1)
        ):
            return None
        return layer if _readers(node) == _readers(convolution) == 1 else None

    @property
    def input(self) -> Any:
        """The value that the convolution reads."""
        return self.convolution.input_value(0)

    @property
    def weights(self) -> NDArray[np.float32]:
        """(O, C, h, w)."""
        return _get(self.convolution.input(1))

    @property
    def constant(self) -> NDArray[np.float32]:
        """The bias (1, O, 1, 1); zeros if there is none."""
        if self.bias is None:
            return np.zeros((1, len(self.weights), 1, 1), np.float32)
        return _get(self.bias)

    @property
    def strides(self) -> list[int]:
        """Vertical and horizontal."""
        return list(self.convolution.get_attributes()["strides"])

    def is_pointwise(self) -> bool:
        """Check for a 1x1 kernel without padding."""
        how = self.convolution.get_attributes()
        pads = (*how["pads_begin"], *how["pads_end"])
        return self.weights.shape[2:] == (1, 1) and not any(pads)

    def scale(self, by: float) -> None:
        """Multiply the layer's output by a factor."""
        set_constant(self.convolution.input(1), self.weights * np.float32(by))
        if self.bias is not None:
            set_constant(self.bias, self.constant * np.float32(by))


@dataclass(frozen=True)
class _Block:
    """The sum of a branch's last layer and a shortcut."""

    sum: Any
    before: _Layer
    """The layer before the branch's ReLU."""
    branch: _Layer
    shortcut: _Layer

    def merge(self, ratio: float) -> None:
        """Replace both layers by one; the branch's input is multiplied by ``ratio``."""
        ops = import_openvino().opset1
        self.before.scale(ratio)
        other = self.shortcut.input
        if self.shortcut.strides != [1, 1]:  # pooling with 1x1 windows can run in integers
            strides = self.shortcut.strides
            other = ops.max_pool(other, strides, [0, 0], [0, 0], [1, 1], "floor").output(0)
        weights = [self.branch.weights / np.float32(ratio), self.shortcut.weights]
        name = self.sum.get_friendly_name()
        inputs = ops.concat([self.branch.input, other], 1, name=f"{name}/inputs")
        both = ops.convolution(
            inputs, ops.constant(np.concatenate(weights, axis=1)), [1, 1], [0, 0], [0, 0], [1, 1],
            name=f"{name}/convolution",
        )  # fmt: skip
        constant = ops.constant(self.branch.constant + self.shortcut.constant)
        result = ops.add(both, constant, name=f"{name}/constant")
        for reader in self.sum.output(0).get_target_inputs():
            reader.replace_source_output(result.output(0))


def _blocks(model: Any) -> Iterator[_Block]:
    """Yield the sums that can be merged, in network order."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add" and (found := _block(node)):
            yield found


def _block(node: Any) -> _Block | None:
    """Return the block of an addition, or None if it cannot be merged."""
    values = node.input_values()
    layers = [_Layer.behind(value) for value in values]
    for branch, shortcut in (layers, layers[::-1]):
        if (
            branch
            and shortcut
            and (before := _before(branch))
            and branch.is_pointwise()
            and shortcut.is_pointwise()
            and branch.strides == [1, 1]
            and values[0].get_partial_shape() == values[1].get_partial_shape()
        ):
            return _Block(node, before, branch, shortcut)
    return None


def _before(branch: _Layer) -> _Layer | None:
    """Return the layer before a branch's last one, if only a ReLU is between them."""
    relu = branch.input.get_node()
    if relu.get_type_name() != "Relu" or _readers(relu) != 1:
        return None
    return _Layer.behind(relu.input_value(0))


def _ratios(model: Any, blocks: list[_Block], crops: NDArray[np.uint8]) -> list[float]:
    """Return for each block the range of the shortcut's input divided by that of the branch's."""
    values = [layer.input for block in blocks for layer in (block.shortcut, block.branch)]
    found = inner_values(model, values, crops[:: max(1, len(crops) // CROPS)])
    reach = np.max([[np.quantile(np.abs(one), REACH) for one in maps] for maps in found], axis=0)
    pairs = zip(reach[::2], reach[1::2], strict=True)
    return [float(theirs / mine) if theirs > 0 < mine else 1.0 for theirs, mine in pairs]


def _readers(node: Any) -> int:
    """Count the inputs that read a node's outputs."""
    return sum(len(output.get_target_inputs()) for output in node.outputs())


def _get(port: Any) -> NDArray[np.float32]:
    """Return the constant at a node's input."""
    return np.array(port.get_source_output().get_node().data)
