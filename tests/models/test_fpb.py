"""The feature pyramid branch against its steps written out."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import build, parameter_counts, parameters
from passerby.models.fpb import FpbResNet, FpbStructure, Neck
from passerby.models.resnet import SHAPES, ResNet

TINY = FpbStructure(branch_width=8)


def randomise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)


def norm_relu(features: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    return (features * scale[:, None, None] + shift[:, None, None]).clamp(min=0)


def explicit_neck(neck: Neck, stage2: Tensor, stage3: Tensor) -> Tensor:
    """Steps 1 to 6 of the branch, dense form, even maps."""

    def conv(block: nn.Sequential, features: Tensor) -> Tensor:
        weight = block[0].weight
        out = F.conv2d(F.pad(features, [weight.shape[-1] // 2] * 4), weight)
        return norm_relu(out, block[1])

    lateral2, lateral3 = conv(neck.lateral2, stage2), conv(neck.lateral3, stage3)
    top = conv(neck.top, lateral3)
    raised = top.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    down = conv(neck.down, lateral2 + raised)
    out2 = conv(neck.out2, down) + conv(neck.skip2, lateral2)
    count, width, height, length = out2.shape
    cells = out2.reshape(count, width, height // 2, 2, length // 2, 2)
    lowered = cells.amax(dim=(3, 5))
    return conv(neck.out3, top + lowered) + conv(neck.skip3, lateral3)


def test_neck_equals_its_steps() -> None:
    torch.manual_seed(0)
    neck = Neck((6, 10), TINY)
    randomise(neck)
    neck.double().eval()
    stage2 = torch.randn(2, 6, 8, 4, dtype=torch.float64)
    stage3 = torch.randn(2, 10, 4, 2, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(neck(stage2, stage3), explicit_neck(neck, stage2, stage3))


@pytest.mark.parametrize("convolution", ["dense", "dwsep"])
def test_neck_gradients(convolution: str) -> None:
    torch.manual_seed(0)
    neck = Neck((2, 3), FpbStructure(branch_width=3, convolution=convolution))
    randomise(neck)
    neck.double().eval()
    for module in neck.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    stage2 = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    stage3 = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(neck, (stage2, stage3))


def test_fusion_adds_the_normalised_branch_and_clips() -> None:
    torch.manual_seed(0)
    network = FpbResNet(SHAPES["slim18"], fpb=TINY)
    randomise(network)
    network.eval()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        stage1 = network.stage(0, network.stem(images))
        stage2 = network.stage(1, stage1)
        stage3 = network.stage(2, stage2)
        branch = network.fuse(network.neck(stage2, stage3))
        expected = (network.stage(3, stage3) + branch).clamp(min=0)
        assert torch.equal(network(images), expected)
        assert (expected == 0).any()


@pytest.mark.parametrize("convolution", ["dense", "dwsep"])
@pytest.mark.parametrize("size", [(64, 32), (72, 40)])
def test_starts_as_the_plain_network(convolution: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = build("slim18")
    network = build("fpb:slim18", structure={"convolution": convolution, "non_local": "default"})
    missing, unexpected = network.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {key.split(".")[1] for key in missing} == {"neck", "fuse", "non_local"}
    images = torch.randn(2, 3, *size)
    for training in (True, False):
        plain.train(training)
        network.train(training)
        ours, theirs = network(images), plain(images)
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)


@pytest.mark.parametrize(
    ("convolution", "non_local", "extra"),
    [
        ("dense", "none", 3_416_064),
        ("dense", "agw", 3_444_751),
        ("dense", "default", 3_536_272),
        ("dwsep", "none", 1_328_128),
        ("dwsep", "agw", 1_356_815),
        ("dwsep", "default", 1_448_336),
    ],
)
def test_parameters(convolution: str, non_local: str, extra: int) -> None:
    counted = parameter_counts("fpb", {"convolution": convolution, "non_local": non_local})
    assert counted is not None
    assert counted.trunk == 23_512_128
    assert counted.imagenet == 25_557_032
    assert counted.over_trunk == extra
    assert counted.over_imagenet == 23_512_128 + extra - 25_557_032


def test_neck_has_the_published_parts() -> None:
    with torch.device("meta"):
        neck = Neck((512, 1024), FpbStructure())
    assert parameters(neck.lateral2) + parameters(neck.lateral3) == 394_240
    assert parameters(neck.skip2) + parameters(neck.skip3) == 132_096
    dense = (neck.top, neck.down, neck.out2, neck.out3)
    assert sum(map(parameters, dense)) == 2_361_344


def test_imagenet_weights_load_and_leave_the_branch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = ResNet(SHAPES["slim18"])
    torch.save(plain.state_dict(), tmp_path / "slim18.pth")
    network = build("fpb:slim18", weights=tmp_path / "slim18.pth")
    assert torch.equal(network.backbone.layer4[1].conv2.weight, plain.layer4[1].conv2.weight)
    state = network.backbone.state_dict()
    del state["neck.top.0.weight"]
    torch.save(state, tmp_path / "holed.pth")
    with pytest.raises(InputError, match=r"lacks 1 tensors.*neck\.top"):
        build("fpb:slim18", weights=tmp_path / "holed.pth")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "fpb:slim18", "last_stride": 2}, "last stride of 1"),
        ({"architecture": "fpb:timm:test_vit"}, "grows on"),
        ({"structure": {"convolution": "sparse"}}, "choose from dense, dwsep"),
        ({"structure": {"branch_width": 0}}, "'branch_width' 0"),
        ({"structure": {"branch_width": 2.5}}, "not of type int"),
        ({"structure": {"stripes": 3}}, "its options are: branch_width, convolution, non_local"),
    ],
)
def test_wrong_options_are_input_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**{"architecture": "fpb:slim18", **options})
