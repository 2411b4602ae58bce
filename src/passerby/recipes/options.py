"""The options that every recipe takes, and what follows from them alone."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from passerby.data import Augment, CropTable
from passerby.data.colour import ColourJitter
from passerby.data.transforms import Erasing
from passerby.errors import InputError
from passerby.train import EMA, Cosine, FitOptions, MultiStep, Schedule
from passerby.train.device import find_device
from passerby.train.precision import Precision

ERASING = Erasing()
NO_JITTER = ColourJitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
# what cameras of one city do to the same coat
CAMERAS = ColourJitter(
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, balance=0.1, coarse=0.2
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run, whatever its recipe; each recipe sets its own defaults."""

    data: str = "simcity-s"
    """A named simulated set, a folder, or NAME:PATH."""
    out: Path = Path("runs/run")
    """The run's folder; a killed run continues from there."""
    backbone: str = "resnet50"
    """A network's name, or timm:NAME."""
    weights: Path | None = None
    """State dictionary the backbone starts from (torchvision, timm, or a model file of passerby,
    "default" for the bundled one); none: random weights."""
    structure: dict[str, str] = field(default_factory=dict)
    """Options of the architecture that have no name here, such as: drop_path 0.1 tokens average."""
    size: tuple[int, int] = (256, 128)
    """Height and width of the pictures, pixels."""
    feature: Literal["after_bn", "before_bn"] = "after_bn"
    """Which feature the test compares, by cosine."""

    identities: int = 16
    """P, identities in a batch."""
    images: int = 4
    """K, pictures of each identity in a batch."""
    epochs: int = 120
    """Length of the training."""
    learning_rate: float = 3.5e-4
    """Base learning rate."""
    weight_decay: float = 5e-4
    """L2 penalty on weights and biases."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Decay after each milestone, or half a cosine."""
    milestones: tuple[int, ...] = (40, 70)
    """Epochs after which the rate falls (steps)."""
    decay: float = 0.1
    """Factor of each fall (steps)."""
    warmup_epochs: int = 10
    """The learning rate grows linearly over the first epochs."""
    convention: Literal["paper", "code"] = "paper"
    """Bag of Tricks' warm-up and milestones as printed, or as in its code, one epoch earlier."""
    gradient_clip: float | None = None
    """Largest norm of the gradient; none: no limit."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    box: float = 0.0
    """Spread of an imprecise detector's box, shares of the picture; in no paper."""
    padding: int = 10
    """Zero pixels around the picture before the random crop."""
    random_erasing: bool = True
    """Pictures lose a rectangle, see ``erasing``."""
    erasing: Erasing = ERASING
    """How random erasing draws."""
    colour: ColourJitter = NO_JITTER
    """Colour changes, all off: in no paper, for data whose cameras differ in colour."""

    seed: int = 0
    """Seed of weights, batches and augmentation."""
    device: str = "auto"
    """A torch device; auto: a GPU where there is one."""
    precision: Precision = "fp32"
    """bf16, fp16: forward pass under autocast; fp16, for GPUs without bf16, scales the loss."""
    compile: bool = False
    """Compile the network's forward pass; needs a C++ compiler."""
    accumulate: int = 1
    """Parts a batch is cut into to save memory; metric losses see one part at a time."""
    batch_norm: Literal["global", "local"] = "global"
    """Under torchrun: batch statistics of all processes' pictures, or of each one's own."""
    ema: float = 0.0
    """Decay of an average of the weights, which then is the result; 0 for none."""
    threads: int | None = None
    """CPU threads; none: torch's own choice. Bit-exact resumption needs the same number."""
    log_every: int = 50
    """Steps between log lines."""
    checkpoint_every: int = 500
    """Steps between checkpoints within an epoch; five minutes at the longest."""
    progress: bool = True
    """Show progress bars on standard error."""


Options = TypeVar("Options", bound=RunOptions)


def small(config: Options) -> Options:
    """The same for a small network that trains from random weights on two CPU cores."""
    return replace(
        config,
        backbone="slim18",
        size=(128, 64),
        padding=5,
        schedule="cosine",
        colour=CAMERAS,
        warmup_epochs=5,
        learning_rate=1e-3,
        precision="bf16",
    )


def learning_rates(config: RunOptions) -> Schedule:
    """The network's schedule."""
    if config.schedule == "cosine":
        return Cosine(epochs=config.epochs, warmup=config.warmup_epochs)
    return MultiStep(
        milestones=config.milestones,
        gamma=config.decay,
        warmup=config.warmup_epochs,
        convention=config.convention,
    )


def augmentation(config: RunOptions) -> Augment:
    """Flip, pad and crop, colour, normalise, erase: the order of the Bag of Tricks code."""
    return Augment(
        flip=config.flip,
        box=config.box,
        padding=config.padding,
        colour=config.colour if config.colour != NO_JITTER else None,
        erasing=config.erasing if config.random_erasing else None,
    )


def fit_options(config: RunOptions) -> FitOptions:
    """The part of the options that the loop takes."""
    return FitOptions(
        folder=config.out,
        epochs=config.epochs,
        seed=config.seed,
        device=find_device(config.device),
        precision=config.precision,
        compile=config.compile,
        accumulate=config.accumulate,
        batch_norm=config.batch_norm,
        ema=EMA(decay=config.ema) if config.ema else None,
        gradient_clip=config.gradient_clip,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        progress=config.progress,
    )


def check(config: RunOptions, table: CropTable) -> None:
    """Refuse what cannot train or be tested, before any work.

    Raises:
        InputError: If a split is empty, the weights file is missing or the device is not there.
    """
    for split, rows in (("train", table.train), ("query", table.query), ("gallery", table.gallery)):
        if not len(rows):
            raise InputError(f"'{config.data}' has no {split} rows; see 'passerby check'")
    check_weights(config)
    find_device(config.device)


def check_weights(config: RunOptions) -> None:
    """Refuse start weights that are not there.

    Raises:
        InputError: If there is no such file.
    """
    if config.weights in {None, Path("default")}:
        return
    if not config.weights.is_file():  # type: ignore[union-attr]
        raise InputError(f"no weights file at '{config.weights}'; leave --weights out or fix it")


def known(table: CropTable) -> CropTable:
    """The training rows of known identity."""
    return table.train.select(np.flatnonzero(table.train.identity > 0))
