"""What the tests train, in this process or in forked ones."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from passerby.data import PKSampler, ShuffleSampler, SwitchSampler
from passerby.errors import InputError
from passerby.losses import triplet
from passerby.models import ModelCard
from passerby.train import Batch, FitOptions, Method, distributed, extract, fit, gather
from passerby.train.batch_norm import global_statistics
from passerby.train.optimisers import Cosine, ScheduledOptimiser

EPOCHS, STEPS = 4, 7


class RandomBatches:
    def batches(self, epoch: int) -> list[Tensor]:
        order = torch.randperm(56, generator=torch.Generator().manual_seed(epoch))
        return list(order.split(8))


class Tiny(Method):
    """Everything a checkpoint must hold.

    Global random numbers (dropout), a generator (augmentation), two optimisers, state that is no
    tensor of fixed shape, log lines and checkpoints within epochs.
    """

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
        adam = torch.optim.Adam(self.network.parameters(), lr=1e-2, fused=True)
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


class Compared(Method):
    """Identity and batch-hard triplet loss with batch normalisation: nothing random in a step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.BatchNorm1d(24), nn.Linear(24, 7, bias=False))
        self.network = nn.Sequential(self.body, self.head)
        self.labels = torch.arange(56) // 8
        self.sampler = PKSampler(labels=self.labels.numpy(), identities=4, images=4)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        features = self.body(batch.images)
        labels = self.labels[batch.indices]
        identity = nn.functional.cross_entropy(self.head(features), labels)
        return {"identity": identity, "triplet": triplet(gather(features), gather(labels))}

    def optimisers(self) -> list[ScheduledOptimiser]:
        sgd = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)
        return [ScheduledOptimiser(sgd)]


def train(
    folder: Path | str,
    *,
    epochs: int = EPOCHS,
    die_after: int = 0,
    ema: float = 0.0,
    **options: object,
) -> Tiny:
    method = Tiny(die_after=die_after)
    fit(method, crops(), noisy, fit_options(folder, epochs, ema, options))
    return method


def compare(
    folder: Path | str, *, epochs: int = 3, ema: float = 0.0, **options: object
) -> Compared:
    method = Compared()
    fit(method, crops(), noisy, fit_options(folder, epochs, ema, options))
    return method


def fit_options(
    folder: Path | str, epochs: int, ema: float, options: dict[str, object]
) -> FitOptions:
    return FitOptions(
        out=Path(folder), epochs=epochs, device="cpu", ema=ema, log_every=2, checkpoint_every=3,
        progress=False, **options,  # type: ignore[arg-type]
    )  # fmt: skip


def die_soon() -> None:
    """Kill this process within the next steps: amid a pass, a log line or a checkpoint."""
    delay = random.SystemRandom().uniform(0, 0.01)
    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()


def normalised(folder: str, shape: list[int]) -> None:
    """Batch normalisation of this process's share of seeded values; all shares to a file."""
    torch.manual_seed(0)
    layer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1])
    nn.init.normal_(layer.weight)
    values, slopes = torch.randn(shape) * 3 + 5, torch.randn(shape)
    with distributed.process_group("cpu"), global_statistics(layer, enabled=True):
        mine = distributed.share(values).clone().requires_grad_()
        output = layer(mine)
        (output * distributed.share(slopes)).sum().backward()
        assert mine.grad is not None
        distributed.average_gradients(layer.parameters())
        found = {
            "output": distributed.gather(output.detach()),
            "gradient": distributed.gather(mine.grad),
            "slope": layer.weight.grad,
            "shift": layer.bias.grad,
            **layer.state_dict(),
        }
        if distributed.is_main():
            torch.save(found, Path(folder) / f"{distributed.world_size()}.pt")


def talk(folder: str) -> None:
    """What the processes tell one another."""
    with distributed.process_group("cpu"):
        rank, world = distributed.rank(), distributed.world_size()
        rows = torch.arange(5.0).view(5, 1)
        part = distributed.portion(5)
        assert torch.equal(distributed.join(rows[part], 5), rows)
        assert distributed.agree(rank == 0)
        assert not distributed.agree(rank == 1)
        assert distributed.mean(torch.tensor(float(rank))) == (world - 1) / 2
        with distributed.main_first():
            if distributed.is_main():
                time.sleep(0.1)
                (Path(folder) / "made").touch()
            assert (Path(folder) / "made").exists()
        distributed.check_equal([3, 4])
        with pytest.raises(InputError, match="different steps"):
            distributed.check_equal([3, rank])
        card = ModelCard(architecture="tiny", dimension=4, input_size=(8, 8))
        network = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(12, 4))
        for parameter in network.parameters():
            nn.init.constant_(parameter, 0.5)
        features = extract(network, card, crops()[:5], batch_size=2)
        torch.save(features, Path(folder) / f"features-{world}-{rank}.pt")


class Switching(Compared):
    """Balanced or random batches, as the last loss says."""

    def __init__(self, *, die_after: int = 0) -> None:
        super().__init__()
        self.balanced = False
        self.kinds: list[bool] = []
        self.steps_left = die_after
        shuffled = ShuffleSampler(count=56, batch_size=16)
        balanced = PKSampler(labels=self.labels.numpy(), identities=4, images=4)
        self.sampler = SwitchSampler(
            random=shuffled, balanced=balanced, wants_balanced=lambda: self.balanced
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(batch)
        self.last = distributed.mean(terms["identity"])
        return terms

    def after_step(self) -> None:
        self.kinds.append(self.balanced)
        self.balanced = int(float(self.last) * 1e4) % 2 == 0
        self.steps_left -= 1
        if self.steps_left == 0:
            die_soon()

    def get_extra_state(self) -> dict:
        return {"balanced": self.balanced, "kinds": self.kinds}

    def set_extra_state(self, state: dict) -> None:
        self.balanced, self.kinds = state["balanced"], list(state["kinds"])


def switch(folder: Path | str, *, die_after: int = 0) -> Switching:
    method = Switching(die_after=die_after)
    fit(method, crops(), noisy, fit_options(folder, EPOCHS, 0.0, {}))
    return method
