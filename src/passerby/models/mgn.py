"""Multiple granularities: three branches, two of which also have heads for stripes.

Wang et al., Learning Discriminative Features with Multiple Granularities for Person
Re-Identification (MGN), ACM Multimedia 2018. The branches share one trunk, which ends after the
first block of stage 3.
"""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import HeadOptions, SeveralHeads, make_pooling
from passerby.models.resnet import ResNet
from passerby.models.structure import check_range

STRIPES = (1, 2, 3)  # of the three branches; each branch also has a head for the whole map
HEADS = len(STRIPES) + sum(count for count in STRIPES if count > 1)


@dataclass(frozen=True, kw_only=True)
class MgnStructure:
    """Options of the heads.

    Attributes:
        width: Dimension of each of the eight features.
        reduction: What follows the linear reduction. ``"linear"``: nothing (fast-reid from 1.0
            on). ``"relu"``: batch normalisation and ReLU (the paper, fast-reid 0.1). ``"leaky"``:
            batch normalisation and a leaky ReLU of slope 0.1.
    """

    width: int = 256
    reduction: Literal["linear", "relu", "leaky"] = "linear"

    def __post_init__(self) -> None:
        """Check the width."""
        check_range(self, width=(1, 4096))


class MgnNetwork(SeveralHeads):
    """A trunk, three branches, eight heads.

    Heads: the whole map of each branch, then two stripes of the second branch and three of the
    third. Each head has its own pooling, reduction, BNNeck and classifier. The test feature has
    2048 dimensions with a width of 256.
    """

    def __init__(self, backbone: nn.Module, options: HeadOptions, structure: MgnStructure) -> None:
        """Move what follows the first block of stage 3 into the branches, one copy each.

        Raises:
            InputError: The backbone is not a plain residual network.
        """
        if type(backbone) is not ResNet or backbone.non_local:
            raise InputError("mgn stands on a residual network without non-local blocks")
        super().__init__()
        rest, last = nn.Sequential(*backbone.layer3[1:]), backbone.layer4
        self.branches = nn.ModuleList(
            nn.Sequential(copy.deepcopy(rest), _branch_end(last, stripes)) for stripes in STRIPES
        )
        backbone.layer3, backbone.layer4 = backbone.layer3[:1], nn.Sequential()
        self.backbone = backbone
        widths = [structure.width] * HEADS
        self.pools = nn.ModuleList(make_pooling(options.pooling) for _ in widths)
        self.reductions = nn.ModuleList(
            _reduction(backbone.dimension, width, structure.reduction) for width in widths
        )
        self.add_heads(widths, options)

    def head_features(self, images: Tensor) -> list[Tensor]:
        """Compute the pooled and reduced maps: three whole ones, then two and three stripes."""
        shared = self.backbone(images)
        maps = [branch(shared) for branch in self.branches]
        for number, stripes in enumerate(STRIPES):
            if stripes > 1:
                maps += torch.chunk(maps[number], stripes, dim=2)
        parts = zip(self.pools, self.reductions, maps, strict=True)
        return [reduce(pool(one)) for pool, reduce, one in parts]


def _branch_end(stage: nn.Module, stripes: int) -> nn.Module:
    """Copy the last stage; in a branch with stripes the copy keeps the resolution."""
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
