"""INT8: calibrated on crops, written with its card, held to its bar."""

import contextlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from passerby.cli import main
from passerby.data import CropTable
from passerby.errors import InputError, MissingExtraError
from passerby.models import load, save
from passerby.runtime import Embedder, parity
from passerby.runtime import export as exporting
from passerby.runtime.export import export, split_crops
from passerby.runtime.openvino_models import LAYERS, read_openvino
from passerby.runtime.parity import Parity
from passerby.runtime.quantise import SCHEMES


@pytest.fixture(scope="module")
def exported(
    weights: Path, tmp_path_factory: pytest.TempPathFactory, labelled: CropTable
) -> tuple[Path, str]:
    """A network in int8, and what the verb printed."""
    pytest.importorskip("nncf")
    out = tmp_path_factory.mktemp("int8") / "net.xml"
    words = ["export", str(weights), "--out", str(out), "--precision", "int8", "--json"]
    words += ["--calibrate", str(labelled.root), "--parity", str(labelled.root)]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(words) == 0
    return out, printed.getvalue()


def test_int8_on_the_users_crops(
    weights: Path, exported: tuple[Path, str], labelled: CropTable
) -> None:
    out, printed = exported
    report = json.loads(printed)  # NNCF's own output must not be in it
    assert report["parity"]["mean_cosine"] >= 0.995
    assert abs(np.diff(report["parity"]["rank1"]))[0] <= 0.005
    one, original = Embedder.load(out), Embedder.load(weights, runtime="torch")
    assert one.model_id == report["model_id"] != original.model_id
    assert one.backend.precision == "int8"
    assert one.card.training["int8"]["from"] == original.model_id
    crops = labelled.query.paths()
    vectors = one.embed(crops)
    assert np.sum(vectors * original.embed(crops), axis=1).mean() >= 0.995
    for batch_size in (1, 4):
        assert np.abs(one.embed(crops, batch_size=batch_size) - vectors).max() <= 1e-6
    order = np.random.default_rng(0).permutation(len(crops))
    assert np.abs(one.embed([crops[i] for i in order]) - vectors[order]).max() <= 1e-6
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.bin", "net.xml"]


def test_without_the_package(
    weights: Path, tmp_path: Path, labelled: CropTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"passerby\[quantise\]"):
        export(weights, tmp_path / "net.xml", precision="int8", calibrate=labelled.train.paths())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_network_below_the_bar_is_tried_again_and_then_refused(
    weights: Path, tmp_path: Path, labelled: CropTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    monkeypatch.setitem(parity.LOWEST_COSINE, "int8", 1.5)
    monkeypatch.setattr(exporting, "SCHEMES", [SCHEMES[0], SCHEMES[-1]])
    with pytest.raises(
        InputError, match=r"histogram range; .* whole range, all sums in fp32, ends in fp32"
    ):
        export(weights, tmp_path / "net.xml", precision="int8", calibrate=labelled.train.paths())
    assert list(tmp_path.iterdir()) == []


def test_crops_to_compare_on_are_not_calibrated_on(labelled: CropTable) -> None:
    from passerby.models import ModelCard

    card = ModelCard(architecture="slim18", dimension=256, input_size=(128, 64))
    calibration, comparison = split_crops(labelled.train.paths(), [], card)
    assert (len(calibration), len(comparison)) == (10, 2)
    rows = {crop.tobytes() for crop in calibration}
    assert not rows & {crop.tobytes() for crop in comparison}


@pytest.mark.parametrize(
    ("precision", "values", "fault"),
    [
        ("fp32", {"lowest_cosine": 0.9998}, "lowest cosine 0.999800, wanted 0.9999"),
        ("fp32", {"lowest_cosine": float("nan")}, "lowest cosine nan"),
        ("int8", {"lowest_cosine": 0.99}, None),
        ("int8", {"mean_cosine": 0.994}, "mean cosine 0.994000, wanted 0.995"),
        ("int8", {"rank1": (0.9, 0.896)}, None),
        ("int8", {"rank1": (0.9, 0.894)}, "rank-1 89.40 instead of 90.00"),
    ],
)
def test_the_bar(precision: str, values: dict[str, float], fault: str | None) -> None:
    usual = {"lowest_cosine": 1.0, "mean_cosine": 1.0, "mean_centred_cosine": 1.0}
    got = Parity(pictures=9, **{**usual, **values}).fault(precision)
    assert (got is None) if fault is None else fault in str(got)


def test_pixels_and_the_vector_are_not_cut_off(exported: tuple[Path, str]) -> None:
    """The input's scale spans black to white, and nothing is quantised behind the last layer."""
    out, _ = exported
    ops = read_openvino(out).get_ordered_ops()
    first, *_ = (op for op in ops if op.get_type_name() == "FakeQuantize")
    low, high = (float(first.input_value(at).get_node().data.item()) for at in (1, 2))
    card = Embedder.load(out).card
    black = min(-mean / std for mean, std in zip(card.mean, card.std, strict=True))
    white = max((1 - mean) / std for mean, std in zip(card.mean, card.std, strict=True))
    step = (white - black) / 255
    assert abs(low - black) <= step
    assert abs(high - white) <= step
    assert abs(low / step - round(low / step)) < 1e-3  # zero is a step
    kinds = [op.get_type_name() for op in ops]
    last = max(at for at, kind in enumerate(kinds) if kind in LAYERS)
    pooled = kinds.index("ReduceMean", last)
    assert "FakeQuantize" not in kinds[pooled:]


@pytest.mark.slow
def test_a_way_that_fails_is_not_the_last(
    weights: Path, tmp_path: Path, labelled: CropTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NNCF makes no histogram of activations that are all but the same."""
    pytest.importorskip("nncf")
    network, card = load(weights)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.mul_(1e-7)
                module.bias.fill_(1.0)
    flat = tmp_path / "flat.safetensors"
    save(network, card, flat)
    monkeypatch.setitem(parity.LOWEST_COSINE, "int8", -1.0)
    report = export(flat, tmp_path / "net.xml", precision="int8", calibrate=labelled.train.paths())
    assert report.scheme == "whole range, 2 sums in fp32"  # the first way without histograms
