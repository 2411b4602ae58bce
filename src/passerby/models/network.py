"""A re-ID network: backbone, pooling, BNNeck, classifier."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from passerby.models.pooling import make_pooling

Feature = Literal["after_bn", "before_bn"]


class TrainOutput(NamedTuple):
    """What a network, or one head of it, gives to the losses.

    Attributes:
        before_bn: (B, D) pooled feature f_t; metric losses (triplet, centre) take it.
        after_bn: (B, D) feature f_i behind the BNNeck; equals ``before_bn`` without a neck.
        logits: (B, C) class scores; (B, 0) when the network has no classifier.
    """

    before_bn: Tensor
    after_bn: Tensor
    logits: Tensor


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation between the metric losses and the identity loss, its bias frozen at 0.

    Luo et al., Bag of Tricks, CVPRW 2019, section 3.5: without a bias the classifier's hyperplanes
    pass through the origin, so that the identity loss shapes angles and the cosine suits the test.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.bias.requires_grad_(False)


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """What follows the backbone.

    Attributes:
        num_classes: C training identities; 0 for a network without a classifier.
        pooling: ``"average"``, ``"gem"`` or ``"gem-fixed"``.
        neck: With BNNeck the classifier has no bias and weights from N(0, 0.001); without it, the
            standard baseline, it has a bias and PyTorch's own initialisation.
        feature: Which feature the test uses.
    """

    num_classes: int = 0
    pooling: str = "average"
    neck: bool = True
    feature: Feature = "after_bn"


class ReidNetwork(nn.Module):
    """Pictures to identity features; the base of all networks here.

    In training mode a call returns a named tuple of what the losses need, in evaluation mode the
    test feature (B, ``dimension``), not yet L2-normalised.
    """

    dimension: int
    """D, the length of the test feature."""
    feature: Feature
    """Which feature the test uses."""
    backbone: nn.Module
    """(B, 3, H, W) -> (B, channels, h, w)."""
    classifier: nn.Linear | None
    """The identity classifier of a network with one head; None without one or with several."""


class GlobalNetwork(ReidNetwork):
    """One feature of the whole picture: backbone, pooling, BNNeck, classifier.

    In training mode a call returns :class:`TrainOutput`.
    """

    def __init__(self, backbone: nn.Module, dimension: int, options: HeadOptions) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, D, h, w).
            dimension: D, the channels of the backbone's map.
            options: Pooling, neck, classifier, test feature.
        """
        super().__init__()
        self.dimension = dimension
        self.feature = options.feature
        self.backbone = backbone
        self.pool = make_pooling(options.pooling)
        self.bnneck = make_neck(dimension, options.neck)
        self.classifier = make_classifier(dimension, options)

    def forward(self, images: Tensor) -> Tensor | TrainOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        before = self.pool(self.backbone(images))
        if not self.training and self.feature == "before_bn":
            return before
        after = self.bnneck(before)
        if not self.training:
            return after
        return TrainOutput(before, after, classify(self.classifier, after))


def make_neck(dimension: int, neck: bool) -> nn.Module:
    """A BNNeck, or nothing."""
    return BNNeck(dimension) if neck else nn.Identity()


def make_classifier(dimension: int, options: HeadOptions) -> nn.Linear | None:
    """The identity classifier as :class:`HeadOptions` says."""
    if not options.num_classes:
        return None
    classifier = nn.Linear(dimension, options.num_classes, bias=not options.neck)
    if options.neck:
        nn.init.normal_(classifier.weight, std=0.001)
    return classifier


def classify(classifier: nn.Module | None, features: Tensor) -> Tensor:
    """Class scores (B, C) of features (B, D); (B, 0) without a classifier."""
    if classifier is None:
        return torch.empty(features.shape[0], 0, device=features.device, dtype=features.dtype)
    scores: Tensor = classifier(features)
    return scores
