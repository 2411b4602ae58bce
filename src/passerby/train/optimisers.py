"""Parameter groups: which learning rate and weight decay each part of a network has."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from passerby.errors import InputError


def parameter_groups(
    network: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float = 0.0,
    rates: Mapping[str, float] | None = None,
    decay_vectors: bool = True,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for a torch optimiser of all that ``network`` learns; each parameter is in one.

    Pyramid (Zheng et al., CVPR 2019) is ``learning_rate=0.1, rates={"backbone": 0.01}``.

    Args:
        network: Frozen parameters are left out.
        learning_rate: Base rate of all parameters that ``rates`` does not name.
        weight_decay: L2 penalty.
        rates: Start of parameter names (whole parts, such as ``"backbone"`` or
            ``"backbone.layer4"``) -> base rate; the longest that fits counts.
        decay_vectors: Whether biases and normalisation weights are decayed too, as in the re-ID
            papers; recipes for transformers do without.
        layer_decay: Factor of the rate from each block to the one before it (Clark et al., ELECTRA,
            ICLR 2020), 1 for none.

    Returns:
        Groups in the order of the network, with a ``"name"``; the log shows the first one's rate.

    Raises:
        InputError: If a name in ``rates`` fits no parameter, or nothing learns.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    starts = {name: _start(name, rates or {}) for name, _ in named}
    _check(starts, rates or {})
    depths = layer_depths(list(starts)) if layer_decay != 1.0 else dict.fromkeys(starts, 0)
    last = max(depths.values())
    groups: dict[tuple[str, int, bool], dict[str, Any]] = {}
    for name, parameter in named:
        key = (starts[name], depths[name], decay_vectors or parameter.dim() > 1)
        groups.setdefault(key, {"params": []})["params"].append(parameter)
    for (start, depth, decayed), group in groups.items():
        rate = rates[start] if rates and start else learning_rate
        group["lr"] = rate * layer_decay ** (last - depth)
        group["weight_decay"] = weight_decay if decayed else 0.0
        group["name"] = _name(start, None if layer_decay == 1.0 else depth, decayed)
    return list(groups.values())


def _name(start: str, depth: int | None, decayed: bool) -> str:
    place = "" if depth is None else f", depth {depth}"
    return f"{start or 'all'}{place}{'' if decayed else ', vectors'}"


def _start(name: str, rates: Mapping[str, float]) -> str:
    """The longest of ``rates`` that a parameter's name starts with; empty for none."""
    return max((start for start in rates if _within(name, start)), key=len, default="")


def _check(starts: Mapping[str, str], rates: Mapping[str, float]) -> None:
    if not starts:
        raise InputError("the network has nothing to learn; every parameter is frozen")
    for start in rates:
        if not any(_within(name, start) for name in starts):
            raise InputError(f"no learning parameter's name starts with '{start}'")


def _within(name: str, start: str) -> bool:
    return name == start or name.startswith(f"{start}.")


BLOCK = re.compile(r"\b(?:blocks|layers?|stages)[._]?(\d+)(?:\.(?:blocks\.)?(\d+)\b)?")


def layer_depths(names: list[str]) -> dict[str, int]:
    """How deep in the network each parameter lies: 0 before the first block, then block by block.

    Blocks are numbered as they stand: ``blocks.3`` (ViT), ``stages.2.blocks.1`` (ConvNeXt),
    ``layers.1.blocks.0`` (Swin), ``layer3.5`` (ResNet). What follows the last block (norms, necks,
    classifiers) lies one deeper than it.
    """
    places = {name: _block(name) for name in names}
    blocks = sorted({place for place in places.values() if place is not None})
    numbers = {place: number for number, place in enumerate(blocks, 1)}
    depths, seen = {}, False
    for name in names:
        place = places[name]
        seen = seen or place is not None
        depths[name] = numbers[place] if place is not None else (len(blocks) + 1 if seen else 0)
    return depths


def _block(name: str) -> tuple[int, int] | None:
    found = BLOCK.search(name)
    return None if found is None else (int(found[1]), int(found[2] or 0))
