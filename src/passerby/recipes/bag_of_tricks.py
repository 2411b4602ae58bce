"""Bag of Tricks: the strong baseline, each of its six tricks a switch.

Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019.
The standard baseline is a ResNet-50 with a classifier and a batch-hard triplet loss on its pooled
feature; the tricks are warm-up, random erasing, label smoothing, last stride 1, BNNeck and centre
loss. The defaults are the paper's; :func:`small_cpu` and :func:`from_scratch` change them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from passerby.data import Augment, CropTable, ImageStore, PKSampler
from passerby.data.colour import ColourJitter
from passerby.data.transforms import Erasing
from passerby.errors import InputError
from passerby.losses import CenterLoss, cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build, load, save
from passerby.recipes import run_folder
from passerby.train import (
    Batch,
    Cosine,
    FitOptions,
    Method,
    MultiStep,
    Schedule,
    ScheduledOptimiser,
    fit,
)
from passerby.train.device import find_device
from passerby.train.evaluation import evaluate_network
from passerby.train.loop import CHECKPOINT

NAME = "bag-of-tricks"

ERASING = Erasing()
NO_JITTER = ColourJitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
# what cameras of one city do to the same coat
CAMERAS = ColourJitter(
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, balance=0.1, coarse=0.2
)


@dataclass(frozen=True, kw_only=True)
class BagOfTricks:
    """Options of a run."""

    data: str = "simcity-s"
    """A named simulated set, a folder, or NAME:PATH."""
    out: Path = Path("runs/bag-of-tricks")
    """The run's folder; a killed run continues from there."""
    backbone: str = "resnet50"
    """A network's name, or timm:NAME."""
    weights: Path | None = None
    """State dictionary the backbone starts from (torchvision, timm); none: random weights."""
    size: tuple[int, int] = (256, 128)
    """Height and width of the pictures, pixels."""

    # the six tricks
    warmup: bool = True
    """Trick 1: the learning rate grows linearly over the first epochs."""
    random_erasing: bool = True
    """Trick 2: half of the pictures lose a rectangle, see ``erasing``."""
    label_smoothing: bool = True
    """Trick 3: the identity loss keeps a tenth for the other identities."""
    last_stride_one: bool = True
    """Trick 4: the last stage keeps its resolution."""
    bnneck: bool = True
    """Trick 5: batch normalisation between triplet and identity loss."""
    center_loss: bool = True
    """Trick 6: features are drawn to their identity's centre."""

    warmup_epochs: int = 10
    """Length of the warm-up."""
    smoothing: float = 0.1
    """Share of the other identities (trick 3)."""
    center_weight: float = 0.0005
    """Weight of the centre loss (trick 6); it does not slow the centres."""
    center_learning_rate: float = 0.5
    """Learning rate of the centres (SGD)."""
    margin: float | None = 0.3
    """Margin of the triplet loss; none: soft margin."""
    feature: Literal["after_bn", "before_bn"] = "after_bn"
    """Which feature the test compares, by cosine."""

    identities: int = 16
    """P, identities in a batch."""
    images: int = 4
    """K, pictures of each identity in a batch."""
    epochs: int = 120
    """Length of the training."""
    learning_rate: float = 3.5e-4
    """Base learning rate (Adam)."""
    weight_decay: float = 5e-4
    """L2 penalty on weights and biases."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Tenfold decay after each milestone, or half a cosine."""
    milestones: tuple[int, ...] = (40, 70)
    """Epochs after which the rate falls (steps)."""
    convention: Literal["paper", "code"] = "paper"
    """The paper's warm-up and milestones, or those of its code, one epoch earlier."""
    gradient_clip: float | None = None
    """Largest norm of the gradient; none: no limit."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    padding: int = 10
    """Zero pixels around the picture before the random crop."""
    erasing: Erasing = ERASING
    """How random erasing draws (trick 2)."""
    colour: ColourJitter = NO_JITTER
    """Colour changes, all off: not in the paper, for data whose cameras differ in colour."""

    seed: int = 0
    """Seed of weights, batches and augmentation."""
    device: str = "auto"
    """A torch device; auto: a GPU where there is one."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: forward pass under bfloat16 autocast."""
    threads: int | None = None
    """CPU threads; none: torch's own choice. Bit-exact resumption needs the same number."""
    log_every: int = 50
    """Steps between log lines."""
    checkpoint_every: int = 500
    """Steps between checkpoints within an epoch; five minutes at the longest."""
    progress: bool = True
    """Show progress bars on standard error."""


def from_scratch() -> BagOfTricks:
    """For random start weights: a longer warm-up, a cosine, colour jitter."""
    return replace(
        BagOfTricks(),
        warmup_epochs=15,
        schedule="cosine",
        colour=CAMERAS,
    )


def small_cpu() -> BagOfTricks:
    """A small network that trains from scratch on two CPU cores.

    The epochs suit a set of the size of simcity-s (about 70 steps each); one ten times as large
    needs about as many steps, not as many epochs.
    """
    return replace(
        from_scratch(),
        backbone="slim18",
        size=(128, 64),
        padding=5,
        epochs=120,
        warmup_epochs=5,
        learning_rate=1e-3,
        precision="bf16",
    )


VARIANTS = {
    "bag-of-tricks": ("the paper's settings, ResNet-50", BagOfTricks),
    "bag-of-tricks-from-scratch": ("ResNet-50 from random weights", from_scratch),
    "bag-of-tricks-small": ("a small network from random weights, for CPUs", small_cpu),
}


class BagOfTricksMethod(Method):
    """Losses and optimisers of the recipe."""

    def __init__(
        self, config: BagOfTricks, network: ReidNetwork, labels: Tensor, sampler: PKSampler
    ) -> None:
        """Take a network with a classifier for the identities in ``labels`` (N,)."""
        super().__init__()
        self.config = config
        self.network: ReidNetwork = network
        self.sampler = sampler
        self.labels: Tensor
        self.register_buffer("labels", labels, persistent=False)
        self.center: CenterLoss | None = None
        if config.center_loss:
            self.center = CenterLoss(int(labels.max()) + 1, network.dimension)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Identity, triplet and centre loss; the metric losses take the feature before BN."""
        config = self.config
        output = self.network(batch.images)
        labels = self.labels[batch.indices]
        smoothing = config.smoothing if config.label_smoothing else 0.0
        terms = {
            "identity": cross_entropy(output.logits, labels, smoothing=smoothing),
            "triplet": triplet(output.before_bn, labels, margin=config.margin),
        }
        if self.center is not None:
            terms["center"] = config.center_weight * self.center(output.before_bn, labels)
        return terms

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam for the network; SGD at a constant rate for the centres."""
        config = self.config
        learnt = [p for p in self.network.parameters() if p.requires_grad]
        adam = torch.optim.Adam(learnt, lr=config.learning_rate, weight_decay=config.weight_decay)
        made = [ScheduledOptimiser(adam, learning_rates(config))]
        if self.center is not None:
            sgd = torch.optim.SGD(self.center.parameters(), lr=config.center_learning_rate)
            made.append(ScheduledOptimiser(sgd))
        return made

    def before_step(self) -> None:
        """Take the loss's weight out of the centres' gradient (as the authors' code does)."""
        if self.center is not None:
            self.center.rescale_gradients(self.config.center_weight)


def learning_rates(config: BagOfTricks) -> Schedule:
    """The network's schedule."""
    warmup = config.warmup_epochs if config.warmup else 0
    if config.schedule == "cosine":
        return Cosine(epochs=config.epochs, warmup=warmup)
    return MultiStep(milestones=config.milestones, warmup=warmup, convention=config.convention)


def run(config: BagOfTricks, table: CropTable) -> Report:
    """Train on ``table``'s training rows, test on its query and gallery rows.

    Writes to ``config.out``: ``config.json``, ``log.jsonl``, ``checkpoint.pt`` (removed at the
    end), ``model.safetensors`` with its card, and ``report.json``. The network of the last epoch
    is the result; nothing is chosen by its test score. A killed run continues where it stood; a
    finished one is only tested again.

    Raises:
        InputError: If the options or the data are at fault, or ``out`` holds another run.
    """
    check(config, table)
    train = table.train.select(table.train.identity > 0)
    sampler = PKSampler(
        labels=train.labels(),
        identities=config.identities,
        images=config.images,
        seed=config.seed,
    )
    begun = run_folder.open_run(config.out, NAME, config)
    if config.threads:
        torch.set_num_threads(config.threads)
    if (config.out / run_folder.REPORT).exists():
        return test(config, *load(config.out / run_folder.MODEL), table)

    store = ImageStore.load(train, size=config.size, progress=config.progress)
    torch.manual_seed(config.seed)
    network = new_network(config, classes=int(sampler.labels.max()) + 1)
    method = BagOfTricksMethod(config, network, torch.from_numpy(sampler.labels), sampler)
    fit(method, store.images, augmentation(config), fit_options(config))

    card = describe(config, network, table, begun)
    report = test(config, network, card, table)
    finish(config, network, card, report)
    return report


def new_network(config: BagOfTricks, classes: int) -> ReidNetwork:
    """The network with tricks 4 and 5 as switched."""
    return build(
        config.backbone,
        num_classes=classes,
        last_stride=1 if config.last_stride_one else 2,
        neck=config.bnneck,
        feature=config.feature,
        input_size=config.size,
        weights=config.weights,
    )


def check(config: BagOfTricks, table: CropTable) -> None:
    """Refuse what cannot train or be tested, before any work."""
    for split, rows in (("train", table.train), ("query", table.query), ("gallery", table.gallery)):
        if not len(rows):
            raise InputError(f"'{config.data}' has no {split} rows; see 'passerby check'")
    if config.weights is not None and not config.weights.is_file():
        raise InputError(f"no weights file at '{config.weights}'; leave --weights out or fix it")
    find_device(config.device)


def augmentation(config: BagOfTricks) -> Augment:
    """Flip, pad and crop, colour, normalise, erase: the order of the authors' code."""
    return Augment(
        flip=config.flip,
        padding=config.padding,
        colour=config.colour if config.colour != NO_JITTER else None,
        erasing=config.erasing if config.random_erasing else None,
    )


def fit_options(config: BagOfTricks) -> FitOptions:
    """The part of the options that the loop takes."""
    return FitOptions(
        folder=config.out,
        epochs=config.epochs,
        seed=config.seed,
        device=find_device(config.device),
        precision=config.precision,
        gradient_clip=config.gradient_clip,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        progress=config.progress,
    )


def test(config: BagOfTricks, network: ReidNetwork, card: ModelCard, table: CropTable) -> Report:
    """Score of ``network`` on the query and gallery rows."""
    device = find_device(config.device)
    return evaluate_network(
        network.to(device),
        card,
        table,
        device=device,
        precision=config.precision,
        progress=config.progress,
    )


def describe(
    config: BagOfTricks, network: ReidNetwork, table: CropTable, begun: dict[str, Any]
) -> ModelCard:
    """The card of the trained network, its scores still open."""
    train = table.train
    training: dict[str, Any] = {
        **begun,
        "data": table.name,
        "crops": len(train),
        "identities": len(np.unique(train.identity[train.identity > 0])),
        "machine": run_folder.machine(find_device(config.device)),
    }
    return ModelCard(
        architecture=config.backbone,
        dimension=network.dimension,
        input_size=config.size,
        feature=config.feature,
        last_stride=1 if config.last_stride_one else 2,
        neck=config.bnneck,
        training=training,
    )


def finish(config: BagOfTricks, network: ReidNetwork, card: ModelCard, report: Report) -> None:
    """Write the model with its scores, and the report."""
    card = replace(card, scores={card.training["data"]: report.summary()})
    save(network, card, config.out / run_folder.MODEL)
    run_folder.write_json(
        config.out / run_folder.REPORT,
        {"data": card.training["data"], **report.summary(), "training": card.training},
    )
    (config.out / CHECKPOINT).unlink(missing_ok=True)
