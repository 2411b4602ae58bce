"""CLIP-ReID: the published arithmetic, written out on published names."""

from typing import Any

import pytest
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
