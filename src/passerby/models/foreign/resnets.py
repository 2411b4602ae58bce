"""Residual networks of the published toolboxes: how each names its tensors, and runs them.

Each function takes a whole foreign state dictionary and returns its :class:`Translation`. The facts
that no file holds (missing ReLUs, shifted pooling, interpolation) are those of the code that
trained the published weights.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.foreign.translation import State, Translation, numbers, rename, resnet_name
from passerby.models.structure import Value

STAGE_NAMES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")


def trunk(source: str) -> list[tuple[str, str]]:
    """Rules for a residual network whose names begin with ``source``."""
    return [(source + name, f"backbone.{name}") for name in STAGE_NAMES]


def non_local_blocks(state: Mapping[str, Tensor], source: str) -> list[tuple[str, str]]:
    """Rules for non-local blocks numbered from the first that a stage has.

    Foreign code counts them per stage, ours by the residual block they follow: the last ones.
    """
    rules = []
    for stage in (1, 2, 3, 4):
        prefix = f"{source}NL_{stage}."
        own, blocks = numbers(state, prefix), numbers(state, f"{source}layer{stage}.")
        for number in own:
            place = len(blocks) - len(own) + number
            rules.append((f"{prefix}{number}.", f"backbone.non_local.{stage}_{place}."))
    return rules


def structure_of(
    non_local: bool, *, stem_relu: bool = True, stem_pool: Literal["padding", "ceil"] = "padding"
) -> dict[str, Value]:
    """Options of a residual network, those of the usual one left out."""
    made: dict[str, Value] = {}
    if non_local:
        made["non_local"] = "agw"
    if not stem_relu:
        made["stem_relu"] = False
    if stem_pool != "padding":
        made["stem_pool"] = stem_pool
    return made


def torchreid(state: Mapping[str, Tensor]) -> Translation:
    """Torchreid's ResNets: names at top level, no neck; ``fc512`` has a projection."""
    embedded = "fc.0.weight" in state
    rules = [*trunk(""), ("fc.", "embed."), ("classifier.", "classifier.")]
    renamed, dropped = rename(state, rules)
    name = resnet_name(renamed)
    structure: dict[str, Value] = {}
    if embedded:
        structure["embedding"] = int(renamed["embed.0.weight"].shape[0])
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{name}" if embedded else name,
        structure=structure,
        last_stride=1 if embedded else 2,
        neck=False,
        feature="before_bn",
        normalised=False,
        notes="torchreid ResNet; its own evaluation compares features by Euclidean distance",
    )


def strong_baseline(state: Mapping[str, Tensor]) -> Translation:
    """reid-strong-baseline, ReID-Survey (AGW) and the base files of Diff Attention.

    Their shared ResNet leaves out the ReLU behind the first normalisation.
    """
    non_local = non_local_blocks(state, "base.")
    rules = [
        *trunk("base."),
        *non_local,
        ("global_pool.p", "pool.p"),
        ("bottleneck.", "bnneck."),
        ("classifier.", "classifier."),
    ]
    renamed, dropped = rename(state, rules, drop=("base.fc.",))
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=resnet_name(renamed),
        structure=structure_of(bool(non_local), stem_relu=False),
        pooling="gem" if "pool.p" in renamed else "average",
        neck="bnneck.weight" in renamed,
        notes="AGW (ReID-Survey)" if non_local else "reid-strong-baseline",
    )


def cluster_contrast(state: Mapping[str, Tensor]) -> Translation:
    """Cluster Contrast and SpCL: the trunk is a numbered sequence."""
    places = {"0.": "conv1.", "1.": "bn1.", "4.": "layer1.", "5.": "layer2.", "6.": "layer3."}
    places["7."] = "layer4."
    rules = [(f"base.{old}", f"backbone.{new}") for old, new in places.items()]
    rules += [("gap.p", "pool.p"), ("feat_bn.", "bnneck."), ("classifier.", "classifier.")]
    renamed, dropped = rename(state, rules)
    return _bicubic(renamed, dropped, "Cluster Contrast or SpCL")


def open_unreid(state: Mapping[str, Tensor]) -> Translation:
    """OpenUnReID with one set of normalisation statistics."""
    rules = [
        *trunk("backbone."),
        ("global_pooling.p", "pool.p"),
        ("head.feat_bn.", "bnneck."),
        ("head.classifier.", "classifier."),
        ("classifier.", "classifier."),
    ]
    renamed, dropped = rename(state, rules, drop=("backbone.fc.",))
    return _bicubic(renamed, dropped, "OpenUnReID")


def _bicubic(state: State, dropped: tuple[str, ...], notes: str) -> Translation:
    """A network with a BNNeck whose code resizes bicubically, everything else as usual."""
    return Translation(
        state=state,
        dropped=dropped,
        architecture=resnet_name(state),
        pooling="gem" if "pool.p" in state else "average",
        interpolation="bicubic",
        notes=notes,
    )


def pyramid(state: Mapping[str, Tensor]) -> Translation:
    """Tencent's Pyramid and YouReID: 21 branches; a second, unused set of branches is dropped."""
    source = "resnet." if any(key.startswith("resnet.") for key in state) else "base."
    renamed, dropped = rename(
        {key: value for key, value in state.items() if key.startswith(source)},
        trunk(source),
        drop=(f"{source}fc.",),
    )
    others = {key: value for key, value in state.items() if not key.startswith(source)}
    heads, unused = rename(
        others,
        [("pyramid_conv_list0.", "conv."), ("pyramid_fc_list0.", "fc.")],
        drop=("pyramid_conv_list1.", "pyramid_fc_list1."),
    )
    return Translation(
        state=renamed | branches(heads),
        dropped=dropped + unused,
        architecture=f"pyramid:{resnet_name(renamed)}",
        input_size=(384, 128),
        interpolation="bicubic",
        normalised=False,
        notes="Tencent Pyramid; its own evaluation compares features by Euclidean distance",
    )


def branches(heads: Mapping[str, Tensor]) -> State:
    """The numbered branches of ``conv.N.{0,1}.*`` and ``fc.N.*``, stacked as our pyramid has them.

    Raises:
        InputError: If a branch lacks a tensor that another has.
    """
    count = numbers(heads, "conv.")
    places = {
        "embed.weight": ("conv.{}.0.weight", torch.stack),
        "embed.bias": ("conv.{}.0.bias", torch.stack),
        **{
            f"norm.{name}": (f"conv.{{}}.1.{name}", torch.cat)
            for name in ("weight", "bias", "running_mean", "running_var")
        },
    }
    if any(key.startswith("fc.") for key in heads):
        places["classifiers.weight"] = ("fc.{}.weight", torch.stack)
        places["classifiers.bias"] = ("fc.{}.bias", torch.stack)
    made: State = {}
    for name, (pattern, join) in places.items():
        missing = [pattern.format(n) for n in count if pattern.format(n) not in heads]
        if missing or not count:
            raise InputError(
                f"the checkpoint's pyramid lacks '{pattern.format(*missing[:1] or '0')}'"
            )
        parts = [heads[pattern.format(number)] for number in count]
        made[name] = join(parts)
    made["embed.weight"] = made["embed.weight"].flatten(2)
    return made
