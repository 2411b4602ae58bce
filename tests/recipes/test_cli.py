import json
from pathlib import Path

import pytest

from passerby.cli import main

TINY = [
    "--backbone", "slim18", "--size", "64", "32", "--padding", "3", "--identities", "8",
    "--epochs", "1", "--threads", "1", "--no-progress",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "cli"
    assert main(["train", "bag-of-tricks", "--data", str(market), "--out", str(out), *TINY]) == 0
    return out


def test_train_prints_the_scores_and_evaluate_repeats_them(
    market: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads((run / "report.json").read_text())
    model = str(run / "model.safetensors")
    given = ["--data", str(market), "--device", "cpu", "--runtime", "torch"]
    assert main(["evaluate", model, *given, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["mAP"] == pytest.approx(report["mAP"], abs=1e-3)
    assert answer["cmc"].keys() == {"1", "5", "10"}
    assert main(["evaluate", model, *given]) == 0
    assert "mAP" in capsys.readouterr().out
    assert main(["evaluate", model, *given, "--rerank", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reranked"]


def test_model_info_shows_the_card(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(run / "model.safetensors")
    assert main(["model-info", model, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["architecture"] == "slim18"
    assert facts["training"]["recipe"] == "bag-of-tricks"
    assert facts["parameters"] == 2_795_040 + 512
    assert main(["model-info", model]) == 0
    assert "slim18" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "bag-of-trips"], "no recipe 'bag-of-trips'"),
        (["train", "bag-of-tricks", "--data", "nowhere"], "there is no data at 'nowhere'"),
        (["train", "bag-of-tricks", "--data", "{market}", "--backbone", "resnet7"], "resnet7"),
        (["train", "bag-of-tricks", "--data", "{market}", "--identities", "99"], "99"),
        (["train", "bag-of-tricks", "--data", "{market}", "--weights", "no.pth"], "no.pth"),
        (["train", "bag-of-tricks", "--data", "{market}", "--device", "mars"], "mars"),
        (["evaluate", "absent.safetensors"], "absent.safetensors"),
        (["evaluate", "{run}/report.json", "--data", "{market}"], "report.json"),
        (["evaluate", "{run}/model.safetensors", "--data", "nowhere"], "nowhere"),
        (["evaluate", "{run}/model.safetensors", "--data", "{market}/query"], "no query"),
        (["model-info", "absent.safetensors"], "'absent.safetensors' does not exist"),
        (["model-info", "{run}/report.json"], "no whole safetensors file"),
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
    if given[0] == "train":
        given[2:2] = [*TINY, "--out", str(tmp_path / "out")]
    assert main(given) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


def test_another_run_is_not_overwritten(
    market: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--data", str(market), "--out", str(run), *TINY, "--seed", "7"]
    assert main(["train", "bag-of-tricks", *given]) == 2
    assert "holds a run with another seed" in capsys.readouterr().err


def test_a_truncated_checkpoint_is_one_line(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 half a file")
    given = ["--data", str(market), "--out", str(tmp_path), *TINY]
    assert main(["train", "bag-of-tricks", *given]) == 2
    assert "no whole checkpoint" in capsys.readouterr().err
