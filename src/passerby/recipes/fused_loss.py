"""Fused loss: circle, triplet and centre loss on the Bag of Tricks network.

Circle loss of classes (Sun et al., CVPR 2020) replaces the identity loss of Bag of Tricks
(``bag_of_tricks.py``): cross entropy over weighted cosines between the feature behind the BNNeck
and the class weights. Triplet and centre loss take the feature before it. The three are added (the
fused-loss paper's equation 6). The paper does not print scale and margin of the circle loss, the
AutoAugment policy and its probability: the defaults here are published stable values. It prints
Adam's betas as 0.9 and 0.9, which are the defaults.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from passerby.data import CropTable
from passerby.losses import circle, cross_entropy, pair_circle, triplet
from passerby.metrics import Report
from passerby.models import TrainOutput, classifier_weights
from passerby.recipes import supervised
from passerby.recipes.bag_of_tricks import BagOfTricks, BagOfTricksMethod
from passerby.recipes.supervised import small
from passerby.train import gather


@dataclass(frozen=True, kw_only=True)
class FusedLoss(BagOfTricks):
    """Circle, triplet and centre loss, ResNet-50.

    Attributes:
        identity_loss: Circle loss of classes, circle loss of the batch's pairs, or cross entropy.
        gamma: Scale of the circle loss; 128 with margin 0.25 is the circle paper's own.
        circle_margin: Margin m of the circle loss.
        triplet_weight: Weight of the batch-hard triplet loss on the feature before BN; 0 for none.
    """

    out: Path = Path("runs/fused-loss")
    auto_augment: float = 0.1
    identity_loss: Literal["circle", "pair_circle", "softmax"] = "circle"
    gamma: float = 64.0
    circle_margin: float = 0.35
    triplet_weight: float = 1.0
    center_weight: float = 0.005
    betas: tuple[float, float] = (0.9, 0.9)


def small_cpu() -> FusedLoss:
    """The same with a small network from random weights, for CPUs."""
    return small(FusedLoss(betas=(0.9, 0.999)))


class FusedLossMethod(BagOfTricksMethod[FusedLoss]):
    """Bag of Tricks with a choice of identity losses, and the triplet loss as an option."""

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Losses of head ``number`` (from 0) for labels (B,)."""
        config = self.config
        terms: dict[str, Tensor] = {config.identity_loss: self.identity(head, number, labels)}
        if config.triplet_weight:
            metric = triplet(gather(head.before_bn), gather(labels), margin=config.margin)
            terms["triplet"] = config.triplet_weight * metric
        return terms

    def identity(self, head: TrainOutput, number: int, labels: Tensor) -> Tensor:
        """Circle loss of classes or pairs, or cross entropy, for labels (B,)."""
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


def cosines(weights: Tensor, features: Tensor) -> Tensor:
    """Cosines (B, C) of features (B, D) with a classifier's weights (C, D), in full precision."""
    unit = F.normalize(features.float(), dim=1)
    return unit @ F.normalize(weights.float(), dim=1).T


def run(config: FusedLoss, table: CropTable) -> Report | None:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run("fused-loss", FusedLossMethod, config, table)
