"""Each family of detection networks is told by its ports, fed as it was trained, and decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from passerby.errors import InputError
from passerby.ingest import Detector
from tests.ingest.toy_networks import (
    RedFinder,
    atss,
    detr,
    detr_in_one,
    lists,
    lists_sized,
    scene,
    ssd,
    write,
    yolox,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    layout: Callable[..., Any]
    outputs: tuple[str, ...]
    family: str
    """What model-info says."""
    bgr: bool = False
    white: float = 1.0
    imagenet: bool = False
    size: tuple[int, int] = (224, 320)
    batch: bool = True
    name: str = "network"
    people: str = "class 1"


BGR = {"bgr": True, "white": 255.0}
CASES = {
    "ssd": Case(layout=ssd(1), outputs=("detection_out",), family="SSD", **BGR),
    "ssd, people are 0": Case(
        layout=ssd(0),
        outputs=("detection_out",),
        family="SSD",
        name="person-detection-0200",
        people="class 0",
        **BGR,
    ),
    "torchvision": Case(
        layout=lists(1), outputs=("boxes", "labels", "scores"), family="torchvision"
    ),
    "torchvision, no names and no batch": Case(
        layout=lists(1), outputs=("a", "b", "c"), family="torchvision", batch=False
    ),
    "rt-detr with sizes": Case(
        layout=lists_sized,
        outputs=("labels", "boxes", "scores"),
        family="RT-DETR",
        people="class 0",
    ),
    "atss": Case(layout=atss, outputs=("boxes", "labels"), family="ATSS", **BGR),
    "rt-detr": Case(
        layout=detr(80, 0),
        outputs=("logits", "pred_boxes"),
        family="80 classes",
        people="class 0",
        size=(320, 320),
    ),
    "rf-detr": Case(
        layout=detr(91, 1), outputs=("labels", "dets"), family="91 classes", imagenet=True
    ),
    "detr": Case(
        layout=detr(92, 1), outputs=("logits", "pred_boxes"), family="92 classes", imagenet=True
    ),
    "detr in one": Case(
        layout=detr_in_one, outputs=("output0",), family="in one", people="class 0"
    ),
    "yolox": Case(
        layout=yolox(decoded=False),
        outputs=("output",),
        family="raw grids, 80 classes",
        people="class 0",
        **BGR,
    ),
    "yolox, decoded": Case(
        layout=yolox(decoded=True),
        outputs=("output",),
        family="decoded, 80 classes",
        people="class 0",
        **BGR,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    case = CASES[request.param]
    network = RedFinder(
        case.size, case.layout, bgr=case.bgr, white=case.white, imagenet=case.imagenet
    )
    path = tmp_path_factory.mktemp("networks") / f"{case.name}.onnx"
    write(network, path, list(case.outputs), batch=case.batch)
    return case, Detector.load(path)


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (224, 320), (90, 700)])
def test_boxes_lie_where_the_person_is(opened: Any, size: tuple[int, int]) -> None:
    _, detector = opened
    box = (size[1] // 4, size[0] // 5, size[1] // 4 + 60, size[0] // 5 + 55)
    found, nobody = detector.detect([scene(size, box), scene(size, None)])
    assert len(found) == 1
    assert len(nobody) == 0
    # a pixel of the network's input is up to 2.5 pixels here
    assert np.abs(found.boxes[0] - box).max() <= 3.5
    assert 0.85 < found.scores[0] < 1
    assert found.boxes.dtype == found.scores.dtype == np.float32


def test_the_family_and_its_conventions_are_said(opened: Any) -> None:
    case, detector = opened
    said = detector.describe()
    assert case.family in said["output"]
    assert said["people"] == case.people
    assert ("BGR 0..255" if case.bgr else "RGB 0..1") in said["input"]
    assert ("ImageNet" in said["input"]) == case.imagenet
    assert f"{case.size[1]} x {case.size[0]}" in said["input"]
    assert detector.name.startswith(f"{case.name}-")


class Fixed(torch.nn.Module):
    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = shapes

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.zeros(shape) + picture.mean() for shape in self.shapes)


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 84, 8400),),
        ((1, 25200, 85),),
        ((1, 300, 6),),
        ((1, 256),),
        ((1, 100, 7), (1, 100, 4)),
        ((1, 20, 4), (1, 20), (1, 20)),  # which of the two are labels?
    ],
    ids=str,
)
def test_an_unknown_output_is_refused(shapes: tuple[Any, ...], tmp_path: Path) -> None:
    network = Fixed(*shapes)
    path = tmp_path / "other.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 96, 96),),
        str(path),
        output_names=[f"out{i}" for i in range(len(shapes))],
        dynamo=False,
    )
    with pytest.raises(InputError) as caught:
        Detector.load(path)
    said = str(caught.value)
    assert all(f"out{i} [{', '.join(map(str, s))}]" in said for i, s in enumerate(shapes))
    assert all(word in said for word in ("SSD", "YOLOX", "DETR", "torchvision"))


def test_an_input_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    torch.onnx.export(Fixed((1, 1, 5, 7)), (torch.zeros(1, 77),), str(path), dynamo=False)
    with pytest.raises(InputError, match=r"\[1, 77\]; one takes a picture \[1, 3, H, W\]"):
        Detector.load(path)
