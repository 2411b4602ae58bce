"""The one training loop."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from passerby.data.seeds import torch_generator
from passerby.errors import InputError
from passerby.train import checkpoint
from passerby.train.log import RunLog
from passerby.train.meter import DivergedError, Meter
from passerby.train.method import Batch, Method

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"

# uint8 crops (B, 3, H, W) and a generator -> float, augmented, normalised crops
Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to train, whatever the method.

    Attributes:
        folder: The run's folder: ``log.jsonl`` and ``checkpoint.pt``.
        epochs: Number of epochs.
        seed: Seeds augmentation and everything a method draws from global generators.
        device: A torch device.
        precision: ``"bf16"`` runs the losses' forward pass under bfloat16 autocast.
        channels_last: Keep pictures and weights in channels-last layout (faster convolutions).
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
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = True
    gradient_clip: float | None = None
    log_every: int = 50
    checkpoint_every: int = 500
    checkpoint_seconds: float = 300.0
    progress: bool = True


@dataclass
class Position:
    """Where a run stands. ``epoch`` counts from 1; ``step`` counts the epoch's finished steps."""

    epoch: int = 1
    step: int = 0
    total: int = 0
    seconds: float = 0.0


def fit(method: Method, crops: Tensor, transform: Transform, options: FitOptions) -> Position:
    """Train ``method`` for the given epochs; continue exactly where a killed run stood.

    A resumed run does what the uninterrupted one would have done, on a CPU bit for bit: the order
    of batches and the augmentation are functions of (seed, epoch, step), and a checkpoint holds
    weights, optimisers, the method's own state and the states of all global generators.

    Args:
        method: Network, losses, optimisers, sampler.
        crops: (N, 3, H, W) uint8, the whole training set.
        transform: Augmentation and normalisation of a batch, on the training device.
        options: The run's options.

    Returns:
        The position after the last step.

    Raises:
        DivergedError: If the loss becomes infinite or not a number.
        InputError: If the folder's checkpoint is damaged or of another method.
    """
    loop = _Loop(method, crops, transform, options)
    try:
        return loop.run()
    finally:
        loop.log.close()


class _Loop:
    """The state of one call of :func:`fit`."""

    def __init__(
        self, method: Method, crops: Tensor, transform: Transform, options: FitOptions
    ) -> None:
        self.options = options
        self.transform = transform
        self.device = torch.device(options.device)
        self.crops = _near(crops, self.device)
        self.layout = torch.channels_last if options.channels_last else torch.contiguous_format
        checkpoint.seed_random(options.seed)
        method.to(self.device)
        method.network.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.method = method
        self.optimisers = method.optimisers()
        self.meter = Meter()
        self.position = Position()
        options.folder.mkdir(parents=True, exist_ok=True)
        self.path = options.folder / CHECKPOINT
        if self.path.exists():
            self._restore()
        self.log = RunLog(options.folder / LOG, step=self.position.total)
        self.seconds_before = self.position.seconds
        self.started = self.last_logged = self.last_saved = time.perf_counter()

    def run(self) -> Position:
        while self.position.epoch <= self.options.epochs:
            try:
                self._epoch()
            except DivergedError as error:
                raise DivergedError(
                    f"epoch {self.position.epoch}, step {self.position.step}: {error}; lower the "
                    "learning rate or clip the gradient, and start again"
                ) from error
        return self.position

    def _epoch(self) -> None:
        place = self.position
        self.method.train()
        if place.step == 0:
            self.method.on_epoch_start(place.epoch)
            self.method.train()
        batches = self.method.sampler.batches(place.epoch)
        if not len(batches):
            raise InputError(
                "the training set gives no batch; lower the identities per batch or add crops"
            )
        bar = tqdm(
            batches[place.step :],
            desc=f"epoch {place.epoch}/{self.options.epochs}",
            initial=place.step,
            total=len(batches),
            disable=not self.options.progress,
            leave=False,
        )
        for indices in bar:
            rate = self._step(indices, len(batches))
            if place.step % self.options.log_every == 0 or place.step == len(batches):
                bar.set_postfix(self._log_step(rate))
            if place.step < len(batches) and self._due():
                self._save()
        self._end_epoch(len(batches))

    def _step(self, indices: Tensor, steps: int) -> float:
        place = self.position
        rates = [o.set_rate(place.epoch, place.step / steps) for o in self.optimisers]
        batch = self._batch(indices)
        for scheduled in self.optimisers:
            scheduled.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            terms = self.method(batch)
        total = torch.stack([value.float() for value in terms.values()]).sum()
        total.backward()
        self.method.before_step()
        if self.options.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.method.network.parameters(), self.options.gradient_clip)
        for scheduled in self.optimisers:
            scheduled.optimiser.step()
        self.method.after_step()
        self.meter.add({**terms, "loss": total}, len(indices))
        place.step += 1
        place.total += 1
        return rates[0]

    def _batch(self, indices: Tensor) -> Batch:
        place = self.position
        # a generator for every step: what is drawn does not depend on where a run was resumed
        generator = torch_generator(
            self.options.seed, place.epoch, place.step, device=str(self.device)
        )
        crops = self.crops[indices.to(self.crops.device)].to(self.device, non_blocking=True)
        images = self.transform(crops, generator)
        return Batch(images.contiguous(memory_format=self.layout), indices.to(self.device))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self.options.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def _log_step(self, rate: float) -> dict[str, str]:
        means, images = self.meter.window()
        now = time.perf_counter()
        place = self.position
        place.seconds = self.seconds_before + now - self.started
        speed = images / max(now - self.last_logged, 1e-9)
        self.last_logged = now
        self.log.write(
            "step",
            step=place.total,
            epoch=place.epoch,
            losses={name: round(value, 6) for name, value in means.items()},
            learning_rate=rate,
            images_per_second=round(speed, 1),
            seconds=round(place.seconds, 3),
        )
        return {"loss": f"{means['loss']:.3f}", "images/s": f"{speed:.0f}"}

    def _end_epoch(self, steps: int) -> None:
        means, images = self.meter.epoch()
        place = self.position
        self.log.write(
            "epoch",
            step=place.total,
            epoch=place.epoch,
            losses={name: round(value, 6) for name, value in means.items()},
            steps=steps,
            images=images,
            seconds=round(place.seconds, 3),
        )
        place.epoch, place.step = place.epoch + 1, 0
        self._save()

    def _due(self) -> bool:
        # saving changes nothing that is trained, so that its moments may depend on the clock
        waited = time.perf_counter() - self.last_saved
        steps = self.position.total % self.options.checkpoint_every
        return steps == 0 or waited > self.options.checkpoint_seconds

    def _save(self) -> None:
        place = self.position
        place.seconds = self.seconds_before + time.perf_counter() - self.started
        state = {
            "position": [place.epoch, place.step, place.total, place.seconds],
            "method": self.method.state_dict(),
            "optimisers": [o.optimiser.state_dict() for o in self.optimisers],
            "meter": self.meter.state(),
            "random": checkpoint.random_state(),
        }
        checkpoint.write(self.path, state)
        self.last_saved = time.perf_counter()

    def _restore(self) -> None:
        state = checkpoint.read(self.path)
        try:
            self.method.load_state_dict(state["method"])
            for scheduled, saved in zip(self.optimisers, state["optimisers"], strict=True):
                scheduled.optimiser.load_state_dict(saved)
        except (RuntimeError, ValueError, KeyError) as error:
            first = " ".join(str(error).split())[:160]
            raise InputError(f"'{self.path}' is of another method or network: {first}") from error
        self.meter.restore(state["meter"])
        self.position = Position(*state["position"])
        checkpoint.restore_random_state(state["random"])


def _near(crops: Tensor, device: torch.device) -> Tensor:
    """``crops`` on the device when they take less than a quarter of its free memory."""
    if device.type != "cuda":
        return crops
    free, _ = torch.cuda.mem_get_info(device)
    return crops.to(device) if crops.nbytes < free // 4 else crops.pin_memory()
