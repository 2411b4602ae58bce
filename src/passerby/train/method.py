"""The seam between the one training loop and the methods."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from passerby.train.schedule import ScheduledOptimiser


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass.

    With gradient accumulation or several processes a method gets its part of the sampler's batch;
    :func:`passerby.train.gather` puts the processes' parts together.

    Attributes:
        images: (B, 3, H, W) float, augmented and normalised, on the training device.
        indices: (B,) int64 rows of the training table, on the training device.
    """

    images: Tensor
    indices: Tensor


class Sampler(Protocol):
    """Which rows make up the batches of an epoch.

    A sampler whose neighbours belong together, as the K images of an identity, says so by an
    attribute ``group`` (K): a batch is cut up between groups alone.
    """

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Index tensors (B,) of ``epoch``, a function of the epoch (and a seed) alone.

        The loop asks for the batches one by one, each when the step before it is done, and after a
        resumption from where the run stood. So a lazy sequence may let the method's state decide
        what a batch holds (:class:`passerby.data.samplers.SwitchSampler`); its length is fixed.
        """


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
        """Named scalar terms, weights included; their sum is minimised.

        Each a mean over the batch: the gradients of several parts or processes are averaged. A
        loss that compares images takes ``gather(features), gather(labels)``.
        """

    @abstractmethod
    def optimisers(self) -> list[ScheduledOptimiser]:
        """The optimisers, the network's first; called once, before the first epoch."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Same as :meth:`losses`; the loop calls this, so that hooks see the call."""
        return self.losses(batch)

    def on_epoch_start(self, epoch: int) -> Mapping[str, Any] | None:
        """Prepare ``epoch`` (from 1): cluster, renew labels, exchange ``sampler``.

        What it returns, ready for JSON, is written to the log as an event of its own.

        Not called again when a run resumes within the epoch: what it made must be in the state.
        Global random generators are seeded for the epoch, alike on every process of a run; all
        must come to the same.
        """

    def before_step(self) -> None:
        """Change gradients before the optimisers step."""

    def after_step(self) -> None:
        """Follow the optimisers' step: moving averages, memories."""
