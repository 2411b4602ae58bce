"""The network of the Bag of Tricks family, its options, its heads and its centre loss."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor

from passerby.losses import CenterLoss
from passerby.models import ModelCard, ReidNetwork, TrainOutput, build, heads
from passerby.models.structure import plain_values
from passerby.recipes.options import RunOptions
from passerby.recipes.supervised import SupervisedMethod
from passerby.train import Batch, Sampler, ScheduledOptimiser

Options = TypeVar("Options", bound="BaselineOptions")


@dataclass(frozen=True, kw_only=True)
class BaselineOptions(RunOptions):
    """Options that Bag of Tricks and its descendants share."""

    last_stride_one: bool = True
    """The last stage keeps its resolution."""
    bnneck: bool = True
    """Batch normalisation between metric and identity loss."""
    pooling: Literal["average", "gem"] = "average"
    """How a map becomes a feature."""
    non_local: Literal["none", "default", "agw"] = "none"
    """Non-local blocks in a ResNet: none, three softmax blocks, or AGW's layout."""
    parts: int = 0
    """Horizontal stripes with heads of their own beside the global one; 0: the global one alone."""
    part_width: int = 256
    """Dimension of a stripe's feature; 0 keeps that of the backbone."""

    smoothing: float = 0.1
    """Share of the other identities in the identity loss; 0 for none."""
    margin: float | None = 0.3
    """Margin of the triplet loss; none: soft margin."""
    center_loss: bool = True
    """Features are drawn to their identity's centre."""
    center_weight: float = 0.0005
    """Weight of the centre loss; it does not slow the centres."""
    center_learning_rate: float = 0.5
    """Learning rate of the centres (SGD)."""


class BaselineMethod(SupervisedMethod[Options], Generic[Options]):
    """A method whose losses every head has, with a centre loss (Wen et al., ECCV 2016) beside them.

    Of a network with several heads each loss is the mean over them, so that rates and weights keep
    their meaning; the centres are those of the whole feature. The centres learn by plain SGD at a
    constant rate; the weight of the loss does not slow them.
    """

    network: ReidNetwork

    def __init__(
        self, config: Options, network: ReidNetwork, labels: Tensor, sampler: Sampler
    ) -> None:
        """Take a network with a classifier for the identities in ``labels`` (N,)."""
        super().__init__(config, network, labels, sampler)
        self.center: CenterLoss | None = None
        if config.center_loss:
            self.center = CenterLoss(self.classes, network.dimension)

    @abstractmethod
    def head_losses(self, head: TrainOutput, number: int, labels: Tensor) -> dict[str, Tensor]:
        """The losses of one head, counted from 0, for labels (B,) of this process's pictures."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each head's losses, averaged over the heads, and the centre loss before BN."""
        outputs = heads(self.network(batch.images))
        labels = self.labels[batch.indices]
        each = [self.head_losses(head, number, labels) for number, head in enumerate(outputs)]
        return average(each) | self.center_terms(whole(outputs), labels)

    def center_terms(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The weighted centre loss of features (B, D) before BN; nothing without centres."""
        if self.center is None:
            return {}
        return {"center": self.config.center_weight * self.center(features, labels)}

    def optimisers(self) -> list[ScheduledOptimiser]:
        """That of the network; SGD at a constant rate for the centres."""
        made = super().optimisers()
        if self.center is not None:
            sgd = torch.optim.SGD(self.center.parameters(), lr=self.config.center_learning_rate)
            made.append(ScheduledOptimiser(sgd))
        return made

    def before_step(self) -> None:
        """Take the loss's weight out of the centres' gradient (as the Bag of Tricks code does)."""
        if self.center is not None:
            self.center.rescale_gradients(self.config.center_weight)


def average(terms: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean over heads of each loss."""
    return {name: torch.stack([each[name] for each in terms]).mean() for name in terms[0]}


def whole(outputs: Sequence[TrainOutput]) -> Tensor:
    """The feature before BN (B, D) of all heads together."""
    return torch.cat([head.before_bn for head in outputs], dim=1)


def new_network(config: BaselineOptions, classes: int) -> ReidNetwork:
    """The network as switched, with a classifier for ``classes`` identities."""
    return build(
        architecture(config),
        num_classes=classes,
        last_stride=1 if config.last_stride_one else 2,
        pooling=config.pooling,
        neck=config.bnneck,
        feature=config.feature,
        input_size=config.size,
        structure=structure(config),
        weights=config.weights,
    )


def describe(config: BaselineOptions, network: ReidNetwork) -> ModelCard:
    """The card of the network, training and scores still open."""
    return ModelCard(
        architecture=architecture(config),
        dimension=network.dimension,
        input_size=config.size,
        feature=config.feature,
        last_stride=1 if config.last_stride_one else 2,
        pooling=config.pooling,
        neck=config.bnneck,
        structure=structure(config),
    )


def architecture(config: BaselineOptions) -> str:
    """The network's name: the backbone's, or that of stripes on it."""
    return f"parts:{config.backbone}" if config.parts else config.backbone


def structure(config: BaselineOptions) -> dict[str, int | float | str | bool]:
    """Options of the network beyond its name."""
    chosen = plain_values(config.structure)
    if config.non_local != "none":
        chosen["non_local"] = config.non_local
    if config.parts:
        chosen |= {"stripes": config.parts, "width": config.part_width}
    return chosen
