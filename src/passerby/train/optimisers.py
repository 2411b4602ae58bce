"""Optimisers: learning-rate schedules, parameter groups, and the running average of the weights."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from passerby.errors import InputError


class Schedule(Protocol):
    """A factor on the base learning rate."""

    def factor(self, epoch: int, fraction: float) -> float:
        """Factor in ``epoch`` (counted from 1) when ``fraction`` (0 <= f < 1) of it is done."""


@dataclass(frozen=True)
class Constant:
    """The base learning rate throughout."""

    def factor(self, epoch: int, fraction: float) -> float:
        """Always 1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class MultiStep:
    """Linear warm-up, then a factor at each milestone; constant within an epoch but for "linear".

    Luo et al., Bag of Tricks, section 3.1, prints ``3.5e-5 * t / 10`` for the warm-up, which
    contradicts its own text; ``"paper"`` here is ``3.5e-4 * t / 10`` for t = 1..10, and the rate
    still is high in epoch 40. The authors' code (``"code"``) warms up from a hundredth, with
    ``0.01 * (1 - t / 10) + t / 10`` before epoch 10, and decays in epoch 40 already; in
    PyTorch 1.0.0 it is one epoch behind (``"code-torch-1.0"``). ``"linear"``
    is fast-reid's warm-up (He et al., 2020): from ``start`` to 1 in equal steps, its length given
    in epochs where fast-reid counts iterations; milestones as in ``"paper"``.

    Attributes:
        milestones: Epochs after which (paper, linear) or in which (code) the rate falls.
        gamma: Factor of each fall.
        warmup: Epochs of warm-up; 0 for none.
        convention: ``"paper"``, ``"code"``, ``"code-torch-1.0"`` or ``"linear"``.
        start: First factor of ``"linear"``.
    """

    milestones: tuple[int, ...] = (40, 70)
    gamma: float = 0.1
    warmup: float = 10
    convention: Literal["paper", "code", "code-torch-1.0", "linear"] = "paper"
    start: float = 0.1

    def factor(self, epoch: int, fraction: float) -> float:
        """See :class:`Schedule`."""
        if self.convention == "code-torch-1.0":
            epoch -= 1
        late = 1 if self.convention.startswith("code") else 0
        decay = self.gamma ** sum(epoch + late > milestone for milestone in self.milestones)
        return decay * self._warmed(epoch, fraction)

    def _warmed(self, epoch: int, fraction: float) -> float:
        if self.convention == "linear":
            gone = epoch - 1 + fraction
            share = min(1.0, gone / self.warmup) if self.warmup else 1.0
            return self.start + (1.0 - self.start) * share
        if epoch >= self.warmup:
            return 1.0
        done = epoch / self.warmup
        return done + (0.01 * (1 - done) if self.convention.startswith("code") else 0.0)


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Linear warm-up, then half a cosine down to ``floor``, changing every step.

    Attributes:
        epochs: Length of the training.
        warmup: Epochs of warm-up; 0 for none.
        floor: Factor at the end.
    """

    epochs: int
    warmup: int = 0
    floor: float = 0.01

    def factor(self, epoch: int, fraction: float) -> float:
        """See :class:`Schedule`."""
        done = epoch - 1 + fraction
        if done < self.warmup:
            return max(done, 0.1) / self.warmup
        progress = min(1.0, (done - self.warmup) / max(1e-9, self.epochs - self.warmup))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))


class ScheduledOptimiser:
    """An optimiser with the schedules of its learning rates."""

    def __init__(
        self,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule | Sequence[Schedule] | None = None,
    ) -> None:
        """Remember each parameter group's base rate.

        Args:
            optimiser: Its groups may have learning rates of their own.
            schedule: One for all groups, or one for each; none: constant rates.

        Raises:
            ValueError: If there are not as many schedules as groups.
        """
        self.optimiser = optimiser
        groups = optimiser.param_groups
        given = list(schedule) if isinstance(schedule, Sequence) else [schedule or Constant()]
        self.schedules: list[Schedule] = given * len(groups) if len(given) == 1 else given
        if len(self.schedules) != len(groups):
            raise ValueError(f"{len(given)} schedules for {len(groups)} parameter groups")
        for group in groups:
            group.setdefault("initial_lr", group["lr"])

    def set_rate(self, epoch: int, fraction: float) -> float:
        """Set the rates for this moment; returns that of the first group."""
        for group, schedule in zip(self.optimiser.param_groups, self.schedules, strict=True):
            group["lr"] = group["initial_lr"] * schedule.factor(epoch, fraction)
        return float(self.optimiser.param_groups[0]["lr"])


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
        rates: Start of parameter names, such as ``"backbone.layer4"`` -> base rate; the longest
            start that fits counts.
        decay_vectors: Whether biases and normalisation weights are decayed too (re-ID papers do,
            recipes for transformers do not).
        layer_decay: Factor of the rate from each block to the one before it (ELECTRA, ICLR 2020).

    Returns:
        Groups in the order of the network, each with a ``"name"``.

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


class WeightAverage:
    """The exponential moving average of everything in a network's state dictionary.

    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; Tarvainen and
    Valpola, Mean teachers, NeurIPS 2017, equation 4. Floating-point weights and buffers (batch
    statistics) are averaged, counters are copied. The decay of update t is (1 + t) / (10 + t) until
    that exceeds the given one, so that the random first weights are soon forgotten (the rule of
    TensorFlow's moving average).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the weights of ``network``; ``decay`` is the share of the old average."""
        self.largest_decay = decay
        self.updates = 0
        self._tensors = {n: t.detach().clone() for n, t in network.state_dict().items()}

    def decay(self) -> float:
        """Return the decay of the next update."""
        return min(self.largest_decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """A <- decay A + (1 - decay) W for the average A and the network's weights W."""
        averaged: list[Tensor] = []
        current: list[Tensor] = []
        for name, tensor in network.state_dict().items():
            mine = self._tensors[name]
            if mine.is_floating_point():
                averaged.append(mine)
                current.append(tensor)
            else:
                mine.copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1.0 - self.decay())
        self.updates += 1

    def copy_to(self, network: nn.Module) -> None:
        """Give ``network`` the averaged weights and buffers."""
        network.load_state_dict(self._tensors)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must hold."""
        return {"updates": self.updates, "tensors": self._tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError: If the state is of another network.
        """
        if state["tensors"].keys() != self._tensors.keys():
            raise KeyError("the average is of another network")
        self.updates = int(state["updates"])
        for name, tensor in state["tensors"].items():
            self._tensors[name].copy_(tensor)
