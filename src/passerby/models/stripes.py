"""A global head and one head for each horizontal stripe, on any backbone.

The stripes follow Sun et al., Beyond Part Models (PCB), ECCV 2018. Here every head has a BNNeck
and takes part in every loss, as the global head does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.network import HeadOptions, SeveralHeads, channels_of, make_pooling
from passerby.models.structure import check_range


@dataclass(frozen=True, kw_only=True)
class StripesStructure:
    """Options of the stripes.

    Attributes:
        stripes: Number of stripes. PCB has 6 on maps of 24 rows.
        width: Dimension of a stripe's feature; 0 keeps that of the backbone.
    """

    stripes: int = 4
    width: int = 256

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_range(self, stripes=(1, 64), width=(0, 4096))


class StripesNetwork(SeveralHeads):
    """A backbone, a global head, and a head for each stripe; the architecture ``parts``.

    Each stripe is pooled. A linear map of its own reduces it to ``width``.
    """

    def __init__(
        self, backbone: nn.Module, options: HeadOptions, structure: StripesStructure
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (B, 3, H, W) -> (B, D, h, w); h is at least the number of stripes.
            options: Pooling, necks, classifiers and test feature, the same for every head.
            structure: Number and width of the stripes.
        """
        super().__init__()
        channels = channels_of(backbone)
        self.backbone = backbone
        self.pool = make_pooling(options.pooling)
        self.reductions = nn.ModuleList(
            _reduction(channels, structure.width) for _ in range(structure.stripes)
        )
        self.add_heads([channels] + [structure.width or channels] * structure.stripes, options)

    def head_features(self, images: Tensor) -> list[Tensor]:
        """Compute the pooled map, then the pooled and reduced stripes from top to bottom."""
        features = self.backbone(images)
        cut = zip(self.reductions, stripes(features, len(self.reductions)), strict=True)
        return [self.pool(features), *(reduce(self.pool(stripe)) for reduce, stripe in cut)]


def _reduction(channels: int, width: int) -> nn.Module:
    if not width:
        return nn.Identity()
    linear = nn.Linear(channels, width, bias=False)
    nn.init.kaiming_normal_(linear.weight, nonlinearity="linear")
    return linear


def stripe_bounds(rows: int, count: int) -> list[tuple[int, int]]:
    """Compute the first row, and the row after the last, of each of ``count`` stripes.

    The stripes are equal where ``count`` divides ``rows``. Otherwise neighbours share a row, as in
    PyTorch's adaptive pooling.

    Raises:
        InputError: There are fewer rows than stripes.
    """
    if rows < count:
        raise InputError(
            f"a feature map of {rows} rows has no {count} stripes; take higher pictures, a last "
            "stride of 1, or fewer stripes"
        )
    return [(i * rows // count, -((-(i + 1) * rows) // count)) for i in range(count)]


def stripes(features: Tensor, count: int) -> list[Tensor]:
    """Cut (B, D, H, W) into ``count`` maps (B, D, about H / count, W), top to bottom."""
    bounds = stripe_bounds(int(features.shape[2]), count)
    return [features[:, :, top:bottom] for top, bottom in bounds]


def stripe_pools(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Compute the mean and the maximum of each stripe of (B, D, H, W), both (B, D, ``count``)."""
    rows, columns = (int(side) for side in features.shape[2:])
    if rows % count == 0:
        # three times as fast as slices, forward and backward
        window = (rows // count, columns)
        return F.avg_pool2d(features, window).flatten(2), F.max_pool2d(features, window).flatten(2)
    parts = stripes(features, count)
    means = [part.mean(dim=(2, 3)) for part in parts]
    maxima = [F.max_pool2d(part, (int(part.shape[2]), columns)).flatten(1) for part in parts]
    return torch.stack(means, dim=2), torch.stack(maxima, dim=2)
