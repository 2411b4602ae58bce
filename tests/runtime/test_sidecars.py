"""A calibration stays with its network, in whatever file that is."""

import json
from pathlib import Path

import numpy as np
import pytest

from passerby.errors import InputError
from passerby.metrics import Calibration
from passerby.runtime import Embedder
from passerby.runtime.export import export
from passerby.runtime.sidecars import calibration_file, own_file, write_calibration

CURVE = {"curve": "logistic over cosine similarity", "slope": 9.5, "intercept": -4.0, "prior": 0.1}


@pytest.fixture
def own(weights: Path, tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    path.write_bytes(weights.read_bytes())
    return path


def test_a_weights_file_carries_it_in_its_card(own: Path, pictures: list[np.ndarray]) -> None:
    before = Embedder.load(own, runtime="torch")
    assert write_calibration(own, CURVE, model_id=before.model_id) == own
    after = Embedder.load(own, runtime="torch")
    assert after.card.calibration == CURVE
    assert after.model_id == before.model_id  # no vector changes
    assert np.array_equal(after.embed(pictures), before.embed(pictures))
    assert [p.name for p in own.parent.iterdir()] == [own.name]


def test_an_exported_network_keeps_it(own: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_calibration(own, CURVE, model_id="")
    export(own, own.with_suffix(".onnx"))
    assert Embedder.load(own.with_suffix(".onnx")).card.calibration == CURVE


def test_an_onnx_file_has_it_beside(own: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_calibration(own, {**CURVE, "slope": 1.0}, model_id="")
    network = own.with_suffix(".onnx")
    export(own, network)
    content, model_id = network.read_bytes(), Embedder.load(network).model_id
    file = write_calibration(network, CURVE, model_id=model_id)
    assert file == calibration_file(network) == own.with_name("own.onnx.calibration.json")
    assert network.read_bytes() == content
    for runtime in ("onnx", "openvino"):
        loaded = Embedder.load(network, runtime=runtime)
        assert loaded.card.calibration == CURVE  # before the slope of 1 in the file itself
    assert Calibration.from_card(loaded.card.calibration).measured


def test_an_openvino_network_has_it_beside(own: Path) -> None:
    openvino = pytest.importorskip("openvino")
    export(own, own.with_suffix(".onnx"))
    network = own.with_suffix(".xml")
    openvino.save_model(openvino.convert_model(own.with_suffix(".onnx")), network)
    card = {
        "architecture": "slim18",
        "dimension": 256,
        "input_size": [128, 64],
        "mean": [0, 0, 0],
        "std": [1, 1, 1],
        "colour_order": "RGB",
        "value_range": 255.0,
        "interpolation": "bilinear",
    }
    network.with_name("own.xml.card.json").write_text(json.dumps(card))
    loaded = Embedder.load(network)
    assert loaded.card.calibration is None
    write_calibration(network, CURVE, model_id=loaded.model_id)
    assert Embedder.load(network).card.calibration == CURVE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be used"),
        ("[]", "is of another network"),
        ('{"slope": -2, "intercept": 1}', "falls with similarity"),
        ('{"slope": 2, "intercept": 1}', "is of another network"),
        ('{"model": "other-1", "slope": 2, "intercept": 1}', "is of another network"),
    ],
)
def test_a_file_beside_that_does_not_fit_is_named(own: Path, text: str, message: str) -> None:
    pytest.importorskip("onnxruntime")
    network = own.with_suffix(".onnx")
    export(own, network)
    calibration_file(network).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Embedder.load(network)
    assert "own.onnx.calibration.json" in str(caught.value)


def test_the_bundled_network_and_wrong_curves_are_refused(own: Path) -> None:
    with pytest.raises(InputError, match="part of the package; copy"):
        own_file("default")
    content = own.read_bytes()
    with pytest.raises(InputError, match="falls with similarity"):
        write_calibration(own, {"slope": -1.0, "intercept": 0.0}, model_id="")
    assert own.read_bytes() == content
