"""Networks by name."""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from passerby.errors import InputError
from passerby.models.backbones import BACKBONES, BackboneOptions, build_backbone
from passerby.models.clip_reid import build_clip_reid
from passerby.models.embedded import embedded
from passerby.models.fpb_original import build_original_fpb
from passerby.models.identity import BUNDLED
from passerby.models.jigsaw import build_jigsaw
from passerby.models.mgn import build_mgn
from passerby.models.network import Feature, GlobalNetwork, HeadOptions, ReidNetwork
from passerby.models.parts import build_parts
from passerby.models.pretrained import load_backbone
from passerby.models.pyramid import build_pyramid
from passerby.models.structure import Structure, StructureReader

Head = Callable[[nn.Module, HeadOptions, StructureReader], ReidNetwork]

# HEAD:BACKBONE; a bare HEAD stands on its published backbone
HEADS: dict[str, tuple[Head, str]] = {
    "clip-reid": (build_clip_reid, "clip_vit_base"),
    "embedded": (embedded, "osnet_x1_0"),
    "fpb-original": (build_original_fpb, "resnet50"),
    "mgn": (build_mgn, "resnet50"),
    "parts": (build_parts, "resnet50"),
    "pyramid": (build_pyramid, "resnet101"),
    "transreid": (build_jigsaw, "vit_base"),
}


def architectures() -> list[str]:
    """Names that :func:`build` knows, besides ``timm:NAME`` and those made with a prefix.

    A bare head such as ``parts``, ``pyramid`` or ``transreid`` stands on its published backbone;
    ``fpb:NAME`` and ``mgn:NAME`` stand on another residual network, ``transreid:NAME`` on another
    vision transformer, ``clip-reid:NAME`` on either image tower of CLIP, ``parts:NAME`` and
    ``pyramid:NAME`` on any backbone, an ``fpb:NAME`` or ``timm:NAME`` among them.
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
        neck: BNNeck, see :class:`~passerby.models.network.HeadOptions`.
        feature: ``"after_bn"`` or ``"before_bn"``: what evaluation mode returns.
        input_size: (H, W) in pixels; only networks with a fixed size (transformers) use it.
        structure: Options of the architecture beyond its name: the fields of
            :class:`~passerby.models.resnet.ResNetStructure`,
            :class:`~passerby.models.fpb.FpbStructure`,
            :class:`~passerby.models.timm_backbone.TimmStructure`,
            :class:`~passerby.models.vision_transformer.VitStructure`,
            :class:`~passerby.models.swin.SwinStructure`,
            :class:`~passerby.models.embedded.EmbeddingStructure`,
            :class:`~passerby.models.jigsaw.JigsawStructure`,
            :class:`~passerby.models.mgn.MgnStructure`,
            :class:`~passerby.models.parts.PartsStructure` and
            :class:`~passerby.models.pyramid.PyramidStructure`, as far as they are in the name.
        weights: A torchvision or timm state dictionary for the backbone (``.safetensors`` or
            ``.pth``), or a model file of passerby, ``"default"`` for the bundled one; None starts
            from random weights.

    Raises:
        InputError: If a name is unknown, an option is out of range, or the weights do not fit.
    """
    if last_stride not in (1, 2):
        raise InputError(f"last stride {last_stride} is not 1 or 2")
    reader = StructureReader(structure)
    options = BackboneOptions(last_stride=last_stride, input_size=input_size)
    head, name = _split(architecture)
    backbone = build_backbone(name, options, reader)
    if pooling != "average" and getattr(backbone, "token_output", False):
        raise InputError(
            f"'{architecture}' puts out one vector, in which '{pooling}' would cut off all below "
            "zero; leave the pooling at average"
        )
    network = head(
        backbone,
        HeadOptions(num_classes=num_classes, pooling=pooling, neck=neck, feature=feature),
        reader,
    )
    reader.finish(architecture)
    if weights is not None:
        load_backbone(backbone, BUNDLED if str(weights) == "default" else Path(weights))
    return network


def _split(architecture: str) -> tuple[Head, str]:
    prefix, _, inner = architecture.partition(":")
    if prefix in HEADS:
        head, usual = HEADS[prefix]
        return head, inner or usual
    return _global, architecture


def _global(backbone: nn.Module, options: HeadOptions, reader: StructureReader) -> ReidNetwork:
    return GlobalNetwork(backbone, int(backbone.dimension), options)  # type: ignore[arg-type]
