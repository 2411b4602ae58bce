import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.models import build, parameters
from passerby.models.resnet import (
    SHAPES,
    InstanceBatchNorm,
    InstanceNorm,
    ResNet,
    ResNetStructure,
)


@pytest.mark.parametrize(
    ("name", "expected"), [("resnet50", 23_508_032), ("resnet101", 42_500_160)]
)
def test_trunk_has_the_published_number_of_parameters(name: str, expected: int) -> None:
    with torch.device("meta"):
        trunk = ResNet(SHAPES[name])
    assert parameters(trunk) == expected


def test_resnet50_stages_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        trunk = ResNet(SHAPES["resnet50"])
    stages = [parameters(stage) for stage in trunk.stages()]
    assert stages == [215_808, 1_219_584, 7_098_368, 14_964_736]
    assert parameters(trunk.conv1) + parameters(trunk.bn1) == 9_536


@pytest.mark.parametrize(("last_stride", "size"), [(1, (16, 8)), (2, (8, 4))])
def test_last_stride_keeps_or_halves_the_map(last_stride: int, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        trunk = ResNet(SHAPES["resnet50"], last_stride=last_stride)
        assert trunk(torch.empty(1, 3, 256, 128)).shape == (1, 2048, *size)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_outputs_equal_torchvision(name: str) -> None:
    import torchvision

    torch.manual_seed(0)
    theirs = getattr(torchvision.models, name)(weights=None).eval()
    ours = ResNet(SHAPES[name], last_stride=2).eval()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(state)
    theirs.fc = nn.Identity()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images).mean(dim=(2, 3)), theirs(images))


def test_instance_norm_equals_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = InstanceNorm(6), nn.InstanceNorm2d(6, affine=True)
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    images = (torch.randn(3, 6, 9, 5) * 2 + 4).requires_grad_()
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)
    weights = torch.randn(3, 6, 9, 5)
    (mine,) = torch.autograd.grad((ours(images) * weights).sum(), images)
    (other,) = torch.autograd.grad((theirs(images) * weights).sum(), images)
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_instance_norm_survives_constant_channels() -> None:
    norm = InstanceNorm(2)
    images = torch.full((1, 2, 4, 4), 1000.1, requires_grad=True)
    norm(images).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


def test_ibn_replaces_the_first_norm_of_the_first_stages_only() -> None:
    network = build("slim18").backbone
    names = {name for name, module in network.named_modules() if isinstance(module, InstanceNorm)}
    assert names == {f"layer{s}.{b}.bn1.IN" for s in (1, 2) for b in (0, 1)}


def test_the_small_network_fits_ten_megabytes_in_sixteen_bits() -> None:
    network = build("slim18")
    assert 2 * parameters(network) < 10e6


@pytest.mark.parametrize(
    ("name", "blocks"), [("resnet50-ibn", (3, 4, 6)), ("resnet18-ibn", (2, 2, 2))]
)
def test_ibn_a_splits_the_first_norm_of_three_stages_in_half(
    name: str, blocks: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        trunk = ResNet(SHAPES[name])
    found = {n: m for n, m in trunk.named_modules() if isinstance(m, InstanceBatchNorm)}
    assert set(found) == {
        f"layer{stage}.{block}.bn1"
        for stage, count in enumerate(blocks, start=1)
        for block in range(count)
    }
    for key, norm in found.items():
        width = 32 << int(key[5])  # 64, 128, 256
        assert (norm.IN.channels, norm.BN.num_features) == (width // 2, width // 2)
    plain = name.removesuffix("-ibn")
    with torch.device("meta"):
        assert parameters(trunk) == parameters(ResNet(SHAPES[plain]))


def test_ibn_a_normalises_each_half_its_way() -> None:
    torch.manual_seed(0)
    norm = InstanceBatchNorm(6).double()
    features = torch.randn(3, 6, 5, 4, dtype=torch.float64) * 3 + 1
    out = norm(features)
    for image in range(3):
        for channel in range(3):
            one = features[image, channel]
            expected = (one - one.mean()) / (one.var(unbiased=False) + 1e-5).sqrt()
            torch.testing.assert_close(out[image, channel], expected, atol=1e-4, rtol=1e-4)
    for channel in range(3, 6):
        one = features[:, channel]
        expected = (one - one.mean()) / (one.var(unbiased=False) + 1e-5).sqrt()
        torch.testing.assert_close(out[:, channel], expected)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool", ["padding", "ceil"])
def test_stem_options(relu: bool, pool: str) -> None:
    torch.manual_seed(0)
    structure = ResNetStructure(stem_relu=relu, stem_pool=pool)
    trunk = ResNet(SHAPES["slim18"], structure=structure).eval()
    trunk.bn1.bias.data.normal_()
    images = torch.randn(2, 3, 32, 16)
    with torch.no_grad():
        values = trunk.bn1(trunk.conv1(images))
        values = values.clamp(min=0) if relu else values
        top, bottom = (1, 0) if pool == "padding" else (0, 1)
        padded = nn.functional.pad(values, (top, bottom, top, bottom), value=-torch.inf)
        expected = nn.functional.max_pool2d(padded, 3, 2)
        assert torch.equal(trunk.stem(images), expected)
        assert expected.shape[2:] == (8, 4)


def test_structure_changes_no_state_of_the_stem() -> None:
    plain = ResNet(SHAPES["slim18"])
    other = ResNet(SHAPES["slim18"], structure=ResNetStructure(stem_relu=False, stem_pool="ceil"))
    assert set(plain.state_dict()) == set(other.state_dict())


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ({"stem_relu": 1}, "'stem_relu' is 1, not of type bool"),
        ({"stem_pool": "same"}, "choose from padding, ceil"),
        ({"non_local": True}, "choose from none, default, agw"),
        ({"stem": 1}, "its options are: non_local, stem_pool, stem_relu"),
    ],
)
def test_wrong_structures_are_input_errors(structure: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("slim18", structure=structure)
