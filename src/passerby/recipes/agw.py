"""AGW: non-local attention, generalised-mean pooling and a weighted triplet loss.

Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021. AGW is Bag
of Tricks (``bag_of_tricks.py``) with three changes: non-local blocks in the second and third stage,
GeM pooling with a learnt exponent, and the weighted regularised triplet loss in place of the
batch-hard one.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from passerby.data import CropTable
from passerby.losses import cross_entropy, weighted_triplet
from passerby.metrics import Report
from passerby.models import TrainOutput
from passerby.recipes import supervised
from passerby.recipes.bag_of_tricks import BagOfTricks, BagOfTricksMethod
from passerby.recipes.supervised import small
from passerby.train import gather


@dataclass(frozen=True, kw_only=True)
class Agw(BagOfTricks):
    """Non-local blocks, GeM and the weighted triplet loss, ResNet-50.

    Attributes:
        margin: Has no effect: the weighted triplet loss has no margin.
        legacy: Compute the weighted triplet loss by the arithmetic of the authors' code, which made
            the published figures; its weights vanish at large distances. Off: the printed formula.
    """

    out: Path = Path("runs/agw")
    pooling: Literal["average", "gem"] = "gem"
    non_local: Literal["none", "default", "agw"] = "agw"
    legacy: bool = True


def small_cpu() -> Agw:
    """The same with a small network from random weights, for CPUs."""
    return small(Agw())


class AgwMethod(BagOfTricksMethod[Agw]):
    """Bag of Tricks with the weighted triplet loss."""

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Losses of one head for labels (B,): identity, and weighted triplet before BN."""
        config = self.config
        features, all_labels = gather(head.before_bn), gather(labels)
        return {
            "identity": cross_entropy(head.logits, labels, smoothing=config.smoothing),
            "triplet": weighted_triplet(features, all_labels, legacy=config.legacy),
        }


def run(config: Agw, table: CropTable) -> Report | None:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run("agw", AgwMethod, config, table)
