"""The automatic runtime: the first of a fixed order that computes the network's vectors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.models import ModelCard, build, fpb_original, save
from passerby.runtime import Embedder, files
from passerby.runtime.backend import Features, Pictures
from passerby.runtime.export import export
from passerby.runtime.onnx_backend import OnnxBackend
from passerby.runtime.openvino_backend import OpenVINOBackend
from passerby.runtime.torch_backend import TorchBackend

pytest.importorskip("openvino")
pytest.importorskip("onnxruntime")


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make only these optional runtimes look installed."""
    monkeypatch.setattr(
        files, "_installed", lambda *runtimes: tuple(r for r in runtimes if r in names)
    )


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        (("openvino", "onnx"), "openvino"),
        (("openvino",), "openvino"),
        (("onnx",), "onnx"),
        ((), "torch"),
    ],
)
def test_the_order_on_a_cpu(
    installed: tuple[str, ...], expected: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *installed)
    one = Embedder.load(weights, device="cpu")
    assert (one.backend.runtime, one.rejected) == (expected, {})


def test_on_a_gpu_pytorch_runs(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_on(self: TorchBackend, *_: object, device: str, precision: str) -> None:
        opened.append(device)
        self.precision, self.dimension = precision, 256

    monkeypatch.setattr(TorchBackend, "__init__", open_on)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Embedder.load(weights).backend.runtime == "torch"
    assert Embedder.load(weights, device="cuda:1").backend.runtime == "torch"
    assert opened == ["cuda", "cuda:1"]


def test_onnx_files_prefer_openvino(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(weights, tmp_path / "net.onnx")
    assert Embedder.load(tmp_path / "net.onnx").backend.runtime == "openvino"
    assert Embedder.load(tmp_path / "net.onnx", device="cuda").backend.runtime == "onnx"
    install(monkeypatch)
    assert Embedder.load(tmp_path / "net.onnx").backend.runtime == "onnx"


def test_bf16_passes_over_onnx_runtime(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Embedder.load(weights, precision="bf16").backend.describe() == "openvino bf16"
    install(monkeypatch, "onnx")
    one = Embedder.load(weights, precision="bf16", device="cpu")
    assert (one.backend.describe(), one.rejected) == ("torch bf16", {})


def shifted(features: Callable[..., Features]) -> Callable[..., Features]:
    """As a runtime with an error: the first half of each vector is wrong."""

    def wrong(self: object, pictures: Pictures) -> Features:
        found = features(self, pictures)
        found[:, : found.shape[1] // 2] *= -1
        return found

    return wrong


def test_a_runtime_whose_vectors_differ_is_not_used(
    weights: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[np.ndarray]
) -> None:
    monkeypatch.setattr(OpenVINOBackend, "features", shifted(OpenVINOBackend.features))
    with pytest.warns(RuntimeWarning, match="runs in onnx fp32; openvino is not used: its vectors"):
        one = Embedder.load(weights, device="cpu")
    assert one.backend.runtime == "onnx"
    assert "lowest cosine to torch" in one.rejected["openvino"]
    assert "onnx fp32 (openvino rejected: its vectors differ" in repr(one)
    with pytest.raises(InputError, match=r"openvino computes other vectors .*; choose torch"):
        Embedder.load(weights, runtime="openvino")

    monkeypatch.setattr(OnnxBackend, "features", shifted(OnnxBackend.features))
    with pytest.warns(RuntimeWarning, match="runs in torch fp32; openvino .*; onnx is not used"):
        last = Embedder.load(weights, device="cpu")
    assert (last.backend.runtime, list(last.rejected)) == ("torch", ["openvino", "onnx"])
    expected = Embedder.load(weights, runtime="torch").embed(pictures)
    assert np.array_equal(last.embed(pictures), expected)


def test_a_runtime_that_cannot_convert_the_network_is_not_used(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr("passerby.runtime.openvino_models.convert_torch", refuse)
    with pytest.warns(RuntimeWarning, match="OpenVINO cannot convert .*no such operation"):
        one = Embedder.load(weights, device="cpu")
    assert one.backend.runtime == "onnx"


def test_what_no_runtime_can_run_is_refused(weights: Path) -> None:
    with pytest.raises(InputError, match="cuda:99"):
        Embedder.load(weights, device="cuda:99")


@pytest.fixture
def negated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A network whose attention OpenVINO 2026.4 computes wrongly: softmax(-(X X^T)) X."""

    def attend(self: fpb_original.ChannelAttention, features: Tensor) -> Tensor:
        rows = features.flatten(2)
        mixed = F.softmax(-(rows @ rows.transpose(1, 2)), dim=2) @ rows
        return features + self.norm(self.gamma * mixed.view_as(features))

    monkeypatch.setattr(fpb_original.ChannelAttention, "forward", attend)
    torch.manual_seed(0)
    network = build("fpb-original:slim18", input_size=(64, 32), num_classes=3)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            torch.nn.init.constant_(parameter, 2.0)
    card = ModelCard(
        architecture="fpb-original:slim18", dimension=network.dimension, input_size=(64, 32)
    )
    save(network, card, tmp_path / "negated.safetensors")
    return tmp_path / "negated.safetensors"


def test_a_network_that_openvino_gets_wrong_runs_elsewhere(
    negated: Path, pictures: list[np.ndarray]
) -> None:
    with pytest.raises(InputError, match="attention with a negative scale"):
        Embedder.load(negated, runtime="openvino")
    with pytest.warns(RuntimeWarning, match="openvino is not used: .*negative scale"):
        one = Embedder.load(negated, device="cpu")
    assert "openvino" not in one.backend.runtime
    expected = Embedder.load(negated, runtime="torch").embed(pictures[:3])
    assert np.abs(one.embed(pictures[:3]) - expected).max() < 1e-5


def test_bf16_of_openvino_does_not_see_the_batch(weights: Path, pictures: list[np.ndarray]) -> None:
    one = Embedder.load(weights, runtime="openvino", precision="bf16")
    expected = one.embed(pictures)
    for batch_size in (1, 4, 8):
        assert np.abs(one.embed(pictures, batch_size=batch_size) - expected).max() <= 1e-6
    order = np.random.default_rng(0).permutation(len(pictures))
    assert np.abs(one.embed([pictures[i] for i in order]) - expected[order]).max() <= 1e-6
    exact = Embedder.load(weights, runtime="torch").embed(pictures)
    assert np.sum(expected * exact, axis=1).min() > 0.999
