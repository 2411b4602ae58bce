"""Networks by name."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from passerby.errors import InputError
from passerby.models.network import Feature, ReidNetwork
from passerby.models.pooling import POOLINGS
from passerby.models.pretrained import load_backbone
from passerby.models.resnet import ResNet, ResNetShape
from passerby.models.timm_backbone import TimmBackbone

SHAPES: dict[str, ResNetShape] = {
    "resnet18": ResNetShape(blocks=(2, 2, 2, 2)),
    "resnet34": ResNetShape(blocks=(3, 4, 6, 3)),
    "resnet50": ResNetShape(blocks=(3, 4, 6, 3), bottleneck=True),
    "resnet101": ResNetShape(blocks=(3, 4, 23, 3), bottleneck=True),
    "resnet18-ibn": ResNetShape(blocks=(2, 2, 2, 2), ibn_stages=3),
    "resnet50-ibn": ResNetShape(blocks=(3, 4, 6, 3), bottleneck=True, ibn_stages=3),
    # for CPUs; chosen by benchmarks/small_networks.py
    "slim18": ResNetShape(
        blocks=(2, 2, 2, 2), widths=(32, 64, 128, 256), stem_kernel=3, ibn_stages=2
    ),
}

TIMM = "timm:"


def architectures() -> list[str]:
    """Names that :func:`build` knows, besides every ``timm:NAME``."""
    return sorted(SHAPES)


def build(
    architecture: str,
    *,
    num_classes: int = 0,
    last_stride: int = 1,
    pooling: str = "average",
    neck: bool = True,
    feature: Feature = "after_bn",
    input_size: tuple[int, int] = (256, 128),
    weights: Path | str | None = None,
) -> ReidNetwork:
    """Build a network in training mode.

    Args:
        architecture: One of :func:`architectures`, or ``timm:NAME`` for any backbone of timm.
        num_classes: C training identities; 0 builds no classifier.
        last_stride: 1 keeps the resolution of the last stage (re-ID), 2 halves it. Networks of
            timm without such a stage (transformers) keep their own strides.
        pooling: ``"average"`` or ``"gem"``.
        neck: BNNeck, see :class:`~passerby.models.network.ReidNetwork`.
        feature: ``"after_bn"`` or ``"before_bn"``: what evaluation mode returns.
        input_size: (H, W) in pixels; only networks with a fixed size (timm transformers) use it.
        weights: A torchvision or timm state dictionary for the backbone (``.safetensors`` or
            ``.pth``); None starts from random weights.

    Raises:
        InputError: If a name is unknown, an option is out of range, or the weights do not fit.
    """
    if last_stride not in (1, 2):
        raise InputError(f"last stride {last_stride} is not 1 or 2")
    backbone, dimension = _backbone(architecture, last_stride, input_size)
    if weights is not None:
        load_backbone(backbone, Path(weights))
    return ReidNetwork(
        backbone,
        dimension,
        pooling=_pooling(pooling),
        num_classes=num_classes,
        neck=neck,
        feature=feature,
    )


def _backbone(
    architecture: str, last_stride: int, input_size: tuple[int, int]
) -> tuple[nn.Module, int]:
    if architecture.startswith(TIMM):
        timm = TimmBackbone(
            architecture.removeprefix(TIMM), last_stride=last_stride, input_size=input_size
        )
        return timm, timm.dimension
    if architecture not in SHAPES:
        known = ", ".join(architectures())
        raise InputError(f"no architecture '{architecture}'; there are {known} and timm:NAME")
    resnet = ResNet(SHAPES[architecture], last_stride=last_stride)
    return resnet, resnet.dimension


def _pooling(name: str) -> nn.Module:
    make: Callable[[], nn.Module] | None = POOLINGS.get(name)
    if make is None:
        raise InputError(f"no pooling '{name}'; there are {', '.join(sorted(POOLINGS))}")
    return make()
