"""Residual networks for re-ID: ResNet and slim relatives with instance normalisation.

Parameter names equal torchvision's, so ImageNet state dictionaries load unchanged. Two things
differ from the classification network: there is no classifier, and the last stage may keep its
resolution ("last stride 1": 16 x 8 instead of 8 x 4 positions for a 256 x 128 picture).

He et al., Deep Residual Learning, CVPR 2016; Pan et al., IBN-Net, ECCV 2018; Wang et al., Non-local
Neural Networks, CVPR 2018; AGW: Ye et al., Deep Learning for Person Re-identification: A Survey and
Outlook, TPAMI 2021.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Similarity = Literal["softmax", "dot"]


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
            after the last 2 blocks of stage 2 and the last 3 of stage 3 (9 where it has 23).
    """

    stem_relu: bool = True
    stem_pool: Literal["padding", "ceil"] = "padding"
    non_local: Literal["none", "default", "agw"] = "none"


PLAIN = ResNetStructure()


class InstanceNorm(nn.Module):
    """Instance normalisation with scale and shift, (B, D, H, W) -> (B, D, H, W).

    Equal to ``nn.InstanceNorm2d(channels, affine=True)``, whose CPU kernel leaves the
    channels-last layout. Written with two means it is 4.7 times as fast in evaluation.
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
        added: Tensor = self.relu(self.bn2(self.conv2(out)) + self.downsample(features))
        return added


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
        added: Tensor = self.relu(self.bn3(self.conv3(out)) + self.downsample(features))
        return added


def _projection(channels: int, out: int, stride: int) -> nn.Module:
    if stride == 1 and channels == out:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class NonLocal(nn.Module):
    """``z_i = x_i + W(1/C sum_j f(x_i, x_j) g(x_j))``, (B, D, H, W) -> (B, D, H, W).

    Every position of a map attends to every other. ``softmax``: f = exp(theta_i . phi_j) and C is
    the sum over j, without scaling. ``dot``, as in AGW: f = theta_i . phi_j and C is the number of
    positions j. W is a 1x1 convolution and a batch normalisation. Their scale and shift start at
    zero, so that the block starts as the identity.
    """

    def __init__(
        self,
        channels: int,
        *,
        inner: int | None = None,
        similarity: Similarity = "softmax",
        subsample: int = 1,
    ) -> None:
        """Build with PyTorch's own initialisation of convolutions.

        Args:
            channels: D.
            inner: Channels of theta, phi and g; None: half of D, as first published. AGW has 1.
            similarity: ``"softmax"`` or ``"dot"``.
            subsample: Side of the max-pooling before phi and g; 2 leaves a quarter of the j.
        """
        super().__init__()
        inner = channels // 2 if inner is None else inner
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(norm.weight)
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), norm)
        self.similarity: Similarity = similarity
        self.subsample = subsample

    def forward(self, features: Tensor) -> Tensor:
        """Attend and add."""
        theta, phi, g = self.theta(features), self.phi(features), self.g(features)
        if self.subsample > 1:
            phi = F.max_pool2d(phi, self.subsample, ceil_mode=True)
            g = F.max_pool2d(g, self.subsample, ceil_mode=True)
        theta, phi, g = _rows(theta), _rows(phi), _rows(g)
        if self.similarity == "dot":
            # (theta phi^T) g = theta (phi^T g): linear in the number of positions
            mixed = theta @ (phi.transpose(1, 2) @ g) / phi.shape[1]
        else:
            # PyTorch's memory-saving kernels need four axes
            mixed = F.scaled_dot_product_attention(
                theta[:, None], phi[:, None], g[:, None], scale=1.0
            )[:, 0]
        height, width = features.shape[2:]
        mixed = mixed.transpose(1, 2).unflatten(2, (height, width))
        attended: Tensor = self.W(mixed)
        return features + attended


def _rows(features: Tensor) -> Tensor:
    """(B, R, H, W) -> (B, H W, R)."""
    return features.flatten(2).transpose(1, 2).contiguous()


class ResNet(nn.Module):
    """Stem and four stages, (B, 3, H, W) -> (B, dimension, H / 16, W / 16) with last stride 1."""

    added: tuple[str, ...] = ("non_local.",)
    """Prefixes of tensors that an ImageNet state dictionary does not hold."""

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
        """Compute the feature map of normalised pictures."""
        out = self.stem(images)
        for number in range(4):
            out = self.stage(number, out)
        return out

    def stem(self, images: Tensor) -> Tensor:
        """Run what comes before the first stage; the result has a quarter of the resolution."""
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
        """Return the four stages, first to last."""
        return self.layer1, self.layer2, self.layer3, self.layer4


def _non_local_blocks(
    shape: ResNetShape, channels: Sequence[int], layout: Literal["none", "default", "agw"]
) -> nn.ModuleDict:
    """Make non-local blocks, named "STAGE_POSITION" after the residual block they follow."""
    made: dict[str, nn.Module] = {}
    if layout == "default":
        for stage in range(3):
            key = f"{stage + 1}_{shape.blocks[stage] - 1}"
            # the first stage has 2,048 positions at 256 x 128: a quarter of them suffices as keys
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
    """Initialise convolutions by Kaiming's fan-out rule; normalisations keep ones and zeros."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
