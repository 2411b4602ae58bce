"""Multiple granularities: three branches, of which two also look at stripes.

Wang et al., Learning Discriminative Features with Multiple Granularities for Person
Re-Identification (MGN), ACM Multimedia 2018, on one trunk up to the first block of its stage 3.
"""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import HeadOptions, ReidNetwork
from passerby.models.parts import PartsOutput, make_heads, parts_output
from passerby.models.pooling import make_pooling
from passerby.models.resnet import ResNet
from passerby.models.structure import StructureReader

STRIPES = (1, 2, 3)  # of the three branches; all of them have a head for the whole map too
HEADS = len(STRIPES) + sum(count for count in STRIPES if count > 1)


@dataclass(frozen=True, kw_only=True)
class MgnStructure:
    """Options of the heads.

    Attributes:
        width: Dimension of each of the eight features.
        reduction: What follows the linear reduction: ``"linear"`` nothing (fast-reid from 1.0 on),
            ``"relu"`` batch normalisation and ReLU (the paper, fast-reid 0.1), ``"leaky"`` batch
            normalisation and a ReLU that lets a tenth of the negatives through.
    """

    width: int = 256
    reduction: Literal["linear", "relu", "leaky"] = "linear"

    def __post_init__(self) -> None:
        """Check the width."""
        if not 1 <= self.width <= 4096:
            raise InputError(f"structure option 'width' {self.width} is not 1..4096")


class MgnNetwork(ReidNetwork):
    """A trunk, three branches, eight heads.

    Heads: the whole map of each branch, then two stripes of the second and three of the third.
    Each has its own pooling, reduction, BNNeck and classifier. In training mode a call returns
    :class:`PartsOutput`; the test feature is the concatenation (2048 with a width of 256).
    """

    def __init__(self, backbone: ResNet, options: HeadOptions, structure: MgnStructure) -> None:
        """Take what follows the first block of stage 3 into the branches, each a copy of it."""
        super().__init__()
        channels = backbone.dimension
        self.feature = options.feature
        self.classifier = None
        rest, last = nn.Sequential(*backbone.layer3[1:]), backbone.layer4
        self.branches = nn.ModuleList(
            nn.Sequential(copy.deepcopy(rest), _branch_end(last, stripes)) for stripes in STRIPES
        )
        backbone.layer3, backbone.layer4 = backbone.layer3[:1], nn.Sequential()
        self.backbone = backbone
        widths = [structure.width] * HEADS
        self.dimension = sum(widths)
        self.pools = nn.ModuleList(make_pooling(options.pooling) for _ in widths)
        self.reductions = nn.ModuleList(
            _reduction(channels, width, structure.reduction) for width in widths
        )
        self.bnnecks, self.classifiers = make_heads(widths, options)

    def forward(self, images: Tensor) -> Tensor | PartsOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        shared = self.backbone(images)
        maps = [branch(shared) for branch in self.branches]
        for number, stripes in enumerate(STRIPES):
            if stripes > 1:
                maps += torch.chunk(maps[number], stripes, dim=2)
        parts = zip(self.pools, self.reductions, maps, strict=True)
        before = [reduce(pool(one)) for pool, reduce, one in parts]
        if not self.training and self.feature == "before_bn":
            return torch.cat(before, dim=1)
        after = [neck(one) for neck, one in zip(self.bnnecks, before, strict=True)]
        if not self.training:
            return torch.cat(after, dim=1)
        return parts_output(before, after, self.classifiers)


def _branch_end(stage: nn.Module, stripes: int) -> nn.Module:
    """A copy of the last stage; that of a branch with stripes keeps its resolution."""
    copied = copy.deepcopy(stage)
    if stripes > 1:
        for module in copied.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
    return copied


def _reduction(channels: int, width: int, kind: str) -> nn.Sequential:
    linear = nn.Linear(channels, width, bias=False)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    if kind == "linear":
        return nn.Sequential(linear)
    return nn.Sequential(
        linear, nn.BatchNorm1d(width), nn.ReLU() if kind == "relu" else nn.LeakyReLU(0.1)
    )


def build_mgn(backbone: nn.Module, options: HeadOptions, reader: StructureReader) -> MgnNetwork:
    """The branches as the architecture's options say.

    Raises:
        InputError: If the backbone is no plain residual network.
    """
    if type(backbone) is not ResNet or backbone.non_local:
        raise InputError("mgn stands on a residual network without non-local blocks")
    return MgnNetwork(backbone, options, reader.take(MgnStructure))
