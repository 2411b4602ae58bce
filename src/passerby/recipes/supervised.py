"""A supervised run: what every recipe that trains on identities has in common."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from passerby.data import Augment, CropTable, ImageStore, PKSampler
from passerby.metrics import Report
from passerby.models import ModelCard, load, preprocessing, save
from passerby.recipes import run_folder
from passerby.recipes.options import (
    RunOptions,
    augmentation,
    check,
    fit_options,
    known,
    learning_rates,
)
from passerby.train import Method, Sampler, ScheduledOptimiser, distributed, fit
from passerby.train.device import find_device
from passerby.train.evaluation import evaluate_network
from passerby.train.loop import CHECKPOINT

Options = TypeVar("Options", bound=RunOptions)


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[Options]):
    """What a supervised recipe brings to :func:`run`.

    Attributes:
        name: As ``passerby train`` knows it.
        network: Options and number C of training identities -> network in training mode.
        method: Options, network, labels (N,) in 0..C-1 and sampler -> losses and optimisers.
        card: Options and network -> the network's card, training and scores still open.
        augmentation: Options -> what happens to a batch of crops.
    """

    name: str
    network: Callable[[Options, int], nn.Module]
    method: Callable[[Options, Any, Tensor, PKSampler], Method]
    card: Callable[[Options, Any], ModelCard]
    augmentation: Callable[[Options], Augment] = augmentation


class SupervisedMethod(Method, Generic[Options]):
    """A method that knows each training row's identity; Adam for the network unless changed."""

    network: nn.Module
    sampler: Sampler
    labels: Tensor

    def __init__(
        self, config: Options, network: nn.Module, labels: Tensor, sampler: Sampler
    ) -> None:
        """Take a network with a classifier for the identities in ``labels`` (N,)."""
        super().__init__()
        self.config = config
        self.network = network
        self.sampler = sampler
        self.register_buffer("labels", labels, persistent=False)

    @property
    def classes(self) -> int:
        """C, the number of training identities."""
        return int(self.labels.max()) + 1

    def optimisers(self) -> list[ScheduledOptimiser]:
        """That of the network."""
        return [self.network_optimiser()]

    def network_optimiser(self) -> ScheduledOptimiser:
        """Adam for what the network learns."""
        return adam(self.network, self.config)


def adam(
    network: nn.Module, config: RunOptions, betas: tuple[float, float] = (0.9, 0.999)
) -> ScheduledOptimiser:
    """Adam with the options' rates for what ``network`` learns."""
    learnt = [p for p in network.parameters() if p.requires_grad]
    made = torch.optim.Adam(
        learnt,
        lr=config.learning_rate,
        betas=betas,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over the weights: a tenth of the time on a CPU
    )
    return ScheduledOptimiser(made, learning_rates(config))


def run(recipe: Recipe[Options], config: Options, table: CropTable) -> Report:
    """Train on ``table``'s training rows, test on its query and gallery rows.

    Writes to ``config.out``: ``config.json``, ``log.jsonl``, ``checkpoint.pt`` (removed at the
    end), ``model.safetensors`` with its card, and ``report.json``. The network of the last epoch
    is the result; nothing is chosen by its test score. A killed run continues where it stood; a
    finished one is only tested again.

    Raises:
        InputError: If the options or the data are at fault, or ``out`` holds another run.
    """
    begun, sampler = begin(recipe.name, config, table)
    if (config.out / run_folder.REPORT).exists():
        return test(config, *load(config.out / run_folder.MODEL), table)
    method, card = train(recipe, config, table, sampler)
    card = replace(card, training=provenance(config, table, begun))
    report = test(config, method.network, card, table)
    finish(config, method.network, card, report)
    return report


def begin(name: str, config: RunOptions, table: CropTable) -> tuple[dict[str, Any], PKSampler]:
    """Check everything, open the run's folder, set the threads.

    Returns:
        The content of ``config.json`` and the sampler of the training rows of known identity.

    Raises:
        InputError: As :func:`run`.
    """
    check(config, table)
    sampler = PKSampler(
        labels=known(table).labels(),
        identities=config.identities,
        images=config.images,
        seed=config.seed,
    )
    begun = run_folder.open_run(config.out, name, config)
    if config.threads:
        torch.set_num_threads(config.threads)
    return begun, sampler


def train(
    recipe: Recipe[Options], config: Options, table: CropTable, sampler: PKSampler
) -> tuple[Method, ModelCard]:
    """Train; the method with its network, and the card with training and scores still open."""
    torch.manual_seed(config.seed)
    network = recipe.network(config, int(sampler.labels.max()) + 1)
    prepared = preprocessing(config.backbone, config.weights)
    card = replace(recipe.card(config, network), **asdict(prepared))
    store = ImageStore.load(
        known(table),
        size=card.input_size,
        interpolation=card.interpolation,
        progress=config.progress,
    )
    method = recipe.method(config, network, torch.from_numpy(sampler.labels), sampler)
    augment = as_the_card_says(recipe.augmentation(config), card)
    fit(method, store.images, augment, fit_options(config))
    return method, card


def as_the_card_says(augment: Augment, card: ModelCard) -> Augment:
    """The augmentation with the normalisation and the order of colours of the card."""
    return replace(
        augment,
        mean=card.mean,
        std=card.std,
        value_range=card.value_range,
        bgr=card.colour_order == "BGR",
    )


def test(config: RunOptions, network: nn.Module, card: ModelCard, table: CropTable) -> Report:
    """Score of ``network`` on the query and gallery rows."""
    device = find_device(config.device)
    return evaluate_network(
        network.to(device),  # type: ignore[arg-type]
        card,
        table,
        device=device,
        precision=config.precision,
        progress=config.progress,
    )


def provenance(config: RunOptions, table: CropTable, begun: dict[str, Any]) -> dict[str, Any]:
    """Where a network comes from: recipe, commit, options, data and machine."""
    train = table.train
    return {
        **begun,
        "data": table.name,
        "crops": len(train),
        "identities": len(np.unique(train.identity[train.identity > 0])),
        "machine": run_folder.machine(find_device(config.device)),
    }


def finish(config: RunOptions, network: nn.Module, card: ModelCard, report: Report | None) -> None:
    """Write the model with its scores, where it was tested, and the report; drop the checkpoint.

    Process 0 of several does so alone.
    """
    if not distributed.is_main():
        return
    figures = report.summary() if report else {}
    card = replace(card, scores={card.training["data"]: figures} if report else {})
    save(network, card, config.out / run_folder.MODEL)  # type: ignore[arg-type]
    run_folder.write_json(
        config.out / run_folder.REPORT,
        {"data": card.training["data"], **figures, "training": card.training},
    )
    (config.out / CHECKPOINT).unlink(missing_ok=True)
