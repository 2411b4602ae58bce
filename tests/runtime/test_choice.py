"""The automatic runtime: the fastest of those that compute the network, found by trying."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from passerby.cli import main
from passerby.errors import InputError
from passerby.models import ModelCard, build, fpb_original, save
from passerby.runtime import Embedder, automatic, choice, remembered
from passerby.runtime.automatic import RoutedBackend
from passerby.runtime.backend import OneAtATime
from passerby.runtime.choice import BATCHES, Candidate, Choice, choose

CARD = ModelCard(architecture="slim18", dimension=3, input_size=(32, 16))
NAMES = ("torch", "openvino", "onnx")


class Paced(OneAtATime):
    """Mean colours, at a cost of so many seconds a call and a picture."""

    precision = "fp32"
    dimension = 3

    def __init__(self, runtime: str, call: float, picture: float, shift: float = 0.0) -> None:
        self.runtime, self.call, self.picture, self.shift = runtime, call, picture, shift

    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        end = time.process_time() + self.call + self.picture * len(pictures)
        while time.process_time() < end:  # busy, as a network is
            pass
        means = pictures.mean(axis=(1, 2)).astype(np.float32)
        means[:, 0] += self.shift
        return means


def chosen(*backends: Paced) -> Choice:
    by_name = {one.runtime: one for one in backends}
    candidates = [Candidate(runtime=name, precision="fp32") for name in by_name]
    return choose(lambda one: by_name[one.runtime], candidates, backends[0], CARD)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken on the process's own clock, whatever else the machine does."""
    monkeypatch.setattr(choice.time, "perf_counter", time.process_time)
    monkeypatch.setattr(choice, "ROUNDS", 2)
    monkeypatch.setattr(choice, "usable_cores", lambda: 1)  # the paced backends have one thread


@pytest.mark.usefixtures("quiet")
def test_the_fastest_at_each_batch() -> None:
    slow = Paced("torch", 0.001, 0.0040)
    starts_slowly = Paced("openvino", 0.008, 0.0002)
    starts_fast = Paced("onnx", 0.0001, 0.002)
    found = chosen(slow, starts_slowly, starts_fast)
    assert [found.picks[batch].runtime for batch in BATCHES] == ["onnx", "openvino", "openvino"]
    assert found.certain
    assert set(found.rates) == {f"{name} fp32" for name in NAMES}


@pytest.mark.usefixtures("quiet")
def test_what_differs_is_left_out_or_kept_apart() -> None:
    wrong = Paced("openvino", 0.0, 0.0, shift=90.0)
    nearly = Paced("onnx", 0.0, 0.001, shift=0.01)  # within the bar, but another's bits
    found = chosen(Paced("torch", 0.001, 0.0002), wrong, nearly)
    assert "differ" in found.left_out["openvino fp32"]
    # either is good, but not side by side: the one whose slowest batch costs less
    assert {one.runtime for one in found.picks.values()} == {"torch"}


@pytest.mark.usefixtures("quiet")
def test_a_runtime_that_cannot_have_the_network_is_left_out() -> None:
    def refuse(one: Candidate) -> Paced:
        raise InputError("no such operation")

    candidates = [Candidate(runtime="onnx", precision="fp32")]
    found = choose(refuse, candidates, Paced("torch", 0, 0), CARD)
    assert (found.picks, found.left_out) == ({}, {"onnx fp32": "no such operation"})


def test_a_busy_machine_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice.time, "process_time", lambda: 0.0)
    fast, usual = Paced("torch", 0, 0), Paced("openvino", 0, 0)
    monkeypatch.setattr(Paced, "features", lambda self, pictures: pictures.mean(axis=(1, 2)))
    found = chosen(fast, usual)
    assert not found.certain
    assert {one.runtime for one in found.picks.values()} == {"openvino"}


def test_a_choice_is_remembered_for_its_machine_and_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    one = Candidate(runtime="onnx", precision="fp32")
    made = Choice(picks=dict.fromkeys(BATCHES, one), rates={"onnx fp32": {1: 2.5}})
    remembered.remember(made, "net-1", ".onnx", "fp32")
    assert remembered.recall("net-1", ".onnx", "fp32") == made
    assert remembered.recall("net-1", ".onnx", "fastest") is None
    assert remembered.recall("net-2", ".onnx", "fp32") is None
    monkeypatch.setattr(remembered, "_machine", lambda: ("another", "processor"))
    assert remembered.recall("net-1", ".onnx", "fp32") is None
    monkeypatch.undo()
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    (file,) = (tmp_path / "runtimes").iterdir()
    file.write_text("{")
    assert remembered.recall("net-1", ".onnx", "fp32") is None
    doubtful = Choice(picks=made.picks, certain=False)
    remembered.remember(doubtful, "net-1", ".onnx", "fp32")
    assert file.read_text() == "{"


def test_the_second_load_does_not_measure(
    weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: list[np.ndarray]
) -> None:
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "QUIET", 0.0)  # the tests' machine may be busy
    monkeypatch.setattr(choice, "BUDGET", 0.1)
    first = Embedder.load(weights)
    monkeypatch.setattr(automatic, "choose", lambda *_: pytest.fail("measured again"))
    second = Embedder.load(weights)
    assert repr(first) == repr(second)
    assert np.array_equal(first.embed(pictures), second.embed(pictures))
    for batch_size in (1, 3, 8):
        again = second.embed(pictures, batch_size=batch_size)
        assert np.abs(again - first.embed(pictures)).max() <= 1e-6


def test_routes_lead_to_the_backend_of_the_batch() -> None:
    small, large = Paced("onnx", 0, 0), Paced("openvino", 0, 0)
    routed = RoutedBackend([(1, small), (3, large)])
    picked = {count: routed._backend(count).runtime for count in (1, 2, 3, 40)}
    assert picked == {1: "onnx", 2: "onnx", 3: "openvino", 40: "openvino"}
    described = "onnx fp32 from batches of 1; openvino fp32 from batches of 3"
    assert (routed.runtime, routed.describe()) == ("onnx+openvino", described)


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
    with pytest.warns(RuntimeWarning, match="runs without openvino fp32"):
        one = Embedder.load(negated)
    assert "openvino" not in one.backend.runtime
    expected = Embedder.load(negated, runtime="torch").embed(pictures[:3])
    assert np.abs(one.embed(pictures[:3]) - expected).max() < 1e-5


def test_the_fastest_arithmetic(weights: Path, pictures: list[np.ndarray]) -> None:
    one = Embedder.load(weights, precision="fastest")
    assert one.backend.precision in ("fp32", "bf16")
    expected = Embedder.load(weights, runtime="torch").embed(pictures)
    assert np.sum(one.embed(pictures) * expected, axis=1).min() > 0.999


@pytest.fixture
def bf16(weights: Path) -> Callable[[str], Embedder]:
    return lambda runtime: Embedder.load(weights, runtime=runtime, precision="bf16")


def test_bf16_of_openvino_does_not_see_the_batch(
    bf16: Callable[[str], Embedder], pictures: list[np.ndarray]
) -> None:
    one = bf16("openvino")
    expected = one.embed(pictures)
    for batch_size in (1, 4, 8):
        assert np.abs(one.embed(pictures, batch_size=batch_size) - expected).max() <= 1e-6
    order = np.random.default_rng(0).permutation(len(pictures))
    assert np.abs(one.embed([pictures[i] for i in order]) - expected[order]).max() <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pytorchs_compiler(precision: str, weights: Path, pictures: list[np.ndarray]) -> None:
    eager = Embedder.load(weights, runtime="torch").embed(pictures)
    one = Embedder.load(weights, runtime="compiled", precision=precision)
    vectors = one.embed(pictures)
    assert np.sum(vectors * eager, axis=1).min() > (0.999999 if precision == "fp32" else 0.999)
    assert np.array_equal(one.embed(pictures, batch_size=3), vectors)
    assert np.array_equal(one.embed(pictures[::-1])[::-1], vectors)


def test_model_info_says_what_was_chosen(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = Candidate(runtime="openvino", precision="fp32")
    model_id = Embedder.load(weights, runtime="torch").model_id
    remembered.remember(Choice(picks=dict.fromkeys(BATCHES, one)), model_id, ".safetensors", "fp32")
    assert main(["model-info", str(weights)]) == 0
    assert "openvino fp32" in capsys.readouterr().out
