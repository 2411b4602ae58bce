"""A global head and heads for horizontal stripes, on any backbone.

Stripes after Sun et al., Beyond Part Models (PCB), ECCV 2018; here every head has a BNNeck and
goes into every loss, as the global one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import (
    HeadOptions,
    ReidNetwork,
    TrainOutput,
    classify,
    make_classifier,
    make_neck,
)
from passerby.models.pooling import make_pooling
from passerby.models.stripes import stripes
from passerby.models.structure import StructureReader


@dataclass(frozen=True, kw_only=True)
class PartsStructure:
    """Options of the stripes.

    Attributes:
        stripes: Number of stripes; PCB has 6 on maps of 24 rows.
        width: Dimension of a stripe's feature; 0 keeps that of the backbone.
    """

    stripes: int = 4
    width: int = 256

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.stripes <= 64:
            raise InputError(f"structure option 'stripes' {self.stripes} is not 1..64")
        if not 0 <= self.width <= 4096:
            raise InputError(f"structure option 'width' {self.width} is not 0..4096")


class PartsOutput(NamedTuple):
    """What the heads give to the losses.

    Attributes:
        heads: The global head first, then the stripes from top to bottom.
    """

    heads: tuple[TrainOutput, ...]


class PartsNetwork(ReidNetwork):
    """Backbone, a global head, and a head for each stripe.

    A stripe is pooled, reduced to ``width`` by a linear map of its own, and goes through a BNNeck
    and a classifier of its own. In training mode a call returns :class:`PartsOutput`; the test
    feature is the concatenation of all heads' features.
    """

    def __init__(
        self, backbone: nn.Module, channels: int, options: HeadOptions, structure: PartsStructure
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, ``channels``, h, w), h at least the number of stripes.
            channels: Channels of the backbone's map.
            options: Pooling, necks, classifiers and test feature, the same for every head.
            structure: Number and width of the stripes.
        """
        super().__init__()
        self.feature = options.feature
        self.backbone = backbone
        self.classifier = None
        self.pool = make_pooling(options.pooling)
        width = structure.width or channels
        widths = [channels] + [width] * structure.stripes
        self.dimension = sum(widths)
        self.reductions = nn.ModuleList(
            _reduction(channels, structure.width) for _ in range(structure.stripes)
        )
        self.bnnecks, self.classifiers = make_heads(widths, options)

    def forward(self, images: Tensor) -> Tensor | PartsOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        features = self.backbone(images)
        parts = stripes(features, len(self.reductions))
        reduced = zip(self.reductions, parts, strict=True)
        before = [self.pool(features), *(reduce(self.pool(part)) for reduce, part in reduced)]
        if not self.training and self.feature == "before_bn":
            return torch.cat(before, dim=1)
        after = [neck(one) for neck, one in zip(self.bnnecks, before, strict=True)]
        if not self.training:
            return torch.cat(after, dim=1)
        return parts_output(before, after, self.classifiers)


def make_heads(widths: Sequence[int], options: HeadOptions) -> tuple[nn.ModuleList, nn.ModuleList]:
    """A BNNeck for each feature, and a classifier for each or none at all."""
    necks = nn.ModuleList(make_neck(width, options.neck) for width in widths)
    made = [make_classifier(width, options) for width in widths]
    return necks, nn.ModuleList(one for one in made if one is not None)


def parts_output(
    before: Sequence[Tensor], after: Sequence[Tensor], classifiers: nn.ModuleList
) -> PartsOutput:
    """What heads with these features and classifiers (all or none) give to the losses."""
    used: list[nn.Module | None] = [*classifiers] or [None] * len(after)
    heads = zip(before, after, used, strict=True)
    return PartsOutput(
        tuple(TrainOutput(f, g, classify(classifier, g)) for f, g, classifier in heads)
    )


def _reduction(channels: int, width: int) -> nn.Module:
    if not width:
        return nn.Identity()
    linear = nn.Linear(channels, width, bias=False)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")
    return linear


def build_parts(backbone: nn.Module, options: HeadOptions, reader: StructureReader) -> PartsNetwork:
    """The heads as the architecture's options say."""
    channels = int(backbone.dimension)  # type: ignore[arg-type]
    return PartsNetwork(backbone, channels, options, reader.take(PartsStructure))
