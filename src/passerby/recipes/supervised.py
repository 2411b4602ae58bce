"""What the recipes share: the options of a run, and the run of a method that learns identities."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from passerby.data import Augment, CropTable, ImageStore
from passerby.data.checks import check as find_problems
from passerby.data.colour import ColourJitter
from passerby.data.transforms import Erasing
from passerby.errors import InputError
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build, load, preprocessing, save
from passerby.models.imagenet import IMAGENET
from passerby.models.structure import Value, plain_values
from passerby.recipes import run_folder
from passerby.train import (
    Cosine,
    FitOptions,
    Method,
    MultiStep,
    Schedule,
    ScheduledOptimiser,
    distributed,
    fit,
)
from passerby.train.device import find_device
from passerby.train.evaluation import evaluate_network
from passerby.train.log import say

NO_JITTER = ColourJitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
# how the cameras of one city change the colours of one coat
CAMERAS = ColourJitter(
    brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, balance=0.1, coarse=0.2
)


@dataclass(frozen=True, kw_only=True)
class RunOptions(FitOptions):
    """Options of every recipe. A recipe gives a value to those without a default.

    Attributes:
        data: A named simulated set, a folder, or NAME:PATH; several with their people kept apart.
        weights: State dictionary the backbone starts from (torchvision, timm, a model file of
            Passerby), "default" (the bundled one) or "imagenet" (official); none: random weights.
        threads: CPU threads; 0: torch's own choice. Bit-exact resumption needs the same number.
        identities: P, identities in a batch.
        images: K, pictures of each identity in a batch.
        auto_augment: Probability of a random ImageNet AutoAugment policy per picture.
        flip: Probability of a horizontal flip.
        box: Spread of an imprecise detector's box, shares of the picture; in no paper.
        padding: Zero pixels around the picture before the random crop.
        colour: Colour changes, all off: in no paper, for data whose cameras differ in colour.
        erasing: Probability that a picture loses a random rectangle.
        erasing_fill: Colour of the rectangle: the ImageNet mean, or zeros after normalisation.
        learning_rate: Base learning rate.
        weight_decay: L2 penalty on weights and biases.
        schedule: The rate falls after each milestone (steps), or along half a cosine.
        milestones: Epochs after which the rate falls (steps).
        decay: Factor of each fall (steps).
        warmup: Epochs in which the learning rate grows linearly; 0 for none.
        convention: Bag of Tricks' warm-up and milestones: as printed, as in its code (one epoch
            earlier), or as that code runs in PyTorch 1.0.0, which AGW names.
    """

    data: str = "simcity-s"
    weights: Path | None = None
    threads: int = 0

    identities: int
    images: int

    auto_augment: float = 0.0
    flip: float
    box: float = 0.0
    padding: int
    colour: ColourJitter = NO_JITTER
    erasing: float
    erasing_fill: Literal["mean", "zero"] = "mean"

    learning_rate: float
    weight_decay: float
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: tuple[int, ...]
    decay: float
    warmup: int
    convention: Literal["paper", "code", "code-torch-1.0"] = "paper"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions(RunOptions):
    """Options of a recipe that builds its network.

    Attributes:
        backbone: A network's name, or timm:NAME.
        size: Height and width of the pictures, pixels.
        feature: The feature that the test compares: behind or before the BNNeck.
        metric: How the test compares it; a city compares by cosine.
        structure: Options of the architecture that have no name here, such as: drop_path 0.1 tokens
            average.
    """

    backbone: str
    size: tuple[int, int]
    feature: Literal["after_bn", "before_bn"] = "after_bn"
    metric: Literal["cosine", "squared_euclidean"] = "cosine"
    structure: dict[str, str] = field(default_factory=dict)


Options = TypeVar("Options", bound=RunOptions)
NetOptions = TypeVar("NetOptions", bound=NetworkOptions)


def small(config: NetOptions) -> NetOptions:
    """Return the options for a small network that trains from random weights on two CPU cores."""
    return replace(
        config,
        backbone="slim18",
        size=(128, 64),
        padding=5,
        schedule="cosine",
        colour=CAMERAS,
        warmup=5,
        learning_rate=1e-3,
        precision="bf16",
    )


def build_network(
    config: NetworkOptions,
    architecture: str,
    *,
    structure: dict[str, Value],
    num_classes: int = 0,
    last_stride: int = 1,
    pooling: str = "average",
    neck: bool = True,
) -> tuple[ReidNetwork, ModelCard]:
    """Build a network in training mode, and its card with training and scores still empty.

    ``config`` has size, test feature, start weights and more of the structure. The other arguments
    are those of :func:`passerby.models.build`.

    Raises:
        InputError: If a name is unknown, an option is out of range, or the weights do not fit.
    """
    structure = {**plain_values(config.structure), **structure}
    network = build(
        architecture,
        num_classes=num_classes,
        last_stride=last_stride,
        pooling=pooling,
        neck=neck,
        feature=config.feature,
        input_size=config.size,
        structure=structure,
        weights=config.weights,
    )
    if config.weights is None:
        say(f"{architecture} starts from RANDOM weights; --weights (imagenet, a file) changes this")
    card = ModelCard(
        architecture=architecture,
        dimension=network.dimension,
        input_size=config.size,
        feature=config.feature,
        last_stride=last_stride,
        pooling=pooling,
        neck=neck,
        structure=structure,
        **asdict(preprocessing(config.backbone, config.weights)),
    )
    return network, card


def augmentation(config: RunOptions, card: ModelCard) -> Augment:
    """AutoAugment, flip, box, pad and crop, colour, normalise as the card says, erase."""
    erasing = Erasing(probability=config.erasing, fill=config.erasing_fill)
    return Augment(
        auto_augment=config.auto_augment,
        flip=config.flip,
        box=config.box,
        padding=config.padding,
        colour=config.colour if config.colour != NO_JITTER else None,
        mean=card.mean,
        std=card.std,
        value_range=card.value_range,
        bgr=card.colour_order == "BGR",
        erasing=erasing if config.erasing else None,
    )


def learning_rates(config: RunOptions) -> Schedule:
    """Return the schedule of the network's learning rate."""
    if config.schedule == "cosine":
        return Cosine(epochs=config.epochs, warmup=config.warmup)
    return MultiStep(
        milestones=config.milestones,
        gamma=config.decay,
        warmup=config.warmup,
        convention=config.convention,
    )


def adam(
    network: nn.Module, config: RunOptions, betas: tuple[float, float] = (0.9, 0.999)
) -> ScheduledOptimiser:
    """Adam with L2 penalty for the parameters of ``network`` that are not frozen."""
    optimiser = torch.optim.Adam(
        [p for p in network.parameters() if p.requires_grad],
        lr=config.learning_rate,
        betas=betas,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over the weights: a tenth of the time on a CPU
    )
    return ScheduledOptimiser(optimiser, learning_rates(config))


class SupervisedMethod(Method, Generic[Options]):
    """A method that learns from the identity of each training row.

    The constructor of a recipe's method sets ``network``, ``card`` and ``sampler``.

    Attributes:
        card: The network's card, training and scores still empty.
        labels: (N,) identities of the training rows, 0..C-1.
    """

    card: ModelCard
    labels: Tensor

    def __init__(self, config: Options, labels: Tensor) -> None:
        """Take the options and the identities (N,) 0..C-1, and seed the weights made next."""
        super().__init__()
        torch.manual_seed(config.seed)
        self.config = config
        self.register_buffer("labels", labels, persistent=False)


Made = TypeVar("Made", bound=SupervisedMethod[Any])


def run(
    name: str,
    make: Callable[[Options, Tensor], SupervisedMethod[Options]],
    config: Options,
    table: CropTable,
) -> Report | None:
    """Train on ``table``'s training rows, test on its query and gallery rows if there are any.

    Writes to ``config.out``: ``config.json``, ``log.jsonl``, ``checkpoint.pt`` (at the end
    ``finished.pt``), ``model.safetensors`` with its card, and ``report.json``. The network of the
    last epoch is the result; nothing is chosen by its test score. A killed run continues from its
    checkpoint; a finished one is only tested again, or goes on where there are more epochs.

    Args:
        name: The recipe's name, for ``config.json`` and the card.
        make: Makes the method from the options and the identities (N,) of the training rows.
        config: The options.
        table: The data.

    Returns:
        The report; None for data without queries and gallery.

    Raises:
        InputError: If the options or the data are at fault, or ``out`` holds another run.
    """
    method, origin = begin(name, make, config, table)
    if run_folder.is_finished(config.out, config.epochs):
        return test(config, *load(config.out / run_folder.MODEL), table)
    train(method, table)
    card = replace(method.card, training=provenance(config, table, origin))
    report = test(config, method.network, card, table)
    finish(config, method.network, card, report)
    return report


def begin(
    name: str, make: Callable[[Options, Tensor], Made], config: Options, table: CropTable
) -> tuple[Made, dict[str, Any]]:
    """Check the options and the data, make the method, open the run's folder.

    Returns:
        The untrained method, and the content of ``config.json``.

    Raises:
        InputError: As :func:`run`.
    """
    check(config, table)
    if config.threads:
        torch.set_num_threads(config.threads)
    method = make(config, torch.from_numpy(known(table).labels()))
    return method, run_folder.open_run(config.out, name, config)


def train(method: SupervisedMethod[Any], table: CropTable) -> None:
    """Train a method on the pictures of ``table``'s training rows of known identity."""
    config, card = method.config, method.card
    store = ImageStore.load(
        known(table),
        size=card.input_size,
        interpolation=card.interpolation,
        progress=config.progress,
    )
    fit(method, store.images, augmentation(config, card), config)


def known(table: CropTable) -> CropTable:
    """Return the training rows of known identity."""
    return table.train.select(np.flatnonzero(table.train.identity > 0))


def check(config: RunOptions, table: CropTable) -> None:
    """Check before any work that a run can be trained and tested.

    Raises:
        InputError: If the data have an error, the weights file is missing or the device is not
            there.
    """
    check_data(config, table, labelled=True)
    check_weights(config)
    find_device(config.device)


def check_data(config: RunOptions, table: CropTable, *, labelled: bool) -> None:
    """Stop a run for every error that ``passerby check`` finds in its data, and for no other.

    Raises:
        InputError: If there is an error; the message names it.
    """
    with distributed.main_first():
        found = find_problems(
            table,
            identities=config.identities,
            images=config.images,
            labelled=labelled,
            # before a run begins, so that no test after hours fails for one of them
            pictures=distributed.is_main() and not run_folder.is_begun(config.out),
            progress=config.progress,
        )
    if not found.ok:
        text = f"'{config.data}' cannot be trained on: {found.first_error}; see 'passerby check'"
        raise InputError(text)


def check_weights(config: RunOptions) -> None:
    """Check that the start weights exist.

    Raises:
        InputError: If there is no such file.
    """
    start = config.weights or Path("default")
    if start not in (Path("default"), Path(IMAGENET)) and not start.is_file():
        raise InputError(f"no weights file at '{config.weights}'; leave --weights out or fix it")


def test(
    config: RunOptions, network: nn.Module, card: ModelCard, table: CropTable
) -> Report | None:
    """Score of ``network`` on the query and gallery rows; None where there are none."""
    if not len(table.query) or not len(table.gallery):
        return None
    device = find_device(config.device)
    metric = config.metric if isinstance(config, NetworkOptions) else "cosine"
    how = {"device": device, "precision": config.precision, "progress": config.progress}
    return evaluate_network(network.to(device), card, table, metric=metric, **how)  # type: ignore[arg-type]


def provenance(config: RunOptions, table: CropTable, origin: dict[str, Any]) -> dict[str, Any]:
    """Describe a training for its card: recipe, commit and options (``origin``), data, machine."""
    train = table.train
    return origin | {
        "data": table.name,
        "crops": len(train),
        "identities": len(np.unique(train.identity[train.identity > 0])),
        "machine": run_folder.machine(find_device(config.device)),
    }


def finish(config: RunOptions, network: nn.Module, card: ModelCard, report: Report | None) -> None:
    """Write the model with its scores, if it was tested, and the report; keep the checkpoint.

    Only process 0 of a run of several writes.
    """
    if not distributed.is_main():
        return
    figures = report.summary() if report else {}
    data = card.training["data"]
    card = replace(card, scores={data: figures} if report else {})
    save(network, card, config.out / run_folder.MODEL)  # type: ignore[arg-type]
    facts = {"data": data, **figures, "training": card.training}
    run_folder.write_json(config.out / run_folder.REPORT, facts)
    run_folder.keep_checkpoint(config.out)
