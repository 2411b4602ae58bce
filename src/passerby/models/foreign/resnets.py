"""Converters of convolutional networks: what follows from the tensors of a checkpoint.

Each takes a checkpoint under the names of this project and returns fields of a
:class:`~passerby.models.foreign.translation.Translation`. Names and constant facts, such as the
interpolation, are in ``sources.toml``. Some facts are in no file: missing ReLUs, shifted pooling.
They are taken from the code that trained the published weights.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models.card import IMAGENET_MEAN, IMAGENET_STD
from passerby.models.foreign.translation import (
    Checkpoint,
    Facts,
    State,
    numbers,
    resnet_name,
)
from passerby.models.osnet import OSNETS, Instance, OSNetShape

WHITE = 255.0


def torchreid(found: Checkpoint) -> Facts:
    """Describe torchreid's ResNets; ``fc512`` has a projection."""
    name = resnet_name(found.state)
    if "embed.0.weight" not in found.state:
        return {"architecture": name, "last_stride": 2}
    structure = {"embedding": found.width("embed.0.weight")}
    return {"architecture": f"embedded:{name}", "structure": structure}


def osnet(found: Checkpoint) -> Facts:
    """Describe torchreid's OSNet, OSNet-IBN and OSNet-AIN of any width."""
    if "embed.0.weight" not in found.state:
        raise InputError("the checkpoint is an OSNet without its projection 'fc'")
    structure = {"embedding": found.width("embed.0.weight")}
    return {"architecture": f"embedded:{_osnet_name(found.state)}", "structure": structure}


def one_head(found: Checkpoint) -> Facts:
    """Describe a plain network with a BNNeck: Cluster Contrast, SpCL, OpenUnReID."""
    return {"architecture": resnet_name(found.state), "pooling": _pooling(found.state)}


def strong_baseline(found: Checkpoint) -> Facts:
    """Describe reid-strong-baseline, ReID-Survey (AGW) and the base files of Diff Attention.

    The plain ResNet of their code lacks the ReLU of the stem; their ResNet-IBN-a has it.
    """
    non_local = _place_non_local(found)
    facts = one_head(found)
    stem = {} if facts["architecture"].endswith("-ibn") else {"stem_relu": False}
    return {
        **facts,
        "structure": {**non_local, **stem},
        "neck": "bnneck.weight" in found.state,
        "notes": "AGW (ReID-Survey)" if non_local else "reid-strong-baseline",
    }


def fastreid(found: Checkpoint) -> Facts:
    """Describe fast-reid's networks with one head: BoT, AGW, SBS.

    The names tell the version, and so a fact that no file holds: from 1.0 on the pooling of the
    stem is shifted by a pixel. Pictures are RGB, 0 to 255. Files up to 1.0 contain their mean and
    deviation.
    """
    early = any(key.startswith("heads.bnneck.") for key in found.foreign)
    if early and any(key.startswith("heads.bottleneck.") for key in found.foreign):
        raise InputError("the checkpoint has fast-reid's ReductionHead, which cannot be converted")
    name = resnet_name(found.state)
    structure = {**_place_non_local(found), **_stem_pool(early)}
    bottleneck = found.state.get("embed.0.weight")
    embedded = bottleneck is not None and bottleneck.dim() == 4  # a convolution, else the neck
    if embedded:
        structure |= {"embedding": found.width("embed.0.weight"), "embedding_norm": False}
    else:
        found.state = {k.replace("embed.0.", "bnneck."): v for k, v in found.state.items()}
    neck = "bnneck.weight" in found.state
    return {
        "architecture": f"embedded:{name}" if embedded else name,
        "structure": structure,
        "neck": neck,
        "feature": "after_bn" if neck else "before_bn",
        **_pixels(found.foreign),
        **_published(found.state, "non_local" in structure, early),
    }


def _published(state: State, non_local: bool, early: bool) -> Facts:
    """Find pooling, input size and notes of fast-reid's configuration with these modules."""
    version = f"fast-reid {'0.1' if early else '1.0 or later'}"
    if not non_local:
        return {"pooling": _pooling(state), "notes": version}
    if "pool.p" not in state:
        note = ", AGW; GeM with a fixed exponent of 3 assumed"
        return {"pooling": "gem-fixed", "notes": version + note}
    if early:
        note = ", AGW or SBS; SBS was trained on 384 x 128 pixels"
        return {"pooling": "gem", "notes": version + note}
    return {"pooling": "gem", "notes": f"{version}, SBS", "input_size": (384, 128)}


def mgn(found: Checkpoint) -> Facts:
    """Describe fast-reid's MGN with its eight heads, of version 0.1 or of 1.0 and later."""
    early = "b1_pool.1.weight" in found.foreign
    if "reductions.0.0.weight" not in found.state:
        raise InputError("the checkpoint's MGN lacks the reduction of its first head")
    neck = "bnnecks.0.weight" in found.state
    structure = {**_stem_pool(early), "width": found.width("reductions.0.0.weight")}
    return {
        "architecture": f"mgn:{_branched_name(found.state)}",
        "structure": {**structure, "reduction": "relu"} if early else structure,
        "pooling": "gem" if "pools.0.p" in found.state else "average",
        "neck": neck,
        "feature": "after_bn" if neck else "before_bn",
        **_pixels(found.foreign),
        "notes": f"fast-reid's MGN, {'0.1' if early else '1.0 or later'}",
    }


def mgn_pytorch(found: Checkpoint) -> Facts:
    """Describe MGN-pytorch."""
    width = found.width("reductions.0.0.weight")
    return {
        "architecture": f"mgn:{_branched_name(found.state)}",
        "structure": {"reduction": "relu", "width": width},
    }


def fpb(found: Checkpoint) -> Facts:
    """Describe the authors' FPB; without classifiers the layers before them are left out too."""
    if "classifier.weight" not in found.state:
        found.remove("classifiers.", "dim_reds.")
    return {"architecture": f"fpb-original:{resnet_name(found.state)}"}


def pyramid(found: Checkpoint) -> Facts:
    """Describe Tencent's Pyramid and YouReID, and stack their 21 branches."""
    own = {key: value for key, value in found.state.items() if key.startswith("backbone.")}
    heads = {key: value for key, value in found.state.items() if key not in own}
    found.state = own | branches(heads)
    return {"architecture": f"pyramid:{resnet_name(own)}"}


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


def _pooling(state: State) -> str:
    return "gem" if "pool.p" in state else "average"


def _stem_pool(early: bool) -> Facts:
    return {} if early else {"stem_pool": "ceil"}


def _place_non_local(found: Checkpoint) -> Facts:
    """Number non-local blocks by the residual block before them; return their option, if any.

    Foreign code numbers them per stage. They follow the last blocks of a stage.
    """
    moved = False
    for stage in (1, 2, 3, 4):
        prefix = f"backbone.non_local.{stage}_"
        keys = [key for key in found.state if key.startswith(prefix)]
        own = {key.removeprefix(prefix): found.state.pop(key) for key in keys}
        count = len({key.partition(".")[0] for key in own})
        first = len(numbers(found.state, f"backbone.layer{stage}.")) - count
        for key, value in own.items():
            number, _, rest = key.partition(".")
            found.state[f"{prefix}{int(number) + first}.{rest}"] = value
        moved |= bool(own)
    return {"non_local": "agw"} if moved else {}


def _pixels(state: Mapping[str, Tensor]) -> Facts:
    """Read mean and deviation of pictures, where white is 1; ImageNet's where there are none."""
    found: Facts = {}
    for name, usual in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):
        values = state.get(f"pixel_{name}", WHITE * torch.tensor(usual).double())
        if values.numel() != 3:
            raise InputError(
                f"the checkpoint's 'pixel_{name}' has {values.numel()} channels, not 3"
            )
        scaled = values.double().flatten() / WHITE
        same = torch.allclose(scaled, torch.tensor(usual).double(), atol=1e-6)
        found[name] = usual if same else tuple(map(float, scaled))
    return found


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
