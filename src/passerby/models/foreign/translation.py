"""The result of a converter, and the rules in which converters are written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.network import Feature
from passerby.models.resnet import SHAPES
from passerby.models.structure import Value

State = dict[str, Tensor]
Size = tuple[int, int]
Colour = tuple[float, float, float]

HALF: Colour = (0.5, 0.5, 0.5)
USUAL: Size = (256, 128)
LARGE: Size = (384, 128)
SHOWN = 5  # names in a message


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A foreign network in the terms of this project.

    Attributes:
        state: Parameter names of this project -> tensors.
        dropped: Foreign names left out on purpose.
        architecture: As :func:`passerby.models.build` takes it; so for the next five.
        structure: Options of the architecture.
        last_stride: Stride of the last stage.
        pooling: How the map becomes a feature.
        neck: Whether there is a BNNeck.
        feature: Which feature the published evaluation compares.
        input_size: (H, W) of the training.
        mean: Of the pictures' channels, where white is 1.
        std: As ``mean``.
        interpolation: How the published code resizes.
        normalised: Whether the published evaluation compares by cosine. Otherwise it takes the
            Euclidean distance of features as they are. :class:`~passerby.models.ModelCard` has no
            field for that, so that its notes say it.
        notes: What a user must know of the source.
    """

    state: State
    dropped: tuple[str, ...]
    architecture: str
    structure: Mapping[str, Value] = field(default_factory=dict)
    last_stride: int = 1
    pooling: Literal["average", "maximum", "gem", "gem-fixed"] = "average"
    neck: bool = True
    feature: Feature = "after_bn"
    input_size: Size = USUAL
    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    normalised: bool = True
    notes: str = ""


def rename(
    state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], drop: Sequence[str] = ()
) -> tuple[State, tuple[str, ...]]:
    """Rename tensors by prefix: the first rule that fits replaces its prefix.

    Arguments as :func:`respell`, with prefixes in place of patterns.
    """
    return respell(
        state,
        [(re.escape(old), new.replace("\\", r"\\")) for old, new in rules],
        [re.escape(one) for one in drop],
    )


def respell(
    state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], drop: Sequence[str] = ()
) -> tuple[State, tuple[str, ...]]:
    """Rename tensors by pattern: the first rule that fits replaces the matched text.

    Args:
        state: Foreign names -> tensors.
        rules: Regular expressions at the start of a name, each with its replacement.
        drop: Regular expressions; names that begin with one are left out on purpose.

    Returns:
        The renamed state and the dropped names.

    Raises:
        InputError: A name fits neither a rule nor ``drop``, so that nothing is lost silently.
    """
    renamed: State = {}
    dropped: list[str] = []
    unknown: list[str] = []
    for key, value in state.items():
        rule = next(((old, new) for old, new in rules if re.match(old, key)), None)
        if any(re.match(one, key) for one in drop):
            dropped.append(key)
        elif rule is None:
            unknown.append(key)
        else:
            renamed[re.sub(rule[0], rule[1], key, count=1)] = value
    if unknown:
        raise InputError(
            f"the checkpoint holds {len(unknown)} tensors that its kind does not have, "
            f"{listed(unknown)}; it is of a variant that cannot be converted"
        )
    return renamed, tuple(dropped)


def listed(names: Sequence[str]) -> str:
    """Write the first few of several names, in order, for a message."""
    first = ", ".join(f"'{name}'" for name in sorted(names)[:SHOWN])
    return first if len(names) <= SHOWN else f"{first} and {len(names) - SHOWN} more"


def numbers(state: Mapping[str, Tensor], prefix: str) -> list[int]:
    """List the numbers that follow ``prefix`` in names: 0, 1, ... without a gap.

    Raises:
        InputError: No number follows, or one is left out.
    """
    found = {key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)}
    wrong = [text for text in found if not (text.isascii() and text.isdigit())]
    if wrong:
        raise InputError(f"the checkpoint's '{prefix}{min(wrong)}' has no number behind its name")
    order = sorted(int(text) for text in found)
    if order != list(range(len(order))):
        raise InputError(f"the checkpoint's '{prefix}' leave out numbers; it is damaged")
    return order


NECK_BIAS = re.compile(r"bnnecks?(\.\d+)?\.bias")


def complete(state: State, wanted: Mapping[str, Tensor]) -> State:
    """Add what older code did not store (counters of batches, frozen biases of necks); fix axes."""
    filled = dict(state)
    for key, value in wanted.items():
        counter = key.endswith("num_batches_tracked")
        if key not in filled and (counter or NECK_BIAS.fullmatch(key)):
            filled[key] = torch.zeros_like(value)
        # a 2-D neck, a 1 x 1 convolution instead of a linear layer, a token with a batch axis
        if key in filled and _bare(filled[key].shape) == _bare(value.shape):
            filled[key] = filled[key].reshape(value.shape)
    return filled


def _bare(shape: Sequence[int]) -> list[int]:
    """Remove the axes of length one from a shape."""
    return [side for side in shape if side != 1]


def resnet_name(state: Mapping[str, Tensor], prefix: str = "backbone.") -> str:
    """Find the residual network of this project that has these blocks.

    Raises:
        InputError: None has.
    """
    blocks = tuple(len(numbers(state, f"{prefix}layer{stage}.")) for stage in range(1, 5))
    bottleneck = f"{prefix}layer1.0.conv3.weight" in state
    ibn = sum(f"{prefix}layer{stage}.0.bn1.IN.weight" in state for stage in range(1, 5))
    stem = state.get(f"{prefix}conv1.weight")
    for name, shape in SHAPES.items():
        if (shape.blocks, shape.bottleneck, shape.ibn_stages) == (blocks, bottleneck, ibn) and (
            stem is not None and stem.shape[0] == shape.widths[0]
        ):
            return name
    raise InputError(
        f"the checkpoint's backbone has {blocks} blocks"
        f"{', IBN in ' + str(ibn) + ' stages' if ibn else ''}: no known residual network"
    )
