"""Pyramid: a branch for every run of neighbouring stripes, from one stripe to the whole map.

Zheng et al., Pyramidal Person Re-IDentification via Multi-Loss Dynamic Training, CVPR 2019.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.network import HeadOptions, ReidNetwork, TrainOutput, channels_of
from passerby.models.stripes import stripe_pools
from passerby.models.structure import check_probability, check_range


@dataclass(frozen=True, kw_only=True)
class PyramidStructure:
    """Options of the pyramid.

    Attributes:
        stripes: n, the number of stripes. Level l of 1..n has the n - l + 1 runs of l stripes.
        levels: The levels that are used, fine to coarse, a 0 or 1 for each. ``"100000"`` is the six
            single stripes, ``"000001"`` the whole map, and an empty text all levels.
        width: Dimension of a branch's feature.
        dropout: Probability with which a classifier's input is dropped in training.
    """

    stripes: int = 6
    levels: str = ""
    width: int = 128
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check the ranges and the mask."""
        check_range(self, stripes=(1, 24), width=(1, 4096))
        check_probability(self, "dropout")
        mask = self.levels
        if mask and (len(mask) != self.stripes or set(mask) - {"0", "1"} or "1" not in mask):
            raise InputError(
                f"structure option 'levels' '{mask}' is not {self.stripes} digits 0 or 1 with at "
                "least one 1"
            )

    def used_levels(self) -> tuple[int, ...]:
        """List the lengths of the runs, in stripes, fine to coarse."""
        mask = self.levels or "1" * self.stripes
        return tuple(level for level, digit in enumerate(mask, start=1) if digit == "1")

    def branches(self) -> int:
        """Count the branches: n (n + 1) / 2 with all levels."""
        return sum(self.stripes - level + 1 for level in self.used_levels())


class PyramidOutput(NamedTuple):
    """What the branches give to the losses, fine to coarse and top to bottom.

    Attributes:
        features: (B, branches, width). A triplet loss takes them one by one or concatenated.
        logits: (branches, B, C) class scores; (branches, B, 0) without classifiers.
    """

    features: Tensor
    logits: Tensor

    @property
    def heads(self) -> tuple[TrainOutput, ...]:
        """One head for each branch; its feature has no form before normalisation."""
        pairs = zip(self.features.unbind(1), self.logits.unbind(0), strict=True)
        return tuple(TrainOutput(one, one, logits) for one, logits in pairs)


class BranchLinear(nn.Module):
    """A linear map for each branch in one product, (branches, B, D) -> (branches, B, E)."""

    def __init__(self, branches: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(branches, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(branches, outputs))
        bound = 1 / math.sqrt(inputs)  # as in PyTorch's nn.Linear
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, features: Tensor) -> Tensor:
        """Multiply and add."""
        return torch.baddbmm(self.bias[:, None], features, self.weight.transpose(1, 2))


class PyramidNetwork(ReidNetwork):
    """Backbone and the pyramid's branches, none of which shares weights with another.

    A branch pools its run of stripes (average plus maximum). A 1x1 convolution with normalisation
    and ReLU, dropout and a classifier follow. All branches are computed together: the stripes are
    pooled once, and the runs are made of the pooled stripes. The convolutions see one position
    each, so that they and the classifiers are batched matrix products. In training mode a call
    returns :class:`PyramidOutput`; the test feature is the concatenation of the branches.

    Where the stripes do not divide the map's rows, a run's average is the mean over its stripes.
    """

    def __init__(
        self, backbone: nn.Module, options: HeadOptions, structure: PyramidStructure
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, D, h, w); h is at least the number of stripes.
            options: Only its ``num_classes`` may differ from the default.
            structure: Stripes, levels, width, dropout.

        Raises:
            InputError: Another option than ``num_classes`` is set.
        """
        if options != HeadOptions(num_classes=options.num_classes):
            raise InputError(
                "a pyramid has its own pooling and normalisation; leave pooling at 'average', the "
                "neck on and the feature at 'after_bn'"
            )
        super().__init__()
        channels, num_classes = channels_of(backbone), options.num_classes
        branches = structure.branches()
        self.structure = structure
        self.feature = "after_bn"
        self.dimension = branches * structure.width
        self.backbone = backbone
        self.classifier = None
        self.embed = BranchLinear(branches, channels, structure.width)
        self.norm = nn.BatchNorm1d(self.dimension)
        self.classifiers: BranchLinear | None = None
        if num_classes:
            self.classifiers = BranchLinear(branches, structure.width, num_classes)
            nn.init.normal_(self.classifiers.weight, std=0.001)
            nn.init.zeros_(self.classifiers.bias)

    def forward(self, images: Tensor) -> Tensor | PyramidOutput:
        """Compute features of normalised pictures (B, 3, H, W)."""
        embedded = self.embed(self.pool(self.backbone(images)))
        # one normalisation over branches x width channels is one for each branch
        features = F.relu(self.norm(embedded.transpose(0, 1).flatten(1)))
        if not self.training:
            return features
        features = features.unflatten(1, (-1, self.structure.width))
        return PyramidOutput(features, self._logits(features.transpose(0, 1)))

    def pool(self, features: Tensor) -> Tensor:
        """Add the average and the maximum of every run, (B, D, h, w) -> (branches, B, D)."""
        means, maxima = stripe_pools(features, self.structure.stripes)
        runs = [
            F.avg_pool1d(means, level, 1) + F.max_pool1d(maxima, level, 1)
            for level in self.structure.used_levels()
        ]
        return torch.cat(runs, dim=2).permute(2, 0, 1)

    def _logits(self, features: Tensor) -> Tensor:
        if self.classifiers is None:
            return features.new_empty(*features.shape[:2], 0)
        dropped = F.dropout(features, self.structure.dropout, self.training)
        logits: Tensor = self.classifiers(dropped)
        return logits
