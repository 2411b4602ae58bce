import pytest
import torch

from passerby.errors import InputError
from passerby.losses import cross_entropy, triplet
from passerby.models import HeadsOutput, build, heads


def tiny(**options) -> torch.nn.Module:
    torch.manual_seed(0)
    structure = {"stripes": 2, "width": 16, **options.pop("structure", {})}
    return build("parts:slim18", num_classes=5, structure=structure, **options)


@pytest.mark.parametrize("pooling", ["average", "gem", "gem-fixed"])
def test_heads_equal_their_steps(pooling: str) -> None:
    network = tiny(pooling=pooling).eval()
    images = torch.randn(3, 3, 128, 64)
    with torch.no_grad():
        maps = network.backbone(images)
        before = [network.pool(maps)]
        for index, part in enumerate((maps[:, :, :4], maps[:, :, 4:])):
            before.append(network.pool(part) @ network.reductions[index].weight.T)
        after = [neck(one) for neck, one in zip(network.bnnecks, before, strict=True)]
        torch.testing.assert_close(network(images), torch.cat(after, dim=1))
        network.feature = "before_bn"
        torch.testing.assert_close(network(images), torch.cat(before, dim=1))


def test_training_gives_every_head_its_losses() -> None:
    network = tiny()
    output = network(torch.randn(4, 3, 128, 64))
    assert isinstance(output, HeadsOutput)
    assert [tuple(h.before_bn.shape) for h in output.heads] == [(4, 256), (4, 16), (4, 16)]
    assert heads(output) == output.heads
    labels = torch.tensor([0, 0, 1, 1])
    total = sum(
        cross_entropy(head.logits, labels) + triplet(head.before_bn, labels)
        for head in heads(output)
    )
    total.backward()
    silent = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


def test_width_zero_keeps_the_backbones_dimension() -> None:
    network = tiny(structure={"width": 0}).eval()
    assert network.dimension == 3 * 256
    maps = network.backbone(torch.zeros(1, 3, 128, 64))
    assert network(torch.zeros(1, 3, 128, 64)).shape == (1, 768)
    assert maps.shape[2] == 8


def test_without_neck_the_classifiers_have_biases() -> None:
    network = tiny(neck=False)
    assert all(one.bias is not None for one in network.classifiers)
    head = network(torch.randn(2, 3, 128, 64)).heads[1]
    assert torch.equal(head.before_bn, head.after_bn)


def test_without_classifiers_the_logits_are_empty() -> None:
    network = build("parts:slim18", structure={"stripes": 2})
    shapes = [tuple(h.logits.shape) for h in network(torch.randn(2, 3, 128, 64)).heads]
    assert shapes == [(2, 0)] * 3


def test_any_backbone_with_a_map() -> None:
    pytest.importorskip("timm")
    for name, structure in (
        ("parts:fpb:slim18", {"convolution": "dwsep"}),
        ("parts:timm:test_vit", {"tokens": "map"}),
        ("parts:timm:test_convnext", {}),
    ):
        parts = {"stripes": 3, "width": 8, **structure}
        network = build(name, structure=parts, input_size=(96, 64)).eval()
        assert network(torch.randn(2, 3, 96, 64)).shape == (2, network.dimension)


def test_one_token_has_no_stripes() -> None:
    pytest.importorskip("timm")
    network = build("parts:timm:test_vit", input_size=(96, 64))
    with pytest.raises(InputError, match="of 1 rows has no 4 stripes"):
        network(torch.randn(2, 3, 96, 64))


@pytest.mark.parametrize("structure", [{"stripes": 0}, {"stripes": 65}, {"width": -1}])
def test_ranges(structure: dict) -> None:
    with pytest.raises(InputError, match="structure option"):
        build("parts:slim18", structure=structure)
