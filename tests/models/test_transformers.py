"""Training of our own transformers: start weights of another size, stochastic depth."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import ModelCard, build, save

CUT = {"depth": 2}


def test_positions_are_resampled_for_another_size_and_stride(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build("deit_small", input_size=(64, 32), structure={**CUT, "stride": 12})
    card = ModelCard(
        architecture="deit_small",
        dimension=384,
        input_size=(64, 32),
        structure={"depth": "2", "stride": "12"},
    )
    path = tmp_path / "first.safetensors"
    save(first, card, path)
    second = build("deit_small", input_size=(96, 48), structure=CUT, weights=path).backbone
    assert second.positions.shape == (1 + 6 * 3, 384)
    theirs = first.backbone.positions.detach()
    assert torch.equal(second.positions[0], theirs[0])
    grid = theirs[1:].view(5, 2, 384).permute(2, 0, 1)[None]  # (64 - 16) / 12 + 1 rows
    want = F.interpolate(grid, (6, 3), mode="bilinear")[0].permute(1, 2, 0).reshape(18, 384)
    torch.testing.assert_close(second.positions[1:], want)
    assert torch.equal(second.blocks[1].mlp[0].weight, first.backbone.blocks[1].mlp[0].weight)
    images = torch.randn(2, 3, 96, 48)
    assert second(images).isfinite().all()


def test_positions_of_square_pictures_are_those_of_files_without_a_card(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build("deit_small", input_size=(48, 48), structure=CUT).backbone
    torch.save(first.state_dict(), tmp_path / "square.pth")
    second = build(
        "deit_small", input_size=(64, 32), structure=CUT, weights=tmp_path / "square.pth"
    ).backbone
    grid = first.positions[1:].detach().view(3, 3, 384).permute(2, 0, 1)[None]
    want = F.interpolate(grid, (4, 2), mode="bilinear")[0].permute(1, 2, 0).reshape(8, 384)
    torch.testing.assert_close(second.positions[1:], want)


def test_positions_that_fit_no_size_are_refused(tmp_path: Path) -> None:
    state = build("deit_small", input_size=(64, 32), structure=CUT).backbone.state_dict()
    torch.save(state, tmp_path / "oblong.pth")  # 8 patches: no square
    with pytest.raises(InputError, match=r"differs in 1 tensors, the first 'positions'"):
        build("deit_small", input_size=(96, 48), structure=CUT, weights=tmp_path / "oblong.pth")


@pytest.mark.parametrize(
    ("name", "structure"), [("deit_small", {"depth": 4}), ("solider_tiny", {})]
)
def test_drop_path_leaves_branches_out_in_training_only(name: str, structure: dict) -> None:
    torch.manual_seed(0)
    plain = build(name, input_size=(64, 32), structure=structure).backbone
    torch.manual_seed(0)
    dropping = build(name, input_size=(64, 32), structure={**structure, "drop_path": 0.8}).backbone
    images = torch.randn(4, 3, 64, 32)
    assert plain.state_dict().keys() == dropping.state_dict().keys()
    assert torch.equal(plain.eval()(images), dropping.eval()(images))
    dropping.train()
    draws = {dropping(images).sum().item() for _ in range(6)}
    assert len(draws) > 1
    assert all(torch.equal(plain(images), plain(images)) for _ in range(2))


@pytest.mark.parametrize("name", ["deit_small", "solider_tiny"])
def test_a_drop_path_out_of_range_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"'drop_path' 1\.0 is not 0 to below 1"):
        build(name, input_size=(64, 32), structure={"drop_path": 1.0})
