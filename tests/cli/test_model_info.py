import json
from pathlib import Path

import pytest
import torch

from passerby.cli import main
from passerby.models import ModelCard, build, save


def test_a_name_shows_both_accountings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model-info", "fpb", "--structure", "non_local", "default"]) == 0
    text = capsys.readouterr().out
    assert "27,048,400" in text
    assert "+3,536,272 on its trunk with BNNeck, 23,512,128" in text
    assert "+1,491,368 on that network with ImageNet's classifier, 25,557,032" in text


def test_a_name_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--structure", "levels", "000001", "stripes", "6", "--json"]
    assert main(["model-info", "pyramid:resnet50", *arguments]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["dimension"] == 128
    assert facts["parameters"] == 23_508_032 + 262_528
    assert facts["accounting"]["over_trunk"] == 262_528 - 4_096


def test_a_plain_network_has_no_accounting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model-info", "resnet50", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] == 23_512_128
    assert "accounting" not in facts


def test_a_file_knows_its_structure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    structure = {"branch_width": 8}
    network = build("fpb:slim18", structure=structure)
    card = ModelCard(architecture="fpb:slim18", dimension=256, structure=structure)
    save(network, card, tmp_path / "model.safetensors")
    path = str(tmp_path / "model.safetensors")
    assert main(["model-info", path, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["structure"] == structure
    assert facts["accounting"]["total"] == facts["parameters"]
    assert main(["model-info", path, "--structure", "branch_width", "9"]) == 2
    assert "knows its own structure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet51"], "no architecture 'resnet51'"),
        (["fpb", "--structure", "stripes", "3"], "no option 'stripes'"),
        (["pyramid", "--structure", "stripes", "many"], "not of type int"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model-info", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_bundled_network_and_a_pulled_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model-info", "default", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["parameters"] > 0
    assert facts["colour_order"] == "RGB"
    assert main(["model-info", "osnet-x1-0-market"]) == 2
    assert "passerby models pull osnet-x1-0-market" in capsys.readouterr().err


def test_a_network_of_another_runtime_shows_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.xml"
    path.write_text("<net/>")
    assert main(["model-info", str(path)]) == 2
    assert "net.xml.card.json" in capsys.readouterr().err
    card = ModelCard(architecture="theirs", dimension=8, colour_order="BGR")
    path.with_name("net.xml.card.json").write_text(card.to_json())
    assert main(["model-info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["colour_order"] == "BGR"
