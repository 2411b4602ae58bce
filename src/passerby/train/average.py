"""An exponential moving average of a network's weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class EMA:
    """Options of :class:`WeightAverage`.

    Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992; Tarvainen and
    Valpola, Mean teachers, NeurIPS 2017, equation 4.

    Attributes:
        decay: Share of the old average in the new, per step.
        warmup: Start with (1 + t) / (10 + t) at step t until that exceeds ``decay``, so that the
            random first weights are soon forgotten (the rule of TensorFlow's moving average).
        as_result: The network ends the training with the averaged weights. Without it they stay
            in the checkpoint alone.
    """

    decay: float = 0.999
    warmup: bool = True
    as_result: bool = True

    def __post_init__(self) -> None:
        """Check the decay."""
        if not 0.0 <= self.decay < 1.0:
            raise InputError(f"the decay of the average is {self.decay}; give 0 <= decay < 1")


class WeightAverage:
    """The running average of all that a network's state dictionary holds.

    Floating-point weights and buffers (batch statistics) are averaged, counters copied.
    """

    def __init__(self, network: nn.Module, options: EMA) -> None:
        """Start from the network as it is."""
        self.options = options
        self.updates = 0
        self._tensors = {n: t.detach().clone() for n, t in network.state_dict().items()}

    def decay(self) -> float:
        """The decay of the next update."""
        if not self.options.warmup:
            return self.options.decay
        return min(self.options.decay, (1 + self.updates) / (10 + self.updates))

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
        """What a checkpoint must hold."""
        return {"updates": self.updates, "tensors": self._tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        if state["tensors"].keys() != self._tensors.keys():
            raise KeyError("the average is of another network")
        self.updates = int(state["updates"])
        for name, tensor in state["tensors"].items():
            self._tensors[name].copy_(tensor)
