"""CLIP's residual network, and CLIP-ReID: a tower's feature beside its projected feature.

Radford et al., Learning Transferable Visual Models From Natural Language Supervision (CLIP), ICML
2021, section 2.4: three convolutions in the stem, average pooling wherever a plain ResNet has a
stride. The last stage keeps its resolution, as in CLIP-ReID (Li et al., CLIP-ReID: Exploiting
Vision-Language Model for Image Re-Identification without Concrete Text Labels, AAAI 2023). There
the texts shape the training alone, so that no text encoder is needed here.
"""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.network import HeadOptions, SeveralHeads, make_pooling
from passerby.models.resnet import initialise
from passerby.models.vision_transformer import VisionTransformer

HEAD = 64  # channels of an attention head


@dataclass(frozen=True, kw_only=True)
class ClipResNetShape:
    """What distinguishes one of these networks from another.

    Attributes:
        blocks: Blocks in each of the four stages.
        width: Channels of the stem; a stage puts out 4, 8, 16 and 32 times as many.
        projection: Length of CLIP's projected feature.
    """

    blocks: tuple[int, int, int, int]
    width: int = 64
    projection: int = 1024


CLIP_RESNETS: dict[str, ClipResNetShape] = {
    "clip_resnet50": ClipResNetShape(blocks=(3, 4, 6, 3)),
}


class PooledBottleneck(nn.Module):
    """A bottleneck that halves the map by average pooling, not by a stride."""

    def __init__(self, channels: int, width: int, *, shrink: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.pool = nn.AvgPool2d(shrink)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _projection(channels, 4 * width, shrink)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, 4 width, H / shrink, W / shrink)."""
        out = F.relu(self.bn1(self.conv1(features)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self.pool(out)))
        return F.relu(out + self.downsample(features))


def _projection(channels: int, out: int, shrink: int) -> nn.Module:
    if shrink == 1 and channels == out:
        return nn.Identity()
    parts = OrderedDict[str, nn.Module]()
    parts["pool"] = nn.AvgPool2d(shrink)
    parts["0"] = nn.Conv2d(channels, out, 1, bias=False)
    parts["1"] = nn.BatchNorm2d(out)
    return nn.Sequential(parts)


class ClipResNet(nn.Module):
    """Stem and four stages, (B, 3, H, W) -> (B, dimension, H / 16, W / 16)."""

    def __init__(self, shape: ClipResNetShape, *, input_size: tuple[int, int]) -> None:
        """Build with random weights; a pooling that follows needs the ``input_size`` (H, W)."""
        super().__init__()
        self.clip = shape
        self.grid = (input_size[0] // 16, input_size[1] // 16)
        width = shape.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.dimension = width
        stages = [self._stage(n, shrink) for n, shrink in enumerate((1, 2, 2, 1))]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        initialise(self)

    def _stage(self, number: int, shrink: int) -> nn.Sequential:
        width = self.clip.width * 2**number
        blocks = []
        for position in range(self.clip.blocks[number]):
            first = position == 0
            blocks.append(PooledBottleneck(self.dimension, width, shrink=shrink if first else 1))
            self.dimension = 4 * width
        return nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map of normalised pictures."""
        out = F.relu(self.bn1(self.conv1(images)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = F.avg_pool2d(F.relu(self.bn3(self.conv3(out))), 2)
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        return features


class AttentionPool(nn.Module):
    """Attention of a map's mean on all positions, (B, D, h, w) -> (B, projection)."""

    def __init__(self, channels: int, grid: tuple[int, int], projection: int) -> None:
        """Build for maps of ``grid`` (h, w), as every position has an embedding."""
        super().__init__()
        self.heads = max(1, channels // HEAD)
        self.positions = nn.Parameter(torch.empty(grid[0] * grid[1] + 1, channels))
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, projection)
        nn.init.normal_(self.positions, std=channels**-0.5)
        for linear in (self.query, self.key, self.value, self.out):
            nn.init.normal_(linear.weight, std=channels**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Pool; of the published attention of all tokens on all, only the mean's row is used."""
        places = features.flatten(2).transpose(1, 2)
        tokens = torch.cat([places.mean(dim=1, keepdim=True), places], dim=1) + self.positions
        parts = (self.query(tokens[:, :1]), self.key(tokens), self.value(tokens))
        query, key, value = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in parts)
        pooled = F.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.out(pooled.transpose(1, 2).flatten(1))
        return projected


class TokenProjection(nn.Module):
    """CLIP's projection of the class token, (B, D, 1, 1) -> (B, projection)."""

    def __init__(self, channels: int, projection: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, projection, bias=False)
        nn.init.normal_(self.linear.weight, std=channels**-0.5)

    def forward(self, token: Tensor) -> Tensor:
        """Project."""
        projected: Tensor = self.linear(token.flatten(1))
        return projected


class ClipReidNetwork(SeveralHeads):
    """An image tower of CLIP with two heads: the feature and the projected feature.

    The test feature has 1280 dimensions with ViT-B/16 and 3072 with ResNet-50.
    """

    def __init__(self, backbone: nn.Module, options: HeadOptions) -> None:
        """Put the parts together.

        Args:
            backbone: An image tower of CLIP, (B, 3, H, W) -> (B, D, h, w).
            options: Pooling of the first head; necks, classifiers, test feature of both.

        Raises:
            InputError: The backbone is no image tower of CLIP.
        """
        projection: nn.Module
        if isinstance(backbone, ClipResNet):
            width, projected = backbone.dimension, backbone.clip.projection
            projection = AttentionPool(width, backbone.grid, projected)
        elif isinstance(backbone, VisionTransformer) and backbone.vit.clip:
            width, projected = backbone.dimension, backbone.vit.projection
            projection = TokenProjection(width, projected)
        else:
            raise InputError(
                "clip-reid stands on an image tower of CLIP: clip_vit_base or clip_resnet50"
            )
        super().__init__()
        self.backbone = backbone
        self.pool = make_pooling(options.pooling)
        self.projection = projection
        self.add_heads([width, projected], options)

    def head_features(self, images: Tensor) -> list[Tensor]:
        """Compute the pooled feature and the projected feature."""
        features = self.backbone(images)
        return [self.pool(features), self.projection(features)]
