"""Backbones by name."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from passerby.errors import InputError
from passerby.models.clip_resnet import CLIP_RESNETS, ClipResNet
from passerby.models.fpb import FpbResNet, FpbStructure
from passerby.models.osnet import OSNETS, OSNet
from passerby.models.resnet import SHAPES, ResNet, ResNetStructure
from passerby.models.structure import StructureReader
from passerby.models.swin import SWINS, Swin, SwinStructure
from passerby.models.timm_backbone import TimmBackbone, TimmStructure
from passerby.models.vision_transformer import VITS, VisionTransformer, VitStructure


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """Options that every backbone understands or may leave alone.

    Attributes:
        last_stride: Stride of the last stage.
        input_size: (H, W) in pixels, for networks of a fixed size.
    """

    last_stride: int = 1
    input_size: tuple[int, int] = (256, 128)


Builder = Callable[[str, BackboneOptions, StructureReader], nn.Module]


def _timm(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    return TimmBackbone(
        name,
        last_stride=options.last_stride,
        input_size=options.input_size,
        structure=reader.take(TimmStructure),
    )


def _fpb(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    name = name or "resnet50"
    if name not in SHAPES:
        raise InputError(f"a feature pyramid branch grows on {', '.join(SHAPES)}, not on '{name}'")
    if options.last_stride != 1:
        raise InputError("a feature pyramid branch needs a last stride of 1")
    structure, branch = reader.take(ResNetStructure), reader.take(FpbStructure)
    return FpbResNet(SHAPES[name], structure=structure, fpb=branch)


def _resnet(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    structure = reader.take(ResNetStructure)
    return ResNet(SHAPES[name], last_stride=options.last_stride, structure=structure)


def _osnet(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    return OSNet(OSNETS[name])


def _vit(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    structure = reader.take(VitStructure)
    return VisionTransformer(VITS[name], input_size=options.input_size, structure=structure)


def _swin(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    structure = reader.take(SwinStructure)
    return Swin(SWINS[name], input_size=options.input_size, structure=structure)


def _clip_resnet(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    return ClipResNet(CLIP_RESNETS[name], input_size=options.input_size)


BACKBONES: dict[str, Builder] = {
    **dict.fromkeys(SHAPES, _resnet),
    **dict.fromkeys(OSNETS, _osnet),
    **dict.fromkeys(VITS, _vit),
    **dict.fromkeys(SWINS, _swin),
    **dict.fromkeys(CLIP_RESNETS, _clip_resnet),
}

# NAME, or PREFIX:NAME of a backbone that stands on another
PREFIXES: dict[str, Builder] = {"fpb": _fpb, "timm": _timm}


def build_backbone(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    """Build ``name`` with random weights; it has the attribute ``dimension``.

    Raises:
        InputError: If there is no backbone of that name, or an option does not suit it.
    """
    prefix, _, inner = name.partition(":")
    if prefix in PREFIXES:
        return PREFIXES[prefix](inner, options, reader)
    if name not in BACKBONES:
        known = ", ".join([*sorted(BACKBONES), *(f"{p}:NAME" for p in PREFIXES)])
        raise InputError(f"no architecture '{name}'; there are {known}")
    return BACKBONES[name](name, options, reader)
