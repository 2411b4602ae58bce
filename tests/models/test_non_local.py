"""Non-local blocks against loops over positions."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.models import NonLocal, parameter_counts, parameters
from passerby.models.resnet import SHAPES, ResNet, ResNetStructure


def awake(block: NonLocal) -> NonLocal:
    """Let the block do something: statistics and scale as after training."""
    norm = block.W[1]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return block.double().eval()


def explicit(block: NonLocal, features: Tensor) -> Tensor:
    """z_i = x_i + W(1/C sum_j f(x_i, x_j) g(x_j)), position by position."""
    theta, phi, g = block.theta(features), block.phi(features), block.g(features)
    if block.subsample > 1:
        phi, g = (F.max_pool2d(one, block.subsample, ceil_mode=True) for one in (phi, g))
    count, _, height, width = features.shape
    mixed = torch.zeros_like(theta)
    keys = [(y, x) for y in range(phi.shape[2]) for x in range(phi.shape[3])]
    for b in range(count):
        for y in range(height):
            for x in range(width):
                scores = [float(theta[b, :, y, x] @ phi[b, :, v, u]) for v, u in keys]
                if block.similarity == "softmax":
                    total = sum(math.exp(s) for s in scores)
                    weights = [math.exp(s) / total for s in scores]
                else:
                    weights = [s / len(keys) for s in scores]
                for weight, (v, u) in zip(weights, keys, strict=True):
                    mixed[b, :, y, x] += weight * g[b, :, v, u]
    return features + block.W(mixed)


FORMS = [
    {"inner": 1, "similarity": "dot"},
    {"inner": 3, "similarity": "dot"},
    {"inner": 4, "similarity": "softmax"},
    {"inner": 4, "similarity": "softmax", "subsample": 2},
    {},
]


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("size", [(4, 2), (5, 3)])
def test_equals_the_loops(options: dict, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    block = awake(NonLocal(6, **options))
    features = torch.randn(2, 6, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(features), explicit(block, features))


@pytest.mark.parametrize("options", FORMS)
def test_gradients(options: dict) -> None:
    torch.manual_seed(0)
    block = awake(NonLocal(4, **options))
    features = torch.randn(2, 4, 4, 2, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in block.parameters()]

    def run(features: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (features,))

    assert torch.autograd.gradcheck(run, (features, *values))


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("training", [True, False])
def test_starts_as_the_identity(options: dict, training: bool) -> None:
    block = NonLocal(6, **options).train(training)
    features = torch.randn(3, 6, 4, 4)
    assert torch.equal(block(features), features)


@pytest.mark.parametrize(
    ("inner", "counts"),
    [
        (1, (1_795, 3_587, 7_171, 14_339)),
        (16, (17_200, 34_352, 68_656, 137_264)),
        (None, (132_224, 526_592, 2_101_760, 8_397_824)),
    ],
)
def test_parameters(inner: int | None, counts: tuple[int, ...]) -> None:
    with torch.device("meta"):
        blocks = [NonLocal(channels, inner=inner) for channels in (256, 512, 1024, 2048)]
    assert tuple(map(parameters, blocks)) == counts


@pytest.mark.parametrize(
    ("name", "layout", "places"),
    [
        ("resnet50", "agw", {"2_2", "2_3", "3_3", "3_4", "3_5"}),
        ("resnet101", "agw", {"2_2", "2_3", *(f"3_{i}" for i in range(14, 23))}),
        ("resnet50", "default", {"1_2", "2_3", "3_5"}),
        ("resnet50", "none", set()),
    ],
)
def test_layouts(name: str, layout: str, places: set[str]) -> None:
    with torch.device("meta"):
        trunk = ResNet(SHAPES[name], structure=ResNetStructure(non_local=layout))
    assert set(trunk.non_local) == places
    inner = {block.theta.out_channels for block in trunk.non_local.values()}
    assert inner == {"agw": {1}, "default": {16}, "none": set()}[layout]


@pytest.mark.parametrize(("layout", "extra"), [("default", 120_208), ("agw", 28_687)])
def test_layouts_have_the_listed_parameters(layout: str, extra: int) -> None:
    counted = parameter_counts("resnet50", {"non_local": layout})
    assert counted is not None
    assert counted.total == 23_512_128 + extra


def test_a_trunk_with_blocks_starts_as_the_plain_trunk() -> None:
    torch.manual_seed(0)
    plain = ResNet(SHAPES["slim18"])
    images = torch.randn(2, 3, 64, 32)
    for layout in ("default", "agw"):
        trunk = ResNet(SHAPES["slim18"], structure=ResNetStructure(non_local=layout))
        missing, unexpected = trunk.load_state_dict(plain.state_dict(), strict=False)
        assert missing
        assert not unexpected
        assert all(key.startswith("non_local.") for key in missing)
        assert torch.equal(trunk(images), plain(images))


def test_blocks_learn() -> None:
    torch.manual_seed(0)
    trunk = ResNet(SHAPES["slim18"], structure=ResNetStructure(non_local="default"))
    optimiser = torch.optim.SGD(trunk.parameters(), lr=0.1)
    images = torch.randn(2, 3, 64, 32)
    for _ in range(2):
        optimiser.zero_grad()
        (trunk(images) ** 2).mean().backward()
        optimiser.step()
    for block in trunk.non_local.values():
        assert block.theta.weight.grad.abs().max() > 0
