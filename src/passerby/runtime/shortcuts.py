"""Two convolutions whose results are added made one, in networks to be quantised.

A bottleneck block that changes its width adds the 1x1 convolution of its branch and that of its
shortcut. Their sum is one 1x1 convolution over both inputs laid side by side: then it is taken in
the accumulator, and what was rounded, written and read again between the two is not.

Both inputs get one scale so. That of the branch is first brought to the range of the other by the
weights of the layer before, which a ReLU lets through (Nagel et al., Data-Free Quantization, ICCV
2019, section 4.1).
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

CROPS = 32  # the ranges are taken of
REACH = 0.9999  # share of an input's values that its range spans


def merge_shortcuts(model: Any, crops: NDArray[np.uint8]) -> Any:
    """Make one convolution of each two 1x1 convolutions whose results are added.

    Args:
        model: an OpenVINO model that takes uint8 RGB (B, H, W, 3).
        crops: (N, H, W, 3) uint8 RGB, like those it will see.

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
    """A convolution of known weights, and the constant that is added to it."""

    convolution: Any
    bias: Any = None
    """Where the constant goes in, if there is one."""

    @classmethod
    def behind(cls, value: Any) -> "_Layer | None":
        """The layer that gives a value, if nobody else reads anything of it."""
        node = value.get_node()
        layer = cls(node)
        if node.get_type_name() == "Add":
            for known, other in (node.inputs(), node.inputs()[::-1]):
                if is_constant(known.get_source_output()):
                    layer = cls(other.get_source_output().get_node(), known)
        convolution = layer.convolution
        if convolution.get_type_name() != "Convolution" or not is_constant(
            convolution.input_value(1)
        ):
            return None
        return layer if _readers(node) == _readers(convolution) == 1 else None

    @property
    def input(self) -> Any:
        return self.convolution.input_value(0)

    @property
    def weights(self) -> NDArray[np.float32]:
        return _get(self.convolution.input(1))

    @property
    def constant(self) -> NDArray[np.float32]:
        if self.bias is None:
            return np.zeros((1, len(self.weights), 1, 1), np.float32)
        return _get(self.bias)

    @property
    def strides(self) -> list[int]:
        return list(self.convolution.get_attributes()["strides"])

    def is_pointwise(self) -> bool:
        """Whether it looks at one place at a time."""
        how = self.convolution.get_attributes()
        pads = (*how["pads_begin"], *how["pads_end"])
        return self.weights.shape[2:] == (1, 1) and not any(pads)

    def scale(self, by: float) -> None:
        """Multiply what it gives."""
        set_constant(self.convolution.input(1), self.weights * np.float32(by))
        if self.bias is not None:
            set_constant(self.bias, self.constant * np.float32(by))


@dataclass(frozen=True)
class _Block:
    """A sum of two layers."""

    sum: Any
    before: _Layer
    """What the branch's ReLU is laid on."""
    branch: _Layer
    shortcut: _Layer

    def merge(self, ratio: float) -> None:
        """Put one layer in the place of both; the branch's input is multiplied by ``ratio``."""
        ops = import_openvino().opset1
        self.before.scale(ratio)
        other = self.shortcut.input
        if self.shortcut.strides != [1, 1]:  # by windows of one, which stay in integers
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
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Add" and (found := _block(node)):
            yield found


def _block(node: Any) -> _Block | None:
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
    """The layer before a branch's last, with nothing but a ReLU between them."""
    relu = branch.input.get_node()
    if relu.get_type_name() != "Relu" or _readers(relu) != 1:
        return None
    return _Layer.behind(relu.input_value(0))


def _ratios(model: Any, blocks: list[_Block], crops: NDArray[np.uint8]) -> list[float]:
    """The range of each shortcut's input to that of its branch's."""
    values = [layer.input for block in blocks for layer in (block.shortcut, block.branch)]
    found = inner_values(model, values, crops[:: max(1, len(crops) // CROPS)])
    reach = np.max([[np.quantile(np.abs(one), REACH) for one in maps] for maps in found], axis=0)
    pairs = zip(reach[::2], reach[1::2], strict=True)
    return [float(theirs / mine) if theirs > 0 < mine else 1.0 for theirs, mine in pairs]


def _readers(node: Any) -> int:
    return sum(len(output.get_target_inputs()) for output in node.outputs())


def _get(port: Any) -> NDArray[np.float32]:
    return np.array(port.get_source_output().get_node().data)
