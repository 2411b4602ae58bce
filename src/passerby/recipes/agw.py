"""AGW: non-local attention, generalised-mean pooling and a weighted triplet loss.

Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021. The Bag of
Tricks baseline with non-local blocks in the second and third stage, GeM pooling with a learnt
exponent, and the weighted regularised triplet loss in place of the batch-hard one.
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
from passerby.recipes.baseline import BaselineMethod, BaselineOptions, describe, new_network
from passerby.recipes.options import small
from passerby.recipes.supervised import Recipe
from passerby.train import gather


@dataclass(frozen=True, kw_only=True)
class Agw(BaselineOptions):
    """Options of a run; the margin of the triplet loss plays no part."""

    out: Path = Path("runs/agw")
    """The run's folder; a killed run continues from there."""
    pooling: Literal["average", "gem"] = "gem"
    """How a map becomes a feature."""
    non_local: Literal["none", "default", "agw"] = "agw"
    """Non-local blocks in a ResNet: none, three softmax blocks, or AGW's layout."""
    legacy: bool = False
    """The weighted triplet loss in the arithmetic of the authors' code, for matching it."""


def small_cpu() -> Agw:
    """A small network that trains from scratch on two CPU cores."""
    return small(Agw())


class AgwMethod(BaselineMethod[Agw]):
    """Losses of the recipe."""

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Identity and weighted triplet loss; the latter takes the feature before BN."""
        config = self.config
        return {
            "identity": cross_entropy(head.logits, labels, smoothing=config.smoothing),
            "triplet": weighted_triplet(
                gather(head.before_bn), gather(labels), legacy=config.legacy
            ),
        }


RECIPE = Recipe(name="agw", network=new_network, method=AgwMethod, card=describe)


def run(config: Agw, table: CropTable) -> Report:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run(RECIPE, config, table)
