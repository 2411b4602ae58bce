"""What the training loop takes: a method (network, losses, optimisers) and options."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from torch import Tensor, nn

from passerby.errors import InputError
from passerby.train.device import Precision
from passerby.train.optimisers import ScheduledOptimiser


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to train, whatever the method.

    Attributes:
        out: The run's folder. A killed run continues from there.
        epochs: Number of epochs.
        seed: Seed of weights, batches and augmentation.
        device: A torch device; auto: a GPU where there is one.
        precision: bf16 and fp16 run the forward pass under autocast; fp16, for GPUs without bf16,
            scales the loss so that small gradients do not vanish.
        compile: Compile the network's forward pass; needs a C++ compiler.
        accumulate: Parts a batch is cut into. One forward and backward pass follows another before
            the optimisers step once: activations take less memory, and the gradient of a mean over
            images stays the same. A metric loss and batch normalisation see one part at a time; PK
            parts hold P / accumulate identities with all their K images.
        batch_norm: Under torchrun: batch statistics of the whole batch, as with one process, or
            of each process's share (local), as in figures published from several GPUs without
            synchronisation.
        ema: Decay of a running average of the weights, which then is the result; 0 for none.
        gradient_clip: Largest norm of the network's gradient; 0 for no limit.
        log_every: Steps between log lines.
        checkpoint_every: Steps between checkpoints within an epoch. One is also written after five
            minutes and after every epoch.
        progress: Show progress bars on standard error.
    """

    out: Path
    epochs: int
    seed: int = 0
    device: str = "auto"
    precision: Precision = "fp32"
    compile: bool = False
    accumulate: int = 1
    batch_norm: Literal["global", "local"] = "global"
    ema: float = 0.0
    gradient_clip: float = 0.0
    log_every: int = 50
    checkpoint_every: int = 500
    progress: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: If an option is out of range.
        """
        if self.accumulate < 1:
            raise InputError(f"accumulate is {self.accumulate}; a batch has at least one part")
        if not 0.0 <= self.ema < 1.0:
            raise InputError(f"the decay of the average (ema) is {self.ema}; give 0 <= ema < 1")
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least one step")


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass.

    With gradient accumulation or several processes a method gets its part of the sampler's batch;
    :func:`passerby.train.gather` joins the parts of the processes.

    Attributes:
        images: (B, 3, H, W) float, augmented and normalised, on the training device.
        indices: (B,) int64 rows of the training table, on the training device.
    """

    images: Tensor
    indices: Tensor


class Sampler(Protocol):
    """The rows that make up the batches of an epoch.

    A sampler whose neighbouring rows belong together, such as the K images of an identity, has an
    attribute ``group`` (K): a batch is only cut between groups.
    """

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return index tensors (B,) of ``epoch``, a function of the epoch (and a seed) alone.

        The loop takes the batches one by one, each after the step before it, and starts a resumed
        run at the next batch. So a lazy sequence may choose a batch by the method's state
        (:class:`passerby.data.samplers.SwitchSampler`); its length is fixed.
        """


class Method(nn.Module, ABC):
    """A network with its losses, its optimisers, its sampler, and what happens before an epoch.

    A method is a module, so that everything it learns or stores (centres, a cluster memory) is
    moved, saved and restored with it. State that is no tensor of fixed shape goes through
    ``get_extra_state``.
    """

    network: nn.Module
    sampler: Sampler

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar terms, weights included; their sum is minimised.

        Each term is a mean over the batch: the gradients of several parts or processes are
        averaged. A loss that compares images takes ``gather(features), gather(labels)``.
        """

    @abstractmethod
    def optimisers(self) -> list[ScheduledOptimiser]:
        """Return the optimisers, the network's first; called once, before the first epoch."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Same as :meth:`losses`; the loop calls this, so that module hooks run."""
        return self.losses(batch)

    def on_epoch_start(self, epoch: int) -> Mapping[str, Any] | None:
        """Prepare ``epoch`` (from 1): cluster, renew the labels, replace ``sampler``.

        The loop writes the returned values (ready for JSON) to the log as one event. A run that
        resumes within the epoch does not call this again: the result must be in the state. Global
        random generators are seeded for the epoch, equally on every process of a run; all
        processes must reach the same result.
        """

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Return what is wrong after an epoch with these mean terms, and what to try; else None."""
        return None

    def before_step(self) -> None:
        """Change gradients before the optimisers step."""

    def after_step(self) -> None:
        """Update what follows the optimisers' step, such as a moving average or a memory."""
