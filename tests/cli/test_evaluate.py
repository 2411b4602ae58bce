"""``passerby evaluate`` on drawn people: one network on one set, and the cross-domain table."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.cli import main
from passerby.ingest import ingest_folder
from passerby.ingest.own_city import create_small_city
from passerby.metrics import PROTOCOLS, Calibration, Reranking, evaluate_features
from passerby.models import ModelCard, build, save
from passerby.runtime import Embedder
from passerby.runtime.export import export

Capture = pytest.CaptureFixture[str]
TORCH = ["--runtime", "torch", "--device", "cpu"]


def draw(folder: Path, people: int, *, seed: int, cameras: int = 3) -> Path:
    """A tree in Market-1501's layout; each person is a few blocks of colour."""
    random = np.random.default_rng(seed)
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / name).mkdir(parents=True)
    for person in range(1, people + 1):
        look = random.integers(0, 256, (4, 2, 3))
        for shot in range(6):
            parts = look + random.normal(0, 45, look.shape)
            picture = np.kron(np.clip(parts, 0, 255), np.ones((16, 16, 1))).astype(np.uint8)
            inner = "bounding_box_train" if person <= 4 else "query" if shot < 2 else None
            file = f"{person:04d}_c{1 + shot % cameras}s1_{shot:06d}_00.png"
            Image.fromarray(picture).save(folder / (inner or "bounding_box_test") / file)
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    draw(root / "north", 44, seed=1)
    draw(root / "south", 24, seed=2)
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    module = build("slim18")
    card = ModelCard(
        architecture="slim18",
        dimension=module.dimension,
        input_size=(64, 32),
        training={"data": "north"},
    )
    path = tmp_path_factory.mktemp("network") / "net.safetensors"
    save(module, card, path)
    return path


@pytest.fixture
def copy(network: Path, tmp_path: Path) -> Path:
    path = tmp_path / "copy.safetensors"
    path.write_bytes(network.read_bytes())
    return path


def answer(capsys: Capture, *arguments: object, status: int = 0) -> dict[str, Any]:
    assert main(["evaluate", *map(str, arguments), *TORCH, "--json"]) == status
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_one_network_on_one_set(network: Path, sets: Path, capsys: Capture) -> None:
    result = answer(capsys, network, "--data", sets / "north")
    assert result["protocol"] == "market1501"
    assert result["valid_queries"] == 80
    assert result["calibration"] is None
    assert [rate["wanted"] for rate in result["open_set"]["rates"]] == [0.001, 0.01, 0.05, 0.1]
    assert result["open_set"]["mated"] == result["open_set"]["non_mated"] == 80
    assert all(row["probability"] is None for row in result["thresholds"])
    assert main(["evaluate", str(network), "--data", str(sets / "north"), *TORCH]) == 0
    shown = capsys.readouterr().out
    assert f"protocol market1501; 80 queries, 0 skipped\n  {PROTOCOLS['market1501'].says}" in shown
    assert "this model has none; --calibrate fits one" in shown
    assert "80 mated and 80 non-mated searches" in shown
    assert "false alarms per 1,000" in shown


def test_calibrating_writes_the_card(copy: Path, sets: Path, capsys: Capture) -> None:
    result = answer(capsys, copy, "--data", sets / "north", "--calibrate")
    kept = Embedder.load(copy).card.calibration
    assert kept is not None
    assert kept["data"] == "north"
    assert kept["fitted"]["people"] == kept["held_out"]["people"] == 40
    assert result["calibrated"] == {**kept, "file": str(copy)}
    again = answer(capsys, copy, "--data", sets / "north")
    assert again["calibration"]["slope"] == kept["slope"]
    assert again["calibration"]["reliability"]["pairs"] == 80 * 100
    assert again["calibration"]["with_prior_of_data"]["ece"] < 0.1
    probabilities = [row["probability"] for row in again["thresholds"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert main(["evaluate", str(copy), "--data", str(sets / "south"), *TORCH]) == 0
    shown = capsys.readouterr().out
    assert "calibration: p = 1 / (1 + exp(-(" in shown
    assert "when moved from its own prior of" in shown


def test_search_uses_what_calibrate_wrote_beside_an_onnx_file(
    copy: Path, sets: Path, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = tmp_path / "net.onnx"
    export(copy, onnx)
    given = ["--data", str(sets / "north"), "--calibrate", "--json"]
    assert main(["evaluate", str(onnx), *given]) == 0
    beside = tmp_path / "net.onnx.calibration.json"
    assert json.loads(capsys.readouterr().out)["calibrated"]["file"] == str(beside)
    curve = Calibration.from_card(json.loads(beside.read_text()))
    with create_small_city(tmp_path / "city", camera="C01", place=(113.3, 20.5)) as city:
        ingest_folder(
            city,
            sets / "north" / "query",
            embedder=Embedder.load(onnx),
            camera="C01",
            start="2026-05-06T08:00:00Z",
        )
    picture = next((sets / "north" / "bounding_box_test").iterdir())
    arguments = [str(tmp_path / "city"), str(picture), "--model", str(onnx), "--json"]
    assert main(["search", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calibrated"]
    for match in found["matches"]:
        wanted = float(curve.probability(match["similarity"]))
        assert match["score"] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_protocol_has_its_name(
    protocol: str, network: Path, sets: Path, capsys: Capture
) -> None:
    given = ["--data", sets / "south", "--protocol", protocol, "--no-scores"]
    result = answer(capsys, network, *given)
    assert result["protocol"] == protocol
    assert result["protocol_says"] == PROTOCOLS[protocol].says
    assert "open_set" not in result


def test_help_names_every_protocol() -> None:
    command = [sys.executable, "-m", "passerby", "evaluate", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = set(re.split(r"[\s,;│]+", shown))
    assert set(PROTOCOLS) <= words


def test_reranking_is_streamed_with_its_options(
    network: Path, sets: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.data import read_any

    table = read_any(sets / "south")
    embedder = Embedder.load(network, runtime="torch")
    rows = [embedder.embed(part.paths()) for part in (table.query, table.gallery)]
    marks = (table.query.identity, table.gallery.identity, table.query.camera, table.gallery.camera)
    options = Reranking(k1=7, k2=3, lambda_value=0.5)
    expected = evaluate_features(*rows, *marks, metric="euclidean", reranking=options)
    monkeypatch.setattr(  # the dense matrix is never asked for
        "passerby.retrieval.k_reciprocal_distances", None
    )
    given = ["--rerank", "--k1", "7", "--k2", "3", "--lambda-value", "0.5", "--metric", "euclidean"]
    result = answer(capsys, network, "--data", sets / "south", *given, "--no-scores")
    assert result["mAP"] == pytest.approx(expected.mAP)
    assert result["reranked"]
    assert result["metric"] == "euclidean"
    assert "re-ranked as bag-of-tricks (k1 7, k2 3, lambda 0.5)" in result["protocol_says"]
    assert "euclidean" in result["protocol_says"]


def test_expansion_and_published_forms(network: Path, sets: Path, capsys: Capture) -> None:
    given = [network, "--data", sets / "south", "--no-scores"]
    plain = answer(capsys, *given)
    expanded = answer(capsys, *given, "--expand", 3)
    assert expanded["mAP"] != plain["mAP"]
    assert "queries expanded by 3" in expanded["protocol_says"]
    forms = {
        name: answer(capsys, *given, "--rerank", "--variant", name)["mAP"]
        for name in ("bag-of-tricks", "torchreid", "fast-reid", "matlab")
    }
    assert len(set(forms.values())) > 1
    assert main(["evaluate", *map(str, given), "--rerank", *TORCH]) == 0
    assert "re-ranking 40 queries in 80 pictures: about" in capsys.readouterr().err
    limited = ["evaluate", *map(str, given), "--rerank", "--memory-limit", "0.001", *TORCH]
    assert main(limited) == 2
    assert "more than the limit of 1 MiB" in capsys.readouterr().err


def test_several_networks_on_several_sets(
    network: Path, copy: Path, sets: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    from passerby.cli import evaluate

    embed: Callable[..., Any] = evaluate.embed
    monkeypatch.setattr(evaluate, "embed", lambda *a: (opened.append(len(a[1])), embed(*a))[1])
    models, data = [network, copy], [sets / "north", sets / "south"]
    result = answer(capsys, *models, "--data", *data)
    assert len(opened) == 8  # query and gallery, once for each model and set
    cells = result["cells"]
    assert [(c["model"], c["data"]) for c in cells] == [
        (str(m), str(d)) for m in models for d in data
    ]
    assert [cell["trained_on_it"] for cell in cells] == [True, False, True, False]
    single = answer(capsys, network, "--data", sets / "south", "--no-scores")
    assert cells[1]["mAP"] == single["mAP"]
    assert cells[1]["model_id"] == single["model"]
    given = ["evaluate", *map(str, models), "--data", *map(str, data), *TORCH]
    assert main(given) == 0
    shown = capsys.readouterr().out
    cell = f"{100 * cells[0]['mAP']:.1f} / {100 * cells[0]['cmc']['1']:.1f} *"
    assert cell in shown
    assert "protocol market1501" in shown
    assert "trained on this set" in shown
    assert main([*given, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| model | {data[0]} | {data[1]} |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert cell.replace("*", r"\*") in lines[2]


def test_what_fails_in_one_cell_leaves_the_others(
    network: Path, sets: Path, tmp_path: Path, capsys: Capture
) -> None:
    broken = draw(tmp_path / "broken", 8, seed=3)
    next((broken / "query").iterdir()).write_bytes(b"no picture")
    data = ["--data", sets / "south", "nowhere", broken]
    result = answer(capsys, network, "absent.onnx", *data, status=1)
    cells = result["cells"]
    assert "mAP" in cells[0]
    assert "there is no data at 'nowhere'" in cells[1]["problem"]
    assert "no picture" in cells[2]["problem"] or "broken" in cells[2]["problem"]
    assert all("absent.onnx" in cell["problem"] for cell in cells[3:5:2])
    arguments = [str(a) for a in ("evaluate", network, *data)]
    assert main([*arguments, *TORCH]) == 1
    shown = capsys.readouterr()
    assert shown.err.count("passerby evaluate:") == 2
    assert f"{network} on nowhere: there is no data" in shown.err
    assert "  -" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{net}", "--data", "{sets}/south", "--protocol", "imagenet"], "no protocol 'imagenet'"),
        (["{net}", "--data", "{sets}/south", "--variant", "x"], "no re-ranking variant 'x'"),
        (["{net}", "a.onnx", "--data", "nowhere", "nor-here"], "no data set can be read"),
        (["a.onnx", "b.onnx", "--data", "{sets}/south"], "'a.onnx' does not exist"),
        (["{net}", "{net}", "--data", "{sets}/south", "--calibrate"], "one of each"),
        (["default", "--data", "{sets}/south", "--calibrate"], "part of the package"),
        (["{net}", "--data", "{sets}/south", "--rerank", "--k1", "0"], "k1 0"),
    ],
)
def test_wrong_before_any_work_is_status_two(
    arguments: list[str], message: str, network: Path, sets: Path, capsys: Capture
) -> None:
    given = [argument.format(net=network, sets=sets) for argument in arguments]
    assert main(["evaluate", *given]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert len([line for line in shown.err.splitlines() if "passerby evaluate:" in line]) == 1
    assert not shown.out
