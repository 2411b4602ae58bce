"""TransReID's jigsaw patch module: a global feature and one for each group of shuffled patches.

He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021, section 3.2.
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models.network import HeadOptions, SeveralHeads
from passerby.models.structure import check_range
from passerby.models.vision_transformer import VisionTransformer


@dataclass(frozen=True, kw_only=True)
class JigsawStructure:
    """Options of the jigsaw.

    Attributes:
        parts: Number of groups of patches, each with a feature of its own.
        shift: The patches are rotated so that this one, counted from 1, comes first.
        groups: Rows in which they are then written before they are read by columns.
    """

    parts: int = 4
    shift: int = 5
    groups: int = 2

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_range(self, parts=(1, 64), shift=(1, 1024), groups=(1, 64))


def jigsaw(patches: int, structure: JigsawStructure) -> Tensor:
    """Compute the tokens of each group, (parts, patches // parts) indices; 0 is the class token.

    Raises:
        InputError: There are too few patches.
    """
    if patches < max(structure.parts, structure.shift, 2):
        raise InputError(
            f"{patches} patches cannot be shifted by {structure.shift} and shared among "
            f"{structure.parts} parts; take larger pictures"
        )
    order = [*range(structure.shift, patches + 1), *range(1, structure.shift)]
    while len(order) % structure.groups:
        order.append(order[-2])  # as published: the last but one fills the incomplete row
    columns = torch.tensor(order).view(structure.groups, -1).t().flatten()
    length = patches // structure.parts
    return columns[: structure.parts * length].view(structure.parts, length)


class JigsawNetwork(SeveralHeads):
    """A transformer whose last block exists twice: for all tokens, and for groups of patches.

    Each group passes the second copy together with the class token. The test feature is the global
    feature, followed by the groups' features divided by the number of groups.
    """

    order: Tensor

    def __init__(
        self, backbone: nn.Module, options: HeadOptions, structure: JigsawStructure
    ) -> None:
        """Move the last block and the normalisation of ``backbone`` into the branches.

        Raises:
            InputError: The backbone is no vision transformer of this project, or has one block.
        """
        if not isinstance(backbone, VisionTransformer):
            raise InputError("transreid stands on vit_base, vit_small, deit_small or clip_vit_base")
        super().__init__()
        if len(backbone.blocks) < 2:
            raise InputError("a jigsaw needs a transformer of at least two blocks")
        patches = backbone.positions.shape[0] - 1
        self.parts = structure.parts
        self.whole = nn.Sequential(backbone.blocks[-1], backbone.norm)
        self.local = copy.deepcopy(self.whole)
        backbone.blocks = backbone.blocks[:-1]
        backbone.norm = nn.Identity()  # type: ignore[assignment]
        self.backbone = backbone
        self.register_buffer("order", jigsaw(patches, structure).flatten(), persistent=False)
        self.add_heads([backbone.dimension] * (1 + structure.parts), options)

    def head_features(self, images: Tensor) -> list[Tensor]:
        """Compute the global feature and the groups' features, all (B, D)."""
        tokens = self.backbone.tokens(images)  # type: ignore[operator]
        shuffled = tokens[:, self.order].unflatten(1, (self.parts, -1))
        first = tokens[:, None, :1].expand(-1, self.parts, -1, -1)
        # all groups at once, as if each were a picture
        local = self.local(torch.cat([first, shuffled], dim=2).flatten(0, 1))[:, 0]
        return [self.whole(tokens)[:, 0], *local.unflatten(0, (-1, self.parts)).unbind(1)]

    def joined(self, features: list[Tensor]) -> Tensor:
        """Concatenate the features; the groups together weigh as much as the global one."""
        return torch.cat([features[0], *(one / self.parts for one in features[1:])], dim=1)
