"""The supervised feature pyramid network: a global head and a branch with three stripes.

Zhang et al., FPB: Feature Pyramid Branch for Person Re-Identification, arXiv 2108.01901, as in its
authors' code. There is attention after stage 2 and within the pyramid. The attention is that of
positions and of channels (PC), after Fu et al., Dual Attention Network, CVPR 2019. The test feature
has 2048 dimensions from stage 4 and three times 1024 from the branch. :mod:`passerby.models.fpb` is
the branch fused into one feature.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.fpb import FpbStructure, Neck, point
from passerby.models.network import HeadOptions, ReidNetwork, TrainOutput, classify
from passerby.models.resnet import ResNet, initialise
from passerby.models.stripes import stripe_pools

WIDTH, PART, STRIPES, REDUCED = 256, 1024, 3, 256
DROPOUT = 0.2


class PositionAttention(nn.Module):
    """``x + BN(gamma softmax(Q K^T) V)`` over positions, (B, D, H, W) -> (B, D, H, W).

    It starts as the identity, as gamma starts at zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add; training drops a fifth of the attention and of the result."""
        parts = (self.query(features), self.key(features), self.value(features))
        query, key, value = (part.flatten(2).transpose(1, 2) for part in parts)
        dropout = DROPOUT if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, scale=1.0)
        # contiguous: for one picture whose batch stride does not fit its layout, the gradient of
        # BatchNorm2d in evaluation is wrong (PyTorch 2.15, CPU)
        mixed = mixed.transpose(1, 2).unflatten(2, features.shape[2:]).contiguous()
        return features + F.dropout(self.norm(self.gamma * mixed), dropout, self.training)


class ChannelAttention(nn.Module):
    """``x + BN(gamma softmax(max - X X^T) X)`` over channels, (B, D, H, W) -> (B, D, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add; a channel attends most to the channels least like it."""
        rows = features.flatten(2)
        # softmax(max - e) equals softmax(-e), as softmax ignores a common summand. The sign is
        # applied to the rows because OpenVINO (2026.4) loses the sign of a negated product.
        mixed = F.softmax((-rows) @ rows.transpose(1, 2), dim=2) @ rows
        attended: Tensor = self.norm(self.gamma * mixed.view_as(features))
        return features + attended


class PcAttention(nn.Sequential):
    """Position attention, then channel attention."""

    def __init__(self, channels: int) -> None:
        super().__init__(PositionAttention(channels), ChannelAttention(channels))


class OriginalFpbOutput(NamedTuple):
    """What the network gives to the losses in training.

    Attributes:
        heads: The global head, then three stripes from top to bottom. ``before_bn`` of a stripe is
            its pooled 1024 channels, ``after_bn`` the 256 inputs of its classifier. The triplet
            loss takes all ``before_bn``, each divided by its length, concatenated.
        merged: (B, 512, h w) maps within the pyramid, for the penalty on orthogonality.
    """

    heads: tuple[TrainOutput, ...]
    merged: Tensor


class OriginalFpbNetwork(ReidNetwork):
    """Trunk with attention after stage 2, global head, branch with stripes.

    The test feature (B, 5120 with ResNet-50) has four parts of length 1 each: the global feature
    after its normalisation, and the three stripes. In training mode a call returns
    :class:`OriginalFpbOutput`.
    """

    def __init__(self, trunk: nn.Module, options: HeadOptions) -> None:
        """Put the parts together.

        Args:
            trunk: A residual network of last stride 1.
            options: Only its ``num_classes`` may differ from the default; 0: no classifiers.

        Raises:
            InputError: The trunk is another network, or another option is set.
        """
        if options != HeadOptions(num_classes=options.num_classes):
            raise InputError(
                "fpb-original has its own pooling and normalisation; leave pooling at 'average', "
                "the neck on and the feature at 'after_bn'"
            )
        if type(trunk) is not ResNet or trunk.last_stride != 1:
            raise InputError("fpb-original stands on a residual network with a last stride of 1")
        super().__init__()
        num_classes = options.num_classes
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
        """Compute features of normalised pictures (B, 3, H, W)."""
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
    """Make one reduction for all stripes (a 1x1 convolution there) and a classifier for each."""
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
