"""CLIP-ReID: a feature of CLIP's image tower beside its projection into the space of the texts.

Li et al., CLIP-ReID: Exploiting Vision-Language Model for Image Re-Identification without
Concrete Text Labels, AAAI 2023. The texts shape the training alone; nothing of them is here.
"""

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.clip_resnet import AttentionPool, ClipResNet
from passerby.models.network import HeadOptions, ReidNetwork
from passerby.models.parts import PartsOutput, make_heads, parts_output
from passerby.models.pooling import make_pooling
from passerby.models.structure import StructureReader
from passerby.models.vision_transformer import VisionTransformer


class TokenProjection(nn.Module):
    """CLIP's projection of the class token, (B, D, 1, 1) -> (B, projection)."""

    def __init__(self, channels: int, projection: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, projection, bias=False)
        nn.init.normal_(self.linear.weight, std=channels**-0.5)

    def forward(self, token: Tensor) -> Tensor:
        """Multiply."""
        projected: Tensor = self.linear(token.flatten(1))
        return projected


class ClipReidNetwork(ReidNetwork):
    """An image tower with two heads: the feature, and the projected feature.

    Both have a BNNeck and a classifier. In training mode a call returns :class:`PartsOutput` with
    the two; the test feature is their concatenation (1280 with ViT-B/16, 3072 with ResNet-50).
    """

    def __init__(
        self, backbone: nn.Module, projection: nn.Module, widths: list[int], options: HeadOptions
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, D, h, w).
            projection: (B, D, h, w) -> (B, P).
            widths: D and P.
            options: Pooling of the first head; necks, classifiers, test feature of both.
        """
        super().__init__()
        self.feature = options.feature
        self.backbone = backbone
        self.classifier = None
        self.pool = make_pooling(options.pooling)
        self.projection = projection
        self.dimension = sum(widths)
        self.bnnecks, self.classifiers = make_heads(widths, options)

    def forward(self, images: Tensor) -> Tensor | PartsOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        features = self.backbone(images)
        before = [self.pool(features), self.projection(features)]
        if not self.training and self.feature == "before_bn":
            return torch.cat(before, dim=1)
        after = [neck(one) for neck, one in zip(self.bnnecks, before, strict=True)]
        if not self.training:
            return torch.cat(after, dim=1)
        return parts_output(before, after, self.classifiers)


def build_clip_reid(
    backbone: nn.Module, options: HeadOptions, reader: StructureReader
) -> ClipReidNetwork:
    """The heads on an image tower of CLIP; they have no options of their own.

    Raises:
        InputError: If the backbone is no image tower of CLIP.
    """
    if isinstance(backbone, ClipResNet):
        width, projected = backbone.dimension, backbone.clip.projection
        pool = AttentionPool(width, backbone.grid, projected)
        return ClipReidNetwork(backbone, pool, [width, projected], options)
    if isinstance(backbone, VisionTransformer) and backbone.vit.clip:
        width, projected = backbone.dimension, backbone.vit.projection
        linear = TokenProjection(width, projected)
        return ClipReidNetwork(backbone, linear, [width, projected], options)
    raise InputError("clip-reid stands on an image tower of CLIP: clip_vit_base or clip_resnet50")
