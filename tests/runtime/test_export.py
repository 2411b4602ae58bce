"""An exported file is the network: same vectors, same card, same id, any batch."""

from pathlib import Path

import numpy as np
import pytest

from passerby.cli import main
from passerby.data import CropTable
from passerby.errors import InputError
from passerby.models import read_card
from passerby.runtime import Embedder, parity
from passerby.runtime.export import export
from passerby.runtime.openvino_models import import_openvino


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    report = export(weights, path)
    assert report.parity.lowest_cosine > 0.99999
    return path


@pytest.mark.parametrize("runtime", ["auto", "onnx", "openvino"])
def test_same_vectors_in_every_runtime(
    runtime: str, weights: Path, exported: Path, pictures: list[np.ndarray]
) -> None:
    original = Embedder.load(weights, runtime="torch")
    other = Embedder.load(exported, runtime=runtime)
    assert other.model_id == original.model_id
    assert other.card == read_card(weights)
    expected = original.embed(pictures)
    for batch_size in (1, 4, 32):
        got = other.embed(pictures, batch_size=batch_size)
        assert np.abs(got - expected).max() < 1e-5
        assert np.abs(got - other.embed(pictures)).max() <= 1e-6


def test_a_file_that_differs_is_not_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "LOWEST_COSINE", {"fp32": 1.5})
    for out in (tmp_path / "net.onnx", tmp_path / "net.xml"):
        with pytest.raises(InputError, match=r"lowest cosine .*, wanted 1.5.*nothing was written"):
            export(weights, out)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def ir(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ir") / "net.xml"
    assert export(weights, path).parity.lowest_cosine > 0.99999
    return path


def test_an_openvino_file_is_the_network(
    weights: Path, ir: Path, pictures: list[np.ndarray]
) -> None:
    original, other = Embedder.load(weights, runtime="torch"), Embedder.load(ir)
    assert (other.model_id, other.card) == (original.model_id, original.card)
    assert np.abs(other.embed(pictures) - original.embed(pictures)).max() < 1e-5


def test_an_openvino_file_needs_no_code(ir: Path, weights: Path) -> None:
    """By OpenVINO alone: uint8 pictures of any number in, unit vectors out."""
    card = read_card(weights)
    compiled = import_openvino().Core().compile_model(ir, "CPU")
    for count in (1, 3):
        rng = np.random.default_rng(count)
        batch = rng.integers(0, 256, (count, *card.input_size, 3)).astype(np.uint8)
        vectors = compiled(batch)[0]
        assert vectors.shape == (count, card.dimension)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_rank_one_is_compared_on_labelled_crops(
    weights: Path, tmp_path: Path, labelled: CropTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = export(weights, tmp_path / "net.xml", labelled=labelled)
    assert report.parity.rank1 is not None
    before, after = report.parity.rank1
    assert before == after > 0
    found = iter([0.5, 0.51])
    monkeypatch.setattr(parity, "_rank1", lambda *_: next(found))
    with pytest.raises(InputError, match=r"rank-1 51.00 instead of 50.00"):
        export(weights, tmp_path / "other.xml", labelled=labelled)


def test_wrong_kinds_of_files(weights: Path, exported: Path, tmp_path: Path) -> None:
    cases = [
        ("net.xml", {"precision": "int8"}, "crops to calibrate"),
        ("net.onnx", {"precision": "int8"}, r"give an \.xml"),
        ("net.onnx", {"calibrate": ["a", "b"]}, "not calibrated"),
        ("net.onnx", {"precision": "int4"}, "no export at precision"),
        ("net.pt", {}, r"an \.onnx or an \.xml"),
    ]
    for name, options, message in cases:
        with pytest.raises(InputError, match=message):
            export(weights, tmp_path / name, **options)
    with pytest.raises(InputError, match=r"torch cannot run .*; choose openvino or onnx"):
        Embedder.load(exported, runtime="torch")


def test_command_line(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(weights), "--out", str(tmp_path / "net.onnx")]) == 0
    assert "cosine to the original at lowest 1.0000" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "no.safetensors"), "--out", "x.onnx"]) == 2
