"""Bag of Tricks: the strong baseline, each of its six tricks a switch.

Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019.
The standard baseline is a ResNet-50 with a classifier and a batch-hard triplet loss on its pooled
feature; the tricks are warm-up, random erasing, label smoothing, last stride 1, BNNeck and centre
loss. The defaults are the paper's; :func:`small_cpu` and :func:`from_scratch` change them.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from passerby.data import CropTable
from passerby.losses import cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import TrainOutput
from passerby.recipes import supervised
from passerby.recipes.baseline import BaselineMethod, BaselineOptions, describe, new_network
from passerby.recipes.options import CAMERAS, small
from passerby.recipes.supervised import Recipe
from passerby.train import ScheduledOptimiser, gather


@dataclass(frozen=True, kw_only=True)
class BagOfTricks(BaselineOptions):
    """Options of a run."""

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
    return small(BagOfTricks())


class BagOfTricksMethod(BaselineMethod[BagOfTricks]):
    """Losses and optimisers of the recipe."""

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Identity and triplet loss; the latter takes the feature before BN."""
        config = self.config
        smoothing = config.smoothing if config.label_smoothing else 0.0
        return {
            "identity": cross_entropy(head.logits, labels, smoothing=smoothing),
            "triplet": triplet(gather(head.before_bn), gather(labels), margin=config.margin),
        }

    def network_optimiser(self) -> ScheduledOptimiser:
        """Adam, without the warm-up when trick 1 is off."""
        config = self.config if self.config.warmup else replace(self.config, warmup_epochs=0)
        return supervised.adam(self.network, config)


RECIPE = Recipe(name="bag-of-tricks", network=new_network, method=BagOfTricksMethod, card=describe)


def run(config: BagOfTricks, table: CropTable) -> Report:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run(RECIPE, config, table)
