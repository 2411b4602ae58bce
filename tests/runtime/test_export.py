"""An exported file is the network: same vectors, same card, same id, any batch."""

from pathlib import Path

import numpy as np
import pytest

from passerby.cli import main
from passerby.errors import InputError
from passerby.models import read_card
from passerby.runtime import Embedder, export
from passerby.runtime.export import export_onnx


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    report = export_onnx(weights, path)
    assert report.lowest_cosine > 0.99999
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
    monkeypatch.setattr(export, "LOWEST_COSINE", 1.5)
    out = tmp_path / "net.onnx"
    with pytest.raises(InputError, match="differs"):
        export_onnx(weights, out)
    assert list(tmp_path.iterdir()) == []


def test_wrong_kinds_of_files(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.onnx"):
        export_onnx(weights, tmp_path / "net.xml")
    with pytest.raises(InputError, match="PyTorch does not run"):
        Embedder.load(_copy(weights, tmp_path / "a.onnx"), runtime="torch")


def _copy(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


def test_command_line(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(weights), "--out", str(tmp_path / "net.onnx")]) == 0
    assert "lowest cosine" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "no.safetensors"), "--out", "x.onnx"]) == 2
