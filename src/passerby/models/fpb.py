"""Feature Pyramid Branch: a residual network whose middle stages also reach the feature.

Zhang et al., FPB: Feature Pyramid Branch for Person Re-Identification, arXiv 2108.01901. The branch
is a pyramid of two levels over the outputs of stages 2 and 3: top-down, then bottom-up, with skips
as in BiFPN. Its result is normalised and added to the map of stage 4. The scale of that
normalisation starts at zero, so that the network starts as its plain trunk. An untrained branch
would otherwise spoil the first clustering of unsupervised training.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from passerby.models.resnet import PLAIN, ResNet, ResNetShape, ResNetStructure, initialise
from passerby.models.structure import check_range

Convolution = Literal["dense", "dwsep"]


@dataclass(frozen=True, kw_only=True)
class FpbStructure:
    """Options of the branch.

    Attributes:
        convolution: The four 3x3 convolutions: ``"dense"``, or ``"dwsep"`` (depthwise 3x3, then
            1x1), with which the branch adds less than 1.5 million parameters.
        branch_width: Channels within the branch.
    """

    convolution: Convolution = "dense"
    branch_width: int = 256

    def __post_init__(self) -> None:
        """Check the width."""
        check_range(self, branch_width=(1, 4096))


class Neck(nn.Module):
    """The pyramid: maps of stages 2 and 3 in, one map at the resolution of stage 3 out."""

    def __init__(self, channels: tuple[int, int], structure: FpbStructure) -> None:
        """Take the channels of stages 2 and 3."""
        super().__init__()
        width = structure.branch_width
        self.lateral2, self.lateral3 = (point(count, width) for count in channels)
        self.skip2, self.skip3 = point(width, width), point(width, width)
        make = _dense if structure.convolution == "dense" else _separable
        self.top, self.down, self.out2, self.out3 = (make(width) for _ in range(4))
        initialise(self)

    def forward(self, stage2: Tensor, stage3: Tensor) -> Tensor:
        """(B, C2, 2h, 2w) and (B, C3, h, w) -> (B, width, h, w)."""
        lateral2, lateral3 = self.lateral2(stage2), self.lateral3(stage3)
        return self.merge(lateral2, lateral2, lateral3)

    def merge(self, kept2: Tensor, lateral2: Tensor, lateral3: Tensor) -> Tensor:
        """Run top-down, then bottom-up; ``kept2`` takes the skip, ``lateral2`` is merged."""
        top = self.top(lateral3)
        raised = F.interpolate(top, size=lateral2.shape[2:], mode="nearest")
        out2 = self.out2(self.down(lateral2 + raised)) + self.skip2(kept2)
        # for odd maps the strided stage rounds up, and so does this pooling
        lowered = F.max_pool2d(out2, 2, ceil_mode=True)
        out3: Tensor = self.out3(top + lowered) + self.skip3(lateral3)
        return out3


class FpbResNet(ResNet):
    """A residual network with the branch: ``relu(layer4 + BN(conv1x1(neck(layer2, layer3))))``."""

    added = ("non_local.", "neck.", "fuse.")

    def __init__(
        self,
        shape: ResNetShape,
        *,
        structure: ResNetStructure = PLAIN,
        fpb: FpbStructure | None = None,
    ) -> None:
        """Build with random weights; the last stride is 1, so that the maps have one size.

        Args:
            shape: Depth, widths and normalisation of the trunk.
            structure: Stem and non-local blocks of the trunk.
            fpb: Options of the branch.
        """
        super().__init__(shape, last_stride=1, structure=structure)
        fpb = fpb or FpbStructure()
        self.neck = Neck((self.channels[1], self.channels[2]), fpb)
        norm = nn.BatchNorm2d(self.dimension)
        self.fuse = nn.Sequential(nn.Conv2d(fpb.branch_width, self.dimension, 1, bias=False), norm)
        initialise(self.fuse)
        nn.init.zeros_(norm.weight)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, dimension, H / 16, W / 16)."""
        stage2 = self.stage(1, self.stage(0, self.stem(images)))
        stage3 = self.stage(2, stage2)
        stage4 = self.stage(3, stage3)
        return F.relu(stage4 + self.fuse(self.neck(stage2, stage3)))


def point(channels: int, width: int) -> nn.Sequential:
    """Make a 1x1 convolution, normalisation and ReLU."""
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), *_norm_relu(width))


def _dense(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), *_norm_relu(width))


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
        nn.Conv2d(width, width, 1, bias=False),
        *_norm_relu(width),
    )


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width), nn.ReLU(inplace=True)
