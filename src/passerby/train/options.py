"""How to train, whatever the method."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from passerby.errors import InputError
from passerby.train.average import EMA
from passerby.train.precision import Precision


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to train, whatever the method.

    Attributes:
        folder: The run's folder: ``log.jsonl`` and ``checkpoint.pt``.
        epochs: Number of epochs.
        seed: Seeds augmentation and everything a method draws from global generators.
        device: A torch device.
        precision: ``"bf16"`` and ``"fp16"`` run the losses' forward pass under autocast; fp16, for
            GPUs without bfloat16, scales the loss so that small gradients do not vanish.
        channels_last: Keep pictures and weights in channels-last layout (faster convolutions).
        compile: Compile the network's forward pass (:mod:`passerby.train.compilation`).
        accumulate: Parts a batch is cut into, one forward and backward pass after another before
            the optimisers step once: the activations' memory falls, the gradient of a mean over
            images stays the same. A metric loss and batch normalisation see a part alone; PK
            parts hold P / ``accumulate`` identities with all their K images.
        batch_norm: In a run of several processes, whether batch normalisation takes the statistics
            of the whole batch (``"global"``, as one process would) or of each process's share
            (``"local"``, as figures published from several GPUs without synchronisation did).
        ema: Average the weights over the steps, None for no average.
        gradient_clip: Largest norm of the network's gradient, None for no limit.
        log_every: Steps between log lines.
        checkpoint_every: Steps between checkpoints; every epoch ends with one in any case.
        checkpoint_seconds: Longest time without a checkpoint.
        progress: Show a bar on standard error.
    """

    folder: Path
    epochs: int
    seed: int = 0
    device: str = "cpu"
    precision: Precision = "fp32"
    channels_last: bool = True
    compile: bool = False
    accumulate: int = 1
    batch_norm: Literal["global", "local"] = "global"
    ema: EMA | None = None
    gradient_clip: float | None = None
    log_every: int = 50
    checkpoint_every: int = 500
    checkpoint_seconds: float = 300.0
    progress: bool = True

    def __post_init__(self) -> None:
        """Refuse what no run can follow."""
        if self.accumulate < 1:
            raise InputError(f"accumulate is {self.accumulate}; a batch has at least one part")
        for name in ("log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; give at least one step")
