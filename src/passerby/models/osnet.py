"""OSNet: every block combines features of several sizes, weighted channel by channel.

Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019; with instance
normalisation (IBN, AIN): Zhou et al., Learning Generalisable Omni-Scale Representations for Person
Re-Identification, TPAMI 2021.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from passerby.models.resnet import InstanceNorm, initialise

# where a block normalises per picture: nowhere, after the skip, or before it instead of batch
# normalisation
Instance = Literal["none", "behind", "inside"]


@dataclass(frozen=True, kw_only=True)
class OSNetShape:
    """What distinguishes one OSNet from another.

    Attributes:
        widths: Channels of the stem and of the three stages.
        stem: Whether the stem normalises per picture instead of per batch.
        blocks: Where the two blocks of each stage have instance normalisation.
    """

    widths: tuple[int, int, int, int] = (64, 256, 384, 512)
    stem: bool = False
    blocks: tuple[tuple[Instance, Instance], ...] = (("none", "none"),) * 3


NARROW: dict[str, tuple[int, int, int, int]] = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}
IBN: tuple[tuple[Instance, Instance], ...] = (
    ("behind", "behind"),
    ("none", "none"),
    ("none", "none"),
)
AIN: tuple[tuple[Instance, Instance], ...] = (
    ("inside", "inside"),
    ("none", "inside"),
    ("inside", "none"),
)

OSNETS: dict[str, OSNetShape] = {
    **{f"osnet_{name}": OSNetShape(widths=widths) for name, widths in NARROW.items()},
    "osnet_ibn_x1_0": OSNetShape(stem=True, blocks=IBN),
    **{
        f"osnet_ain_{name}": OSNetShape(widths=widths, stem=True, blocks=AIN)
        for name, widths in NARROW.items()
    },
}


class ConvNorm(nn.Module):
    """Convolution, normalisation and, where wanted, ReLU."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        norm: Literal["batch", "instance", "none"] = "batch",
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
        kinds = {"batch": nn.BatchNorm2d, "instance": InstanceNorm}
        self.bn = kinds[norm](out) if norm in kinds else nn.Identity()
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, out, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn(self.conv(features)))
        return out


class LightConv(nn.Module):
    """A 3x3 convolution in two steps: 1x1 over channels, then 3x3 within each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape."""
        out: Tensor = self.relu(self.bn(self.conv2(self.conv1(features))))
        return out


class ChannelGate(nn.Module):
    """Scale every channel by a gate in 0..1 that depends on the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape."""
        means = features.mean(dim=(2, 3), keepdim=True)
        gates: Tensor = self.fc2(self.relu(self.fc1(means))).sigmoid()
        return features * gates


class OmniScaleBlock(nn.Module):
    """Four streams of one to four light convolutions, summed through one gate, and a skip."""

    def __init__(self, channels: int, out: int, instance: Instance) -> None:
        super().__init__()
        inner = out // 4
        inside = instance == "inside"
        self.conv1 = ConvNorm(channels, inner)
        self.streams = nn.ModuleList(
            nn.Sequential(*(LightConv(inner) for _ in range(depth))) for depth in (1, 2, 3, 4)
        )
        self.gate = ChannelGate(inner)
        self.conv3 = ConvNorm(inner, out, norm="none" if inside else "batch", relu=False)
        self.downsample = nn.Identity() if channels == out else ConvNorm(channels, out, relu=False)
        self.IN = nn.Identity() if instance == "none" else InstanceNorm(out)
        self.inside = inside
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, out, H, W)."""
        inner = self.conv1(features)
        mixed = sum(self.gate(stream(inner)) for stream in self.streams)
        skip = self.downsample(features)
        if self.inside:
            out = self.IN(self.conv3(mixed)) + skip
        else:
            out = self.IN(self.conv3(mixed) + skip)
        activated: Tensor = self.relu(out)
        return activated


class OSNet(nn.Module):
    """Stem and three stages, (B, 3, H, W) -> (B, dimension, H / 16, W / 16)."""

    def __init__(self, shape: OSNetShape) -> None:
        """Build with random weights."""
        super().__init__()
        stem, *widths = shape.widths
        self.conv1 = ConvNorm(
            3, stem, kernel=7, stride=2, norm="instance" if shape.stem else "batch"
        )
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = (stem, *widths[:2])
        self.stages = nn.ModuleList(
            nn.Sequential(
                OmniScaleBlock(channels, width, first), OmniScaleBlock(width, width, second)
            )
            for channels, width, (first, second) in zip(inputs, widths, shape.blocks, strict=True)
        )
        self.transitions = nn.ModuleList(
            nn.Sequential(ConvNorm(width, width), nn.AvgPool2d(2, 2)) for width in widths[:2]
        )
        self.conv5 = ConvNorm(widths[2], widths[2])
        self.dimension = widths[2]
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map of normalised pictures."""
        out = self.maxpool(self.conv1(images))
        for number, stage in enumerate(self.stages):
            out = stage(out)
            if number < len(self.transitions):
                out = self.transitions[number](out)
        features: Tensor = self.conv5(out)
        return features
