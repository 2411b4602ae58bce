"""Which detector a name means; torchvision's own ones beside what torchvision builds."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models import detection, get_model, get_model_weights

from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest import Detector
from passerby.ingest import detector as choice
from passerby.ingest.detector_torch import TorchvisionDetector
from passerby.models import zoo
from passerby.models.identity import find_file
from passerby.models.zoo import download
from tests.ingest.toy_networks import RedFinder, scene, ssd, write

SSDLITE = "ssdlite320_mobilenet_v3_large"
START = "2026-05-01T08:00:00+08:00"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("PASSERBY_CACHE", str(folder))
    monkeypatch.setattr(download, "PAUSE", 0.0)
    return folder


def keep(name: str, file: Path) -> Path:
    """Put a file into the cache as the pulled network of a name."""
    folder = zoo.cache.models_folder() / f"{name}-0"
    folder.mkdir()
    shutil.copy(file, folder)
    zoo.cache.write_record(name, {"folder": folder.name, "main": file.name})
    return folder / file.name


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = RedFinder((96, 128), ssd(1), bgr=True, white=255.0)
    return write(network, tmp_path_factory.mktemp("finder") / "finder.onnx", ["detection_out"])


def test_torchvision_entries_are_those_of_its_weights() -> None:
    entries = {e.architecture: e for e in zoo.entries().values() if e.toolbox == "torchvision"}
    assert len(entries) == 9
    for architecture, entry in entries.items():
        (weights,) = get_model_weights(architecture)
        assert entry.files[0].address == weights.url
        assert entry.files[0].digest == f"sha256:{weights.url[-12:-4]}"
        assert weights.meta["categories"][entry.person or 0] == "person"
        assert not entry.files[0].verifiable


def test_every_detector_says_its_address_and_licence() -> None:
    detectors = [entry for entry in zoo.entries().values() if entry.detects]
    assert {"person-detection-retail-0013", "person-detection-0203", "yolox-s", "rtdetr-r18"} <= {
        entry.name for entry in detectors
    }
    for entry in detectors:
        assert entry.files
        assert entry.code_licence in ("Apache-2.0", "BSD-3-Clause")
        assert not entry.foreign


def test_the_list_names_address_size_digest_and_licence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "0013"]) == 0
    first, second = capsys.readouterr().out.splitlines()[1:3]
    assert "571,233" in first and "sha384:99ad3d45" in first and "Apache-2.0" in first
    assert second.endswith("person-detection-retail-0013.bin")
    assert main(["models", "list", "yolox-m"]) == 0
    assert capsys.readouterr().out.splitlines()[1].count("unknown") == 2
    assert main(["models", "list", "detection", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(entry["task"] == "person detection" for entry in found)


def test_names_that_are_not_here_or_of_another_kind(tmp_path: Path) -> None:
    for name in ("yolox-s", "ssdlite320_mobilenet_v3_large"):
        with pytest.raises(InputError, match="not here yet; run: passerby models pull"):
            Detector.load(name)
    with pytest.raises(InputError, match="no person detector; it is a network for --model"):
        Detector.load("osnet-x1-0-market")
    with pytest.raises(InputError, match="is a person detector; give it to --detector"):
        find_file("yolox-s")
    with pytest.raises(InputError, match="models list detection"):
        Detector.load("yollox")
    with pytest.raises(InputError, match="must be an OpenVINO"):
        Detector.load(tmp_path / "some.pt")


def test_the_default_is_the_bundled_one_then_the_pulled_one(
    finder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "BUNDLED", tmp_path / "weights")
    with pytest.raises(InputError, match=r"pull person-detection-retail-0013.*--detector FILE"):
        Detector.load("default")
    other = keep("yolox-tiny", finder)
    assert choice.find_detector("default")[0] == other
    pulled = keep(choice.DEFAULT, finder)
    path, entry = choice.find_detector("default")
    assert path == pulled and entry is not None and entry.name == choice.DEFAULT
    choice.pull_default(pytest.fail, lambda: pytest.fail("nothing is to be pulled"))
    (tmp_path / "weights").mkdir()
    shutil.copy(finder, tmp_path / "weights" / "ours.onnx")
    assert choice.find_detector("default") == (tmp_path / "weights" / "ours.onnx", None)
    found = Detector.load("default").detect([scene((96, 128), (30, 20, 60, 80))])
    assert np.abs(found[0].boxes - [30, 20, 60, 80]).max() < 1e-3


def test_ingest_without_a_detector_and_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choice, "BUNDLED", tmp_path / "weights")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"the detector is opened first")
    command = ["ingest", str(clip), "--city", str(tmp_path / "city"), "--create-city"]
    place = ["--place", "113.3", "20.5", "--camera", "C01", "--start", START]
    assert main([*command, *place]) == 2
    announced, error = capsys.readouterr().err.strip().splitlines()
    assert "2.0 MB, Apache-2.0" in announced and "offline give --detector FILE" in announced
    assert "cannot be reached" in error
    assert error.endswith("'passerby models pull person-detection-retail-0013 --from FOLDER'")


def street() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(4).integers(0, 256, (9, 12, 3)).astype(np.float32)
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).permute(2, 0, 1)[None], size=(240, 320), mode="bicubic"
    )
    return smooth[0].permute(1, 2, 0).clamp(0, 255).byte().numpy()


def random_weights(architecture: str, path: Path) -> tuple[Any, Path]:
    """A network of random weights, and the file for it under torchvision's name."""
    torch.manual_seed(1)
    (weights,) = get_model_weights(architecture)
    file = path / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    file.parent.mkdir(exist_ok=True)
    network: Any = get_model(architecture, weights=None, weights_backbone=None)
    torch.save(network.state_dict(), file)
    return network, file


def weights_with_people(architecture: str, path: Path) -> Path:
    """Random weights whose features vary, and that take much for a person."""
    network, file = random_weights(architecture, path)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of one pass
    boxes = torch.tensor([[30.0, 20.0, 90.0, 180.0], [150.0, 40.0, 200.0, 200.0]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 1])}
    image = torch.from_numpy(street()).permute(2, 0, 1) / 255
    network.train()([image, image.flip(2)], [target, target])
    with torch.no_grad():
        for name, value in network.named_parameters():
            classifies = "cls_score" in name or "classification_head.module_list" in name
            if classifies and name.endswith("bias") and len(value) % 91 == 0:
                value.view(-1, 91)[:, 1] += 2
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.parametrize("architecture", [SSDLITE, "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_torchvision_detectors_are_what_torchvision_builds(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = weights_with_people(architecture, tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    theirs = get_model(architecture, weights="COCO_V1").eval()  # reads the file in that folder
    image = street()
    with torch.inference_mode():
        result = theirs([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
    people = (result["labels"] == 1) & (result["scores"] >= 0.05)
    assert people.sum() > 3
    keep(architecture.replace("_", "-"), file)
    ours = Detector.load(architecture)
    assert isinstance(ours, TorchvisionDetector)
    found = ours.detect([image])[0]
    order = torch.argsort(-result["scores"][people], stable=True)
    assert len(set(found.scores.tolist())) == len(found)  # no ties, whose order means nothing
    assert np.allclose(found.scores, result["scores"][people][order], atol=1e-6)
    assert np.allclose(found.boxes, result["boxes"][people][order], atol=1e-3)
    assert architecture in ours.describe()["output"]


@pytest.mark.parametrize(
    "architecture", ["fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"]
)
def test_norms_have_the_epsilon_that_torchvision_gives_them(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, file = random_weights(architecture, tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    theirs = get_model(architecture, weights="COCO_V1")
    ours = TorchvisionDetector(file, architecture).network
    epsilons = [
        [module.eps for module in network.modules() if hasattr(module, "eps")]
        for network in (ours, theirs)
    ]
    assert len(epsilons[0]) > 50
    assert epsilons[0] == epsilons[1]


def test_torchvision_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    _, file = random_weights(SSDLITE, tmp_path)
    with pytest.raises(InputError, match="is not a ssd300_vgg16"):
        TorchvisionDetector(file, "ssd300_vgg16")


def test_a_torchvision_export_finds_what_torchvision_finds(tmp_path: Path) -> None:
    file = weights_with_people(SSDLITE, tmp_path)
    network: Any = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    network.load_state_dict(torch.load(file, weights_only=True))
    image = street()
    pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
    path = tmp_path / "exported.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), ([pixels],), str(path), opset_version=17, dynamo=False)
    found = Detector.load(path).detect([image])[0]
    expected = TorchvisionDetector(file, SSDLITE).detect([image])[0]
    assert len(expected) > 3
    assert len(found) == len(expected)
    assert np.allclose(found.scores, expected.scores, atol=1e-4)
    assert np.allclose(found.boxes, expected.boxes, atol=0.1)
