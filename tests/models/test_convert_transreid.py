"""TransReID: the published arithmetic, written out on published names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import build, convert
from tests.models.foreign_arithmetic import (
    Shapes,
    State,
    layer_norm,
    linear,
    linear_shapes,
    neck_shapes,
    norm_shapes,
)


def vit_block_shapes(name: str, width: int, hidden: int, bias: bool) -> Shapes:
    return {
        **norm_shapes(f"{name}.norm1", width),
        **linear_shapes(f"{name}.attn.qkv", width, 3 * width, bias=bias),
        **linear_shapes(f"{name}.attn.proj", width, width),
        **norm_shapes(f"{name}.norm2", width),
        **linear_shapes(f"{name}.mlp.fc1", width, hidden),
        **linear_shapes(f"{name}.mlp.fc2", hidden, width),
    }


def transreid_shapes(
    *,
    width: int = 384,
    depth: int = 2,
    hidden: int = 1536,
    patches: int = 8,
    bias: bool = True,
    cameras: int = 0,
    local: bool = False,
) -> Shapes:
    shapes: Shapes = {
        "base.cls_token": (1, 1, width),
        "base.pos_embed": (1, patches + 1, width),
        "base.patch_embed.proj.weight": (width, 3, 16, 16),
        "base.patch_embed.proj.bias": (width,),
        **norm_shapes("base.norm", width),
        **linear_shapes("base.fc", width, 1000),
        **neck_shapes("bottleneck", width),
        "classifier.weight": (5, width),
    }
    for number in range(depth):
        shapes |= vit_block_shapes(f"base.blocks.{number}", width, hidden, bias)
    if cameras:
        shapes["base.sie_embed"] = (cameras, 1, width)
    for branch in ("b1", "b2") if local else ():
        shapes |= vit_block_shapes(f"{branch}.0", width, hidden, bias)
        shapes |= norm_shapes(f"{branch}.1", width)
    for number in (1, 2, 3, 4) if local else ():
        shapes |= neck_shapes(f"bottleneck_{number}", width)
        shapes[f"classifier_{number}.weight"] = (5, width)
    return shapes


def vit_block(s: State, name: str, x: Tensor, heads: int, scale: float | None) -> Tensor:
    batch, count, width = x.shape
    qkv = linear(s, f"{name}.attn.qkv", layer_norm(s, f"{name}.norm1", x, 1e-6))
    q, k, v = qkv.reshape(batch, count, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(2, 3) * (scale or (width // heads) ** -0.5)).softmax(dim=3)
    x = x + linear(s, f"{name}.attn.proj", (weights @ v).transpose(1, 2).reshape(x.shape))
    inner = F.gelu(linear(s, f"{name}.mlp.fc1", layer_norm(s, f"{name}.norm2", x, 1e-6)))
    return x + linear(s, f"{name}.mlp.fc2", inner)


def transreid(
    s: State, images: Tensor, *, stride: int = 16, heads: int = 6, scale: float | None = None,
    camera: int | None = None,
) -> Tensor:  # fmt: skip
    projection = (s["base.patch_embed.proj.weight"], s["base.patch_embed.proj.bias"])
    x = F.conv2d(images, *projection, stride=stride).flatten(2).transpose(1, 2)
    x = torch.cat([s["base.cls_token"].expand(len(x), -1, -1), x], dim=1) + s["base.pos_embed"]
    if "base.sie_embed" in s:
        table = s["base.sie_embed"][:, 0]
        x = x + 3.0 * (table.mean(dim=0) if camera is None else table[camera])
    depth = 1 + max(int(key.split(".")[2]) for key in s if key.startswith("base.blocks."))
    local = "b1.1.weight" in s
    for number in range(depth - local):
        x = vit_block(s, f"base.blocks.{number}", x, heads, scale)
    if not local:
        return layer_norm(s, "base.norm", x, 1e-6)[:, 0]

    def branch(name: str, tokens: Tensor) -> Tensor:
        return layer_norm(s, f"{name}.1", vit_block(s, f"{name}.0", tokens, heads, scale), 1e-6)

    features = [branch("b1", x)[:, 0]]
    length = (x.shape[1] - 1) // 4
    moved = [x[:, n] for n in range(5, x.shape[1])] + [x[:, n] for n in range(1, 5)]
    if len(moved) % 2:
        moved.append(moved[-2])
    half = len(moved) // 2
    dealt = [token for pair in zip(moved[:half], moved[half:], strict=True) for token in pair]
    for part in range(4):
        group = dealt[part * length : (part + 1) * length]
        features.append(branch("b2", torch.stack([x[:, 0], *group], dim=1))[:, 0] / 4)
    return torch.cat(features, dim=1)


TRANSREID: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, int], str]] = {
    "vit": (
        {"width": 768, "hidden": 3072, "depth": 1}, {"heads": 12}, (64, 32), "vit_base"),
    "small": (
        {"width": 768, "hidden": 2304, "bias": False, "depth": 1},
        {"heads": 8, "scale": 768**-0.5}, (64, 32), "vit_small"),
    "deit-overlapping-cameras": (
        {"patches": 10, "cameras": 4}, {"stride": 12}, (64, 32), "deit_small"),
    "jigsaw": (
        {"local": True, "depth": 3, "cameras": 4}, {}, (64, 32), "transreid:deit_small"),
    "jigsaw-odd": (
        {"local": True, "patches": 9}, {}, (48, 48), "transreid:deit_small"),
}  # fmt: skip


@pytest.mark.parametrize("case", TRANSREID)
def test_transreid(case: str, fill: Any, compare: Any) -> None:
    shapes, run, size, architecture = TRANSREID[case]
    state = fill(transreid_shapes(**shapes))
    network, card = compare(state, lambda s, x: transreid(s, x, **run), size, given=size)
    assert card.architecture == architecture
    assert card.training["source"] == "TransReID"
    assert (card.mean, card.std, card.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bilinear")
    assert (card.feature, card.input_size) == ("before_bn", size)
    assert (
        card.dimension
        == network.dimension
        == shapes.get("width", 384) * (5 if shapes.get("local") else 1)
    )
    assert "base.fc.weight" in card.training["left_out"]
    assert card.structure.get("cameras", 0) == shapes.get("cameras", 0)


def test_transreid_with_one_camera_behind_the_neck(fill: Any, tmp_path: Path) -> None:
    state = fill(transreid_shapes(local=True, cameras=4))
    torch.save(state, tmp_path / "model.pth")
    network, card = convert(tmp_path / "model.pth", input_size=(64, 32))
    other = build(
        card.architecture,
        num_classes=5,
        input_size=card.input_size,
        structure={**card.structure, "camera": 2},
    )
    other.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        plain = transreid(state, images, camera=2).unflatten(1, (5, -1))
        got = other.eval()(images).unflatten(1, (5, -1))
    for number, name in enumerate(["bottleneck", *(f"bottleneck_{n}" for n in (1, 2, 3, 4))]):
        share = 4 if number else 1
        expected = F.batch_norm(
            plain[:, number] * share,
            *(state[f"{name}.{part}"] for part in ("running_mean", "running_var")),
            *(state[f"{name}.{part}"] for part in ("weight", "bias")),
        )
        torch.testing.assert_close(got[:, number], expected / share, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("patches", "size", "stride"),
    [(128, (256, 128), 16), (210, (256, 128), 12), (192, (384, 128), 16), (310, (384, 128), 12),
     (256, (256, 256), 16)],
)  # fmt: skip
def test_the_number_of_patches_tells_size_and_stride(
    patches: int, size: tuple[int, int], stride: int, fill: Any, tmp_path: Path
) -> None:
    torch.save(fill(transreid_shapes(patches=patches, depth=1)), tmp_path / "model.pth")
    card = convert(tmp_path / "model.pth")[1]
    assert card.input_size == size
    assert card.structure.get("stride", 16) == stride
    with pytest.raises(InputError, match=r"positions, which no stride gives on 64 x 32"):
        convert(tmp_path / "model.pth", input_size=(64, 32))
