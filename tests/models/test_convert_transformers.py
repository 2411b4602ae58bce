"""TransReID, CLIP-ReID and SOLIDER: the published arithmetic, written out on published names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import build, convert, load, save
from passerby.models.foreign.sources import identify

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear_shapes(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Shapes:
    shapes: Shapes = {f"{name}.weight": (outputs, inputs)}
    return shapes | ({f"{name}.bias": (outputs,)} if bias else {})


def neck_shapes(name: str, width: int) -> Shapes:
    shapes = norm_shapes(name, width)
    shapes |= {f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}
    return shapes | {f"{name}.num_batches_tracked": ()}


def layer_norm(s: State, name: str, x: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], s[f"{name}.weight"], s[f"{name}.bias"], eps)


def linear(s: State, name: str, x: Tensor) -> Tensor:
    return F.linear(x, s[f"{name}.weight"], s.get(f"{name}.bias"))


# ---------------------------------------------------------------------------------------- TransReID


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


# ---------------------------------------------------------------------------------------- CLIP-ReID

TEXTS: Shapes = {
    "prompt_learner.cls_ctx": (5, 4, 8),
    "prompt_learner.token_prefix": (1, 5, 8),
    "text_encoder.positional_embedding": (77, 8),
    "text_encoder.transformer.resblocks.0.ln_1.weight": (8,),
}


def clip_head_shapes(width: int, projected: int) -> Shapes:
    return {
        **neck_shapes("bottleneck", width),
        **neck_shapes("bottleneck_proj", projected),
        "classifier.weight": (5, width),
        "classifier_proj.weight": (5, projected),
        **TEXTS,
    }


def clip_vit_shapes(depth: int, patches: int, cameras: int) -> Shapes:
    width = 768
    shapes: Shapes = {
        "image_encoder.class_embedding": (width,),
        "image_encoder.positional_embedding": (patches + 1, width),
        "image_encoder.proj": (width, 512),
        "image_encoder.conv1.weight": (width, 3, 16, 16),
        **norm_shapes("image_encoder.ln_pre", width),
        **norm_shapes("image_encoder.ln_post", width),
        **clip_head_shapes(width, 512),
    }
    for number in range(depth):
        block = f"image_encoder.transformer.resblocks.{number}"
        shapes |= norm_shapes(f"{block}.ln_1", width) | norm_shapes(f"{block}.ln_2", width)
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width)}
        shapes |= {f"{block}.attn.in_proj_bias": (3 * width,)}
        shapes |= linear_shapes(f"{block}.attn.out_proj", width, width)
        shapes |= linear_shapes(f"{block}.mlp.c_fc", width, 4 * width)
        shapes |= linear_shapes(f"{block}.mlp.c_proj", 4 * width, width)
    return shapes | ({"cv_embed": (cameras, width)} if cameras else {})


def clip_vit(s: State, images: Tensor, *, stride: int = 16) -> Tensor:
    p = "image_encoder"
    x = F.conv2d(images, s[f"{p}.conv1.weight"], stride=stride).flatten(2).transpose(1, 2)
    first = s[f"{p}.class_embedding"]
    if "cv_embed" in s:
        first = first + s["cv_embed"].mean(dim=0)
    x = torch.cat([first.expand(len(x), 1, -1), x], dim=1) + s[f"{p}.positional_embedding"]
    x = layer_norm(s, f"{p}.ln_pre", x, 1e-5).transpose(0, 1)
    count = len({key.split(".")[3] for key in s if key.startswith(f"{p}.transformer.")})
    for number in range(count):
        b = f"{p}.transformer.resblocks.{number}"
        y = layer_norm(s, f"{b}.ln_1", x, 1e-5)
        attended, _ = F.multi_head_attention_forward(
            y, y, y, 768, 12, s[f"{b}.attn.in_proj_weight"], s[f"{b}.attn.in_proj_bias"],
            None, None, False, 0.0, s[f"{b}.attn.out_proj.weight"], s[f"{b}.attn.out_proj.bias"],
            training=False, need_weights=False,
        )  # fmt: skip
        x = x + attended
        inner = linear(s, f"{b}.mlp.c_fc", layer_norm(s, f"{b}.ln_2", x, 1e-5))
        x = x + linear(s, f"{b}.mlp.c_proj", inner * torch.sigmoid(1.702 * inner))
    out = layer_norm(s, f"{p}.ln_post", x[0], 1e-5)
    return torch.cat([out, out @ s[f"{p}.proj"]], dim=1)


@pytest.mark.parametrize(("patches", "stride", "cameras"), [(8, 16, 0), (10, 12, 6)])
def test_clip_reid_vit(patches: int, stride: int, cameras: int, fill: Any, compare: Any) -> None:
    state = fill(clip_vit_shapes(2, patches, cameras))
    oracle = lambda s, x: clip_vit(s, x, stride=stride)  # noqa: E731
    _, card = compare(state, oracle, (64, 32), given=(64, 32))
    assert card.training["source"] == "CLIP-ReID (ViT)"
    assert (card.architecture, card.dimension) == ("clip-reid:clip_vit_base", 1280)
    assert (card.mean, card.feature) == ((0.5,) * 3, "before_bn")
    assert set(TEXTS) <= set(card.training["left_out"])
    assert card.structure.get("cameras", 0) == cameras


def clip_resnet_shapes(positions: int) -> Shapes:
    p = "image_encoder"
    shapes: Shapes = {}
    widths = ((3, 32), (32, 32), (32, 64))
    for number, (inputs, outputs) in enumerate(widths, start=1):
        shapes[f"{p}.conv{number}.weight"] = (outputs, inputs, 3, 3)
        shapes |= neck_shapes(f"{p}.bn{number}", outputs)
    channels = 64
    for stage, count in enumerate((3, 4, 6, 3), start=1):
        width = 32 * 2**stage
        for block in range(count):
            b = f"{p}.layer{stage}.{block}"
            kernels = ((channels, width, 1), (width, width, 3), (width, 4 * width, 1))
            for number, (inputs, outputs, side) in enumerate(kernels, start=1):
                shapes[f"{b}.conv{number}.weight"] = (outputs, inputs, side, side)
                shapes |= neck_shapes(f"{b}.bn{number}", outputs)
            if not block:
                shapes[f"{b}.downsample.0.weight"] = (4 * width, channels, 1, 1)
                shapes |= neck_shapes(f"{b}.downsample.1", 4 * width)
            channels = 4 * width
    shapes[f"{p}.attnpool.positional_embedding"] = (positions + 1, channels)
    for name, outputs in (("k_proj", 2048), ("q_proj", 2048), ("v_proj", 2048), ("c_proj", 1024)):
        shapes |= linear_shapes(f"{p}.attnpool.{name}", channels, outputs)
    return shapes | clip_head_shapes(2048, 1024) | {"cv_embed": (6, 2048)}


def conv_norm(s: State, conv: str, norm: str, x: Tensor, **options: int) -> Tensor:
    x = F.conv2d(x, s[f"{conv}.weight"], **options)  # type: ignore[arg-type]
    stats = (s[f"{norm}.running_mean"], s[f"{norm}.running_var"])
    return F.batch_norm(x, *stats, s[f"{norm}.weight"], s[f"{norm}.bias"])


def clip_resnet(s: State, images: Tensor) -> Tensor:
    p = "image_encoder"
    x = conv_norm(s, f"{p}.conv1", f"{p}.bn1", images, stride=2, padding=1).relu()
    x = conv_norm(s, f"{p}.conv2", f"{p}.bn2", x, padding=1).relu()
    x = F.avg_pool2d(conv_norm(s, f"{p}.conv3", f"{p}.bn3", x, padding=1).relu(), 2)
    for stage, count in enumerate((3, 4, 6, 3), start=1):
        for block in range(count):
            b = f"{p}.layer{stage}.{block}"
            shrink = 2 if stage in (2, 3) and not block else 1
            y = conv_norm(s, f"{b}.conv1", f"{b}.bn1", x).relu()
            y = conv_norm(s, f"{b}.conv2", f"{b}.bn2", y, padding=1).relu()
            y = conv_norm(s, f"{b}.conv3", f"{b}.bn3", F.avg_pool2d(y, shrink))
            if not block:
                x = conv_norm(s, f"{b}.downsample.0", f"{b}.downsample.1", F.avg_pool2d(x, shrink))
            x = (x + y).relu()
    tokens = x.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens])
    tokens = tokens + s[f"{p}.attnpool.positional_embedding"][:, None]
    a = f"{p}.attnpool"
    biases = torch.cat([s[f"{a}.{name}_proj.bias"] for name in "qkv"])
    pooled, _ = F.multi_head_attention_forward(
        tokens, tokens, tokens, 2048, 32, None, biases, None, None, False, 0.0,
        s[f"{a}.c_proj.weight"], s[f"{a}.c_proj.bias"], training=False, need_weights=False,
        use_separate_proj_weight=True, q_proj_weight=s[f"{a}.q_proj.weight"],
        k_proj_weight=s[f"{a}.k_proj.weight"], v_proj_weight=s[f"{a}.v_proj.weight"],
    )  # fmt: skip
    return torch.cat([x.mean(dim=(2, 3)), pooled[0]], dim=1)


def test_clip_reid_resnet(fill: Any, compare: Any) -> None:
    state = fill(clip_resnet_shapes(8))
    _, card = compare(state, clip_resnet, (64, 32), given=(64, 32))
    assert card.training["source"] == "CLIP-ReID (ResNet)"
    assert (card.architecture, card.dimension) == ("clip-reid:clip_resnet50", 3072)
    assert (card.mean[0], card.feature) == (0.485, "before_bn")
    assert "cv_embed" in card.training["left_out"]


# ------------------------------------------------------------------------------------------ SOLIDER

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


# ------------------------------------------------------------------------------- files that are off

SMALL: dict[str, tuple[Callable[[], Shapes], str, str]] = {
    "transreid": (
        lambda: transreid_shapes(local=True), "b2.0.mlp.fc1.weight", "TransReID"),
    "clip-vit": (
        lambda: clip_vit_shapes(1, 8, 0), "image_encoder.ln_post.bias", "CLIP-ReID (ViT)"),
    "solider": (solider_shapes, "base.stages.1.downsample.reduction.weight", "SOLIDER"),
    "clip-resnet": (
        lambda: clip_resnet_shapes(8), "image_encoder.attnpool.q_proj.bias", "CLIP-ReID (ResNet)"),
}  # fmt: skip


def refusal(state: Mapping[str, Tensor], path: Path) -> str:
    torch.save(dict(state), path)
    with pytest.raises(InputError) as found:
        convert(path, input_size=(64, 32))
    assert "model.pth" in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("family", SMALL)
def test_tensors_that_do_not_fit_are_named(family: str, fill: Any, tmp_path: Path) -> None:
    shapes, victim, source = SMALL[family]
    state = {key: value.half() for key, value in fill(shapes()).items()}
    path = tmp_path / "model.pth"
    assert identify(state).name == source
    if family != "solider":  # large files: one change to each will do
        lacking = {key: value for key, value in state.items() if key != victim}
        assert "lacks 1 tensors, '" in refusal(lacking, path)
    if family != "clip-resnet":
        assert "is (3, 5), not (" in refusal({**state, victim: torch.zeros(3, 5)}, path)
    # no more than the names by which it is told
    marks = {key: torch.tensor(0.0) for key in identify(state).has if not key.endswith(".")}
    starts = {key + "x": torch.tensor(0.0) for key in identify(state).has if key.endswith(".")}
    assert "cannot be converted" in refusal(marks | starts, path)


def test_files_that_are_off_end_in_one_clear_line(fill: Any, tmp_path: Path) -> None:
    state, path = fill(transreid_shapes(local=True)), tmp_path / "model.pth"
    extra = {f"base.extra.{number}": torch.zeros(1) for number in range(7)}
    message = refusal({**state, **extra}, path)
    assert "7 tensors that its kind does not have, 'base.extra.0', 'base.extra.1'" in message
    assert "'base.extra.4' and 2 more" in message
    broken = {**state, "base.pos_embed": torch.full((1, 9, 384), torch.nan)}
    assert "NaN" in refusal(broken, path)
    claimed = torch.zeros(1).expand(1 << 30, 384)
    assert "more than it holds" in refusal({**state, "classifier.weight": claimed}, path)
    renumbered = {key.replace("blocks.1.", "blocks.99999."): v for key, v in state.items()}
    assert "leave out numbers" in refusal(renumbered, path)
    unnumbered = {**state, "base.blocks.first.weight": torch.zeros(1)}
    assert "has no number" in refusal(unnumbered, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable state dictionary"):
        convert(path)


def test_a_converted_file_is_saved_and_loaded(fill: Any, tmp_path: Path) -> None:
    torch.save(fill(clip_vit_shapes(1, 8, 3)), tmp_path / "model.pth")
    network, card = convert(tmp_path / "model.pth", input_size=(64, 32))
    save(network, replace(card, licence="MIT"), tmp_path / "model.safetensors")
    again, read = load(tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
        with pytest.raises(InputError, match=r"pictures of \(64, 48\) pixels for a transformer"):
            again(torch.randn(1, 3, 64, 48))
    assert read.structure == {"depth": 1, "cameras": 3}
