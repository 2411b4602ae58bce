"""Learning-rate schedules as pure functions of the epoch: nothing to save, nothing to restore."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch


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
    ``0.01 * (1 - t / 10) + t / 10`` before epoch 10, and decays in epoch 40 already. ``"linear"``
    is fast-reid's warm-up (He et al., 2020): from ``start`` to 1 in equal steps, its length given
    in epochs where fast-reid counts iterations; milestones as in ``"paper"``.

    Attributes:
        milestones: Epochs after which (paper, linear) or in which (code) the rate falls.
        gamma: Factor of each fall.
        warmup: Epochs of warm-up; 0 for none.
        convention: ``"paper"``, ``"code"`` or ``"linear"``.
        start: First factor of ``"linear"``.
    """

    milestones: tuple[int, ...] = (40, 70)
    gamma: float = 0.1
    warmup: float = 10
    convention: Literal["paper", "code", "linear"] = "paper"
    start: float = 0.1

    def factor(self, epoch: int, fraction: float) -> float:
        """See :class:`Schedule`."""
        late = 1 if self.convention == "code" else 0
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
        return done + (0.01 * (1 - done) if self.convention == "code" else 0.0)


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
