"""Networks by name, and how many parameters they have."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from passerby.errors import InputError
from passerby.models.checkpoints import load_backbone, load_start
from passerby.models.clip_reid import CLIP_RESNETS, ClipReidNetwork, ClipResNet, ClipResNetShape
from passerby.models.fpb import FpbResNet, FpbStructure
from passerby.models.fpb_original import OriginalFpbNetwork
from passerby.models.identity import BUNDLED
from passerby.models.imagenet import IMAGENET, imagenet_state
from passerby.models.jigsaw import JigsawNetwork, JigsawStructure
from passerby.models.mgn import MgnNetwork, MgnStructure
from passerby.models.network import (
    EmbeddingStructure,
    Feature,
    GlobalNetwork,
    HeadOptions,
    ReidNetwork,
)
from passerby.models.osnet import OSNETS, OSNet, OSNetShape
from passerby.models.pyramid import PyramidNetwork, PyramidStructure
from passerby.models.resnet import SHAPES, ResNet, ResNetShape, ResNetStructure
from passerby.models.stripes import StripesNetwork, StripesStructure
from passerby.models.structure import Structure, StructureReader
from passerby.models.swin import SWINS, Swin, SwinShape, SwinStructure
from passerby.models.timm_backbone import TimmBackbone, TimmStructure
from passerby.models.vision_transformer import VITS, VisionTransformer, VitShape, VitStructure

Shape = ResNetShape | OSNetShape | VitShape | SwinShape | ClipResNetShape

# a plugin adds a function (last_stride, input_size) -> network with an attribute dimension
BACKBONES: dict[str, Shape | Callable[[int, tuple[int, int]], nn.Module]] = {
    **SHAPES,
    **OSNETS,
    **VITS,
    **SWINS,
    **CLIP_RESNETS,
}
PREFIXES = ("fpb", "timm")  # of backbones written PREFIX:NAME

# HEAD or HEAD:BACKBONE -> the network, its options, the published backbone
HEADS: dict[str, tuple[Callable[..., ReidNetwork], type | None, str]] = {
    "clip-reid": (ClipReidNetwork, None, "clip_vit_base"),
    "embedded": (GlobalNetwork, EmbeddingStructure, "osnet_x1_0"),
    "fpb-original": (OriginalFpbNetwork, None, "resnet50"),
    "mgn": (MgnNetwork, MgnStructure, "resnet50"),
    "parts": (StripesNetwork, StripesStructure, "resnet50"),
    "pyramid": (PyramidNetwork, PyramidStructure, "resnet101"),
    "transreid": (JigsawNetwork, JigsawStructure, "vit_base"),
}

IMAGENET_CLASSES = 1000


def architectures() -> list[str]:
    """List the names that :func:`build` takes, besides ``timm:NAME`` and names with a prefix.

    A bare head such as ``parts``, ``pyramid`` or ``transreid`` has its published backbone.
    ``fpb:NAME`` and ``mgn:NAME`` take another residual network, ``transreid:NAME`` another vision
    transformer, and ``clip-reid:NAME`` either image tower of CLIP. ``embedded:NAME``,
    ``parts:NAME`` and ``pyramid:NAME`` take any backbone, also an ``fpb:NAME`` or ``timm:NAME``.
    """
    return sorted([*BACKBONES, "fpb", *HEADS])


def build(
    architecture: str,
    *,
    num_classes: int = 0,
    last_stride: int = 1,
    pooling: str = "average",
    neck: bool = True,
    feature: Feature = "after_bn",
    input_size: tuple[int, int] = (256, 128),
    structure: Structure | None = None,
    weights: Path | str | None = None,
) -> ReidNetwork:
    """Build a network in training mode.

    Args:
        architecture: One of :func:`architectures`, ``timm:NAME`` for any backbone of timm, or a
            name with a prefix, such as ``parts:timm:NAME``.
        num_classes: C training identities; 0 builds no classifier.
        last_stride: 1 keeps the resolution of the last stage (re-ID), 2 halves it. Networks of
            timm without such a stage (transformers) keep their own strides.
        pooling: ``"average"``, ``"maximum"``, ``"gem"`` (p learnt) or ``"gem-fixed"`` (p = 3).
        neck: Whether there is a BNNeck; see :class:`~passerby.models.HeadOptions`.
        feature: The output in evaluation mode: ``"after_bn"`` or ``"before_bn"``.
        input_size: (H, W) in pixels; only networks with a fixed size (transformers) use it.
        structure: Options of the architecture beyond its name, by field name. Each part of the
            network lists its own in a dataclass: ``ResNetStructure``, ``FpbStructure``,
            ``TimmStructure``, ``VitStructure``, ``SwinStructure``, ``EmbeddingStructure``,
            ``JigsawStructure``, ``MgnStructure``, ``StripesStructure``, ``PyramidStructure``.
        weights: Start weights: a torchvision or timm state dictionary for the backbone
            (``.safetensors`` or ``.pth``), a model file of Passerby, ``"default"`` for the bundled
            one, or ``"imagenet"`` for the official weights. None starts from random weights.

    Raises:
        InputError: A name is unknown, an option is out of range, or the weights do not fit.

    Example:
        >>> import torch
        >>> network = build("slim18", input_size=(128, 64)).eval()
        >>> network(torch.zeros(2, 3, 128, 64)).shape == (2, network.dimension)
        True
    """
    if last_stride not in (1, 2):
        raise InputError(f"last stride {last_stride} is not 1 or 2")
    reader = StructureReader(structure)
    head, _, name = architecture.partition(":")
    if head in HEADS:
        network_of, options_of, published = HEADS[head]
        name = name or published
    else:
        network_of, options_of, name = GlobalNetwork, None, architecture
    backbone = _build_backbone(name, last_stride, input_size, reader)
    if pooling != "average" and getattr(backbone, "token_output", False):
        raise InputError(
            f"'{architecture}' puts out one vector, in which '{pooling}' would cut off all below "
            "zero; leave the pooling at average"
        )
    options = HeadOptions(num_classes=num_classes, pooling=pooling, neck=neck, feature=feature)
    parts = () if options_of is None else (reader.take(options_of),)
    network = network_of(backbone, options, *parts)
    reader.finish(architecture)
    if str(weights) == IMAGENET:
        load_start(backbone, imagenet_state(name), "the file of ImageNet's weights")
    elif weights is not None:
        load_backbone(backbone, BUNDLED if str(weights) == "default" else Path(weights))
    return network


def _build_backbone(
    name: str, last_stride: int, input_size: tuple[int, int], reader: StructureReader
) -> nn.Module:
    """Build a backbone with random weights; its attribute ``dimension`` counts its channels."""
    prefix, _, inner = name.partition(":")
    if prefix == "fpb":
        return _build_fpb(inner or "resnet50", last_stride, reader)
    if prefix == "timm":
        return TimmBackbone(
            inner,
            last_stride=last_stride,
            input_size=input_size,
            structure=reader.take(TimmStructure),
        )
    match BACKBONES.get(name):
        case ResNetShape() as shape:
            return ResNet(shape, last_stride=last_stride, structure=reader.take(ResNetStructure))
        case OSNetShape() as shape:
            return OSNet(shape)
        case VitShape() as shape:
            structure = reader.take(VitStructure)
            return VisionTransformer(shape, input_size=input_size, structure=structure)
        case SwinShape() as shape:
            return Swin(shape, input_size=input_size, structure=reader.take(SwinStructure))
        case ClipResNetShape() as shape:
            return ClipResNet(shape, input_size=input_size)
        case None:
            pass
        case make:
            return make(last_stride, input_size)
    known = ", ".join([*sorted(BACKBONES), *(f"{prefix}:NAME" for prefix in PREFIXES)])
    raise InputError(f"no architecture '{name}'; there are {known}")


def _build_fpb(name: str, last_stride: int, reader: StructureReader) -> nn.Module:
    if name not in SHAPES:
        raise InputError(f"a feature pyramid branch grows on {', '.join(SHAPES)}, not on '{name}'")
    if last_stride != 1:
        raise InputError("a feature pyramid branch needs a last stride of 1")
    structure, branch = reader.take(ResNetStructure), reader.take(FpbStructure)
    return FpbResNet(SHAPES[name], structure=structure, fpb=branch)


def parameters(network: nn.Module) -> int:
    """Count the parameters of a network, with frozen ones and without buffers."""
    return sum(p.numel() for p in network.parameters())


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Numbers of parameters of a network without a classifier of identities.

    Two readings of "adds 1.5 million to ResNet-50's 25.56 million" exist, as the 25.56 million
    contain the ImageNet classifier, which no re-ID network has. Both are given.

    Attributes:
        total: All parameters, BNNecks included.
        trunk: Those of the same residual network with a BNNeck and nothing else.
        imagenet: Those of that residual network as published: no BNNeck, a classifier of 1000
            classes.
    """

    total: int
    trunk: int
    imagenet: int

    @property
    def over_trunk(self) -> int:
        """The parameters that the network adds to the trunk."""
        return self.total - self.trunk

    @property
    def over_imagenet(self) -> int:
        """The parameters that it adds to the published count; negative where it is smaller."""
        return self.total - self.imagenet


def parameter_counts(
    architecture: str, structure: Structure | None = None
) -> ParameterCounts | None:
    """Count the parameters of ``architecture``; None where it has no residual network.

    Raises:
        InputError: There is no such architecture, or the structure does not suit it.
    """
    with torch.device("meta"):
        network = build(architecture, structure=structure)
        shape = getattr(network.backbone, "shape", None)
        names = [name for name, known in SHAPES.items() if known == shape]
        if not names:
            return None
        plain = build(names[0])
    return ParameterCounts(
        total=parameters(network),
        trunk=parameters(plain),
        imagenet=parameters(plain.backbone) + (plain.dimension + 1) * IMAGENET_CLASSES,
    )
