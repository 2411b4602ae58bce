"""``passerby report`` from the command line, on a drawn set and a network that knows nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.cli import main
from passerby.models import ModelCard, build, save

SIZE = (64, 32)
FAST = ["--device", "cpu", "--runtime", "torch", "--top", "3", "--queries", "3"]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Market-1501-style tree of 6 people and 3 cameras; nobody to train on."""
    root = tmp_path_factory.mktemp("market")
    rng = np.random.default_rng(0)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir()
        for identity in range(1, 7):
            coat = np.random.default_rng(identity).integers(0, 200, 3)
            for camera in (1, 2, 3):
                crop = (coat + rng.integers(0, 50, (*SIZE, 3))).astype(np.uint8)
                name = f"{identity:04d}_c{camera}s1_000001_00.jpg"
                Image.fromarray(crop).save(root / folder / name)
    return root


@pytest.fixture(scope="module")
def run(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    card = ModelCard(architecture="slim18", dimension=256, input_size=SIZE)
    save(build("slim18"), card, folder / "model.safetensors")
    options = {"recipe": "bag-of-tricks", "commit": "abc", "options": {"data": str(market)}}
    (folder / "config.json").write_text(json.dumps(options), "utf-8")
    line = {"event": "step", "step": 5, "losses": {"loss": 2.0}, "learning_rate": 1e-3}
    (folder / "log.jsonl").write_text(json.dumps({**line, "images_per_second": 9.0}) + "\n")
    return folder


def test_a_run_is_enough(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--run", str(run), *FAST, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["out"] == str(run / "report.html")
    assert answer["bytes"] == (run / "report.html").stat().st_size
    assert answer["cmc"].keys() == {"1", "5", "10"}
    assert answer["valid_queries"] == 18
    text = (run / "report.html").read_text("utf-8")
    assert 'id="training"' in text
    assert 'id="activation-maps"' in text


def test_the_scores_are_those_of_evaluate(
    market: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(run / "model.safetensors"), "--data", str(market), "--rerank"]
    out = str(tmp_path / "new" / "r.html")
    assert main(["report", *given, *FAST, "--out", out, "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    assert main(["evaluate", *given, *FAST[:4], "--json"]) == 0
    assert drawn["mAP"] == pytest.approx(json.loads(capsys.readouterr().out)["mAP"], abs=1e-6)
    assert any("--run" in reason for reason in drawn["left_out"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.safetensors"], "no.safetensors"),
        (["{run}/config.json"], "config.json"),
        (["--data", "{run}/nowhere"], "nowhere"),
        (["--data", "{market}/query"], "no query"),
        (["--out", "{market}"], "is a folder"),
        (["--out", "{run}/config.json/r.html"], "no folder to write in"),
        (["--run", "{market}"], "is no folder of a run"),
        (["--top", "0"], "top 0"),
        (["--queries", "0"], "queries 0"),
        (["--rows", "999"], "no query row 999"),
        (["--protocol", "market1510"], "no protocol 'market1510'"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    *,
    market: Path,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [argument.format(market=market, run=run) for argument in arguments]
    if given[0].startswith("--"):
        given.insert(0, str(run / "model.safetensors"))
    for option, value in (("--data", str(market)), ("--out", str(tmp_path / "r.html"))):
        given += [] if option in given else [option, value]
    rest = [*FAST[:4], *(FAST[4:6] if "--top" not in given else [])]
    assert main(["report", *given, *rest]) == 2
    error = capsys.readouterr().err.strip().split("\r")[-1].strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "r.html").exists()


def test_an_unfinished_run_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert "has no model.safetensors yet" in capsys.readouterr().err
    (tmp_path / "config.json").write_text('{"options": {}}')
    assert main(["report", "--run", str(tmp_path)]) == 2
    assert "give --data" in capsys.readouterr().err
