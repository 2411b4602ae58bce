"""TransReID's jigsaw patch module: a global feature and one for each group of shuffled patches.

He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021, section 3.2.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import HeadOptions, ReidNetwork
from passerby.models.parts import PartsOutput, make_heads, parts_output
from passerby.models.structure import StructureReader
from passerby.models.vision_transformer import VisionTransformer


@dataclass(frozen=True, kw_only=True)
class JigsawStructure:
    """Options of the jigsaw.

    Attributes:
        parts: Groups of patches, each with a feature of its own.
        shift: The patches are rotated so that this one, counted from 1, comes first.
        groups: Rows in which they are then written and read by columns.
    """

    parts: int = 4
    shift: int = 5
    groups: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.parts <= 64:
            raise InputError(f"structure option 'parts' {self.parts} is not 1..64")
        if not 1 <= self.shift <= 1024:
            raise InputError(f"structure option 'shift' {self.shift} is not 1..1024")
        if not 1 <= self.groups <= 64:
            raise InputError(f"structure option 'groups' {self.groups} is not 1..64")


def jigsaw(patches: int, structure: JigsawStructure) -> Tensor:
    """Which token stands where: (parts, patches // parts) indices, the class token being 0.

    Raises:
        InputError: If there are too few patches.
    """
    if patches < max(structure.parts, structure.shift, 2):
        raise InputError(
            f"{patches} patches cannot be shifted by {structure.shift} and shared among "
            f"{structure.parts} parts; take larger pictures"
        )
    order = [*range(structure.shift, patches + 1), *range(1, structure.shift)]
    while len(order) % structure.groups:
        order.append(order[-2])  # as published: the last but one stands in for what is missing
    columns = torch.tensor(order).view(structure.groups, -1).t().flatten()
    length = patches // structure.parts
    return columns[: structure.parts * length].view(structure.parts, length)


class JigsawNetwork(ReidNetwork):
    """A transformer whose last block exists twice: for all tokens, and for groups of patches.

    The groups pass the second copy together with the class token. Every head has a BNNeck and a
    classifier. In training mode a call returns :class:`PartsOutput`; the test feature is the
    global one and the parts' divided by their number, concatenated.
    """

    order: Tensor

    def __init__(
        self, backbone: VisionTransformer, options: HeadOptions, structure: JigsawStructure
    ) -> None:
        """Take the last block and the normalisation of ``backbone`` into the branches."""
        super().__init__()
        if len(backbone.blocks) < 2:
            raise InputError("a jigsaw needs a transformer of at least two blocks")
        patches = backbone.positions.shape[0] - 1
        self.structure = structure
        self.feature = options.feature
        self.classifier = None
        self.whole = nn.Sequential(backbone.blocks[-1], backbone.norm)
        self.local = copy.deepcopy(self.whole)
        backbone.blocks = backbone.blocks[:-1]
        backbone.norm = nn.Identity()  # type: ignore[assignment]
        self.backbone = backbone
        self.register_buffer("order", jigsaw(patches, structure).flatten(), persistent=False)
        widths = [backbone.dimension] * (1 + structure.parts)
        self.dimension = sum(widths)
        self.bnnecks, self.classifiers = make_heads(widths, options)

    def forward(self, images: Tensor) -> Tensor | PartsOutput:
        """Features of normalised pictures (B, 3, H, W)."""
        before = self._features(self.backbone.tokens(images))  # type: ignore[operator]
        if not self.training and self.feature == "before_bn":
            return self._joined(before)
        after = [neck(one) for neck, one in zip(self.bnnecks, before, strict=True)]
        if not self.training:
            return self._joined(after)
        return parts_output(before, after, self.classifiers)

    def _features(self, tokens: Tensor) -> list[Tensor]:
        """The global feature and the parts', all (B, D)."""
        parts = self.structure.parts
        shuffled = tokens[:, self.order].unflatten(1, (parts, -1))
        first = tokens[:, None, :1].expand(-1, parts, -1, -1)
        # all groups at once, as pictures of their own
        local = self.local(torch.cat([first, shuffled], dim=2).flatten(0, 1))[:, 0]
        return [self.whole(tokens)[:, 0], *local.unflatten(0, (-1, parts)).unbind(1)]

    def _joined(self, features: list[Tensor]) -> Tensor:
        parts = self.structure.parts
        return torch.cat([features[0], *(one / parts for one in features[1:])], dim=1)


def build_jigsaw(
    backbone: nn.Module, options: HeadOptions, reader: StructureReader
) -> JigsawNetwork:
    """The heads as the architecture's options say.

    Raises:
        InputError: If the backbone is no vision transformer of this project.
    """
    if not isinstance(backbone, VisionTransformer):
        raise InputError("transreid stands on vit_base, vit_small, deit_small or clip_vit_base")
    return JigsawNetwork(backbone, options, reader.take(JigsawStructure))
