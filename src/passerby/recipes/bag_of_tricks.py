"""Bag of Tricks: the strong baseline, with its six tricks as options.

Luo et al., Bag of Tricks and A Strong Baseline for Deep Person Re-identification, CVPRW 2019. The
standard baseline is a ResNet-50 with a classifier and a batch-hard triplet loss on its pooled
feature. The tricks are warm-up, random erasing, label smoothing, last stride 1, BNNeck and centre
loss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from passerby.data import CropTable, PKSampler
from passerby.losses import CenterLoss, cross_entropy, triplet
from passerby.metrics import Report
from passerby.models import ModelCard, ReidNetwork, TrainOutput, heads
from passerby.models.structure import Value
from passerby.recipes import supervised
from passerby.recipes.supervised import CAMERAS, NetworkOptions, SupervisedMethod, small
from passerby.train import Batch, ScheduledOptimiser, gather


@dataclass(frozen=True, kw_only=True)
class BagOfTricks(NetworkOptions):
    """The paper's settings, ResNet-50.

    Attributes:
        last_stride: Trick 4: stride of the last stage; 1 keeps its resolution, 2 halves it.
        bnneck: Trick 5: batch normalisation between triplet and identity loss.
        pooling: How a map becomes a feature.
        non_local: Non-local blocks in a ResNet: none, three softmax blocks, or AGW's layout.
        parts: Horizontal stripes with heads of their own beside the global one; 0: the global one
            alone.
        part_width: Dimension of a stripe's feature; 0 keeps that of the backbone.
        smoothing: Trick 3: share of the other identities in the identity loss; 0 for none.
        margin: Margin of the triplet loss; none: soft margin.
        center_weight: Trick 6: weight of the centre loss; 0 for none.
        center_learning_rate: Learning rate of the centres.
        betas: Adam's betas.
    """

    out: Path = Path("runs/bag-of-tricks")

    # batches of P x K pictures
    identities: int = 16
    images: int = 4

    # augmentation: flip, pad and crop, normalise, erase (trick 2)
    flip: float = 0.5
    padding: int = 10
    erasing: float = 0.5

    # network
    backbone: str = "resnet50"
    size: tuple[int, int] = (256, 128)
    last_stride: Literal[1, 2] = 1
    bnneck: bool = True
    pooling: Literal["average", "gem"] = "average"
    non_local: Literal["none", "default", "agw"] = "none"
    parts: int = 0
    part_width: int = 256

    # losses
    smoothing: float = 0.1
    margin: float | None = 0.3
    center_weight: float = 0.0005
    center_learning_rate: float = 0.5

    # Adam; linear warm-up (trick 1), then a tenth after each milestone
    epochs: int = 120
    learning_rate: float = 3.5e-4
    weight_decay: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 10
    milestones: tuple[int, ...] = (40, 70)
    decay: float = 0.1

    # test: the cosine of the features behind the BNNeck
    feature: Literal["after_bn", "before_bn"] = "after_bn"


def from_scratch() -> BagOfTricks:
    """ResNet-50 from random weights: a longer warm-up, a cosine, colour changes."""
    return BagOfTricks(warmup=15, schedule="cosine", colour=CAMERAS)


def small_cpu() -> BagOfTricks:
    """A small network from random weights, for CPUs.

    The epochs suit a set of the size of simcity-s (about 70 steps each). A set ten times as large
    needs about as many steps, not as many epochs.
    """
    return small(BagOfTricks())


Options = TypeVar("Options", bound=BagOfTricks)


class BagOfTricksMethod(SupervisedMethod[Options], Generic[Options]):
    """Sampler, network, losses and optimisers of the recipe.

    Each head of the network has its own losses; a loss is the mean over the heads, so that rates
    and weights keep their meaning. The centre loss (Wen et al., ECCV 2016) takes the whole feature.
    """

    network: ReidNetwork

    def __init__(self, config: Options, labels: Tensor) -> None:
        """Make sampler, network and centres for the identities in ``labels`` (N,)."""
        super().__init__(config, labels)
        self.sampler = PKSampler(
            labels=labels.numpy(),
            identities=config.identities,
            images=config.images,
            seed=config.seed,
        )
        classes = int(labels.max()) + 1
        self.network, self.card = new_network(config, classes)
        self.center: CenterLoss | None = None
        if config.center_weight:
            self.center = CenterLoss(classes, self.network.dimension)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Identity and triplet loss of each head, averaged, and the weighted centre loss."""
        outputs = heads(self.network(batch.images))
        labels = self.labels[batch.indices]
        each = [self.head_losses(head, number, labels) for number, head in enumerate(outputs)]
        terms = {name: torch.stack([one[name] for one in each]).mean() for name in each[0]}
        return terms | self.center_loss(before_bn(outputs), labels)

    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """Losses of head ``number`` (from 0) for labels (B,): identity, and triplet before BN."""
        config = self.config
        return {
            "identity": cross_entropy(head.logits, labels, smoothing=config.smoothing),
            "triplet": triplet(gather(head.before_bn), gather(labels), margin=config.margin),
        }

    def center_loss(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The weighted centre loss of features (B, D) before BN; no term without centres."""
        if self.center is None:
            return {}
        return {"center": self.config.center_weight * self.center(features, labels)}

    def warning(self, means: Mapping[str, float]) -> str | None:
        """Say that the network has collapsed: it gives every picture the same feature.

        Then the triplet loss is the loss of equal distances, its margin (ln 2 without one), and the
        identity loss that of a uniform guess among C classes, ln C.
        """
        margin = math.log(2.0) if self.config.margin is None else self.config.margin
        classes = int(self.labels.max()) + 1
        uniform = means.get("identity", 0.0) > 0.98 * math.log(classes)
        if not uniform or abs(means.get("triplet", math.inf) - margin) > 0.01 * margin:
            return None
        return (
            f"the network gives every picture nearly the same feature (triplet loss at its margin "
            f"{margin:.2f}, identity loss at ln {classes}): a lower --learning-rate, a longer "
            "--warmup, --gradient-clip or other --weights may help"
        )

    def optimisers(self) -> list[ScheduledOptimiser]:
        """Adam for the network; plain SGD at a constant rate for the centres."""
        optimisers = [supervised.adam(self.network, self.config, self.config.betas)]
        if self.center is not None:
            sgd = torch.optim.SGD(self.center.parameters(), lr=self.config.center_learning_rate)
            optimisers.append(ScheduledOptimiser(sgd))
        return optimisers

    def before_step(self) -> None:
        """Divide the centres' gradient by the weight of their loss, as the authors' code does."""
        if self.center is not None:
            self.center.rescale_gradients(self.config.center_weight)


def before_bn(outputs: tuple[TrainOutput, ...]) -> Tensor:
    """Concatenate the features before BN of all heads to (B, D)."""
    return torch.cat([head.before_bn for head in outputs], dim=1)


def new_network(config: BagOfTricks, classes: int) -> tuple[ReidNetwork, ModelCard]:
    """The network with a classifier for ``classes`` identities, and its card."""
    structure: dict[str, Value] = {}
    if config.non_local != "none":
        structure["non_local"] = config.non_local
    if config.parts:
        structure |= {"stripes": config.parts, "width": config.part_width}
    return supervised.build_network(
        config,
        f"parts:{config.backbone}" if config.parts else config.backbone,
        structure=structure,
        num_classes=classes,
        last_stride=config.last_stride,
        pooling=config.pooling,
        neck=config.bnneck,
    )


def run(config: BagOfTricks, table: CropTable) -> Report | None:
    """Train and test, see :func:`passerby.recipes.supervised.run`."""
    return supervised.run("bag-of-tricks", BagOfTricksMethod, config, table)
