"""Swin transformers with SOLIDER's semantic controller.

Liu et al., Swin Transformer, ICCV 2021; Chen et al., Beyond Appearance: a Semantic Controllable
Self-Supervised Learning Framework for Human-Centric Visual Tasks (SOLIDER), CVPR 2023. timm's Swin
is not used, for two reasons. The controller acts between a merging of patches and the blocks after
it. A map no larger than a window is padded and shifted here like any other; timm does not do so.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models.structure import check_probability
from passerby.models.vision_transformer import Block, check_size, drop_paths, initialise_tokens

PATCH = 4
FORBIDDEN = -100.0  # added where a shifted window holds positions that are not neighbours


@dataclass(frozen=True, kw_only=True)
class SwinShape:
    """What distinguishes one Swin from another.

    Attributes:
        width: Channels of the first stage; each later stage has twice as many as the one before.
        depths: Blocks of the four stages; every other one shifts its windows.
        heads: Attention heads of the four stages.
        window: Side of a window.
    """

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int = 7


SWINS: dict[str, SwinShape] = {
    "solider_tiny": SwinShape(width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "solider_small": SwinShape(width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "solider_base": SwinShape(width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
}


@dataclass(frozen=True, kw_only=True)
class SwinStructure:
    """Options of SOLIDER's Swin.

    Attributes:
        semantic_weight: Between 0 (appearance) and 1 (semantics); SOLIDER's re-ID has 0.2. Below
            zero there is no controller.
        drop_path: Probability with which training leaves out the last block's branches. It grows
            evenly from 0 at the first block (SOLIDER: 0.1).
    """

    semantic_weight: float = 0.2
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not -1.0 <= self.semantic_weight <= 1.0:
            raise InputError(
                f"structure option 'semantic_weight' {self.semantic_weight} is not 0..1, or -1 "
                "for none"
            )
        check_probability(self, "drop_path")


def _up_to_multiple(size: int, of: int) -> int:
    return -(-size // of) * of


class WindowAttention(nn.Module):
    """Attention within windows of a map, (B, h, w, D) -> (B, h, w, D).

    The map is padded with zeros to whole windows. With ``shift`` it is rolled before and rolled
    back after. Positions that only the rolling brought together do not attend to each other.
    """

    bias_index: Tensor
    forbidden: Tensor

    def __init__(
        self, width: int, heads: int, window: int, *, grid: tuple[int, int], shift: int
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shift, self.grid = heads, window, shift, grid
        self.padded = (_up_to_multiple(grid[0], window), _up_to_multiple(grid[1], window))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("bias_index", relative_positions(window), persistent=False)
        mask = self._windows(_regions(self.padded, window, shift)[None, :, :, None])[0, :, :, 0]
        differs = mask[:, :, None] != mask[:, None, :]
        self.register_buffer(
            "forbidden", torch.where(differs, FORBIDDEN, 0.0)[:, None], persistent=False
        )

    def forward(self, features: Tensor) -> Tensor:
        """Attend."""
        height, width = self.grid
        bottom, right = self.padded[0] - height, self.padded[1] - width
        rows = F.pad(features, (0, 0, 0, right, 0, bottom))
        if self.shift:
            rows = torch.roll(rows, (-self.shift, -self.shift), dims=(1, 2))
        rows = self._joined(self._attend(self._windows(rows)))
        if self.shift:
            rows = torch.roll(rows, (self.shift, self.shift), dims=(1, 2))
        return rows[:, :height, :width]

    def _attend(self, windows: Tensor) -> Tensor:
        """Attend within windows, (B, windows, positions, D) -> the same shape."""
        parts = self.qkv(windows).unflatten(3, (3, self.heads, -1)).unbind(3)
        query, key, value = (part.transpose(2, 3) for part in parts)
        places = self.window**2
        bias = self.bias_table[self.bias_index].view(places, places, self.heads)
        # (windows, heads, positions, positions): the relative position, and the forbidden pairs
        bias = bias.permute(2, 0, 1)[None] + self.forbidden
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.out(mixed.transpose(2, 3).flatten(3))
        return out

    def _windows(self, rows: Tensor) -> Tensor:
        """Cut into windows, (B, h, w, D) -> (B, windows, positions, D)."""
        down, across = self.padded[0] // self.window, self.padded[1] // self.window
        cut: Tensor = rows.unflatten(2, (across, self.window)).unflatten(1, (down, self.window))
        return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _joined(self, windows: Tensor) -> Tensor:
        """Join the windows, (B, windows, positions, D) -> (B, h, w, D)."""
        down, across = self.padded[0] // self.window, self.padded[1] // self.window
        cut: Tensor = windows.unflatten(2, (self.window, self.window)).unflatten(1, (down, across))
        return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def relative_positions(window: int) -> Tensor:
    """Compute the row of the bias table for each pair of positions of a window, (positions^2,)."""
    span = 2 * window - 1
    place = torch.arange(window)
    flat = (place[:, None] * span + place[None, :]).flatten()
    # the published table counts from the lower right
    return (flat[:, None] - flat[None, :] + (window - 1) * (span + 1)).flatten()


def _regions(padded: tuple[int, int], window: int, shift: int) -> Tensor:
    """Number the regions (h, w) that stay neighbours when the map is rolled by ``shift``."""
    sides = []
    for size in padded:
        place = torch.arange(size)
        sides.append((place >= size - window).int() + (place >= size - shift).int())
    down, across = sides if shift else (torch.zeros_like(side) for side in sides)
    return 3 * down[:, None] + across[None, :]


class Merging(nn.Module):
    """Four neighbours merged into one of twice the channels, (B, h, w, D) -> (B, h/2, w/2, 2 D)."""

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.odd = (grid[0] % 2, grid[1] % 2)
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Concatenate the four neighbours in SOLIDER's order of channels, then reduce."""
        features = F.pad(features, (0, 0, 0, self.odd[1], 0, self.odd[0]))
        cut = features.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, h/2, 2, w/2, 2, D)
        merged: Tensor = self.reduction(self.norm(cut.permute(0, 1, 3, 5, 2, 4).flatten(3)))
        return merged


class Controller(nn.Module):
    """``x softplus(a) + b``, both linear in the semantic weight, (B, h, w, D) -> the same."""

    weight: Tensor

    def __init__(self, width: int, weight: float) -> None:
        super().__init__()
        self.scale, self.shift = nn.Linear(2, width), nn.Linear(2, width)
        for parameter in self.parameters():
            parameter.requires_grad_(False)  # as published: fixed after the pre-training
        self.register_buffer("weight", torch.tensor([weight, 1 - weight]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Scale and shift."""
        scale: Tensor = F.softplus(self.scale(self.weight))
        shift: Tensor = self.shift(self.weight)
        return features * scale + shift


class Swin(nn.Module):
    """Four stages of windows, (B, 3, H, W) -> (B, 8 width, H / 32, W / 32)."""

    def __init__(
        self,
        shape: SwinShape,
        *,
        input_size: tuple[int, int],
        structure: SwinStructure | None = None,
    ) -> None:
        """Build with random weights.

        Args:
            shape: Widths and depths.
            input_size: (H, W) in pixels, multiples of 4; the windows are laid out for it.
            structure: The semantic weight and stochastic depth.
        """
        super().__init__()
        structure = structure or SwinStructure()
        if any(side % PATCH for side in input_size):
            raise InputError(f"a Swin takes pictures of multiples of {PATCH}, not {input_size}")
        self.swin, self.input_size = shape, tuple(input_size)
        self.patches = nn.Conv2d(3, shape.width, PATCH, PATCH)
        self.patch_norm = nn.LayerNorm(shape.width)
        grid = (input_size[0] // PATCH, input_size[1] // PATCH)
        stages, width = [], shape.width
        drops = iter(drop_paths(structure.drop_path, sum(shape.depths)))
        for number in range(4):
            entry: list[nn.Module] = []
            if number:
                entry.append(Merging(width, grid))
                width, grid = 2 * width, (-(-grid[0] // 2), -(-grid[1] // 2))
                if structure.semantic_weight >= 0:
                    entry.append(Controller(width, structure.semantic_weight))
            blocks = []
            for position in range(shape.depths[number]):
                shift = shape.window // 2 * (position % 2)
                attention = WindowAttention(
                    width, shape.heads[number], shape.window, grid=grid, shift=shift
                )
                blocks.append(Block(attention, width, 4 * width, drop=next(drops)))
            stages.append(
                nn.ModuleDict({"entry": nn.Sequential(*entry), "blocks": nn.Sequential(*blocks)})
            )
        self.stages = nn.ModuleList(stages)
        self.dimension = width
        self.norm = nn.LayerNorm(width)
        initialise_tokens(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the feature map of normalised pictures."""
        check_size(images, self.input_size, "Swin")
        features = self.patch_norm(self.patches(images).permute(0, 2, 3, 1))
        for stage in self.stages:
            features = stage["blocks"](stage["entry"](features))  # type: ignore[index]
        out: Tensor = self.norm(features).permute(0, 3, 1, 2)
        return out
