"""torchreid's OSNets: how it names their tensors."""

import re
from collections.abc import Mapping

from torch import Tensor

from passerby.errors import InputError
from passerby.models.foreign.translation import Translation, rename
from passerby.models.osnet import OSNETS, Instance, OSNetShape

STREAM = re.compile(r"(conv[234]\.[01])\.conv2(?:([abcd])|\.([0-3])\.layers)(.*)")


def osnet(state: Mapping[str, Tensor]) -> Translation:
    """OSNet, OSNet-IBN and OSNet-AIN of any width."""
    plain = {_own(key): value for key, value in state.items()}
    rules = [(name, f"backbone.{name}") for name in ("conv1.", "stages.", "transitions.", "conv5.")]
    rules += [("fc.", "embed."), ("classifier.", "classifier.")]
    renamed, dropped = rename(plain, rules)
    if "embed.0.weight" not in renamed:
        raise InputError("the checkpoint is an OSNet without its projection 'fc'")
    return Translation(
        state=renamed,
        dropped=dropped,
        architecture=f"embedded:{_name(renamed)}",
        structure={"embedding": int(renamed["embed.0.weight"].shape[0])},
        neck=False,
        feature="before_bn",
        normalised=False,
        notes="torchreid OSNet; its own evaluation compares features by Euclidean distance",
    )


def _own(key: str) -> str:
    """Our name of a tensor of the backbone."""
    stream = STREAM.fullmatch(key)
    if stream:
        block, letter, number, rest = stream.groups()
        depth = "abcd".index(letter) if letter else int(number)
        # the first stream is one convolution there, a sequence of one here
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


def _name(state: Mapping[str, Tensor]) -> str:
    """Which of our OSNets has these widths and normalisations."""
    keys = [f"backbone.stages.{stage}.0.conv3.conv.weight" for stage in range(3)]
    if any(key not in state for key in ("backbone.conv1.conv.weight", *keys)):
        raise InputError("the checkpoint lacks stages of an OSNet; it is damaged or of a variant")
    widths = tuple(state[key].shape[0] for key in ("backbone.conv1.conv.weight", *keys))
    shape = OSNetShape(
        widths=widths,  # type: ignore[arg-type]
        stem="backbone.conv1.bn.running_mean" not in state,
        blocks=tuple((_instance(state, s, 0), _instance(state, s, 1)) for s in range(3)),
    )
    for name, known in OSNETS.items():
        if known == shape:
            return name
    raise InputError(f"the checkpoint is an OSNet of unknown make: {shape}")


def _instance(state: Mapping[str, Tensor], stage: int, block: int) -> Instance:
    prefix = f"backbone.stages.{stage}.{block}."
    if f"{prefix}IN.weight" not in state:
        return "none"
    return "behind" if f"{prefix}conv3.bn.weight" in state else "inside"
