"""fast-reid's SBS, embedding, MGN; MGN-pytorch; FPB: the published arithmetic on its names."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import convert

State = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]
SIZE = (96, 32)


def neck_shapes(name: str, width: int) -> Shapes:
    shapes: Shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias")}
    shapes |= {f"{name}.{part}": (width,) for part in ("running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def resnet_shapes(depth: int = 18, *, ibn: bool = False) -> Shapes:
    """Names and shapes of torchvision's residual networks, which all of these toolboxes have."""
    with torch.device("meta"):
        published = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    shapes = {k: tuple(v.shape) for k, v in published.items() if not k.startswith("fc.")}
    if not ibn:
        return shapes
    made: Shapes = {}
    for name, shape in shapes.items():
        if name[:6] in ("layer1", "layer2", "layer3") and ".bn1." in name:
            half = (shape[0] // 2,) if shape else ()
            made[name.replace(".bn1.", ".bn1.BN.")] = half
            if name.endswith(("weight", "bias")):
                made[name.replace(".bn1.", ".bn1.IN.")] = half
        else:
            made[name] = shape
    return made


def norm(s: State, name: str, x: Tensor) -> Tensor:
    if f"{name}.IN.weight" in s:
        half = s[f"{name}.IN.weight"].shape[0]
        first = F.instance_norm(
            x[:, :half], weight=s[f"{name}.IN.weight"], bias=s[f"{name}.IN.bias"]
        )
        return torch.cat([first, norm(s, f"{name}.BN", x[:, half:])], dim=1)
    stats = (s[f"{name}.running_mean"], s[f"{name}.running_var"])
    return F.batch_norm(x, *stats, s[f"{name}.weight"], s[f"{name}.bias"])


def residual(s: State, name: str, x: Tensor, stride: int) -> Tensor:
    basic = f"{name}.conv3.weight" not in s
    strides, padding = ((stride, 1), (1, 1)) if basic else ((1, stride, 1), (0, 1, 0))
    y = x
    for number, (step, pad) in enumerate(zip(strides, padding, strict=True), start=1):
        y = F.conv2d(y, s[f"{name}.conv{number}.weight"], stride=step, padding=pad)
        y = norm(s, f"{name}.bn{number}", y)
        y = y.relu() if number < len(strides) else y
    if f"{name}.downsample.0.weight" in s:
        x = norm(
            s, f"{name}.downsample.1", F.conv2d(x, s[f"{name}.downsample.0.weight"], None, stride)
        )
    return (x + y).relu()


def blocks(s: State, name: str, x: Tensor, stride: int = 1) -> Tensor:
    number = 0
    while f"{name}.{number}.conv1.weight" in s:
        x = residual(s, f"{name}.{number}", x, 1 if number else stride)
        number += 1
    return x


def stem(s: State, conv: str, bn: str, images: Tensor, *, ceil: bool) -> Tensor:
    x = norm(s, bn, F.conv2d(images, s[f"{conv}.weight"], stride=2, padding=3)).relu()
    return F.max_pool2d(x, 3, 2, padding=0 if ceil else 1, ceil_mode=ceil)


def gem(x: Tensor, p: Tensor | float) -> Tensor:
    return x.clamp(min=1e-6).pow(p).mean(dim=(2, 3), keepdim=True).pow(1 / p)


# ---------------------------------------------------------------------------------------- fast-reid

NON_LOCAL = {"NL_2": (512, 2), "NL_3": (1024, 3)}


def sbs_shapes() -> Shapes:
    shapes = {f"backbone.{k}": v for k, v in resnet_shapes(50, ibn=True).items()}
    for stage, (channels, count) in NON_LOCAL.items():
        for number in range(count):
            b = f"backbone.{stage}.{number}"
            for name in ("g", "theta", "phi"):
                shapes |= {f"{b}.{name}.weight": (1, channels, 1, 1), f"{b}.{name}.bias": (1,)}
            shapes |= {f"{b}.W.0.weight": (channels, 1, 1, 1), f"{b}.W.0.bias": (channels,)}
            shapes |= neck_shapes(f"{b}.W.1", channels)
    shapes |= neck_shapes("heads.bottleneck.0", 2048)
    return shapes | {"heads.pool_layer.p": (1,), "heads.weight": (5, 2048)}


def non_local(s: State, name: str, x: Tensor) -> Tensor:
    g, theta, phi = (
        F.conv2d(x, s[f"{name}.{part}.weight"], s[f"{name}.{part}.bias"]).flatten(2)
        for part in ("g", "theta", "phi")
    )
    mixed = theta.transpose(1, 2) @ phi / phi.shape[2] @ g.transpose(1, 2)
    mixed = mixed.transpose(1, 2).unflatten(2, x.shape[2:])
    return x + norm(
        s, f"{name}.W.1", F.conv2d(mixed, s[f"{name}.W.0.weight"], s[f"{name}.W.0.bias"])
    )


def sbs(s: State, images: Tensor) -> Tensor:
    x = stem(s, "backbone.conv1", "backbone.bn1", images, ceil=True)
    for stage, (count, stride, first) in enumerate(
        ((3, 1, 9), (4, 2, 2), (6, 2, 3), (3, 1, 9)), start=1
    ):
        for number in range(count):
            x = residual(s, f"backbone.layer{stage}.{number}", x, 1 if number else stride)
            if number >= first:
                x = non_local(s, f"backbone.NL_{stage}.{number - first}", x)
    return norm(s, "heads.bottleneck.0", gem(x, s["heads.pool_layer.p"])).flatten(1)


def test_fastreid_sbs(fill: Any, compare: Any) -> None:
    # products of three maps: small, or rounding errors grow with them
    state = {
        k: 0.1 * v if ".NL_" in k and v.dim() == 4 else v for k, v in fill(sbs_shapes()).items()
    }
    _, card = compare(state, sbs, SIZE)
    assert card.architecture == "resnet50-ibn"
    assert (card.pooling, card.input_size, card.interpolation) == ("gem", (384, 128), "bicubic")
    assert dict(card.structure) == {"non_local": "agw", "stem_pool": "ceil"}
    assert "SBS" in card.notes


@pytest.mark.parametrize("classifier", ["heads.classifier.weight", "heads.weight"])
def test_fastreid_with_an_embedding(classifier: str, fill: Any, compare: Any) -> None:
    shapes: Shapes = {f"backbone.{k}": v for k, v in resnet_shapes().items()}
    shapes |= {"heads.bottleneck.0.weight": (64, 512, 1, 1), classifier: (5, 64)}
    state = fill(shapes | neck_shapes("heads.bottleneck.1", 64))
    state["pixel_mean"] = 255 * torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    state["pixel_std"] = 255 * torch.tensor([0.25, 0.25, 0.5]).view(1, 3, 1, 1)

    def oracle(s: State, images: Tensor) -> Tensor:
        x = stem(s, "backbone.conv1", "backbone.bn1", images, ceil=True)
        for stage, stride in enumerate((1, 2, 2, 1), start=1):
            x = blocks(s, f"backbone.layer{stage}", x, stride)
        x = F.conv2d(x.mean(dim=(2, 3), keepdim=True), s["heads.bottleneck.0.weight"])
        return norm(s, "heads.bottleneck.1", x).flatten(1)

    _, card = compare(state, oracle, SIZE)
    assert (card.architecture, card.dimension) == ("embedded:resnet18", 64)
    assert card.structure["embedding_norm"] is False
    assert card.mean == (0.485, 0.456, 0.406)
    assert card.std == pytest.approx((0.25, 0.25, 0.5))
    assert sorted(card.training["left_out"]) == ["pixel_mean", "pixel_std"]


def test_fastreids_other_heads_are_refused(fill: Any, tmp_path: Path) -> None:
    shapes: Shapes = {f"backbone.{k}": v for k, v in resnet_shapes().items()}
    shapes |= {"heads.bottleneck.0.weight": (64, 512, 1, 1)} | neck_shapes("heads.bnneck", 64)
    torch.save(fill(shapes), tmp_path / "model.pth")
    with pytest.raises(InputError, match="ReductionHead, which cannot be converted"):
        convert(tmp_path / "model.pth")


# ---------------------------------------------------------------------------------------------- MGN

HEADS = ("b1", "b2", "b3", "b21", "b22", "b31", "b32", "b33")


def mgn_shapes(trunk: str, branch: str, depth: int, *, ibn: bool = False) -> Shapes:
    """Trunk and three branches; their names behind ``trunk`` and ``branch`` are all the same."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5"}
    shapes: Shapes = {}
    for name, shape in resnet_shapes(depth, ibn=ibn).items():
        part, rest = name.split(".", maxsplit=1)
        if part in places:
            shapes[f"{trunk}.{places[part]}.{rest}"] = shape
        elif part == "layer3" and rest.startswith("0."):
            shapes[f"{trunk}.6.{rest.removeprefix('0.')}"] = shape
        else:
            for number in (1, 2, 3):
                first, _, last = rest.partition(".")
                here = f"0.{int(first) - 1}" if part == "layer3" else f"1.{first}"
                shapes[f"{branch}{number}.{here}.{last}"] = shape
    return shapes


def mgn_maps(
    s: State, images: Tensor, trunk: str, branch: str, *, ceil: bool, stride: int
) -> list[Tensor]:
    """Eight maps in the order of the published feature."""
    x = stem(s, f"{trunk}.0", f"{trunk}.1", images, ceil=ceil)
    x = residual(s, f"{trunk}.6", blocks(s, f"{trunk}.5", blocks(s, f"{trunk}.4", x), 2), 2)
    maps = []
    for number in (1, 2, 3):
        y = blocks(s, f"{branch}{number}.0", x)
        maps.append(blocks(s, f"{branch}{number}.1", y, stride if number == 1 else 1))
    return [*maps, *maps[1].chunk(2, dim=2), *maps[2].chunk(3, dim=2)]


def test_fastreid_mgn(fill: Any, compare: Any) -> None:
    shapes = mgn_shapes("backbone", "b", 18, ibn=True)
    for head in HEADS:
        shapes |= {f"{head}_head.bottleneck.0.weight": (256, 512, 1, 1)}
        shapes |= neck_shapes(f"{head}_head.bottleneck.1", 256)
        shapes |= {f"{head}_head.weight": (5, 256), f"{head}_head.pool_layer.p": (1,)}

    def oracle(s: State, images: Tensor) -> Tensor:
        maps = mgn_maps(s, images, "backbone", "b", ceil=True, stride=1)
        features = []
        for head, one in zip(HEADS, maps, strict=True):
            pooled = gem(one, s[f"{head}_head.pool_layer.p"])
            x = F.conv2d(pooled, s[f"{head}_head.bottleneck.0.weight"])
            features.append(norm(s, f"{head}_head.bottleneck.1", x).flatten(1))
        return torch.cat(features, dim=1)

    # maps of 8 rows: thirds of 3, 3 and 2
    _, card = compare(fill(shapes), oracle, (128, 32))
    assert (card.architecture, card.dimension) == ("mgn:resnet18-ibn", 2048)
    assert (card.pooling, card.input_size, card.interpolation) == ("gem", (384, 128), "bicubic")
    assert dict(card.structure) == {"stem_pool": "ceil", "width": 256}


def test_fastreid_mgn_of_2020(fill: Any, compare: Any, tmp_path: Path) -> None:
    shapes = mgn_shapes("backbone", "b", 18)
    for head in HEADS:
        shapes |= {f"{head}_pool.0.p": (1,), f"{head}_pool.1.weight": (32, 512, 1, 1)}
        shapes |= neck_shapes(f"{head}_pool.2", 32) | neck_shapes(f"{head}_head.bnneck", 32)
        shapes |= {f"{head}_head.classifier.weight": (5, 32)}
    state = fill(shapes)

    def oracle(s: State, images: Tensor) -> Tensor:
        maps = mgn_maps(s, images, "backbone", "b", ceil=False, stride=1)
        features = []
        for head, one in zip(HEADS, maps, strict=True):
            pooled = gem(one, s[f"{head}_pool.0.p"])
            x = norm(s, f"{head}_pool.2", F.conv2d(pooled, s[f"{head}_pool.1.weight"])).relu()
            features.append(norm(s, f"{head}_head.bnneck", x).flatten(1))
        return torch.cat(features, dim=1)

    _, card = compare(state, oracle, SIZE)
    assert dict(card.structure) == {"width": 32, "reduction": "relu"}
    assert card.training["source"] == "fast-reid MGN"
    del state["b31_pool.1.weight"]
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"lacks 1 tensors, 'reductions\.5\.0\.weight'"):
        convert(tmp_path / "model.pth")


def test_mgn_pytorch(fill: Any, compare: Any) -> None:
    names = ("2048_0", "2048_1", "2048_2", "256_1_0", "256_1_1", "256_2_0", "256_2_1", "256_2_2")
    shapes = mgn_shapes("backone", "p", 18)
    for number, name in enumerate(names):
        shapes |= {f"reduction_{number}.0.weight": (32, 512, 1, 1)}
        shapes |= neck_shapes(f"reduction_{number}.1", 32)
        shapes |= {f"fc_id_{name}.weight": (5, 32), f"fc_id_{name}.bias": (5,)}

    def oracle(s: State, images: Tensor) -> Tensor:
        maps = mgn_maps(s, images, "backone", "p", ceil=False, stride=2)
        features = []
        for number, one in enumerate(maps):
            pooled = F.max_pool2d(one, one.shape[2:])
            x = F.conv2d(pooled, s[f"reduction_{number}.0.weight"])
            features.append(norm(s, f"reduction_{number}.1", x).relu().flatten(1))
        return torch.cat(features, dim=1)

    _, card = compare(fill(shapes), oracle, SIZE)
    assert (card.pooling, card.last_stride, card.neck) == ("maximum", 2, False)


# ---------------------------------------------------------------------------------------------- FPB


def conv_bn_shapes(name: str, inputs: int, outputs: int, side: int) -> Shapes:
    return {f"{name}.conv.weight": (outputs, inputs, side, side)} | neck_shapes(
        f"{name}.bn", outputs
    )


def attention_shapes(name: str, width: int) -> Shapes:
    shapes: Shapes = {f"{name}.pam.pam.gamma": (1,), f"{name}.cam.cam.gamma": (1,)}
    shapes |= neck_shapes(f"{name}.pam.pam.bn", width) | neck_shapes(f"{name}.cam.cam.bn", width)
    for part, outputs in (("query", width // 8), ("key", width // 8), ("value", width)):
        conv = f"{name}.pam.pam.{part}_conv"
        shapes |= {f"{conv}.weight": (outputs, width, 1, 1), f"{conv}.bias": (outputs,)}
    return shapes


def fpb_shapes() -> Shapes:
    stems = {"conv1": "layer0.0", "bn1": "layer0.1"}
    shapes: Shapes = {}
    for key, shape in resnet_shapes(50).items():
        part, rest = key.split(".", maxsplit=1)
        shapes[f"{stems.get(part, part)}.{rest}"] = shape
    shapes |= attention_shapes("pc1", 512) | attention_shapes("neck.fpn_module1.pc1", 256)
    shapes |= conv_bn_shapes("neck.lateral_convs.0", 1024, 256, 1)
    shapes |= conv_bn_shapes("neck.lateral_convs.1", 512, 256, 1)
    for number in range(4):
        shapes |= conv_bn_shapes(f"neck.fpn_module1.convs.{number}", 256, 256, 3)
    for number in range(2):
        skip = f"neck.fpn_module1.downsamples.{number}"
        shapes |= {f"{skip}.0.weight": (256, 256, 1, 1)} | neck_shapes(f"{skip}.1", 256)
    shapes |= conv_bn_shapes("neck.conv", 256, 1024, 1) | neck_shapes("bn_l4", 2048)
    shapes |= {"classifier_l4.weight": (5, 2048), "classifier_l4.bias": (5,)}
    shapes |= {"dim_reds.layers.0.weight": (256, 1024, 1, 1)}
    shapes |= neck_shapes("dim_reds.layers.1", 256)
    for number in range(3):
        shapes |= {f"classifiers.{number}.weight": (5, 256), f"classifiers.{number}.bias": (5,)}
    return shapes


def conv_bn(s: State, name: str, x: Tensor) -> Tensor:
    weight = s[f"{name}.conv.weight"]
    return norm(s, f"{name}.bn", F.conv2d(x, weight, padding=weight.shape[2] // 2)).relu()


def attention(s: State, name: str, x: Tensor) -> Tensor:
    p = f"{name}.pam.pam"
    query, key, value = (
        F.conv2d(x, s[f"{p}.{part}_conv.weight"], s[f"{p}.{part}_conv.bias"]).flatten(2)
        for part in ("query", "key", "value")
    )
    weights = (query.transpose(1, 2) @ key).softmax(dim=2)
    x = x + norm(s, f"{p}.bn", s[f"{p}.gamma"] * (value @ weights.transpose(1, 2)).view_as(x))
    rows = x.flatten(2)
    energy = rows @ rows.transpose(1, 2)
    weights = (energy.amax(dim=2, keepdim=True) - energy).softmax(dim=2)
    c = f"{name}.cam.cam"
    return x + norm(s, f"{c}.bn", s[f"{c}.gamma"] * (weights @ rows).view_as(x))


def fpb(s: State, images: Tensor) -> Tensor:
    x = stem(s, "layer0.0", "layer0.1", images, ceil=False)
    second = blocks(s, "layer2", blocks(s, "layer1", x), 2)
    third = blocks(s, "layer3", attention(s, "pc1", second), 2)
    pooled = blocks(s, "layer4", third).mean(dim=(2, 3), keepdim=True)
    m = "neck.fpn_module1"
    top, low = conv_bn(s, "neck.lateral_convs.0", third), conv_bn(s, "neck.lateral_convs.1", second)
    a = conv_bn(s, f"{m}.convs.0", top)
    b = attention(s, f"{m}.pc1", low) + F.interpolate(a, scale_factor=2, mode="nearest")

    def skip(number: int, y: Tensor) -> Tensor:
        d = f"{m}.downsamples.{number}"
        return norm(s, f"{d}.1", F.conv2d(y, s[f"{d}.0.weight"])).relu()

    b = conv_bn(s, f"{m}.convs.2", conv_bn(s, f"{m}.convs.1", b)) + skip(0, low)
    a = conv_bn(s, f"{m}.convs.3", a + F.max_pool2d(b, 2)) + skip(1, top)
    parts = F.adaptive_avg_pool2d(conv_bn(s, "neck.conv", a), (3, 1))
    whole = F.normalize(norm(s, "bn_l4", pooled).flatten(1))
    # each stripe has length one; the published vector lists channels first, stripes within
    stripes = F.normalize(parts, dim=1).squeeze(3).transpose(1, 2)
    return torch.cat([whole, stripes.flatten(1)], dim=1)


def test_fpb(fill: Any, compare: Any, tmp_path: Path) -> None:
    state = fill(fpb_shapes())
    network, card = compare(state, fpb, SIZE)
    assert (card.architecture, card.dimension) == ("fpb-original:resnet50", 5120)
    assert (card.input_size, card.interpolation) == ((384, 128), "bilinear")
    assert network.classifier is not None
    headless = {k: v for k, v in state.items() if not k.startswith("classifier")}
    headless |= {"neck.conv.bn.weight": torch.ones(7)}
    torch.save(headless, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"'out\.1\.weight' is \(7,\), not \(1024,\)"):
        convert(tmp_path / "model.pth")
