import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from passerby.errors import InputError
from passerby.models import ModelCard, build, load, save
from passerby.models.attention_files import (
    CARD_KEY,
    AttentionCard,
    load_attention,
    save_attention,
)
from passerby.models.diff_attention import attended_distances

CARD = AttentionCard(
    model_id="slim18-0123456789ab",
    dimension=16,
    ratio=4,
    transform="square",
    tied=True,
    length=4.0,
    training={"data": "simcity-s"},
    scores={"simcity-s": {"mAP": 0.5}},
    notes="for a test",
)


def written(path: Path, text: str) -> Path:
    save_file({"one": torch.zeros(1)}, path, metadata={CARD_KEY: text})
    return path


def changed(**changes: object) -> str:
    return json.dumps(json.loads(CARD.to_json()) | changes)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    attention = CARD.build()
    save_attention(attention, CARD, tmp_path / "da.safetensors")
    again, card = load_attention(tmp_path / "da.safetensors")
    assert card == CARD
    assert not again.training
    queries, gallery = torch.randn(3, 16), torch.randn(4, 16)
    assert torch.equal(
        attended_distances(again, queries, gallery), attended_distances(attention, queries, gallery)
    )
    assert [p.name for p in tmp_path.iterdir()] == ["da.safetensors"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "another format"),
        (changed(format=9), "another format"),
        (changed(colour="red"), "unknown field 'colour'"),
        (changed(dimension="16"), "lacks its model id, dimension or ratio"),
        (changed(model_id=None), "lacks its model id"),
        (changed(length="long"), "length 'long' is no number"),
        (changed(ratio=5), "ratio 5 does not divide 16"),
        (changed(transform="cube"), "no input transform 'cube'"),
        (CARD.to_json(), "does not hold the attention of its card"),
    ],
)
def test_a_wrong_card_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_attention(written(tmp_path / "da.safetensors", text))


def test_networks_and_attentions_are_told_apart(tmp_path: Path) -> None:
    network = build("slim18")
    save(network, ModelCard(architecture="slim18", dimension=256), tmp_path / "net.safetensors")
    with pytest.raises(InputError, match="holds no Diff Attention"):
        load_attention(tmp_path / "net.safetensors")
    save_attention(CARD.build(), CARD, tmp_path / "da.safetensors")
    with pytest.raises(InputError, match="no model card"):
        load(tmp_path / "da.safetensors")
    with pytest.raises(InputError, match="no model file"):
        load_attention(tmp_path / "missing.safetensors")


def test_an_attention_of_another_shape_is_refused(tmp_path: Path) -> None:
    save_attention(CARD.build(), replace(CARD, ratio=8), tmp_path / "da.safetensors")
    with pytest.raises(InputError, match="does not hold the attention of its card"):
        load_attention(tmp_path / "da.safetensors")
