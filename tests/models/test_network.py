import pytest
import torch
from torch import nn

from passerby.errors import InputError
from passerby.models import TrainOutput, build
from passerby.models.network import BNNeck, GeneralizedMeanPooling, make_pooling


def test_neck_has_a_frozen_zero_bias_and_torch_defaults() -> None:
    neck = BNNeck(7)
    assert not neck.bias.requires_grad
    assert neck.weight.requires_grad
    assert torch.equal(neck.bias, torch.zeros(7))
    assert torch.equal(neck.weight, torch.ones(7))
    assert (neck.eps, neck.momentum) == (1e-5, 0.1)


def test_neck_bias_stays_zero_in_training() -> None:
    network = build("slim18", num_classes=3)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    output = network(torch.randn(4, 3, 64, 32))
    nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0])).backward()
    optimiser.step()
    assert torch.equal(network.bnneck.bias, torch.zeros(256))


def test_classifier_with_neck_has_no_bias_and_small_weights() -> None:
    torch.manual_seed(0)
    classifier = build("slim18", num_classes=500).classifier
    assert classifier is not None
    assert classifier.bias is None
    assert classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)


def test_classifier_without_neck_has_a_bias_and_the_pooled_feature() -> None:
    network = build("slim18", num_classes=5, neck=False)
    assert network.classifier is not None
    assert network.classifier.bias is not None
    output = network(torch.randn(2, 3, 64, 32))
    assert torch.equal(output.before_bn, output.after_bn)


def test_modes_give_what_losses_and_tests_need() -> None:
    network = build("slim18", num_classes=5)
    images = torch.randn(4, 3, 64, 32)
    output = network(images)
    assert isinstance(output, TrainOutput)
    assert [tuple(t.shape) for t in output] == [(4, 256), (4, 256), (4, 5)]
    torch.testing.assert_close(output.after_bn.mean(dim=0), torch.zeros(256), atol=1e-5, rtol=0)
    network.eval()
    before = network.pool(network.backbone(images))
    torch.testing.assert_close(network(images), network.bnneck(before))
    network.feature = "before_bn"
    torch.testing.assert_close(network(images), before)


def test_network_without_classifier_gives_empty_logits() -> None:
    assert build("slim18")(torch.randn(2, 3, 64, 32)).logits.shape == (2, 0)


def test_gem_is_the_power_mean() -> None:
    pool = GeneralizedMeanPooling()
    features = torch.rand(2, 3, 4, 5) + 0.1
    expected = torch.tensor(
        [[(sum(v**3 for v in channel.flatten().tolist()) / 20) ** (1 / 3) for channel in image]
         for image in features]
    )  # fmt: skip
    torch.testing.assert_close(pool(features), expected)
    assert sum(p.numel() for p in pool.parameters()) == 1


def test_fixed_gem_learns_and_stores_nothing() -> None:
    pool = make_pooling("gem-fixed")
    features = torch.rand(2, 3, 4, 5)
    assert torch.equal(pool(features), GeneralizedMeanPooling()(features))
    assert not list(pool.parameters())
    assert not pool.state_dict()


def test_gem_gradients() -> None:
    torch.manual_seed(0)
    pool = GeneralizedMeanPooling().double()
    features = (torch.rand(2, 3, 2, 2, dtype=torch.float64) + 0.1).requires_grad_()
    p = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)

    def run(features: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(pool, {"p": p}, (features,))

    assert torch.autograd.gradcheck(run, (features, p))


def test_gem_with_p_one_is_the_mean_and_large_p_the_maximum() -> None:
    features = torch.rand(2, 3, 4, 5) + 0.1
    torch.testing.assert_close(GeneralizedMeanPooling(1.0)(features), features.mean(dim=(2, 3)))
    near = GeneralizedMeanPooling(200.0)(features.double().float())
    assert (near <= features.amax(dim=(2, 3)) + 1e-5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "resnet51"}, "no architecture 'resnet51'; there are"),
        ({"architecture": "timm:resnet51"}, "has no network 'resnet51'"),
        ({"architecture": "timm:hf-hub:someone/network"}, "has no network"),
        ({"architecture": "resnet18", "last_stride": 3}, "last stride 3"),
        ({"architecture": "resnet18", "pooling": "max"}, "no pooling 'max'"),
    ],
)
def test_wrong_names_are_input_errors(options: dict, message: str) -> None:
    if "timm" in options["architecture"]:
        pytest.importorskip("timm")
    with pytest.raises(InputError, match=message):
        build(**options)


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("resnet18", 512), ("mobilenetv3_small_050", 288), ("vit_tiny_patch16_224", 192)],
)
def test_timm_backbones(name: str, dimension: int) -> None:
    pytest.importorskip("timm")
    network = build(f"timm:{name}", input_size=(64, 32), num_classes=4)
    output = network(torch.randn(2, 3, 64, 32))
    assert output.before_bn.shape == (2, dimension)


def test_timm_resnet_loses_its_last_stride() -> None:
    pytest.importorskip("timm")
    for name in ("resnet18", "resnet18d"):
        trunk = build(f"timm:{name}").backbone
        assert trunk(torch.randn(1, 3, 128, 64)).shape == (1, 512, 8, 4)
