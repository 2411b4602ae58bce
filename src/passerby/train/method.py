"""The seam between the one training loop and the methods."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from passerby.train.schedule import ScheduledOptimiser


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Attributes:
        images: (B, 3, H, W) float, augmented and normalised, on the training device.
        indices: (B,) int64 rows of the training table, on the training device.
    """

    images: Tensor
    indices: Tensor


class Sampler(Protocol):
    """Which rows make up the batches of an epoch."""

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Index tensors (B,) of ``epoch``, a function of the epoch (and a seed) alone."""


class Method(nn.Module, ABC):
    """What a recipe brings: a network, its losses, its optimisers, and how epochs begin.

    It is a module, so that everything it learns or remembers (centres, a cluster memory, an
    averaged copy of the network) is moved, saved and restored with it. State that is no tensor of
    fixed shape, such as the pseudo labels of an epoch, goes through ``get_extra_state``.
    """

    network: nn.Module
    sampler: Sampler

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, weights included; their sum is minimised."""

    @abstractmethod
    def optimisers(self) -> list[ScheduledOptimiser]:
        """The optimisers, the network's first; called once, before the first epoch."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Same as :meth:`losses`; the loop calls this, so that wrappers (DDP) see the call."""
        return self.losses(batch)

    def on_epoch_start(self, epoch: int) -> None:
        """Prepare ``epoch`` (from 1): cluster, renew labels, exchange ``sampler``.

        Not called again when a run resumes within the epoch: what it made must be in the state.
        """

    def before_step(self) -> None:
        """Change gradients before the optimisers step."""

    def after_step(self) -> None:
        """Follow the optimisers' step: moving averages, memories."""
