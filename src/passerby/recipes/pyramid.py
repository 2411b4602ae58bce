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
from passerby.losses import DynamicBalance, cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork
from passerby.models.pyramid import PyramidOutput
from passerby.recipes import supervised
from passerby.recipes.supervised import NetworkOptions, SupervisedMethod, learning_rates, small
from passerby.train import Batch, Sampler, ScheduledOptimiser, gather, parameter_groups
from passerby.train.distributed import mean

RULES: dict[str, Literal["official", "paper"]] = {"dynamic": "official", "dynamic_text": "paper"}


@dataclass(frozen=True, kw_only=True)
class Pyramid(NetworkOptions):
    """21 branches, two losses that take turns by the rule of the text, ResNet-101.

    Attributes:
        stripes: n, basic stripes; level l has the n - l + 1 runs of l stripes.
        levels: The levels that are used, fine to coarse, such as 100000 for single stripes; empty:
            all.
        width: Dimension of a branch's feature.
        dropout: Probability of dropout before the classifiers.
        interpolation: How pictures are resized.
        loss: What is minimised: by the dynamic rule of the text, in which samplers switch and
            losses are weighted (dynamic_text); by that of the authors' code (dynamic); both
            always; or one alone.
        triplet_on: One triplet loss on the concatenated feature, or the sum of one per branch (the
            authors' code).
        normalise: Bring features to unit length before the triplet loss.
        margin: Margin of the triplet loss; none: soft margin.
        alpha: Share of the newest loss in the moving averages.
        gamma: Focusing power of the focal weights.
        delta: Smallest ratio of the focal weights at which the triplet loss takes part.
        learning_rate: Of the branches (SGD with momentum 0.9).
        backbone_rate: Learning rate of the backbone.
    """

    out: Path = Path("runs/pyramid")

    # batches of P x K pictures, one chunk of K of every identity an epoch
    identities: int = 8
    images: int = 8

    # augmentation: flip, normalise, erase
    flip: float = 0.5
    padding: int = 0
    erasing: float = 0.2
    erasing_fill: Literal["mean", "zero"] = "zero"

    # network
    backbone: str = "resnet101"
    size: tuple[int, int] = (384, 128)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    metric: Literal["cosine", "squared_euclidean"] = "squared_euclidean"
    stripes: int = 6
    levels: str = ""
    width: int = 128
    dropout: float = 0.2

    # identity loss of every branch, triplet loss, and the rule that combines them
    loss: Literal["dynamic", "dynamic_text", "both", "identity", "triplet"] = "dynamic_text"
    triplet_on: Literal["concatenated", "branches"] = "concatenated"
    normalise: bool = False
    margin: float | None = 1.4
    alpha: float = 0.25
    gamma: float = 2.0
    delta: float = 0.16

    # SGD, without warm-up; half after each milestone
    epochs: int = 120
    learning_rate: float = 0.1
    backbone_rate: float = 0.01
    weight_decay: float = 5e-4
    warmup: int = 0
    milestones: tuple[int, ...] = (60, 70, 80, 90, 100)
    decay: float = 0.5


def authors() -> Pyramid:
    """As the authors' code: a triplet loss on each branch, which takes part by the code's rule."""
    return Pyramid(loss="dynamic", triplet_on="branches")


def small_cpu() -> Pyramid:
    """Six branches on a small network from random weights, for CPUs."""
    return replace(
        small(Pyramid(stripes=3, identities=16, images=4, backbone_rate=0.05)),
        size=(144, 48),
        padding=0,
        learning_rate=0.1,
    )


class PyramidMethod(SupervisedMethod[Pyramid]):
    """Samplers, network, losses and optimiser of the recipe."""

    network: ReidNetwork

    def __init__(self, config: Pyramid, labels: Tensor) -> None:
        """Make samplers and network for the identities in ``labels`` (N,)."""
        super().__init__(config, labels)
        self.balance = DynamicBalance(
            RULES.get(config.loss, "static"),
            alpha=config.alpha,
            gamma=config.gamma,
            delta=config.delta,
        )
        self.sampler = self._sampler(labels)
        self.network, self.card = new_network(config, int(labels.max()) + 1)

    def _sampler(self, labels: Tensor) -> Sampler:
        """One chunk of every identity an epoch; by the text's rule, random images in turn."""
        config = self.config
        balanced = PKSampler(
            labels=labels.numpy(),
            identities=config.identities,
            images=config.images,
            seed=config.seed,
            once=True,
        )
        if config.loss != "dynamic_text":
            return balanced
        random = ShuffleSampler(count=len(labels), batch_size=balanced.batch_size, seed=config.seed)
        return SwitchSampler(
            random=random, balanced=balanced, wants_balanced=lambda: bool(self.balance.both)
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The terms that take part in this step, weighted.

        The rule sees both losses at every step. By the text's rule the decision of the step before
        chooses the batch and its losses: a random batch, most of whose identities have one image,
        trains the identity loss alone.
        """
        config = self.config
        output: PyramidOutput = self.network(batch.images)
        labels = self.labels[batch.indices]
        identity = sum_over_branches(output.logits, labels)
        if config.loss == "identity":
            return {"identity": identity}
        metric = self.triplet(gather(output.features), gather(labels))
        if config.loss == "triplet":
            return {"triplet": metric}
        if config.loss == "both":
            return {"identity": identity, "triplet": metric}
        drawn_for_both = bool(self.balance.both)
        both = self.balance.update(mean(identity), mean(metric))
        if config.loss == "dynamic":
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

    def optimisers(self) -> list[ScheduledOptimiser]:
        """SGD with momentum, with a rate of its own for the backbone."""
        config = self.config
        groups = parameter_groups(
            self.network,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            rates={"backbone": config.backbone_rate},
        )
        sgd = torch.optim.SGD(groups, momentum=0.9, fused=True)
        return [ScheduledOptimiser(sgd, learning_rates(config))]


def sum_over_branches(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of logits (branches, B, C), summed over branches, without smoothing."""
    branches, _, classes = logits.shape
    flat = cross_entropy(logits.reshape(-1, classes), labels.repeat(branches), smoothing=0.0)
    return branches * flat


def new_network(config: Pyramid, classes: int) -> tuple[ReidNetwork, ModelCard]:
    """The pyramid on its backbone with classifiers for ``classes`` identities, and its card."""
    network, card = supervised.build_network(
        config,
        f"pyramid:{config.backbone}",
        structure={
            "stripes": config.stripes,
            "levels": config.levels,
            "width": config.width,
            "dropout": config.dropout,
        },
        num_classes=classes,
    )
    return network, replace(card, interpolation=config.interpolation)


def run(config: Pyramid, table: CropTable) -> Report | None:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run("pyramid", PyramidMethod, config, table)
