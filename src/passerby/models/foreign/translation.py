"""The rules by which foreign names are translated, and the result of a converter."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.network import Feature
from passerby.models.resnet import SHAPES
from passerby.models.structure import Value

State = dict[str, Tensor]
Facts = dict[str, Any]
Size = tuple[int, int]
Colour = tuple[float, float, float]

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
    input_size: Size = (256, 128)
    mean: Colour = IMAGENET_MEAN
    std: Colour = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    normalised: bool = True
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Renaming:
    """The names of a toolbox, and facts that are in none of its files; see ``sources.toml``.

    Attributes:
        key: The key in ``sources.toml``.
        name: The name of the toolbox.
        has: Names, or prefixes that end in a dot, which its checkpoints all have.
        rules: Regular expressions at the start of a name -> replacement.
        inside: Regular expressions anywhere in the new name -> replacement.
        drop: Regular expressions of names that are left out on purpose.
        card: Facts, by the fields of :class:`Translation`.
    """

    key: str
    name: str
    has: tuple[str, ...]
    rules: Mapping[str, str]
    inside: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    card: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether the checkpoint has all names and prefixes of the toolbox."""
        return all(
            any(key.startswith(mark) if mark.endswith(".") else key == mark for key in state)
            for mark in self.has
        )

    def rename(self, state: Mapping[str, Tensor]) -> tuple[State, list[str]]:
        """Translate the names of a state; return it with the names that were left out.

        Raises:
            InputError: A name fits neither a rule nor ``drop``, so that nothing is lost silently.
        """
        renamed: State = {}
        dropped: list[str] = []
        unknown: list[str] = []
        for key, value in state.items():
            rule = next((old for old in self.rules if re.match(old, key)), None)
            if any(re.match(one, key) for one in self.drop):
                dropped.append(key)
            elif rule is None:
                unknown.append(key)
            else:
                name = re.sub(rule, self.rules[rule], key, count=1)
                for old, new in self.inside.items():
                    name = re.sub(old, new, name)
                renamed[name] = value
        if unknown:
            raise InputError(
                f"the checkpoint holds {len(unknown)} tensors that its kind does not have, "
                f"{listed(unknown)}; it is of a variant that cannot be converted"
            )
        return renamed, dropped


def read_renamings() -> tuple[Renaming, ...]:
    """Read ``sources.toml``, in its order."""
    text = (resources.files(__package__) / "sources.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    made = []
    for key, own in table.items():
        like = table.get(own.pop("like", ""), {})
        values = {**like, **own}
        for part in ("rules", "card"):
            values[part] = {**own.get(part, {}), **like.get(part, {}), **own.get(part, {})}
        card = {k: tuple(v) if isinstance(v, list) else v for k, v in values["card"].items()}
        lists = {name: tuple(values.get(name, ())) for name in ("has", "drop")}
        made.append(Renaming(**{**values, **lists, "key": key, "card": card}))
    return tuple(made)


@dataclass
class Checkpoint:
    """A foreign checkpoint under the names of this project; converters may change it.

    Attributes:
        foreign: Foreign names -> tensors.
        state: Names of this project -> tensors.
        dropped: Foreign names left out on purpose.
        size: (H, W) of the pictures, where that is not the published one.
    """

    foreign: Mapping[str, Tensor]
    state: State
    dropped: list[str]
    size: Size | None

    def width(self, key: str) -> int:
        """Return the outputs of a linear map or a convolution, by the name of its weight."""
        return int(self.state[key].shape[0])

    def remove(self, prefix: str, foreign: str) -> None:
        """Leave out tensors by the prefix of their new names and of their foreign ones."""
        self.dropped += [key for key in self.foreign if key.startswith(foreign)]
        self.state = {k: v for k, v in self.state.items() if not k.startswith(prefix)}


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


def resnet_name(state: Mapping[str, Tensor]) -> str:
    """Find the residual network of this project that has these blocks.

    Raises:
        InputError: None has.
    """
    blocks = tuple(len(numbers(state, f"backbone.layer{stage}.")) for stage in range(1, 5))
    bottleneck = "backbone.layer1.0.conv3.weight" in state
    ibn = sum(f"backbone.layer{stage}.0.bn1.IN.weight" in state for stage in range(1, 5))
    stem = state.get("backbone.conv1.weight")
    for name, shape in SHAPES.items():
        if (shape.blocks, shape.bottleneck, shape.ibn_stages) == (blocks, bottleneck, ibn) and (
            stem is not None and stem.shape[0] == shape.widths[0]
        ):
            return name
    raise InputError(
        f"the checkpoint's backbone has {blocks} blocks"
        f"{', IBN in ' + str(ibn) + ' stages' if ibn else ''}: no known residual network"
    )
