"""fast-reid's networks: BoT, AGW and SBS with one head, MGN with eight.

The names tell the version, and with it what no file holds: from 1.0 on the stem's pooling is
shifted by a pixel. Pictures are RGB, 0 to 255, resized bicubically; their mean and deviation lie in
the files up to 1.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.foreign.resnets import non_local_blocks, structure_of, trunk
from passerby.models.foreign.translation import (
    Colour,
    State,
    Translation,
    numbers,
    rename,
    resnet_name,
)
from passerby.models.structure import Value

PIXELS = ("pixel_mean", "pixel_std")
WHITE = 255.0
LARGE = (384, 128)

# heads of MGN in the order of the feature: whole maps, halves, thirds
MGN_HEADS = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")


def fastreid(state: Mapping[str, Tensor]) -> Translation:
    """Networks with one head, with or without an embedding before the neck."""
    early = any(key.startswith("heads.bnneck.") for key in state)
    if early and any(key.startswith("heads.bottleneck.") for key in state):
        raise InputError("the checkpoint has fast-reid's ReductionHead, which cannot be converted")
    embedded = _is_convolution(state.get("heads.bottleneck.0.weight"))
    non_local = non_local_blocks(state, "backbone.")
    rules = [
        *trunk("backbone."),
        *non_local,
        ("heads.bnneck.", "bnneck."),
        ("heads.bottleneck.1." if embedded else "heads.bottleneck.0.", "bnneck."),
        ("heads.bottleneck.0.", "embed.0."),
        ("heads.classifier.", "classifier."),
        ("heads.weight", "classifier.weight"),
        ("heads.pool_layer.p", "pool.p"),
    ]
    renamed, dropped = rename(state, rules, drop=PIXELS)
    name = resnet_name(renamed)
    mean, std = _pixels(state)
    structure = structure_of(bool(non_local), stem_pool="padding" if early else "ceil")
    if embedded:
        structure |= _embedding(renamed["embed.0.weight"])
    kind = _kind(renamed, bool(non_local), early)
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{name}" if embedded else name,
        structure=structure,
        pooling=kind.pooling,
        neck="bnneck.weight" in renamed,
        feature="after_bn" if "bnneck.weight" in renamed else "before_bn",
        input_size=kind.input_size,
        mean=mean,
        std=std,
        interpolation="bicubic",
        notes=f"fast-reid {'0.1' if early else '1.0 or later'}{kind.notes}",
    )


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What the published configuration with these modules runs."""

    pooling: Literal["average", "gem", "gem-fixed"]
    input_size: tuple[int, int]
    notes: str


def _kind(state: State, non_local: bool, early: bool) -> _Kind:
    size, usual = LARGE, (256, 128)
    if not non_local:
        learnt = "pool.p" in state
        return _Kind(pooling="gem" if learnt else "average", input_size=usual, notes="")
    if "pool.p" not in state:
        note = ", AGW; GeM with a fixed exponent of 3 assumed"
        return _Kind(pooling="gem-fixed", input_size=usual, notes=note)
    if early:
        note = ", AGW or SBS; SBS was trained on 384 x 128 pixels"
        return _Kind(pooling="gem", input_size=usual, notes=note)
    return _Kind(pooling="gem", input_size=size, notes=", SBS")


def _is_convolution(weight: Tensor | None) -> bool:
    return weight is not None and weight.dim() == 4


def _embedding(weight: Tensor) -> dict[str, Value]:
    return {"embedding": int(weight.shape[0]), "embedding_norm": False}


def _pixels(state: Mapping[str, Tensor]) -> tuple[Colour, Colour]:
    """Mean and deviation in the file, white at 1; ImageNet's where it has none."""
    found: list[Colour] = []
    for key, usual in zip(PIXELS, (IMAGENET_MEAN, IMAGENET_STD), strict=True):
        values = state[key].double().flatten() / WHITE if key in state else torch.tensor(usual)
        if values.numel() != 3:
            raise InputError(f"the checkpoint's '{key}' has {values.numel()} channels, not 3")
        same = torch.allclose(values.double(), torch.tensor(usual).double(), atol=1e-6)
        red, green, blue = usual if same else map(float, values)
        found.append((red, green, blue))
    return found[0], found[1]


def mgn(state: Mapping[str, Tensor]) -> Translation:
    """MGN: a trunk, three branches and eight heads, in the layouts of 0.1 and of 1.0 and later."""
    early = "b1_pool.1.weight" in state
    places = {"0.": "conv1.", "1.": "bn1.", "4.": "layer1.", "5.": "layer2.", "6.": "layer3.0."}
    rules = [(f"backbone.{old}", f"backbone.{new}") for old, new in places.items()]
    rules += [(f"b{n}.", f"branches.{n - 1}.") for n in (1, 2, 3)]
    for number, head in enumerate(MGN_HEADS):
        rules += [
            (f"{head}_pool.0.p", f"pools.{number}.p"),
            (f"{head}_pool.1.", f"reductions.{number}.0."),
            (f"{head}_pool.2.", f"reductions.{number}.1."),
            (f"{head}_head.pool_layer.p", f"pools.{number}.p"),
            (f"{head}_head.bnneck.", f"bnnecks.{number}."),
            (f"{head}_head.bottleneck.0.", f"reductions.{number}.0."),
            (f"{head}_head.bottleneck.1.", f"bnnecks.{number}."),
            (f"{head}_head.classifier.", f"classifiers.{number}."),
            (f"{head}_head.weight", f"classifiers.{number}.weight"),
        ]
    renamed, dropped = rename(state, rules, drop=PIXELS)
    if "reductions.0.0.weight" not in renamed:
        raise InputError("the checkpoint's MGN lacks the reduction of its first head")
    mean, std = _pixels(state)
    structure = structure_of(False, stem_pool="padding" if early else "ceil")
    structure["width"] = int(renamed["reductions.0.0.weight"].shape[0])
    if early:
        structure["reduction"] = "relu"
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"mgn:{branched_name(renamed)}",
        structure=structure,
        pooling="gem" if "pools.0.p" in renamed else "average",
        neck="bnnecks.0.weight" in renamed,
        feature="after_bn" if "bnnecks.0.weight" in renamed else "before_bn",
        input_size=LARGE,
        mean=mean,
        std=std,
        interpolation="bicubic",
        notes=f"fast-reid's MGN, {'0.1' if early else '1.0 or later'}",
    )


def branched_name(state: State) -> str:
    """Which residual network the trunk and the first branch of an MGN were taken from."""
    whole = {key: value for key, value in state.items() if key.startswith("backbone.")}
    for key, value in state.items():
        for part, stage, first in (("0", 3, 1), ("1", 4, 0)):
            prefix = f"branches.0.{part}."
            if key.startswith(prefix):
                number, _, rest = key.removeprefix(prefix).partition(".")
                place = numbers(state, prefix).index(int(number)) + first
                whole[f"backbone.layer{stage}.{place}.{rest}"] = value
    return resnet_name(whole)
