"""Faster detectors: boxes are compared honestly, and a network that loses people is not written."""

from pathlib import Path

import numpy as np
import pytest

from passerby.city import City
from passerby.errors import InputError
from passerby.ingest import Detections, Detector, precision
from passerby.ingest.precision import (
    Agreement,
    agreement,
    choose_precision,
    compare,
    quantise_detector,
)

RETAIL = "person-detection-retail-0013"


def found(*rows: tuple[float, float, float, float, float]) -> Detections:
    values = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(boxes=values[:, :4], scores=values[:, 4])


PERSON, OTHER = (10.0, 10.0, 30.0, 70.0), (100.0, 10.0, 130.0, 90.0)


def test_boxes_are_counted_by_what_became_of_them() -> None:
    reference = [found((*PERSON, 0.9), (*OTHER, 0.6)), found((*PERSON, 0.8)), found((*OTHER, 0.2))]
    other = [
        found((11.0, 10.0, 31.0, 70.0, 0.7), (*OTHER, 0.4)),  # agrees, weaker
        found((25.0, 10.0, 45.0, 70.0, 0.9)),  # elsewhere: one missed, one new
        found((*OTHER, 0.9)),  # a weak box that became strong is not new
    ]
    result = compare(reference, other)
    assert (result.frames, result.boxes) == (3, 3)
    assert (result.agreeing, result.weaker, result.missed, result.new) == (1, 1, 1, 1)
    assert result.mean_overlap == pytest.approx(19 / 21, abs=1e-4)
    assert result.mean_score_difference == result.largest_score_difference == 0.2


def test_equal_boxes_agree_and_empty_frames_too() -> None:
    frames = [found((*PERSON, 0.9), (*OTHER, 0.6))] * 20 + [found()] * 5
    result = compare(frames, frames)
    assert (result.boxes, result.agreeing, result.fault()) == (40, 40, "")
    assert compare([found()], [found()]).fault() != ""  # nobody to compare on


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"missed": 2}, "2 of 100 boxes are missed"),
        ({"new": 2}, "2 of 100 boxes are new"),
        ({"agreeing": 94}, "only 94 of 100"),
        ({"boxes": 29, "agreeing": 29}, "29 people are too few"),
        ({"missed": 1, "new": 1, "agreeing": 95}, ""),
    ],
)
def test_faults(changed: dict[str, int], words: str) -> None:
    values = {
        "frames": 50, "boxes": 100, "agreeing": 100, "weaker": 0, "missed": 0, "new": 0,
        "mean_overlap": 1.0, "mean_score_difference": 0.0, "largest_score_difference": 0.0,
    }  # fmt: skip
    fault = Agreement(**{**values, **changed}).fault()  # type: ignore[arg-type]
    assert fault.startswith(words) if words else not fault


@pytest.mark.real
def test_bad_input_to_int8(real: Path, tmp_path: Path) -> None:
    network = real / "models" / RETAIL / f"{RETAIL}.xml"
    clip = real / "clips" / "people-detection.264"
    out = tmp_path / "out.xml"
    for lists in (([], [clip]), ([clip], []), ([clip], [clip])):
        with pytest.raises(InputError, match="other clips"):
            quantise_detector(network, out, calibrate=lists[0], compare_on=lists[1])
    with pytest.raises(InputError, match="something else"):
        quantise_detector(network, tmp_path / "out.onnx", calibrate=[clip], compare_on=[clip])
    with pytest.raises(InputError, match="no precision 'int4'"):
        Detector.load(network, precision="int4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_bf16_is_taken_only_where_the_processor_has_it_and_the_boxes_agree(
    real: Path, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without instructions for it OpenVINO computes bf16 as fp32, so the decision can be tested."""
    network = real / "models" / RETAIL / f"{RETAIL}.xml"
    clip = real / "clips" / "people-detection.264"
    plain = Detector.load(network)
    monkeypatch.setattr(precision, "computes_bf16", lambda: False)
    assert choose_precision(city, network, clip) == ("fp32", "")
    monkeypatch.setattr(precision, "computes_bf16", lambda: True)
    chosen, words = choose_precision(city, network, None)
    assert chosen == "fp32" and "no clip" in words
    chosen, words = choose_precision(city, network, clip)
    assert chosen == "bf16"
    assert "boxes agree" in words
    fast = Detector.load(network, precision=chosen)
    assert fast.name == f"{plain.name}-bf16"
    assert choose_precision(city, network, None) == ("bf16", "")  # the city keeps the decision
    city.set_setting(f"precision.{fast.name}"[:64], {"fault": "it loses people"})
    assert choose_precision(city, network, clip)[0] == "fp32"


@pytest.mark.real
def test_a_detector_agrees_with_itself(real: Path) -> None:
    detector = Detector.load(real / "models" / RETAIL / f"{RETAIL}.xml")
    clip = real / "clips" / "people-detection.264"
    result = agreement(detector, detector, [clip], frames=40)
    assert 20 < result.frames <= 40
    assert (result.boxes, result.missed, result.new) == (result.agreeing, 0, 0)
    assert result.boxes > 5
