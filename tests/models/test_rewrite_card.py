from dataclasses import replace
from pathlib import Path

import pytest
import torch

from passerby.errors import InputError
from passerby.models import ModelCard, build, load, read_card, save
from passerby.models.files import rewrite_card

CARD = ModelCard(architecture="slim18", dimension=256, input_size=(64, 32))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    save(build("slim18"), CARD, path, half=True)
    return path


def tensors(path: Path) -> bytes:
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


@pytest.mark.parametrize("notes", ["", "seven", "人" * 1000])
def test_the_card_changes_and_the_tensors_do_not(saved: Path, notes: str) -> None:
    before, (network, _) = tensors(saved), load(saved)
    saved.chmod(0o640)
    card = replace(CARD, notes=notes, calibration={"slope": 9.0, "intercept": -4.0})
    rewrite_card(saved, card)
    assert read_card(saved) == card
    assert tensors(saved) == before
    assert int.from_bytes(saved.read_bytes()[:8], "little") % 8 == 0
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(load(saved)[0](images), network(images))
    assert saved.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_link_stays_a_link(saved: Path) -> None:
    link = saved.with_name("link.safetensors")
    link.symlink_to(saved)
    rewrite_card(link, replace(CARD, notes="through the link"))
    assert link.is_symlink()
    assert read_card(saved).notes == "through the link"


def test_other_files_are_refused_and_stay(saved: Path) -> None:
    cut = saved.with_name("cut.safetensors")
    cut.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(InputError, match="no whole safetensors file"):
        rewrite_card(cut, CARD)
    assert len(cut.read_bytes()) == len(saved.read_bytes()) - 10
    with pytest.raises(InputError, match="no model file"):
        rewrite_card(saved.with_name("none.safetensors"), CARD)
