"""A tiny method that uses everything a checkpoint must hold; also a program to be killed.

Global random numbers (dropout), a generator (augmentation), two optimisers, state that is no
tensor of fixed shape, log lines and checkpoints within epochs.
"""

import os
import random
import signal
import sys
import threading
from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.train.loop import fit
from passerby.train.method import Batch, Method
from passerby.train.options import FitOptions
from passerby.train.schedule import Cosine, ScheduledOptimiser

EPOCHS, STEPS = 4, 7


class RandomBatches:
    def batches(self, epoch: int) -> list[Tensor]:
        order = torch.randperm(56, generator=torch.Generator().manual_seed(epoch))
        return list(order.split(8))


class Tiny(Method):
    def __init__(self, *, die_after: int = 0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(4 * 36, 5),
        )  # fmt: skip
        self.centres = nn.Parameter(torch.randn(5, 5))
        self.sampler = RandomBatches()
        self.steps_left = die_after
        self.epochs_begun: list[int] = []
        self.shift = 0.0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.network(batch.images)
        labels = batch.indices % 5
        near = (logits - self.centres[labels]).square().mean()
        return {"id": nn.functional.cross_entropy(logits + self.shift, labels), "centre": near}

    def optimisers(self) -> list[ScheduledOptimiser]:
        adam = torch.optim.Adam(self.network.parameters(), lr=1e-2)
        return [
            ScheduledOptimiser(adam, Cosine(epochs=EPOCHS, warmup=1)),
            ScheduledOptimiser(torch.optim.SGD([self.centres], lr=0.5, momentum=0.9)),
        ]

    def on_epoch_start(self, epoch: int) -> None:
        self.epochs_begun.append(epoch)
        self.shift = float(torch.rand(()))

    def after_step(self) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            die_soon()

    def get_extra_state(self) -> dict:
        return {"epochs_begun": self.epochs_begun, "shift": self.shift}

    def set_extra_state(self, state: dict) -> None:
        self.epochs_begun = list(state["epochs_begun"])
        self.shift = state["shift"]


def noisy(crops: Tensor, generator: torch.Generator) -> Tensor:
    return crops.float() / 255 + 0.1 * torch.randn(crops.shape, generator=generator)


def crops() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (56, 3, 8, 8), dtype=torch.uint8, generator=generator)


def train(folder: Path, *, epochs: int = EPOCHS, die_after: int = 0, **options: object) -> Tiny:
    method = Tiny(die_after=die_after)
    given = FitOptions(
        folder=folder, epochs=epochs, log_every=2, checkpoint_every=3, progress=False,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    fit(method, crops(), noisy, given)
    return method


def die_soon() -> None:
    """Kill this process within the next steps: amid a pass, a log line or a checkpoint."""
    delay = random.SystemRandom().uniform(0, 0.01)
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()


def serve() -> None:
    """For every line "FOLDER STEPS" train in a process that kills itself after so many steps.

    Forking saves every round the seconds that importing torch takes.
    """
    torch.set_num_threads(1)
    for line in sys.stdin:
        folder, steps = line.split()
        child = os.fork()
        if child == 0:
            train(Path(folder), die_after=int(steps))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    serve()
