"""Convolutional networks of the published toolboxes: the names of their tensors.

Each converter takes a whole foreign state dictionary, and the size of the pictures (H, W) where
that is not the published one, and returns a :class:`Translation`. Some facts are in no file:
missing ReLUs, shifted pooling, interpolation. They are taken from the code that trained the
published weights.
"""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.foreign.translation import (
    LARGE,
    USUAL,
    Size,
    State,
    Translation,
    numbers,
    rename,
    resnet_name,
)
from passerby.models.osnet import OSNETS, Instance, OSNetShape
from passerby.models.structure import Value

Rules = list[tuple[str, str]]

STAGE_NAMES = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.")
STAGE_NUMBERS = ("0.", "1.", "4.", "5.", "6.", "7.")  # of a trunk that is a plain sequence

# the authors' FPB -> ours
FPB_ATTENTION = {
    "pam.pam.query_conv.": "0.query.",
    "pam.pam.key_conv.": "0.key.",
    "pam.pam.value_conv.": "0.value.",
    "pam.pam.gamma": "0.gamma",
    "pam.pam.bn.": "0.norm.",
    "cam.cam.gamma": "1.gamma",
    "cam.cam.bn.": "1.norm.",
}
FPB_MERGES = {"convs.0.": "top.", "convs.1.": "down.", "convs.2.": "out2.", "convs.3.": "out3."}
FPB_SKIPS = {"downsamples.0.": "skip2.", "downsamples.1.": "skip3."}

STREAM = re.compile(r"(conv[234]\.[01])\.conv2(?:([abcd])|\.([0-3])\.layers)(.*)")


def trunk(source: str) -> Rules:
    """Make rules for a residual network whose names begin with ``source``."""
    return [(source + name, f"backbone.{name}") for name in STAGE_NAMES]


def numbered_trunk(source: str) -> Rules:
    """Make rules for a residual network whose stages are numbered in a sequence."""
    pairs = zip(STAGE_NUMBERS, STAGE_NAMES, strict=True)
    return [(source + number, f"backbone.{name}") for number, name in pairs]


def non_local_blocks(state: Mapping[str, Tensor], source: str) -> Rules:
    """Make rules for non-local blocks.

    Foreign code numbers them per stage. Here their number is that of the residual block before
    them; they follow the last blocks of a stage.
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
    """List the options of a residual network that differ from the defaults."""
    made: dict[str, Value] = {}
    if non_local:
        made["non_local"] = "agw"
    if not stem_relu:
        made["stem_relu"] = False
    if stem_pool != "padding":
        made["stem_pool"] = stem_pool
    return made


def torchreid(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert torchreid's ResNets: names at top level, no neck; ``fc512`` has a projection."""
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
        input_size=size or USUAL,
        normalised=False,
        notes="torchreid ResNet; its own evaluation compares features by Euclidean distance",
    )


def strong_baseline(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert reid-strong-baseline, ReID-Survey (AGW) and the base files of Diff Attention.

    Their shared ResNet has no ReLU after the first normalisation.
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
        input_size=size or USUAL,
        notes="AGW (ReID-Survey)" if non_local else "reid-strong-baseline",
    )


def cluster_contrast(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert Cluster Contrast and SpCL: the trunk is a numbered sequence."""
    rules = [
        *numbered_trunk("base."),
        ("gap.p", "pool.p"),
        ("feat_bn.", "bnneck."),
        ("classifier.", "classifier."),
    ]
    renamed, dropped = rename(state, rules)
    return _bicubic(renamed, dropped, size, "Cluster Contrast or SpCL")


def open_unreid(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert OpenUnReID with one set of normalisation statistics."""
    rules = [
        *trunk("backbone."),
        ("global_pooling.p", "pool.p"),
        ("head.feat_bn.", "bnneck."),
        ("head.classifier.", "classifier."),
        ("classifier.", "classifier."),
    ]
    renamed, dropped = rename(state, rules, drop=("backbone.fc.",))
    return _bicubic(renamed, dropped, size, "OpenUnReID")


def _bicubic(state: State, dropped: tuple[str, ...], size: Size | None, notes: str) -> Translation:
    """Describe a network with a BNNeck whose code resizes pictures bicubically."""
    return Translation(
        state=state,
        dropped=dropped,
        architecture=resnet_name(state),
        pooling="gem" if "pool.p" in state else "average",
        input_size=size or USUAL,
        interpolation="bicubic",
        notes=notes,
    )


def pyramid(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert Tencent's Pyramid and YouReID: 21 branches; a second, unused set is left out."""
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
        input_size=size or LARGE,
        interpolation="bicubic",
        normalised=False,
        notes="Tencent Pyramid; its own evaluation compares features by Euclidean distance",
    )


def branches(heads: Mapping[str, Tensor]) -> State:
    """Stack the numbered branches of ``conv.N.{0,1}.*`` and ``fc.N.*`` as our pyramid has them.

    Raises:
        InputError: A branch lacks a tensor that another has.
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


def _numbered(old: str, new: str) -> Rules:
    """Make rules for a convolution and its normalisation, which have names there, numbers here."""
    return [(f"{old}conv.", f"{new}0."), (f"{old}bn.", f"{new}1.")]


def fpb(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert the authors' FPB: a global head and three stripes, four features of length one."""
    rules = [("layer0.0.", "backbone.conv1."), ("layer0.1.", "backbone.bn1.")]
    rules += [(f"layer{stage}.", f"backbone.layer{stage}.") for stage in (1, 2, 3, 4)]
    for old, new in FPB_ATTENTION.items():
        rules.append((f"pc1.{old}", f"attention.{new}"))
        rules.append((f"neck.fpn_module1.pc1.{old}", f"neck_attention.{new}"))
    for old, new in FPB_MERGES.items():
        rules += _numbered(f"neck.fpn_module1.{old}", f"neck.{new}")
    rules += [(f"neck.fpn_module1.{old}", f"neck.{new}") for old, new in FPB_SKIPS.items()]
    rules += _numbered("neck.lateral_convs.0.", "neck.lateral3.")
    rules += _numbered("neck.lateral_convs.1.", "neck.lateral2.")
    rules += _numbered("neck.conv.", "out.")
    rules += [
        ("bn_l4.", "norm."),
        ("classifier_l4.", "classifier."),
        ("dim_reds.layers.", "classifiers.reduce."),
        ("classifiers.", "classifiers."),
    ]
    renamed, dropped = rename(state, rules)
    if "classifier.weight" not in renamed:  # then the layers before the classifiers are useless
        dropped += tuple(key for key in state if key.startswith("dim_reds."))
        renamed = {k: v for k, v in renamed.items() if not k.startswith("classifiers.")}
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"fpb-original:{resnet_name(renamed)}",
        input_size=size or LARGE,
        notes="FPB; four parts of length one, which its own evaluation compares as they are: with "
        "equal lengths the same order as by cosine",
    )


def osnet(state: Mapping[str, Tensor], size: Size | None) -> Translation:
    """Convert torchreid's OSNet, OSNet-IBN and OSNet-AIN of any width."""
    plain = {_osnet_key(key): value for key, value in state.items()}
    rules = [(name, f"backbone.{name}") for name in ("conv1.", "stages.", "transitions.", "conv5.")]
    rules += [("fc.", "embed."), ("classifier.", "classifier.")]
    renamed, dropped = rename(plain, rules)
    if "embed.0.weight" not in renamed:
        raise InputError("the checkpoint is an OSNet without its projection 'fc'")
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{_osnet_name(renamed)}",
        structure={"embedding": int(renamed["embed.0.weight"].shape[0])},
        neck=False,
        feature="before_bn",
        input_size=size or USUAL,
        normalised=False,
        notes="torchreid OSNet; its own evaluation compares features by Euclidean distance",
    )


def _osnet_key(key: str) -> str:
    """Translate the name of a tensor of the backbone, without its prefix."""
    stream = STREAM.fullmatch(key)
    if stream:
        block, letter, number, rest = stream.groups()
        depth = "abcd".index(letter) if letter else int(number)
        # the first stream is a single convolution there and a sequence of one here
        rest = f".0{rest}" if letter == "a" else rest
        key = f"{block}.streams.{depth}{rest}"
    transition = re.fullmatch(r"(?:conv([23])\.2|pool([23]))\.0\.(.*)", key)
    if transition:
        early, late, rest = transition.groups()
        return f"transitions.{int(early or late) - 2}.0.{rest}"
    stage = re.fullmatch(r"conv([234])\.([01])\.(.*)", key)
    if stage:
        return f"stages.{int(stage[1]) - 2}.{stage[2]}.{stage[3]}"
    return key


def _osnet_name(state: Mapping[str, Tensor]) -> str:
    """Find the OSNet that has these widths and normalisations."""
    keys = [f"backbone.stages.{stage}.0.conv3.conv.weight" for stage in range(3)]
    if any(key not in state for key in ("backbone.conv1.conv.weight", *keys)):
        raise InputError("the checkpoint lacks stages of an OSNet; it is damaged or of a variant")
    widths = tuple(state[key].shape[0] for key in ("backbone.conv1.conv.weight", *keys))
    shape = OSNetShape(
        widths=widths,  # type: ignore[arg-type]
        stem="backbone.conv1.bn.running_mean" not in state,
        blocks=tuple((_norms(state, s, 0), _norms(state, s, 1)) for s in range(3)),
    )
    for name, known in OSNETS.items():
        if known == shape:
            return name
    raise InputError(f"the checkpoint is an OSNet of unknown make: {shape}")


def _norms(state: Mapping[str, Tensor], stage: int, block: int) -> Instance:
    prefix = f"backbone.stages.{stage}.{block}."
    if f"{prefix}IN.weight" not in state:
        return "none"
    return "behind" if f"{prefix}conv3.bn.weight" in state else "inside"
