"""The supervised feature pyramid network: a global head and a branch with three stripes.

Zhang et al., FPB: Feature Pyramid Branch for Person Re-Identification, arXiv 2108.01901, as its
authors' code has it: attention after stage 2 and within the pyramid, and a test feature of 2048
dimensions from stage 4 and three times 1024 from the branch. For the branch fused into one feature
see :mod:`passerby.models.fpb`.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.fpb import FpbStructure, Neck, point
from passerby.models.network import HeadOptions, ReidNetwork, TrainOutput, classify
from passerby.models.pc_attention import PcAttention
from passerby.models.resnet import ResNet, initialise
from passerby.models.stripes import stripe_pools
from passerby.models.structure import StructureReader

WIDTH, PART, STRIPES, REDUCED = 256, 1024, 3, 256


class OriginalFpbOutput(NamedTuple):
    """What the network gives to the losses.

    Attributes:
        heads: The global head, then three stripes from top to bottom. ``before_bn`` of a stripe is
            its pooled 1024 channels, ``after_bn`` what its classifier takes (256). The triplet
            loss takes all ``before_bn``, each divided by its length, concatenated.
        merged: (B, 512, h w) maps within the pyramid that the penalty on orthogonality takes.
    """

    heads: tuple[TrainOutput, ...]
    merged: Tensor


class OriginalFpbNetwork(ReidNetwork):
    """Trunk with attention after stage 2, global head, branch with stripes.

    The test feature (B, 5120 with ResNet-50) has four parts of length 1 each: the global feature
    behind its normalisation, and the three stripes.
    """

    def __init__(self, trunk: ResNet, num_classes: int = 0) -> None:
        """Take a trunk of last stride 1; with ``num_classes`` 0 there are no classifiers."""
        super().__init__()
        channels = trunk.dimension
        self.feature = "after_bn"
        self.dimension = channels + STRIPES * PART
        self.backbone = trunk
        self.attention = PcAttention(trunk.channels[1])
        structure = FpbStructure(branch_width=WIDTH)
        self.neck = Neck((trunk.channels[1], trunk.channels[2]), structure)
        self.neck_attention = PcAttention(WIDTH)
        self.out = point(WIDTH, PART)
        initialise(self.out)
        self.norm = nn.BatchNorm1d(channels)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else None
        self.classifiers = _stripe_classifiers(num_classes) if num_classes else None

    def forward(self, images: Tensor) -> Tensor | OriginalFpbOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        trunk: ResNet = self.backbone  # type: ignore[assignment]
        stage2 = trunk.stage(1, trunk.stage(0, trunk.stem(images)))
        stage3 = trunk.stage(2, self.attention(stage2))
        pooled = trunk.stage(3, stage3).mean(dim=(2, 3))
        lateral2, lateral3 = self.neck.lateral2(stage2), self.neck.lateral3(stage3)
        attended = self.neck_attention(lateral2)
        branch = self.out(self.neck.merge(lateral2, attended, lateral3))
        stripes = stripe_pools(branch, STRIPES)[0].unbind(2)
        after = self.norm(pooled)
        if not self.training:
            return torch.cat([F.normalize(one, dim=1) for one in (after, *stripes)], dim=1)
        heads = [TrainOutput(pooled, after, classify(self.classifier, after))]
        heads += [self._stripe_head(index, one) for index, one in enumerate(stripes)]
        lowered = F.max_pool2d(attended, 2, ceil_mode=True)
        return OriginalFpbOutput(tuple(heads), torch.cat([lateral3, lowered], dim=1).flatten(2))

    def _stripe_head(self, index: int, pooled: Tensor) -> TrainOutput:
        if self.classifiers is None:
            return TrainOutput(pooled, pooled, classify(None, pooled))
        reduced = self.classifiers["reduce"](pooled)
        return TrainOutput(pooled, reduced, self.classifiers[str(index)](reduced))


def _stripe_classifiers(num_classes: int) -> nn.ModuleDict:
    """One reduction for all stripes (a 1x1 convolution of one position) and a classifier each."""
    linear = nn.Linear(PART, REDUCED, bias=False)
    nn.init.kaiming_normal_(linear.weight, mode="fan_out")
    made: dict[str, nn.Module] = {
        "reduce": nn.Sequential(linear, nn.BatchNorm1d(REDUCED), nn.ReLU())
    }
    for index in range(STRIPES):
        classifier = nn.Linear(REDUCED, num_classes)
        nn.init.normal_(classifier.weight, std=0.01)
        nn.init.zeros_(classifier.bias)
        made[str(index)] = classifier
    return nn.ModuleDict(made)


def build_original_fpb(
    backbone: nn.Module, options: HeadOptions, reader: StructureReader
) -> OriginalFpbNetwork:
    """The network on ``backbone``; it has no options of its own.

    Raises:
        InputError: If the backbone is no residual network of last stride 1, or an option of other
            heads is asked for.
    """
    if options != HeadOptions(num_classes=options.num_classes):
        raise InputError(
            "fpb-original has its own pooling and normalisation; leave pooling at 'average', the "
            "neck on and the feature at 'after_bn'"
        )
    if type(backbone) is not ResNet or backbone.last_stride != 1:
        raise InputError("fpb-original stands on a residual network with a last stride of 1")
    return OriginalFpbNetwork(backbone, options.num_classes)
