"""Fused loss: circle, triplet and centre loss on the Bag of Tricks network.

Circle loss (Sun et al., CVPR 2020) of classes takes the place of the identity loss: cross entropy
over weighted cosines between the feature behind the BNNeck and the class weights. Triplet and
centre loss take the feature before it, and the three are added (the fused-loss paper's equation 6).
The paper leaves out scale and margin of the circle loss, the AutoAugment policy and its
probability, and prints Adam's betas as 0.9 and 0.9; the defaults take published stable values for
the former and the latter to the letter.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from passerby.data import Augment, CropTable
from passerby.losses import circle, cross_entropy, pair_circle, triplet
from passerby.metrics import Report
from passerby.models import TrainOutput, classifier_weights
from passerby.recipes import options, supervised
from passerby.recipes.baseline import BaselineMethod, BaselineOptions, describe, new_network
from passerby.recipes.options import small
from passerby.recipes.supervised import Recipe
from passerby.train import ScheduledOptimiser, gather


@dataclass(frozen=True, kw_only=True)
class FusedLoss(BaselineOptions):
    """Options of a run."""

    out: Path = Path("runs/fused-loss")
    """The run's folder; a killed run continues from there."""

    identity_loss: Literal["circle", "pair_circle", "softmax"] = "circle"
    """Circle loss of classes, circle loss of the batch's pairs, or cross entropy."""
    triplet_loss: bool = True
    """Batch-hard triplet loss on the feature before BN."""

    gamma: float = 64.0
    """Scale of the circle loss; 128 with margin 0.25 is the circle paper's own."""
    circle_margin: float = 0.35
    """Margin m of the circle loss."""
    center_weight: float = 0.005
    """Weight beta of the centre loss, ten times that of Bag of Tricks."""

    auto_augment: float = 0.1
    """Probability of a random ImageNet AutoAugment policy per picture."""
    betas: tuple[float, float] = (0.9, 0.9)
    """Adam's betas as printed; the usual ones are 0.9 and 0.999."""


def small_cpu() -> FusedLoss:
    """A small network that trains from scratch on two CPU cores."""
    return small(FusedLoss(betas=(0.9, 0.999)))


class FusedLossMethod(BaselineMethod[FusedLoss]):
    """Losses and optimisers of the recipe."""

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Identity loss in the form chosen, and triplet loss as switched."""
        terms: dict[str, Tensor] = {self.config.identity_loss: self.identity(head, number, labels)}
        if self.config.triplet_loss:
            terms["triplet"] = triplet(
                gather(head.before_bn), gather(labels), margin=self.config.margin
            )
        return terms

    def identity(self, head: TrainOutput, number: int, labels: Tensor) -> Tensor:
        """Circle loss of classes or pairs, or cross entropy, of labels (B,)."""
        config = self.config
        if config.identity_loss == "softmax":
            return cross_entropy(head.logits, labels, smoothing=config.smoothing)
        if config.identity_loss == "pair_circle":
            return pair_circle(
                gather(head.after_bn),
                gather(labels),
                gamma=config.gamma,
                margin=config.circle_margin,
            )
        return circle(
            cosines(classifier_weights(self.network)[number], head.after_bn),
            labels,
            gamma=config.gamma,
            margin=config.circle_margin,
            smoothing=config.smoothing,
        )

    def network_optimiser(self) -> ScheduledOptimiser:
        """Adam with the betas of the options."""
        return supervised.adam(self.network, self.config, self.config.betas)


def cosines(weights: Tensor, features: Tensor) -> Tensor:
    """Cosines (B, C) of features (B, D) with a classifier's weights (C, D), in full precision."""
    unit = F.normalize(features.float(), dim=1)
    return unit @ F.normalize(weights.float(), dim=1).T


def augmentation(config: FusedLoss) -> Augment:
    """AutoAugment first, then as every recipe."""
    return replace(options.augmentation(config), auto_augment=config.auto_augment)


RECIPE = Recipe(
    name="fused-loss",
    network=new_network,
    method=FusedLossMethod,
    card=describe,
    augmentation=augmentation,
)


def run(config: FusedLoss, table: CropTable) -> Report:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run(RECIPE, config, table)
