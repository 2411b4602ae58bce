"""The pyramid's batched branches against branches in a loop."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import (
    HeadOptions,
    PyramidNetwork,
    PyramidOutput,
    TrainOutput,
    build,
    heads,
    parameters,
)
from passerby.models.pyramid import PyramidStructure
from passerby.models.stripes import stripe_bounds, stripe_pools


def explicit_features(network: PyramidNetwork, maps: Tensor) -> list[Tensor]:
    """Each branch by its published layers, on maps (B, D, h, w) whose rows the stripes divide."""
    structure = network.structure
    height = maps.shape[2] // structure.stripes
    width, found = structure.width, []
    for level in structure.used_levels():
        for first in range(structure.stripes - level + 1):
            part = maps[:, :, first * height : (first + level) * height]
            pooled = F.adaptive_avg_pool2d(part, 1) + F.adaptive_max_pool2d(part, 1)
            index = len(found)
            channels = slice(index * width, (index + 1) * width)
            out = F.conv2d(
                pooled, network.embed.weight[index, :, :, None, None], network.embed.bias[index]
            )
            norm = nn.BatchNorm2d(width).to(maps.dtype).train(network.training)
            norm.load_state_dict(
                {
                    key: value[channels] if value.ndim else value
                    for key, value in network.norm.state_dict().items()
                }
            )
            found.append(norm(out).relu().flatten(1))
    return found


def network_of(structure: PyramidStructure, classes: int = 5) -> PyramidNetwork:
    torch.manual_seed(0)
    maps = nn.Identity()
    maps.dimension = 7  # type: ignore[assignment]
    network = PyramidNetwork(maps, HeadOptions(num_classes=classes), structure).double()
    nn.init.normal_(network.norm.weight)
    nn.init.normal_(network.norm.bias)
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.5, 2.0)
    return network


@pytest.mark.parametrize("levels", ["", "100000", "000001", "101001"])
@pytest.mark.parametrize("training", [True, False])
def test_equals_branches_in_a_loop(levels: str, training: bool) -> None:
    structure = PyramidStructure(width=4, levels=levels, dropout=0.0)
    network = network_of(structure).train(training)
    maps = torch.randn(6, 7, 12, 3, dtype=torch.float64)
    expected = explicit_features(network, maps)
    assert len(expected) == structure.branches()
    output = network(maps)
    if not training:
        torch.testing.assert_close(output, torch.cat(expected, dim=1))
        return
    assert isinstance(output, PyramidOutput)
    torch.testing.assert_close(output.features, torch.stack(expected, dim=1))
    for index, one in enumerate(expected):
        logits = F.linear(one, network.classifiers.weight[index], network.classifiers.bias[index])
        torch.testing.assert_close(output.logits[index], logits)


def test_gradients() -> None:
    network = network_of(PyramidStructure(stripes=3, width=2, dropout=0.0), classes=3)
    maps = torch.randn(3, 7, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda maps: tuple(network(maps)), (maps,))


@pytest.mark.parametrize(("rows", "count"), [(24, 6), (16, 6), (7, 3), (5, 5), (8, 1)])
def test_stripes_are_those_of_adaptive_pooling(rows: int, count: int) -> None:
    values = torch.arange(float(rows)).square()[None, None, :, None]
    expected = F.adaptive_avg_pool2d(values, (count, 1)).flatten().tolist()
    bounds = stripe_bounds(rows, count)
    assert [float(values[0, 0, a:b].mean()) for a, b in bounds] == pytest.approx(expected)


@pytest.mark.parametrize(("rows", "count"), [(12, 4), (8, 6), (7, 3)])
def test_pools_of_stripes(rows: int, count: int) -> None:
    maps = torch.randn(2, 3, rows, 5, dtype=torch.float64)
    means, maxima = stripe_pools(maps, count)
    torch.testing.assert_close(means, F.adaptive_avg_pool2d(maps, (count, 1))[..., 0])
    torch.testing.assert_close(maxima, F.adaptive_max_pool2d(maps, (count, 1))[..., 0])


@pytest.mark.parametrize("stripes", [1, 2, 3, 6, 8])
def test_any_number_of_stripes(stripes: int) -> None:
    network = build("pyramid:slim18", num_classes=3, structure={"stripes": stripes, "width": 8})
    branches = stripes * (stripes + 1) // 2
    output = network(torch.randn(2, 3, 128, 64))
    assert output.features.shape == (2, branches, 8)
    assert output.logits.shape == (branches, 2, 3)
    assert network.eval()(torch.randn(2, 3, 128, 64)).shape == (2, network.dimension)


def test_parameters_and_dimension_of_the_published_network() -> None:
    with torch.device("meta"):
        network = build("pyramid", num_classes=751)
    assert network.dimension == 2688
    assert parameters(network.backbone) == 42_500_160
    assert parameters(network.embed) + parameters(network.norm) == 5_513_088
    assert parameters(network.classifiers) == 2_034_459


def test_start_weights() -> None:
    torch.manual_seed(0)
    network = build("pyramid:slim18", num_classes=50)
    assert network.classifiers.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not network.classifiers.bias.any()
    bound = 1 / 256**0.5
    assert network.embed.weight.abs().max() <= bound
    assert network.embed.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_dropout_acts_on_the_classifiers_alone() -> None:
    network = network_of(PyramidStructure(stripes=2, width=4, dropout=0.5))
    maps = torch.randn(4, 7, 4, 2, dtype=torch.float64)
    first, second = network(maps), network(maps)
    assert torch.equal(first.features, second.features)
    assert not torch.equal(first.logits, second.logits)


def test_heads_are_the_branches() -> None:
    network = network_of(PyramidStructure(stripes=2, width=4))
    output = network(torch.randn(4, 7, 4, 2, dtype=torch.float64))
    for index, head in enumerate(heads(output)):
        assert isinstance(head, TrainOutput)
        assert torch.equal(head.before_bn, output.features[:, index])
        assert torch.equal(head.logits, output.logits[index])
    assert len(heads(output)) == 3


def test_without_classifiers() -> None:
    network = network_of(PyramidStructure(stripes=2, width=4), classes=0)
    assert network(torch.randn(4, 7, 4, 2, dtype=torch.float64)).logits.shape == (3, 4, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": {"levels": "11"}}, "is not 6 digits"),
        ({"structure": {"levels": "000000"}}, "at least one 1"),
        ({"structure": {"levels": "11111x"}}, "is not 6 digits"),
        ({"structure": {"stripes": 0}}, "not 1..24"),
        ({"structure": {"stripes": True}}, "not of type int"),
        ({"structure": {"dropout": 1}}, "'dropout' 1.0"),
        ({"structure": {"depth": 1}}, "dropout, levels, non_local, stem_pool"),
        ({"pooling": "gem"}, "leave pooling at 'average'"),
        ({"neck": False}, "the neck on"),
    ],
)
def test_wrong_options_are_input_errors(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build("pyramid:slim18", **options)


def test_low_pictures_are_input_errors() -> None:
    with pytest.raises(InputError, match="of 4 rows has no 6 stripes"):
        build("pyramid:slim18")(torch.randn(2, 3, 64, 32))
