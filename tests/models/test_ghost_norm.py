"""Ghost batch norm against ordinary batch norm and against copies of a network."""

import copy

import pytest
import torch
from torch import Tensor, nn

from passerby.errors import InputError
from passerby.models import BNNeck
from passerby.models.ghost_norm import GhostBatchNorm1d, GhostBatchNorm2d, ghost_batch_norm


def network() -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8, momentum=0.3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(8),
    ).double()
    made[6].bias.requires_grad_(False)
    return made


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, 9, 7, dtype=torch.float64, generator=torch.manual_seed(1))


def replicas(base: nn.Module, images: Tensor, count: int) -> tuple[Tensor, nn.Module, list]:
    """Output, first replica and summed gradients of ``DataParallel`` on ``count`` devices."""
    copies = [copy.deepcopy(base) for _ in range(count)]
    parts = [c(part) for c, part in zip(copies, images.chunk(count), strict=True)]
    output = torch.cat(parts)
    output.square().sum(dim=1).sqrt().sum().backward()
    gradients = [
        sum(p.grad for p in same)
        for same in zip(*(c.parameters() for c in copies), strict=True)
        if same[0].requires_grad
    ]
    return output, copies[0], gradients


def test_one_ghost_run_is_data_parallel_on_four_devices() -> None:
    base, images = network(), pictures(32)
    expected, first, gradients = replicas(base, images, 4)
    ghost_batch_norm(base, 8, running="first")
    output = base(images)
    output.square().sum(dim=1).sqrt().sum().backward()
    assert torch.allclose(output, expected, atol=1e-12)
    own = [p.grad for p in base.parameters() if p.requires_grad]
    for a, b in zip(own, gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-10)
    for name, value in first.state_dict().items():
        assert torch.allclose(base.state_dict()[name], value, atol=1e-12), name


def test_running_statistics_follow_all_virtual_batches_in_order() -> None:
    ghost, ordinary, images = nn.BatchNorm1d(5), nn.BatchNorm1d(5), torch.randn(20, 5)
    ghost_batch_norm(ghost, 6)
    output = ghost(images)
    parts = [ordinary(part) for part in images.split(6)]  # 6, 6, 6 and a rest of 2
    assert torch.equal(output, torch.cat(parts))
    for name, value in ordinary.state_dict().items():
        assert torch.equal(ghost.state_dict()[name], value)


@pytest.mark.parametrize("running", ["all", "first"])
def test_a_virtual_batch_as_large_as_the_batch_changes_nothing(running) -> None:
    ordinary, images = network(), pictures(8)
    ghost = copy.deepcopy(ordinary)
    ghost_batch_norm(ghost, 8, running=running)
    assert torch.equal(ghost(images), ordinary(images))
    for a, b in zip(ghost.state_dict().values(), ordinary.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_evaluation_and_state_are_those_of_ordinary_batch_norm() -> None:
    ordinary, images = network(), pictures(32)
    ghost = copy.deepcopy(ordinary)
    parameters = list(ghost.parameters())
    ghost_batch_norm(ghost, 8)
    assert all(a is b for a, b in zip(ghost.parameters(), parameters, strict=True))
    ghost(images)
    ordinary.load_state_dict(ghost.state_dict())
    assert torch.equal(ghost.eval()(images), ordinary.eval()(images))
    assert not ghost[6].bias.requires_grad
    again = copy.deepcopy(ghost)
    assert isinstance(again[1], GhostBatchNorm2d)
    assert isinstance(again[6], GhostBatchNorm1d)
    assert again[3][1].momentum == 0.3
    assert "pictures=8" in repr(again)


def test_a_rest_of_one_row_joins_the_last_virtual_batch() -> None:
    ghost, ordinary, rows = nn.BatchNorm1d(3), nn.BatchNorm1d(3), torch.randn(9, 3)
    ghost_batch_norm(ghost, 4)
    assert torch.equal(ghost(rows), torch.cat([ordinary(rows[:4]), ordinary(rows[4:])]))


def test_channels_last_stays() -> None:
    layer = nn.BatchNorm2d(4)
    ghost_batch_norm(layer, 2)
    images = torch.randn(6, 4, 5, 5).to(memory_format=torch.channels_last)
    assert layer(images).is_contiguous(memory_format=torch.channels_last)


def test_a_second_call_changes_the_size() -> None:
    layer = nn.BatchNorm1d(3)
    ghost_batch_norm(layer, 4)
    ghost_batch_norm(layer, 5, running="first")
    assert (layer.pictures, layer.running) == (5, "first")


def test_a_bnneck_is_normalised_as_any_other() -> None:
    neck, plain = BNNeck(3), nn.BatchNorm1d(3)
    rows = torch.randn(8, 3)
    ghost_batch_norm(neck, 4)
    assert torch.equal(neck(rows), torch.cat([plain(rows[:4]), plain(rows[4:])]))
    assert not neck.bias.requires_grad


def test_what_cannot_be_converted_is_named() -> None:
    class Special(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    with pytest.raises(InputError, match="'0' is a Special"):
        ghost_batch_norm(nn.Sequential(Special(3)), 8)
    with pytest.raises(InputError, match="virtual batch of 1"):
        ghost_batch_norm(network(), 1)
