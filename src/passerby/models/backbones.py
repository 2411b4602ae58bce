"""Backbones by name."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from passerby.errors import InputError
from passerby.models.resnet import SHAPES, ResNet, ResNetStructure
from passerby.models.structure import StructureReader
from passerby.models.timm_backbone import TimmBackbone


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """Options that every backbone understands or may leave alone.

    Attributes:
        last_stride: Stride of the last stage.
        input_size: (H, W) in pixels, for networks of a fixed size.
    """

    last_stride: int = 1
    input_size: tuple[int, int] = (256, 128)


def timm(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    """Any backbone of timm."""
    return TimmBackbone(name, last_stride=options.last_stride, input_size=options.input_size)


Builder = Callable[[str, BackboneOptions, StructureReader], nn.Module]

# PREFIX:NAME
PREFIXES: dict[str, Builder] = {"timm": timm}


def build_backbone(name: str, options: BackboneOptions, reader: StructureReader) -> nn.Module:
    """Build ``name`` with random weights; it has the attribute ``dimension``.

    Raises:
        InputError: If there is no backbone of that name, or an option does not suit it.
    """
    prefix, _, inner = name.partition(":")
    if prefix in PREFIXES:
        return PREFIXES[prefix](inner, options, reader)
    if name not in SHAPES:
        known = ", ".join([*sorted(SHAPES), *(f"{prefix}:NAME" for prefix in PREFIXES)])
        raise InputError(f"no architecture '{name}'; there are {known}")
    structure = reader.take(ResNetStructure)
    return ResNet(SHAPES[name], last_stride=options.last_stride, structure=structure)
