"""What a converter makes of a foreign state dictionary, and the rules it is written in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.network import Feature
from passerby.models.resnet import SHAPES
from passerby.models.structure import Value

State = dict[str, Tensor]

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A foreign network in our terms.

    Attributes:
        state: Our parameter names -> tensors.
        dropped: Foreign names left out on purpose.
        architecture: As :func:`passerby.models.build` takes it; so are the next five.
        structure: Options of the architecture.
        last_stride: Stride of the last stage.
        pooling: How the map becomes a feature.
        neck: Whether there is a BNNeck.
        feature: Which feature the published evaluation compares.
        input_size: (H, W) of the published training.
        interpolation: How the published code resizes.
        normalised: Whether its published evaluation compares by cosine; else by Euclidean distance
            of features as they are, which :class:`ModelCard` cannot say: it is noted.
        notes: What a user must know of the source.
    """

    state: State
    dropped: tuple[str, ...]
    architecture: str
    structure: Mapping[str, Value] = field(default_factory=dict)
    last_stride: int = 1
    pooling: Literal["average", "gem", "gem-fixed"] = "average"
    neck: bool = True
    feature: Feature = "after_bn"
    input_size: tuple[int, int] = (256, 128)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    normalised: bool = True
    notes: str = ""


def rename(
    state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]], drop: Sequence[str] = ()
) -> tuple[State, tuple[str, ...]]:
    """Names by prefix: the first rule that fits replaces its prefix; ``drop`` prefixes go.

    Returns:
        The renamed state and the dropped names.

    Raises:
        InputError: If a name fits neither a rule nor ``drop``: nothing is lost silently.
    """
    renamed: State = {}
    dropped: list[str] = []
    unknown: list[str] = []
    for key, value in state.items():
        rule = next(((old, new) for old, new in rules if key.startswith(old)), None)
        if key.startswith(tuple(drop)):
            dropped.append(key)
        elif rule is None:
            unknown.append(key)
        else:
            renamed[rule[1] + key.removeprefix(rule[0])] = value
    if unknown:
        raise InputError(
            f"the checkpoint holds {len(unknown)} tensors that its kind does not have, the first "
            f"'{min(unknown)}'; it is of a variant that cannot be converted"
        )
    return renamed, tuple(dropped)


def complete(state: State, wanted: Mapping[str, Tensor]) -> State:
    """Fill in what old code did not store: counters of batches and frozen biases of necks."""
    filled = dict(state)
    for key, value in wanted.items():
        counter = key.endswith("num_batches_tracked")
        if key not in filled and (counter or key.endswith("bnneck.bias")):
            filled[key] = torch.zeros_like(value)
        # a 2-D neck, or a 1 x 1 convolution where a linear layer stands: the same numbers
        other = filled[key].shape != value.shape if key in filled else False
        if other and filled[key].numel() == value.numel():
            filled[key] = filled[key].reshape(value.shape)
    return filled


def resnet_name(state: Mapping[str, Tensor], prefix: str = "backbone.") -> str:
    """Which of our residual networks has these blocks.

    Raises:
        InputError: If none has.
    """
    blocks = tuple(_blocks(state, f"{prefix}layer{stage}.") for stage in range(1, 5))
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


def _blocks(state: Mapping[str, Tensor], prefix: str) -> int:
    numbers = {
        int(key.removeprefix(prefix).split(".")[0]) for key in state if key.startswith(prefix)
    }
    return max(numbers) + 1 if numbers else 0
