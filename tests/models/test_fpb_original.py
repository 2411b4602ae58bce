"""The supervised feature pyramid network and its attention, against loops."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import build, heads, parameters
from passerby.models.fpb_original import ChannelAttention, PcAttention, PositionAttention


def awake(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, PositionAttention | ChannelAttention):
            nn.init.constant_(part.gamma, 0.7)
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    return module.double().eval()


def softmax(scores: list[float]) -> list[float]:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def test_position_attention_equals_the_loops() -> None:
    block = awake(PositionAttention(16))
    features = torch.randn(2, 16, 3, 2, dtype=torch.float64)
    with torch.no_grad():
        query, key, value = (c(features).flatten(2) for c in (block.query, block.key, block.value))
        mixed = torch.zeros(2, 16, 6, dtype=torch.float64)
        for b in range(2):
            for i in range(6):
                weights = softmax([float(query[b, :, i] @ key[b, :, j]) for j in range(6)])
                for j, weight in enumerate(weights):
                    mixed[b, :, i] += weight * value[b, :, j]
        expected = features + block.norm(0.7 * mixed.view(2, 16, 3, 2))
        torch.testing.assert_close(block(features), expected)


def test_channel_attention_equals_the_loops() -> None:
    block = awake(ChannelAttention(5))
    features = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    rows = features.flatten(2)
    mixed = torch.zeros_like(rows)
    for b in range(2):
        for i in range(5):
            energies = [float(rows[b, i] @ rows[b, j]) for j in range(5)]
            weights = softmax([max(energies) - e for e in energies])
            for j, weight in enumerate(weights):
                mixed[b, i] += weight * rows[b, j]
    with torch.no_grad():
        expected = features + block.norm(0.7 * mixed.view_as(features))
        torch.testing.assert_close(block(features), expected)


@pytest.mark.parametrize("kind", [PositionAttention, ChannelAttention])
def test_attention_gradients(kind: type[nn.Module]) -> None:
    block = awake(kind(8))
    features = torch.randn(1, 8, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (features,))


@pytest.mark.parametrize("training", [True, False])
def test_attention_starts_as_the_identity(training: bool) -> None:
    block = PcAttention(16).train(training)
    features = torch.randn(2, 16, 4, 2)
    assert torch.equal(block(features), features)


def test_parameters_of_the_published_network() -> None:
    with torch.device("meta"):
        network = build("fpb-original", input_size=(384, 128))
        assert network.eval()(torch.empty(2, 3, 384, 128)).shape == (2, 5120)
    assert network.dimension == 5120
    assert parameters(network) == 27_077_636


def test_feature_is_four_unit_parts() -> None:
    torch.manual_seed(0)
    network = build("fpb-original:slim18").eval()
    feature = network(torch.randn(2, 3, 96, 64))
    for part in (feature[:, :256], *feature[:, 256:].split(1024, dim=1)):
        torch.testing.assert_close(part.norm(dim=1), torch.ones(2))


def test_training_output_equals_its_steps() -> None:
    torch.manual_seed(0)
    network = build("fpb-original:slim18", num_classes=4)
    awake(network)
    seen: dict[str, Tensor] = {}
    network.out.register_forward_hook(lambda _module, _inputs, out: seen.update(out=out))
    images = torch.randn(3, 3, 96, 64, dtype=torch.float64)
    for module in network.modules():  # training output, statistics and dropout of evaluation
        module.training = module is network
    with torch.no_grad():
        output = network(images)
        trunk = network.backbone
        stage2 = trunk.stage(1, trunk.stage(0, trunk.stem(images)))
        stage3 = trunk.stage(2, network.attention(stage2))
        neck = network.neck
        lateral2, lateral3 = neck.lateral2(stage2), neck.lateral3(stage3)
        attended = network.neck_attention(lateral2)
        top = neck.top(lateral3)
        down = neck.down(attended + top.repeat_interleave(2, 2).repeat_interleave(2, 3))
        out2 = neck.out2(down) + neck.skip2(lateral2)
        out3 = neck.out3(top + F.max_pool2d(out2, 2)) + neck.skip3(lateral3)
        torch.testing.assert_close(seen["out"], network.out(out3))
        merged = torch.cat([lateral3, F.max_pool2d(attended, 2)], dim=1).flatten(2)
        torch.testing.assert_close(output.merged, merged)
        stripes = seen["out"].unflatten(2, (3, -1)).mean(dim=(3, 4))
        for index, head in enumerate(heads(output)[1:]):
            torch.testing.assert_close(head.before_bn, stripes[:, :, index])
            assert head.after_bn.shape == (3, 256)
            assert head.logits.shape == (3, 4)
        torch.testing.assert_close(
            heads(output)[0].before_bn, trunk.stage(3, stage3).mean(dim=(2, 3))
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "fpb-original:fpb:slim18"}, "stands on a residual network"),
        ({"last_stride": 2}, "last stride of 1"),
        ({"pooling": "gem"}, "leave pooling at 'average'"),
        ({"structure": {"stripes": 3}}, "its options are"),
    ],
)
def test_wrong_options_are_input_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(**{"architecture": "fpb-original:slim18", **options})
