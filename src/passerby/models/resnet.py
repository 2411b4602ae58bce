"""Residual networks for re-ID: ResNet and slim relatives with instance normalisation.

Parameter names equal torchvision's, so ImageNet state dictionaries load unchanged. Two things
differ from the classification network: there is no classifier, and the last stage may keep its
resolution ("last stride 1": 16 x 8 instead of 8 x 4 positions for a 256 x 128 picture).

He et al., Deep Residual Learning, CVPR 2016; Pan et al., IBN-Net, ECCV 2018.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from passerby.models.non_local import NonLocal


@dataclass(frozen=True, kw_only=True)
class ResNetShape:
    """What distinguishes one residual network from another.

    Attributes:
        blocks: Blocks in each of the four stages.
        widths: Inner channels of each stage; a bottleneck puts out four times as many.
        bottleneck: Three convolutions a block (1x1, 3x3, 1x1) instead of two 3x3.
        stem_kernel: 7 as published, 3 for the slim networks on small pictures.
        ibn_stages: How many stages, from the first, use IBN-a.
    """

    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    bottleneck: bool = False
    stem_kernel: int = 7
    ibn_stages: int = 0


SHAPES: dict[str, ResNetShape] = {
    "resnet18": ResNetShape(blocks=(2, 2, 2, 2)),
    "resnet34": ResNetShape(blocks=(3, 4, 6, 3)),
    "resnet50": ResNetShape(blocks=(3, 4, 6, 3), bottleneck=True),
    "resnet101": ResNetShape(blocks=(3, 4, 23, 3), bottleneck=True),
    "resnet18-ibn": ResNetShape(blocks=(2, 2, 2, 2), ibn_stages=3),
    "resnet50-ibn": ResNetShape(blocks=(3, 4, 6, 3), bottleneck=True, ibn_stages=3),
    "resnet101-ibn": ResNetShape(blocks=(3, 4, 23, 3), bottleneck=True, ibn_stages=3),
    # for CPUs; chosen by benchmarks/small_networks.py
    "slim18": ResNetShape(
        blocks=(2, 2, 2, 2), widths=(32, 64, 128, 256), stem_kernel=3, ibn_stages=2
    ),
}


@dataclass(frozen=True, kw_only=True)
class ResNetStructure:
    """Options of a residual network beyond its shape.

    Attributes:
        stem_relu: Whether a ReLU follows the first normalisation. The published checkpoints of
            Bag of Tricks, AGW and Diff Attention were trained without it.
        stem_pool: ``"padding"`` pads the stem's max-pooling by one pixel, as everyone does;
            ``"ceil"`` shifts the map by a pixel instead, as fast-reid does from version 1.0 on.
        non_local: Non-local blocks: none; ``"default"`` one softmax block of 16 inner channels
            after each of the first three stages; ``"agw"`` dot-product blocks of one inner channel
            after the last 2 blocks of stage 2 and the last 3 (of 23 blocks: 9) of stage 3.
    """

    stem_relu: bool = True
    stem_pool: Literal["padding", "ceil"] = "padding"
    non_local: Literal["none", "default", "agw"] = "none"


PLAIN = ResNetStructure()


class InstanceNorm(nn.Module):
    """Instance normalisation with scale and shift, (B, D, H, W) -> (B, D, H, W).

    Equal to ``nn.InstanceNorm2d(channels, affine=True)``, whose CPU kernel leaves the
    channels-last layout: written with two means it is 4.7 times as fast in evaluation there.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        """Standardise every channel of every picture; statistics are taken in float32."""
        with torch.autocast(features.device.type, enabled=False):
            values = features.float()
            mean = values.mean(dim=(2, 3), keepdim=True)
            square = (values * values).mean(dim=(2, 3), keepdim=True)
            variance = (square - mean * mean).clamp(min=0.0)
            scale = self.weight[:, None, None] * torch.rsqrt(variance + self.eps)
            shift = self.bias[:, None, None] - mean * scale
            return torch.addcmul(shift, values, scale).to(features.dtype)


class InstanceBatchNorm(nn.Module):
    """IBN-a: instance normalisation on the first half of the channels, batch on the rest.

    Instance statistics remove what a camera does to a whole picture (exposure, colour cast); the
    other half keeps the colours that tell clothes apart. Pan et al., ECCV 2018, figure 3 (a).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.IN = InstanceNorm(channels // 2)
        self.BN = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (B, D, H, W)."""
        first, second = features.split([self.IN.channels, self.BN.num_features], dim=1)
        return torch.cat([self.IN(first), self.BN(second)], dim=1)


def _first_norm(channels: int, ibn: bool) -> nn.Module:
    return InstanceBatchNorm(channels) if ibn else nn.BatchNorm2d(channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip."""

    expansion = 1

    def __init__(self, channels: int, width: int, *, stride: int, ibn: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = _first_norm(width, ibn)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(channels, width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, width, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(features)))
        return self.relu(self.bn2(self.conv2(out)) + self.downsample(features))


class Bottleneck(nn.Module):
    """1x1, 3x3 (which carries the stride) and 1x1 convolutions, and a skip."""

    expansion = 4

    def __init__(self, channels: int, width: int, *, stride: int, ibn: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = _first_norm(width, ibn)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(channels, 4 * width, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, 4 width, H / stride, W / stride)."""
        out = self.relu(self.bn1(self.conv1(features)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + self.downsample(features))


def _projection(channels: int, out: int, stride: int) -> nn.Module:
    if stride == 1 and channels == out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    """Stem and four stages, (B, 3, H, W) -> (B, dimension, H / 16, W / 16) with last stride 1."""

    added: tuple[str, ...] = ("non_local.",)
    """Prefixes of what an ImageNet state dictionary does not hold."""

    def __init__(
        self,
        shape: ResNetShape,
        *,
        last_stride: int = 1,
        structure: ResNetStructure = PLAIN,
    ) -> None:
        """Build with random weights.

        Args:
            shape: Depth, widths and normalisation.
            last_stride: Stride of the last stage: 1 for re-ID, 2 as for classification.
            structure: Stem and non-local blocks.
        """
        super().__init__()
        self.shape = shape
        self.last_stride = last_stride
        stem = shape.widths[0]
        self.conv1 = nn.Conv2d(3, stem, shape.stem_kernel, 2, shape.stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True) if structure.stem_relu else nn.Identity()
        ceil = structure.stem_pool == "ceil"
        self.maxpool = nn.MaxPool2d(3, 2, padding=0 if ceil else 1, ceil_mode=ceil)
        self._channels = stem
        stages, self.channels = [], []
        for number, stride in enumerate((1, 2, 2, last_stride)):
            stages.append(self._stage(shape, number, stride))
            self.channels.append(self._channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dimension = self._channels
        initialise(self)
        self.non_local = _non_local_blocks(shape, self.channels, structure.non_local)

    def _stage(self, shape: ResNetShape, number: int, stride: int) -> nn.Sequential:
        block = Bottleneck if shape.bottleneck else BasicBlock
        width, ibn = shape.widths[number], number < shape.ibn_stages
        blocks: list[nn.Module] = []
        for position in range(shape.blocks[number]):
            blocks.append(block(self._channels, width, stride=1 if position else stride, ibn=ibn))
            self._channels = width * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Feature map of normalised pictures."""
        out = self.stem(images)
        for number in range(4):
            out = self.stage(number, out)
        return out

    def stem(self, images: Tensor) -> Tensor:
        """What comes before the first stage, at a quarter of the resolution."""
        out: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return out

    def stage(self, number: int, features: Tensor) -> Tensor:
        """Run stage ``number`` (from 0) with its non-local blocks."""
        blocks: nn.Sequential = self.stages()[number]  # type: ignore[assignment]
        for position, block in enumerate(blocks):
            features = block(features)
            key = f"{number + 1}_{position}"
            if key in self.non_local:
                features = self.non_local[key](features)
        return features

    def stages(self) -> Sequence[nn.Module]:
        """The four stages, first to last."""
        return self.layer1, self.layer2, self.layer3, self.layer4


def _non_local_blocks(
    shape: ResNetShape, channels: Sequence[int], layout: Literal["none", "default", "agw"]
) -> nn.ModuleDict:
    """Blocks by "STAGE_POSITION" of the residual block they follow."""
    made: dict[str, nn.Module] = {}
    if layout == "default":
        for stage in range(3):
            key = f"{stage + 1}_{shape.blocks[stage] - 1}"
            # the first stage has 2,048 positions at 256 x 128: a quarter of them as keys will do
            made[key] = NonLocal(channels[stage], inner=16, subsample=1 if stage else 2)
    if layout == "agw":
        for stage, count in ((1, 2), (2, 9 if shape.blocks[2] > 20 else 3)):
            blocks = shape.blocks[stage]
            for position in range(max(0, blocks - count), blocks):
                made[f"{stage + 1}_{position}"] = NonLocal(
                    channels[stage], inner=1, similarity="dot"
                )
    return nn.ModuleDict(made)


def initialise(network: nn.Module) -> None:
    """Kaiming fan-out for convolutions, as published; normalisations keep ones and zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
