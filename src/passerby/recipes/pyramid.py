"""Pyramid: coarse to fine branches, trained with two losses that take turns by how fast they fall.

Zheng et al., Pyramidal Person Re-IDentification via Multi-Loss Dynamic Training, CVPR 2019. A
branch for every run of neighbouring stripes, each with a classifier of its own; a triplet loss on
the concatenated feature or on every branch; :class:`passerby.losses.DynamicBalance` decides at
every step whether the triplet loss takes part.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.data import CropTable, PKSampler, ShuffleSampler, SwitchSampler
from passerby.data.transforms import Erasing
from passerby.losses import DynamicBalance, cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build
from passerby.models.pyramid import PyramidNetwork, PyramidOutput
from passerby.models.structure import plain_values
from passerby.recipes import supervised
from passerby.recipes.options import RunOptions, learning_rates, small
from passerby.recipes.supervised import Recipe, SupervisedMethod
from passerby.train import Batch, Sampler, ScheduledOptimiser, gather
from passerby.train.distributed import mean
from passerby.train.optimisers import parameter_groups

ERASING = Erasing(probability=0.2, fill="zero")


@dataclass(frozen=True, kw_only=True)
class Pyramid(RunOptions):
    """Options of a run; the authors' settings."""

    out: Path = Path("runs/pyramid")
    """The run's folder; a killed run continues from there."""
    backbone: str = "resnet101"
    """A network's name, or timm:NAME."""
    size: tuple[int, int] = (384, 128)
    """Height and width of the pictures, pixels."""

    stripes: int = 6
    """n, basic stripes; level l has the n - l + 1 runs of l stripes."""
    levels: str = ""
    """Which levels are used, fine to coarse, such as 100000 for single stripes; empty: all."""
    width: int = 128
    """Dimension of a branch's feature."""
    dropout: float = 0.2
    """Before the classifiers."""

    losses: Literal["dynamic", "both", "identity", "triplet"] = "dynamic"
    """What is minimised: by the dynamic rule, both always, or one alone."""
    dynamic: Literal["official", "paper"] = "official"
    """The rule as in the authors' code, or as in the text: samplers switch, losses are weighted."""
    triplet_on: Literal["concatenated", "branches"] = "concatenated"
    """One triplet loss on the whole feature, or the sum of one per branch (the authors' code)."""
    normalise: bool = False
    """Bring features to unit length before the triplet loss."""
    margin: float | None = 1.4
    """Margin of the triplet loss; none: soft margin."""
    alpha: float = 0.25
    """Share of the newest loss in the moving averages."""
    gamma: float = 2.0
    """Focusing power of the focal weights."""
    delta: float = 0.16
    """Smallest ratio of the focal weights at which the triplet loss takes part."""

    identities: int = 8
    """P, identities in a batch."""
    images: int = 8
    """K, pictures of each identity in a batch."""
    learning_rate: float = 0.1
    """Of the branches (SGD with momentum 0.9)."""
    backbone_rate: float = 0.01
    """Learning rate of the backbone."""
    milestones: tuple[int, ...] = (60, 70, 80, 90, 100)
    """Epochs after which the rates fall."""
    decay: float = 0.5
    """Factor of each fall."""
    warmup_epochs: int = 0
    """The learning rate grows linearly over the first epochs."""
    padding: int = 0
    """Zero pixels around the picture before the random crop."""
    erasing: Erasing = ERASING
    """How random erasing draws."""


def small_cpu() -> Pyramid:
    """A small network that trains from scratch on two CPU cores."""
    return replace(
        small(Pyramid(stripes=3, identities=16, images=4, backbone_rate=0.05)),
        size=(144, 48),
        padding=0,
        learning_rate=0.1,
    )


class PyramidMethod(SupervisedMethod[Pyramid]):
    """Losses, optimiser and samplers of the recipe."""

    network: PyramidNetwork

    def __init__(
        self, config: Pyramid, network: PyramidNetwork, labels: Tensor, sampler: Sampler
    ) -> None:
        """Take a network with classifiers for the identities in ``labels`` (N,)."""
        super().__init__(config, network, labels, sampler)
        self.balance = DynamicBalance(
            config.dynamic if config.losses == "dynamic" else "static",
            alpha=config.alpha,
            gamma=config.gamma,
            delta=config.delta,
        )
        self.sampler = self._samplers(labels)

    def _samplers(self, labels: Tensor) -> Sampler:
        """One chunk of every identity an epoch; in ``paper`` mode random images in turn with it."""
        config = self.config
        balanced = PKSampler(
            labels=labels.numpy(),
            identities=config.identities,
            images=config.images,
            seed=config.seed,
            once=True,
        )
        if config.losses != "dynamic" or config.dynamic != "paper":
            return balanced
        random = ShuffleSampler(count=len(labels), batch_size=balanced.batch_size, seed=config.seed)
        return SwitchSampler(
            random=random, balanced=balanced, wants_balanced=lambda: bool(self.balance.both)
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms that take part in this step, weighted.

        Both losses are watched at every step, on whatever batch there is. In ``paper`` mode the
        batch follows from the decision before it, and so do its losses: a random batch, most of
        whose identities have one image, trains the identity loss alone.
        """
        config = self.config
        output: PyramidOutput = self.network(batch.images)
        labels = self.labels[batch.indices]
        identity = sum_of_branches(output.logits, labels)
        if config.losses == "identity":
            return {"identity": identity}
        metric = self.triplet(gather(output.features), gather(labels))
        if config.losses == "triplet":
            return {"triplet": metric}
        if config.losses == "both":
            return {"identity": identity, "triplet": metric}
        drawn_for_both = bool(self.balance.both)
        both = self.balance.update(mean(identity), mean(metric))
        if config.dynamic == "official":
            return {"identity": identity, "triplet": metric * float(both)}
        identity_share, triplet_share = self.balance.shares() if drawn_for_both else (1.0, 0.0)
        return {"identity": identity_share * identity, "triplet": triplet_share * metric}

    def triplet(self, features: Tensor, labels: Tensor) -> Tensor:
        """Triplet loss of branch features (B, branches, width), concatenated or added up."""
        config = self.config
        parts = features.unbind(1) if config.triplet_on == "branches" else (features.flatten(1),)
        if config.normalise:
            parts = tuple(F.normalize(part.float(), dim=1) for part in parts)
        terms = [triplet(part, labels, margin=config.margin) for part in parts]
        return torch.stack(terms).sum()

    def network_optimiser(self) -> ScheduledOptimiser:
        """SGD with momentum, slower in the backbone."""
        config = self.config
        groups = parameter_groups(
            self.network,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            rates={"backbone": config.backbone_rate},
        )
        sgd = torch.optim.SGD(groups, momentum=0.9, fused=True)
        return ScheduledOptimiser(sgd, learning_rates(config))


def sum_of_branches(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (branches, B, C), summed over branches, without smoothing."""
    branches, _, classes = logits.shape
    flat = cross_entropy(logits.reshape(-1, classes), labels.repeat(branches), smoothing=0.0)
    return branches * flat


def structure(config: Pyramid) -> dict[str, int | float | str | bool]:
    """Options of the pyramid beyond its name."""
    return {
        **plain_values(config.structure),
        "stripes": config.stripes,
        "levels": config.levels,
        "width": config.width,
        "dropout": config.dropout,
    }


def new_network(config: Pyramid, classes: int) -> ReidNetwork:
    """The pyramid on its backbone."""
    return build(
        f"pyramid:{config.backbone}",
        num_classes=classes,
        input_size=config.size,
        structure=structure(config),
        weights=config.weights,
    )


def describe(config: Pyramid, network: ReidNetwork) -> ModelCard:
    """The card of the network, training and scores still open."""
    return ModelCard(
        architecture=f"pyramid:{config.backbone}",
        dimension=network.dimension,
        input_size=config.size,
        structure=structure(config),
    )


RECIPE = Recipe(name="pyramid", network=new_network, method=PyramidMethod, card=describe)


def run(config: Pyramid, table: CropTable) -> Report:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run(RECIPE, config, table)
