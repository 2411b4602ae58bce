"""A tiny method that uses everything a checkpoint must hold; also a program to be killed.

Global random numbers (dropout), a generator (augmentation), two optimisers, state that is no
tensor of fixed shape, log lines and checkpoints within epochs.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.train.loop import FitOptions, fit
from passerby.train.method import Batch, Method
from passerby.train.schedule import Cosine, ScheduledOptimiser

EPOCHS, STEPS = 4, 7


class RandomBatches:
    def batches(self, epoch: int) -> list[Tensor]:
        order = torch.randperm(56, generator=torch.Generator().manual_seed(epoch))
        return list(order.split(8))


class Tiny(Method):
    def __init__(self, *, tell: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.network = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
            nn.Linear(4 * 36, 5),
        )  # fmt: skip
        self.centres = nn.Parameter(torch.randn(5, 5))
        self.sampler = RandomBatches()
        self.tell = tell
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
        if self.tell:
            print("step", flush=True)

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


def train(folder: Path, *, epochs: int = EPOCHS, tell: bool = False, **options: object) -> Tiny:
    method = Tiny(tell=tell)
    given = FitOptions(
        folder=folder, epochs=epochs, log_every=2, checkpoint_every=3, progress=False,
        **options,  # type: ignore[arg-type]
    )  # fmt: skip
    fit(method, crops(), noisy, given)
    return method


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), tell=True)
