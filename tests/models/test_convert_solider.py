"""SOLIDER: the published arithmetic, written out on published names."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.models.foreign_arithmetic import (
    Shapes,
    State,
    layer_norm,
    linear,
    linear_shapes,
    neck_shapes,
    norm_shapes,
)

DEPTHS, SWIN_HEADS = (2, 2, 6, 2), (3, 6, 12, 24)


def swin_shapes(source: str = "base") -> Shapes:
    shapes: Shapes = {
        f"{source}.patch_embed.projection.weight": (96, 3, 4, 4),
        f"{source}.patch_embed.projection.bias": (96,),
        **norm_shapes(f"{source}.patch_embed.norm", 96),
    }
    for stage, (depth, heads) in enumerate(zip(DEPTHS, SWIN_HEADS, strict=True)):
        width = 96 * 2**stage
        for number in range(depth):
            b = f"{source}.stages.{stage}.blocks.{number}"
            shapes |= norm_shapes(f"{b}.norm1", width) | norm_shapes(f"{b}.norm2", width)
            shapes[f"{b}.attn.w_msa.relative_position_bias_table"] = (169, heads)
            shapes[f"{b}.attn.w_msa.relative_position_index"] = (49, 49)
            shapes |= linear_shapes(f"{b}.attn.w_msa.qkv", width, 3 * width)
            shapes |= linear_shapes(f"{b}.attn.w_msa.proj", width, width)
            shapes |= linear_shapes(f"{b}.ffn.layers.0.0", width, 4 * width)
            shapes |= linear_shapes(f"{b}.ffn.layers.1", 4 * width, width)
        if stage < 3:
            down = f"{source}.stages.{stage}.downsample"
            shapes |= norm_shapes(f"{down}.norm", 4 * width)
            shapes |= linear_shapes(f"{down}.reduction", 4 * width, 2 * width, bias=False)
        shapes |= norm_shapes(f"{source}.norm{stage}", width)
        for name in "wb":
            semantic = f"{source}.semantic_embed_{name}.{stage}"
            shapes |= linear_shapes(semantic, 2, min(2 * width, 768))
    return shapes


def solider_shapes(reduced: int = 0) -> Shapes:
    width = reduced or 768
    shapes = swin_shapes() | neck_shapes("bottleneck", width)
    if reduced:
        shapes["fcneck.weight"] = (reduced, 768)
    return shapes | {"classifier.weight": (5, width)}


def window_attention(s: State, b: str, x: Tensor, heads: int, shift: int) -> Tensor:
    """Window by window; ``x`` (B, h, w, D) is normalised."""
    height, width = x.shape[1:3]
    x = F.pad(x, (0, 0, 0, -width % 7, 0, -height % 7))
    rows, columns = x.shape[1:3]
    x = x.roll((-shift, -shift), (1, 2))
    out = torch.zeros_like(x)
    table = s[f"{b}.attn.w_msa.relative_position_bias_table"]
    places = [(i, j) for i in range(7) for j in range(7)]
    far = [[(i - k + 6) * 13 + (j - n + 6) for k, n in places] for i, j in places]
    bias = table[torch.tensor(far)].permute(2, 0, 1)

    def region(place: int, size: int) -> int:
        return 0 if not shift or place < size - 7 else 1 if place < size - shift else 2

    for top in range(0, rows, 7):
        for left in range(0, columns, 7):
            window = x[:, top : top + 7, left : left + 7].flatten(1, 2)
            qkv = linear(s, f"{b}.attn.w_msa.qkv", window).unflatten(2, (3, heads, -1))
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            where = [(region(top + i, rows), region(left + j, columns)) for i, j in places]
            apart = torch.tensor([[-100.0 * (one != two) for two in where] for one in where])
            weights = (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3) + bias + apart).softmax(dim=3)
            mixed = linear(s, f"{b}.attn.w_msa.proj", (weights @ v).transpose(1, 2).flatten(2))
            out[:, top : top + 7, left : left + 7] = mixed.unflatten(1, (7, 7))
    return out.roll((shift, shift), (1, 2))[:, :height, :width]


def solider(s: State, images: Tensor, *, source: str = "base", weight: float = 0.2) -> Tensor:
    projection = f"{source}.patch_embed.projection"
    x = F.conv2d(images, s[f"{projection}.weight"], s[f"{projection}.bias"], stride=4)
    x = layer_norm(s, f"{source}.patch_embed.norm", x.permute(0, 2, 3, 1), 1e-5)
    for stage, (depth, heads) in enumerate(zip(DEPTHS, SWIN_HEADS, strict=True)):
        for number in range(depth):
            b = f"{source}.stages.{stage}.blocks.{number}"
            y = layer_norm(s, f"{b}.norm1", x, 1e-5)
            x = x + window_attention(s, b, y, heads, 3 * (number % 2))
            inner = F.gelu(linear(s, f"{b}.ffn.layers.0.0", layer_norm(s, f"{b}.norm2", x, 1e-5)))
            x = x + linear(s, f"{b}.ffn.layers.1", inner)
        if stage < 3:
            down = f"{source}.stages.{stage}.downsample"
            maps = F.pad(x.permute(0, 3, 1, 2), (0, x.shape[2] % 2, 0, x.shape[1] % 2))
            merged = F.unfold(maps, 2, stride=2).transpose(1, 2)
            merged = linear(s, f"{down}.reduction", layer_norm(s, f"{down}.norm", merged, 1e-5))
            x = merged.unflatten(1, (maps.shape[2] // 2, maps.shape[3] // 2))
            if weight >= 0:
                mixture = torch.tensor([weight, 1 - weight])
                scale = F.softplus(linear(s, f"{source}.semantic_embed_w.{stage}", mixture))
                x = x * scale + linear(s, f"{source}.semantic_embed_b.{stage}", mixture)
    feature = layer_norm(s, f"{source}.norm3", x, 1e-5).mean(dim=(1, 2))
    return F.linear(feature, s["fcneck.weight"]) if "fcneck.weight" in s else feature


def test_solider(fill: Any, compare: Any) -> None:
    state = fill(solider_shapes(reduced=64))
    # maps of 18 x 10, 9 x 5, 5 x 3 and 3 x 2: padded windows, odd merging, windows beyond the map
    _, card = compare(state, solider, (72, 40), given=(72, 40))
    assert card.training["source"] == "SOLIDER"
    assert (card.architecture, card.dimension) == ("embedded:solider_tiny", 64)
    assert (card.mean, card.feature) == ((0.5,) * 3, "before_bn")
    assert card.structure["semantic_weight"] == 0.2
    assert {"base.norm0.weight", "base.semantic_embed_w.3.bias"} <= set(card.training["left_out"])


def test_the_pre_training_of_solider_without_its_semantics(fill: Any, compare: Any) -> None:
    shapes = swin_shapes("module.backbone") | linear_shapes("module.head.mlp.0", 768, 8)
    teacher = fill({name: shape for name, shape in shapes.items() if "semantic" not in name})
    oracle = lambda s, x: solider(s, x, source="backbone", weight=-1)  # noqa: E731
    _, card = compare(teacher, oracle, (32, 32), given=(32, 32))
    assert card.training["source"] == "SOLIDER's pre-training"
    assert (card.architecture, card.structure) == ("solider_tiny", {"semantic_weight": -1})
    assert not card.neck
    assert "head.mlp.0.weight" in card.training["left_out"]
