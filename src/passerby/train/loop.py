"""The training loop of all methods, and its checkpoints."""

import contextlib
import pickle
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from passerby.data.samplers import torch_generator
from passerby.errors import InputError
from passerby.files import replacing
from passerby.train import distributed
from passerby.train.batch_norm import global_statistics
from passerby.train.device import autocast, compiled, find_device, loss_scaler
from passerby.train.log import BEGIN, DivergedError, Meter, RunLog, say
from passerby.train.method import Batch, FitOptions, Method
from passerby.train.optimisers import WeightAverage

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_FORMAT = 2
CHECKPOINT_SECONDS = 300.0  # the longest time without a checkpoint
LOG = "log.jsonl"

# uint8 crops (B, 3, H, W) and a generator -> float, augmented, normalised crops
Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass
class Position:
    """Progress of a run: ``epoch`` counts from 1, ``step`` counts the epoch's finished steps."""

    epoch: int = 1
    step: int = 0
    total: int = 0
    seconds: float = 0.0


def fit(method: Method, crops: Tensor, transform: Transform, options: FitOptions) -> Position:
    """Train ``method`` for the given epochs; continue a killed run exactly from its checkpoint.

    A resumed run equals an uninterrupted one, on a CPU bit for bit: the order of batches, the
    augmentation and the states of all global generators are functions of (seed, epoch, step), and
    a checkpoint holds weights, optimisers, averages and the method's own state.

    Under ``torchrun`` each process takes its rows of every batch; see
    :mod:`passerby.train.distributed`. All processes must see the same folder.

    Args:
        method: Network, losses, optimisers, sampler.
        crops: (N, 3, H, W) uint8, the whole training set.
        transform: Augmentation and normalisation of a batch, on the training device.
        options: The run's options.

    Returns:
        The position after the last step. The method's network holds the last weights, or their
        average with ``options.ema``.

    Raises:
        DivergedError: If the loss becomes infinite or not a number.
        InputError: If the folder's checkpoint is damaged or of another method, if a batch cannot be
            cut into the parts asked for, or no compiler is found.
    """
    device = find_device(options.device)
    with contextlib.ExitStack() as stack:
        stack.enter_context(distributed.process_group(device))
        loop = _Loop(method, crops, transform, options, torch.device(device))
        stack.callback(loop.close)
        everywhere = options.batch_norm == "global"
        stack.enter_context(global_statistics(method.network, enabled=everywhere))
        stack.enter_context(compiled(method.network, device, enabled=options.compile))
        return loop.run()


class _Loop:
    """The state of one call of :func:`fit`."""

    def __init__(
        self,
        method: Method,
        crops: Tensor,
        transform: Transform,
        options: FitOptions,
        device: torch.device,
    ) -> None:
        self.options = options
        self.transform = transform
        self.device = device
        self.crops = _near(crops, self.device)
        seed_random(options.seed)
        method.to(self.device)
        # convolutions are faster in this layout
        method.network.to(memory_format=torch.channels_last)
        self.method = method
        self.optimisers = method.optimisers()
        self.scaler = loss_scaler(self.device, options.precision)
        self.average = WeightAverage(method.network, options.ema) if options.ema else None
        self.meter = Meter()
        self.position = Position()
        options.out.mkdir(parents=True, exist_ok=True)
        self.path = options.out / CHECKPOINT
        if self.path.exists():
            self._restore()
        if self.position.epoch > options.epochs + 1:
            done = self.position.epoch - 1
            raise InputError(
                f"the run in '{options.out}' has {done} epochs already; give as many or more"
            )
        distributed.check_equal([self.position.epoch, self.position.step, self.position.total])
        main = distributed.is_main()
        self.log = RunLog(options.out / LOG, step=self.position.total) if main else None
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
        if self.average is not None:
            self.average.copy_to(self.method.network)
        return self.position

    def close(self) -> None:
        if self.log is not None:
            self.log.close()

    def _epoch(self) -> None:
        place = self.position
        self.method.train()
        if place.step == 0:
            seed_random(self.options.seed, place.epoch)
            facts = self.method.on_epoch_start(place.epoch)
            if facts:
                self._write(BEGIN, **facts)
            self.method.train()
        batches = self.method.sampler.batches(place.epoch)
        steps = len(batches)
        if not steps:
            raise InputError(
                "the training set gives no batch; lower the identities per batch or add crops"
            )
        with self._bar(steps) as bar:
            while place.step < steps:
                rate = self._step(batches[place.step], steps)
                bar.update()
                if place.step % self.options.log_every == 0 or place.step == steps:
                    bar.set_postfix(self._log_step(rate))
                if place.step < steps and self._due():
                    self._save()
        self._end_epoch(steps)

    def _bar(self, steps: int) -> "tqdm[Any]":
        return tqdm(
            desc=f"epoch {self.position.epoch}/{self.options.epochs}",
            initial=self.position.step,
            total=steps,
            disable=not (self.options.progress and distributed.is_main() and sys.stderr.isatty()),
            leave=False,
        )

    def _step(self, indices: Tensor, steps: int) -> float:
        place = self.position
        rates = [o.set_rate(place.epoch, place.step / steps) for o in self.optimisers]
        seed = (self.options.seed, place.epoch, place.step + 1, distributed.rank())
        seed_random(*seed)
        for scheduled in self.optimisers:
            scheduled.optimiser.zero_grad(set_to_none=True)
        for part in self._parts(indices):
            with autocast(self.device, self.options.precision):
                terms = self.method(part)
            total = torch.stack([value.float() for value in terms.values()]).sum()
            self.scaler.scale(total / self.options.accumulate).backward()
            self.meter.add({**terms, "loss": total}, len(part.indices))
        self._update()
        place.step += 1
        place.total += 1
        return rates[0]

    def _parts(self, indices: Tensor) -> Iterator[Batch]:
        """This process's rows of each part of the batch."""
        distributed.check_divisible(
            len(indices), self.options.accumulate, getattr(self.method.sampler, "group", 1)
        )
        # the whole batch is augmented before it is cut up, so that its pictures are the same
        # however many parts and processes there are
        images = self._augmented(indices).chunk(self.options.accumulate)
        for part, rows in zip(images, indices.chunk(self.options.accumulate), strict=True):
            mine = distributed.share(part).contiguous(memory_format=torch.channels_last)
            yield Batch(mine, distributed.share(rows).to(self.device))

    def _augmented(self, indices: Tensor) -> Tensor:
        place = self.position
        # a generator for every step: what is drawn does not depend on where a run was resumed
        generator = torch_generator(
            self.options.seed, place.epoch, place.step, device=str(self.device)
        )
        crops = self.crops[indices.to(self.crops.device)].to(self.device, non_blocking=True)
        return self.transform(crops, generator)

    def _update(self) -> None:
        """Step the optimisers along the gradients gathered."""
        distributed.average_gradients(self.method.parameters())
        stepping = [o.optimiser for o in self.optimisers if _has_gradient(o.optimiser)]
        for optimiser in stepping:
            self.scaler.unscale_(optimiser)
        self.method.before_step()
        if self.options.gradient_clip:
            nn.utils.clip_grad_norm_(self.method.network.parameters(), self.options.gradient_clip)
        for optimiser in stepping:
            self.scaler.step(optimiser)
        self.scaler.update()
        if self.options.batch_norm == "local":
            distributed.average_buffers(self.method.network)
        self.method.after_step()
        if self.average is not None:
            self.average.update(self.method.network)

    def _log_step(self, rate: float) -> dict[str, str]:
        means, images = self.meter.window()
        now = time.perf_counter()
        place = self.position
        place.seconds = self.seconds_before + now - self.started
        speed = images / max(now - self.last_logged, 1e-9)
        self.last_logged = now
        if self.options.progress and not sys.stderr.isatty():  # a log file needs lines, not a bar
            losses = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            say(f"epoch {place.epoch}, step {place.step}: {losses}, {speed:.0f} images/s")
        self._write(
            "step",
            losses={name: round(value, 6) for name, value in means.items()},
            learning_rate=rate,
            images_per_second=round(speed, 1),
        )
        return {"loss": f"{means['loss']:.3f}", "images/s": f"{speed:.0f}"}

    def _end_epoch(self, steps: int) -> None:
        means, images = self.meter.epoch()
        losses = {name: round(value, 6) for name, value in means.items()}
        self._write("epoch", losses=losses, steps=steps, images=images)
        if warning := self.method.warning(means):
            self._write("warning", text=warning)
            say(f"warning: after epoch {self.position.epoch}: {warning}")
        self.position.epoch, self.position.step = self.position.epoch + 1, 0
        self._save()

    def _write(self, event: str, **values: Any) -> None:
        if self.log is not None:
            place = self.position
            seconds = round(place.seconds, 3)
            self.log.write(event, step=place.total, epoch=place.epoch, **values, seconds=seconds)

    def _due(self) -> bool:
        # saving changes nothing that is trained, so that its moments may depend on the clock
        waited = time.perf_counter() - self.last_saved
        steps = self.position.total % self.options.checkpoint_every
        return distributed.agree(steps == 0 or waited > CHECKPOINT_SECONDS)

    def _save(self) -> None:
        place = self.position
        place.seconds = self.seconds_before + time.perf_counter() - self.started
        state = {
            "position": [place.epoch, place.step, place.total, place.seconds],
            "method": self.method.state_dict(),
            "optimisers": [o.optimiser.state_dict() for o in self.optimisers],
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "meter": self.meter.state_dict(),
        }
        if distributed.is_main():
            write_checkpoint(self.path, state)
        self.last_saved = time.perf_counter()

    def _restore(self) -> None:
        state = read_checkpoint(self.path)
        try:
            self.method.load_state_dict(state["method"])
            for scheduled, saved in zip(self.optimisers, state["optimisers"], strict=True):
                scheduled.optimiser.load_state_dict(saved)
            if state["scaler"]:  # a run in another precision has none
                self.scaler.load_state_dict(state["scaler"])
            if self.average is not None:
                self.average.load_state_dict(state["average"] or {"tensors": {}})
        except (RuntimeError, ValueError, KeyError) as error:
            first = " ".join(str(error).split())[:160]
            raise InputError(f"'{self.path}' is of another method or network: {first}") from error
        self.meter.load_state_dict(state["meter"])
        self.position = Position(*state["position"])


def _has_gradient(optimiser: torch.optim.Optimizer) -> bool:
    groups = optimiser.param_groups
    return any(p.grad is not None for group in groups for p in group["params"])


def _near(crops: Tensor, device: torch.device) -> Tensor:
    """``crops`` on the device when they take less than a quarter of its free memory."""
    if device.type != "cuda":
        return crops
    free, _ = torch.cuda.mem_get_info(device)
    return crops.to(device) if crops.nbytes < free // 4 else crops.pin_memory()


def seed_random(seed: int, *place: int) -> None:
    """Seed every global random generator for ``seed`` and a place, such as an epoch and a step.

    What is drawn then depends on these numbers alone, so that a checkpoint needs to hold no
    generator's state.
    """
    words = np.random.SeedSequence([seed, *place]).generate_state(3, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(words[1:2].view(np.uint32))
    drawn = int(words[2]) >> 1
    # not torch.manual_seed, which takes 0.1 ms even where CUDA has not been used
    torch.default_generator.manual_seed(drawn)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(drawn)


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` in one step; it is on the disk when this returns."""
    with replacing(path) as partial, partial.open("wb") as file:
        torch.save({"format": CHECKPOINT_FORMAT, **state}, file)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, without executing anything in it.

    Raises:
        InputError: If it is damaged or from another version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise InputError(f"'{path}' is no whole checkpoint: {error}; delete the run") from error
    if not isinstance(state, dict) or state.get("format") != CHECKPOINT_FORMAT:
        raise InputError(f"'{path}' is a checkpoint of another version; start a new run folder")
    return state
