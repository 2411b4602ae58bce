"""Bag of Tricks: the strong baseline, each of its six tricks a switch.

Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019.
The standard baseline is a ResNet-50 with a classifier and a batch-hard triplet loss on its pooled
feature; the tricks are warm-up, random erasing, label smoothing, last stride 1, BNNeck and centre
loss. The defaults are the paper's; :func:`small_cpu` and :func:`from_scratch` change them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from passerby.data import CropTable, PKSampler
from passerby.losses import CenterLoss, cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, build
from passerby.recipes import supervised
from passerby.recipes.options import CAMERAS, RunOptions
from passerby.recipes.supervised import Recipe, SupervisedMethod
from passerby.train import Batch, ScheduledOptimiser


@dataclass(frozen=True, kw_only=True)
class BagOfTricks(RunOptions):
    """Options of a run; random erasing, trick 2, is among those that every recipe has."""

    out: Path = Path("runs/bag-of-tricks")
    """The run's folder; a killed run continues from there."""

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

    smoothing: float = 0.1
    """Share of the other identities (trick 3)."""
    center_weight: float = 0.0005
    """Weight of the centre loss (trick 6); it does not slow the centres."""
    center_learning_rate: float = 0.5
    """Learning rate of the centres (SGD)."""
    margin: float | None = 0.3
    """Margin of the triplet loss; none: soft margin."""


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


class BagOfTricksMethod(SupervisedMethod[BagOfTricks]):
    """Losses and optimisers of the recipe."""

    def __init__(
        self, config: BagOfTricks, network: ReidNetwork, labels: Tensor, sampler: PKSampler
    ) -> None:
        """Take a network with a classifier for the identities in ``labels`` (N,)."""
        super().__init__(config, network, labels, sampler)
        self.center: CenterLoss | None = None
        if config.center_loss:
            self.center = CenterLoss(self.classes, network.dimension)

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
        plain = self.config if self.config.warmup else replace(self.config, warmup_epochs=0)
        made = [supervised.adam(self.network, plain)]
        if self.center is not None:
            sgd = torch.optim.SGD(self.center.parameters(), lr=self.config.center_learning_rate)
            made.append(ScheduledOptimiser(sgd))
        return made

    def before_step(self) -> None:
        """Take the loss's weight out of the centres' gradient (as the authors' code does)."""
        if self.center is not None:
            self.center.rescale_gradients(self.config.center_weight)


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


def describe(config: BagOfTricks, network: ReidNetwork) -> ModelCard:
    """The card of the network."""
    return ModelCard(
        architecture=config.backbone,
        dimension=network.dimension,
        input_size=config.size,
        feature=config.feature,
        last_stride=1 if config.last_stride_one else 2,
        neck=config.bnneck,
    )


RECIPE = Recipe(name="bag-of-tricks", network=new_network, method=BagOfTricksMethod, card=describe)


def run(config: BagOfTricks, table: CropTable) -> Report:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run(RECIPE, config, table)
