"""Training beside torchreid: the same set, backbone, size and epochs, one after the other.

The peer is torchreid's own engine (softmax with label smoothing plus triplet loss, its transforms,
its identity sampler), run from its source as PyPI ships it: ``pip download --no-deps --no-binary
:all: torchreid``, unpack, and give the folder as ``--peer``; what it imports besides (gdown,
tensorboard, yacs ...) must be installed. Ours is Bag of Tricks for random start weights. Both start
from random weights, and both networks are tested after every epoch by the same code, outside the
clock: the peer's through ``passerby convert``.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import resolve_data, write_result
from passerby.data import CropTable, ImageStore
from passerby.errors import InputError
from passerby.models import ModelCard, ReidNetwork, convert
from passerby.recipes import bag_of_tricks, supervised
from passerby.train import fit
from passerby.train.evaluation import evaluate_network


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train by torchreid and by Passerby on the same set."""

    peer: Path
    """Folder of torchreid's source that holds the package ``torchreid``."""
    data: str = "simcity-s"
    """A named simulated set or a folder."""
    backbone: str = "resnet18"
    """A ResNet that both have."""
    size: tuple[int, int] = (128, 64)
    """Height and width of the pictures, pixels."""
    epochs: int = 6
    """Epochs of both."""
    workers: int = 1
    """Loader processes of the peer (beside the training process)."""
    seed: int = 1
    """Seed of both."""
    peer_learning_rates: tuple[float, ...] = (3.5e-4, 1e-3)
    """The peer trains once with each: near its default, and ours; its better run is compared."""
    out: Path | None = None
    """Where to write the result as JSON."""


def main(options: Options) -> None:
    """Run both and compare."""
    table = resolve_data(options.data)
    ours = list(train_ours(options, table))
    tried = {rate: list(train_theirs(options, table, rate)) for rate in options.peer_learning_rates}
    best = max(tried, key=lambda rate: tried[rate][-1]["mAP"])
    theirs = tried[best]
    reached = next((line for line in ours if line["mAP"] >= theirs[-1]["mAP"]), None)
    result = {
        "data": table.name,
        "backbone": options.backbone,
        "size": list(options.size),
        "epochs": options.epochs,
        "seed": options.seed,
        "ours": ours,
        "torchreid": theirs,
        "torchreid_learning_rate": best,
        "torchreid_by_learning_rate": {str(rate): lines for rate, lines in tried.items()},
        "seconds_to_their_mAP": reached["seconds"] if reached else None,
        "times_faster_to_their_mAP": (
            theirs[-1]["seconds"] / reached["seconds"] if reached else None
        ),
    }
    for name, lines in (("ours", ours), ("torchreid", theirs)):
        for line in lines:
            print(
                f"{name:>9}  epoch {line['epoch']:>2}  {line['seconds']:7.1f} s  "
                f"mAP {100 * line['mAP']:5.1f}  rank-1 {100 * line['rank1']:5.1f}"
            )
    write_result(options.out, "peer_training", result)


class _Watched(bag_of_tricks.BagOfTricksMethod[bag_of_tricks.BagOfTricks]):
    """Bag of Tricks that keeps its network and the time at the end of every epoch."""

    def watch(self) -> None:
        self.kept: list[tuple[float, dict[str, torch.Tensor]]] = []
        self.started = time.perf_counter()

    def on_epoch_start(self, epoch: int) -> None:
        if epoch > 1:
            self.keep()

    def keep(self) -> None:
        seconds = time.perf_counter() - self.started
        state = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.kept.append((seconds, state))


def train_ours(given: Options, table: CropTable) -> Iterator[dict[str, Any]]:
    """Bag of Tricks for random start weights; the clock includes reading the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        config = replace(
            bag_of_tricks.from_scratch(),
            out=Path(folder),
            backbone=given.backbone,
            size=given.size,
            padding=5,
            epochs=given.epochs,
            warmup=1,
            learning_rate=1e-3,
            precision="bf16",
            seed=given.seed,
            checkpoint_every=10**9,
        )
        start = time.perf_counter()
        train = supervised.known(table)
        store = ImageStore.load(train, size=config.size)
        method = _Watched(config, torch.from_numpy(train.labels()))
        method.watch()
        method.started = start
        fit(method, store.images, supervised.augmentation(config, method.card), config)
        method.keep()
        for epoch, (seconds, state) in enumerate(method.kept, start=1):
            method.network.load_state_dict(state)
            yield _line(epoch, seconds, method.network, method.card, table)


def train_theirs(given: Options, table: CropTable, rate: float) -> Iterator[dict[str, Any]]:
    """torchreid's engine; the clock includes making its loaders."""
    sys.path.insert(0, str(given.peer))
    try:
        from torchreid import reid
    except ImportError as error:
        raise InputError(f"torchreid does not import from '{given.peer}': {error}") from error
    reid.utils.set_random_seed(given.seed)
    start = time.perf_counter()
    name = f"passerby-{rate}"
    reid.data.register_image_dataset(name, _dataset(reid, table))
    manager = reid.data.ImageDataManager(
        root=str(table.root),
        sources=name,
        height=given.size[0],
        width=given.size[1],
        transforms=["random_flip", "random_crop", "random_erase"],
        batch_size_train=64,
        num_instances=4,
        train_sampler="RandomIdentitySampler",
        workers=given.workers,
        use_gpu=False,
    )
    model = reid.models.build_model(
        name=given.backbone,
        num_classes=manager.num_train_pids,
        loss="triplet",
        pretrained=False,
        use_gpu=False,
    )
    optimiser = reid.optim.build_optimizer(model, optim="adam", lr=rate)
    scheduler = reid.optim.build_lr_scheduler(
        optimiser, lr_scheduler="cosine", max_epoch=given.epochs
    )
    engine = reid.engine.ImageTripletEngine(
        manager, model, optimiser, margin=0.3, scheduler=scheduler, use_gpu=False, label_smooth=True
    )
    engine.max_epoch = given.epochs
    seconds = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(1, given.epochs + 1):
            engine.epoch = epoch - 1
            start = time.perf_counter()
            engine.train(print_freq=50)
            seconds += time.perf_counter() - start
            path = Path(folder) / f"{epoch}.pth"
            torch.save({"state_dict": model.state_dict()}, path)
            network, card = convert(path)
            yield _line(epoch, seconds, network, replace(card, input_size=given.size), table)


def _dataset(reid: Any, table: CropTable) -> type:
    """The table as torchreid wants a data set: lists of (path, identity, camera)."""

    class Rows(reid.data.ImageDataset):  # type: ignore[misc,name-defined]
        def __init__(self, root: str = "", **others: Any) -> None:
            train = supervised.known(table)
            lists = []
            for rows, ids in (
                (train, train.labels()),
                (table.query, table.query.identity),
                (table.gallery, table.gallery.identity),
            ):
                people = zip(rows.paths(), ids.tolist(), rows.camera.tolist(), strict=True)
                lists.append([(str(path), person, camera) for path, person, camera in people])
            super().__init__(*lists, **others)

    return Rows


def _line(
    epoch: int, seconds: float, network: ReidNetwork, card: ModelCard, table: CropTable
) -> dict[str, Any]:
    report = evaluate_network(network, card, table)
    return {
        "epoch": epoch,
        "seconds": round(seconds, 1),
        "mAP": report.mAP,
        "rank1": report.cmc[1],
    }
