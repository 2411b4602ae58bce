"""A re-ID network: backbone, pooling, BNNeck, classifier."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Feature = Literal["after_bn", "before_bn"]


class TrainOutput(NamedTuple):
    """What a network gives to the losses.

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


class ReidNetwork(nn.Module):
    """Pictures to identity features.

    In training mode a call returns :class:`TrainOutput`; in evaluation mode it returns the test
    feature (B, D), not yet L2-normalised.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dimension: int,
        *,
        pooling: nn.Module,
        num_classes: int = 0,
        neck: bool = True,
        feature: Feature = "after_bn",
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, D, h, w).
            dimension: D, the channels of the backbone's map.
            pooling: (B, D, h, w) -> (B, D).
            num_classes: C training identities; 0 for a network without a classifier.
            neck: With BNNeck the classifier has no bias and weights from N(0, 0.001); without it,
                the standard baseline, it has a bias and PyTorch's own initialisation.
            feature: Which feature the test uses.
        """
        super().__init__()
        self.dimension = dimension
        self.feature: Feature = feature
        self.backbone = backbone
        self.pool = pooling
        self.bnneck: nn.Module = BNNeck(dimension) if neck else nn.Identity()
        self.classifier: nn.Linear | None = None
        if num_classes:
            self.classifier = nn.Linear(dimension, num_classes, bias=not neck)
            if neck:
                nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, images: Tensor) -> Tensor | TrainOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        before = self.pool(self.backbone(images))
        if not self.training and self.feature == "before_bn":
            return before
        after = self.bnneck(before)
        if not self.training:
            return after
        return TrainOutput(before, after, self._logits(after))

    def _logits(self, features: Tensor) -> Tensor:
        if self.classifier is None:
            return torch.empty(features.shape[0], 0, device=features.device, dtype=features.dtype)
        return self.classifier(features)
