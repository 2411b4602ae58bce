"""Transformers that do not fit, are off, or come back from a file of ours."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from passerby.errors import InputError
from passerby.models import convert, load, save
from passerby.models.convert import identify
from tests.models.foreign_arithmetic import (
    Shapes,
)
from tests.models.test_convert_clip import clip_resnet_shapes, clip_vit_shapes
from tests.models.test_convert_solider import solider_shapes
from tests.models.test_convert_transreid import transreid_shapes

SMALL: dict[str, tuple[Callable[[], Shapes], str, str]] = {
    "transreid": (
        lambda: transreid_shapes(local=True), "b2.0.mlp.fc1.weight", "TransReID"),
    "clip-vit": (
        lambda: clip_vit_shapes(1, 8, 0), "image_encoder.ln_post.bias", "CLIP-ReID (ViT)"),
    "solider": (solider_shapes, "base.stages.1.downsample.reduction.weight", "SOLIDER"),
    "clip-resnet": (
        lambda: clip_resnet_shapes(8), "image_encoder.attnpool.q_proj.bias", "CLIP-ReID (ResNet)"),
}  # fmt: skip


def refusal(state: Mapping[str, Tensor], path: Path) -> str:
    torch.save(dict(state), path)
    with pytest.raises(InputError) as found:
        convert(path, input_size=(64, 32))
    assert "model.pth" in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("family", SMALL)
def test_tensors_that_do_not_fit_are_named(family: str, fill: Any, tmp_path: Path) -> None:
    shapes, victim, source = SMALL[family]
    state = {key: value.half() for key, value in fill(shapes()).items()}
    path = tmp_path / "model.pth"
    assert identify(state).name == source
    if family != "solider":  # large files: one change to each will do
        lacking = {key: value for key, value in state.items() if key != victim}
        assert "lacks 1 tensors, '" in refusal(lacking, path)
    if family != "clip-resnet":
        assert "is (3, 5), not (" in refusal({**state, victim: torch.zeros(3, 5)}, path)
    # no more than the names by which it is told
    marks = {key: torch.tensor(0.0) for key in identify(state).has if not key.endswith(".")}
    starts = {key + "x": torch.tensor(0.0) for key in identify(state).has if key.endswith(".")}
    assert "cannot be converted" in refusal(marks | starts, path)


def test_files_that_are_off_end_in_one_clear_line(fill: Any, tmp_path: Path) -> None:
    state, path = fill(transreid_shapes(local=True)), tmp_path / "model.pth"
    extra = {f"base.extra.{number}": torch.zeros(1) for number in range(7)}
    message = refusal({**state, **extra}, path)
    assert "7 tensors that its kind does not have, 'base.extra.0', 'base.extra.1'" in message
    assert "'base.extra.4' and 2 more" in message
    broken = {**state, "base.pos_embed": torch.full((1, 9, 384), torch.nan)}
    assert "NaN" in refusal(broken, path)
    claimed = torch.zeros(1).expand(1 << 30, 384)
    assert "more than it holds" in refusal({**state, "classifier.weight": claimed}, path)
    renumbered = {key.replace("blocks.1.", "blocks.99999."): v for key, v in state.items()}
    assert "leave out numbers" in refusal(renumbered, path)
    unnumbered = {**state, "base.blocks.first.weight": torch.zeros(1)}
    assert "has no number" in refusal(unnumbered, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable state dictionary"):
        convert(path)


def test_a_converted_file_is_saved_and_loaded(fill: Any, tmp_path: Path) -> None:
    torch.save(fill(clip_vit_shapes(1, 8, 3)), tmp_path / "model.pth")
    network, card = convert(tmp_path / "model.pth", input_size=(64, 32))
    save(network, replace(card, licence="MIT"), tmp_path / "model.safetensors")
    again, read = load(tmp_path / "model.safetensors")
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
        with pytest.raises(InputError, match=r"pictures of \(64, 48\) pixels for a transformer"):
            again(torch.randn(1, 3, 64, 48))
    assert read.structure == {"depth": 1, "cameras": 3}
