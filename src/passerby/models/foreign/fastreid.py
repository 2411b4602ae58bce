"""fast-reid's networks (BoT, AGW and SBS with one head, MGN with eight), and MGN-pytorch.

fast-reid's names tell its version, and so a fact that no file holds: from 1.0 on the pooling of the
stem is shifted by a pixel. Its pictures are RGB, 0 to 255, resized bicubically. Files up to 1.0
contain their mean and deviation.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.foreign.resnets import (
    Rules,
    non_local_blocks,
    numbered_trunk,
    structure_of,
    trunk,
)
from passerby.models.foreign.translation import (
    LARGE,
    USUAL,
    Colour,
    Size,
    State,
    Translation,
    numbers,
    rename,
    resnet_name,
)

PIXELS = ("pixel_mean", "pixel_std")
WHITE = 255.0

# fast-reid's heads of MGN in the order of the feature: whole maps, halves, thirds
MGN_HEADS = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")
# MGN-pytorch's classifiers in the same order
CLASSIFIERS = ("2048_0", "2048_1", "2048_2", "256_1_0", "256_1_1", "256_2_0", "256_2_1", "256_2_2")


def fastreid(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert networks with one head, with or without an embedding before the neck."""
    early = any(key.startswith("heads.bnneck.") for key in state)
    if early and any(key.startswith("heads.bottleneck.") for key in state):
        raise InputError("the checkpoint has fast-reid's ReductionHead, which cannot be converted")
    bottleneck = state.get("heads.bottleneck.0.weight")
    embedded = bottleneck is not None and bottleneck.dim() == 4  # a convolution
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
        structure["embedding"] = int(renamed["embed.0.weight"].shape[0])
        structure["embedding_norm"] = False
    pooling, usual, kind = _published(renamed, bool(non_local), early)
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{name}" if embedded else name,
        structure=structure,
        pooling=pooling,
        neck="bnneck.weight" in renamed,
        feature="after_bn" if "bnneck.weight" in renamed else "before_bn",
        input_size=size or usual,
        mean=mean,
        std=std,
        interpolation="bicubic",
        notes=f"fast-reid {'0.1' if early else '1.0 or later'}{kind}",
    )


def _published(
    state: State, non_local: bool, early: bool
) -> tuple[Literal["average", "gem", "gem-fixed"], Size, str]:
    """Find pooling, input size and a note of the published configuration with these modules."""
    learnt = "pool.p" in state
    if not non_local:
        return "gem" if learnt else "average", USUAL, ""
    if not learnt:
        return "gem-fixed", USUAL, ", AGW; GeM with a fixed exponent of 3 assumed"
    if early:
        return "gem", USUAL, ", AGW or SBS; SBS was trained on 384 x 128 pixels"
    return "gem", LARGE, ", SBS"


def _pixels(state: Mapping[str, Tensor]) -> tuple[Colour, Colour]:
    """Read mean and deviation, of pictures whose white is 1; ImageNet's where the file has none."""
    found: list[Colour] = []
    for key, usual in zip(PIXELS, (IMAGENET_MEAN, IMAGENET_STD), strict=True):
        values = state[key].double().flatten() / WHITE if key in state else torch.tensor(usual)
        if values.numel() != 3:
            raise InputError(f"the checkpoint's '{key}' has {values.numel()} channels, not 3")
        same = torch.allclose(values.double(), torch.tensor(usual).double(), atol=1e-6)
        red, green, blue = usual if same else map(float, values)
        found.append((red, green, blue))
    return found[0], found[1]


def _branched(trunk_name: str, branch_name: str) -> Rules:
    """Make rules for MGN's trunk, which ends in one block of stage 3, and its three branches."""
    return [
        (f"{trunk_name}6.", "backbone.layer3.0."),
        *numbered_trunk(trunk_name),
        *((f"{branch_name}{number + 1}.", f"branches.{number}.") for number in range(3)),
    ]


def mgn(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert fast-reid's MGN with its eight heads, of version 0.1 or of 1.0 and later."""
    early = "b1_pool.1.weight" in state
    rules = _branched("backbone.", "b")
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
        architecture=f"mgn:{_branched_name(renamed)}",
        structure=structure,
        pooling="gem" if "pools.0.p" in renamed else "average",
        neck="bnnecks.0.weight" in renamed,
        feature="after_bn" if "bnnecks.0.weight" in renamed else "before_bn",
        input_size=size or LARGE,
        mean=mean,
        std=std,
        interpolation="bicubic",
        notes=f"fast-reid's MGN, {'0.1' if early else '1.0 or later'}",
    )


def mgn_pytorch(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert MGN-pytorch, a widely used reimplementation of MGN.

    It has the paper's form: the first branch halves its map, there are no necks, and the reductions
    have a ReLU.
    """
    rules = _branched("backone.", "p")  # the published spelling
    for number, name in enumerate(CLASSIFIERS):
        rules += [
            (f"reduction_{number}.", f"reductions.{number}."),
            (f"fc_id_{name}.", f"classifiers.{number}."),
        ]
    renamed, dropped = rename(state, rules)
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"mgn:{_branched_name(renamed)}",
        structure={
            "reduction": "relu",
            "width": int(renamed["reductions.0.0.weight"].shape[0]),
        },
        last_stride=2,
        pooling="maximum",
        neck=False,
        feature="before_bn",
        input_size=size or LARGE,
        interpolation="bicubic",
        notes="MGN-pytorch; maximum pooling assumed, its usual option; its own evaluation adds the "
        "features of the mirrored picture",
    )


def _branched_name(state: State) -> str:
    """Find the residual network from which MGN's trunk and first branch were taken."""
    whole = {key: value for key, value in state.items() if key.startswith("backbone.")}
    for key, value in state.items():
        for part, stage, first in (("0", 3, 1), ("1", 4, 0)):
            prefix = f"branches.0.{part}."
            if key.startswith(prefix):
                number, _, rest = key.removeprefix(prefix).partition(".")
                place = numbers(state, prefix).index(int(number)) + first
                whole[f"backbone.layer{stage}.{place}.{rest}"] = value
    return resnet_name(whole)
