import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from passerby.errors import InputError
from passerby.models import ModelCard, build, load, read_card, save
from passerby.models.card import CARD_KEY, PREPARATION
from passerby.models.checkpoints import load_backbone
from passerby.models.files import write_tensors

CARD = ModelCard(
    architecture="slim18",
    dimension=256,
    input_size=(64, 32),
    training={"data": "none", "seed": 1},
    scores={"none": {"mAP": 0.25}},
    calibration={"scale": 2.0},
    licence="Apache-2.0",
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "model.safetensors"
    save(build("slim18", num_classes=4), CARD, path)
    return path


def test_round_trip_gives_the_same_features_and_card(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("slim18", num_classes=4, pooling="gem")
    network(torch.randn(8, 3, 64, 32))
    card = replace(CARD, pooling="gem")
    save(network, card, tmp_path / "model.safetensors", classifier=True)
    loaded, read = load(tmp_path / "model.safetensors")
    assert read == card
    assert not loaded.training
    assert loaded.classifier is not None
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(network.eval()(images), loaded(images))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_half_precision_halves_the_file_and_keeps_the_features(saved: Path, tmp_path: Path) -> None:
    network, card = load(saved)
    save(network, card, tmp_path / "half.safetensors", half=True)
    ratio = (tmp_path / "half.safetensors").stat().st_size / saved.stat().st_size
    assert ratio < 0.51
    images = torch.randn(4, 3, 64, 32)
    ours = nn.functional.normalize(load(tmp_path / "half.safetensors")[0](images), dim=1)
    theirs = nn.functional.normalize(network(images), dim=1)
    assert (ours * theirs).sum(dim=1).min() > 0.999


def test_card_is_read_without_tensors(saved: Path) -> None:
    assert read_card(saved) == CARD


@pytest.mark.parametrize("length", [0, 5, 8, 100, 5000, -1])
def test_truncated_files_are_input_errors(saved: Path, tmp_path: Path, length: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(InputError, match="no whole safetensors file"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"\xff" * 64, b"\x80\x04\x95not a pickle", b"{}" * 50, (2**40).to_bytes(8, "little") + b"{}"],
)
def test_hostile_files_are_input_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no whole safetensors file"):
        load(path)


def test_missing_file_and_missing_card(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model file"):
        load(tmp_path / "absent.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="has no model card"):
        load(tmp_path / "bare.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "resnet18"}, "does not hold the network of its card"),
        ({"architecture": "nothing"}, "no architecture"),
        ({"dimension": 128}, "the card says 128 dimensions"),
        ({"dimension": -1}, "dimension -1"),
        ({"dimension": True}, "dimension True"),
        ({"input_size": [64]}, "input_size"),
        ({"input_size": [64, "32"]}, "input_size"),
        ({"input_size": [10**9, 32]}, "8..4096"),
        ({"std": [0, 1, 1]}, "not positive"),
        ({"mean": None}, "mean"),
        ({"mean": [123.7, 116.3, 103.5]}, "white is 1"),
        ({"std": [58.4, 57.1, 57.4]}, "white is 1"),
        ({"mean": [-0.5, 0.5, 0.5]}, "white is 1"),
        ({"colour_order": "GRB"}, "colour_order"),
        ({"feature": "logits"}, "feature"),
        ({"pooling": 3}, "no pooling"),
        ({"last_stride": 7}, "last stride"),
        ({"format": 99}, "another format"),
        ({"surprise": 1}, "unknown field 'surprise'"),
    ],
)
def test_cards_are_checked(saved: Path, tmp_path: Path, change: dict, message: str) -> None:
    values = {**json.loads(CARD.to_json()), **change}
    path = tmp_path / "changed.safetensors"
    save_file(load_file(saved), path, metadata={CARD_KEY: json.dumps(values)})
    with pytest.raises(InputError, match=message):
        load(path)


@pytest.mark.parametrize("field", PREPARATION)
def test_a_card_says_how_pictures_are_prepared(field: str) -> None:
    """No default steps in silently for what a file leaves open."""
    values = json.loads(CARD.to_json())
    del values[field]
    with pytest.raises(InputError, match=f"does not say {field}"):
        ModelCard.from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format": 1}'])
def test_text_that_is_no_card(text: str) -> None:
    with pytest.raises(InputError):
        ModelCard.from_json(text)


def test_backbone_weights_load_from_torchvision_files(tmp_path: Path) -> None:
    import torchvision

    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    save_file(theirs.state_dict(), tmp_path / "resnet18.safetensors")
    for name in ("resnet18.pth", "resnet18.safetensors"):
        network = build("resnet18", weights=tmp_path / name)
        assert torch.equal(network.backbone.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def test_backbone_weights_load_into_timm_networks(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("mobilenetv3_small_050", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    network = build("timm:mobilenetv3_small_050", weights=tmp_path / "timm.pth")
    ours = network.backbone.network.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in theirs.state_dict().items()
               if not key.startswith("classifier."))  # fmt: skip


def test_wrong_backbone_weights_are_input_errors(tmp_path: Path) -> None:
    network = build("slim18").backbone
    with pytest.raises(InputError, match="no weights file"):
        load_backbone(network, tmp_path / "absent.pth")
    torch.save(network.state_dict(), tmp_path / "cut.pth")
    whole = (tmp_path / "cut.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="is not a readable state dictionary"):
        load_backbone(network, tmp_path / "cut.pth")
    torch.save({"weights": [1, 2]}, tmp_path / "list.pth")
    with pytest.raises(InputError, match="no plain dictionary of tensors"):
        load_backbone(network, tmp_path / "list.pth")
    torch.save(build("resnet18").backbone.state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not fit the backbone"):
        load_backbone(network, tmp_path / "other.pth")


class Exploit:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path(__file__).with_name("exploited"),))


def test_no_pickled_code_is_executed(tmp_path: Path) -> None:
    torch.save({"weight": Exploit()}, tmp_path / "exploit.pth")
    with pytest.raises(InputError):
        load_backbone(build("slim18").backbone, tmp_path / "exploit.pth")
    assert not Path(__file__).with_name("exploited").exists()


def test_cards_of_before_structure_still_load(saved: Path, tmp_path: Path) -> None:
    values = json.loads(CARD.to_json())
    assert values.pop("structure") == {}
    path = tmp_path / "old.safetensors"
    save_file(load_file(saved), path, metadata={CARD_KEY: json.dumps(values)})
    assert load(path)[1] == CARD


def test_structure_round_trip(tmp_path: Path) -> None:
    structure = {"non_local": "agw", "stem_relu": False, "stem_pool": "ceil"}
    torch.manual_seed(0)
    network = build("slim18", structure=structure)
    for block in network.backbone.non_local.values():
        nn.init.normal_(block.W[1].weight)
    save(network, replace(CARD, structure=structure), tmp_path / "model.safetensors")
    loaded, card = load(tmp_path / "model.safetensors")
    assert card.structure == structure
    images = torch.randn(2, 3, 64, 32)
    assert torch.equal(network.eval()(images), loaded(images))


@pytest.mark.parametrize("structure", [["a"], {"stripes": None}, {"stripes": [1]}])
def test_structures_that_are_none(structure: object) -> None:
    with pytest.raises(InputError, match="structure"):
        ModelCard.from_json(json.dumps({**json.loads(CARD.to_json()), "structure": structure}))


def test_a_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_tensors({"a": torch.zeros(1)}, {}, tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o644
