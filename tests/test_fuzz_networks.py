"""Networks, their cards and detectors: what is damaged or hostile ends in one clear line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzzing import BYTES, FEW, MANY, TEXT, Format, in_json, try_format, verb


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def write_weights(path: Path) -> None:
    import torch

    from passerby.models import ModelCard, build, save

    torch.manual_seed(0)
    network = build("slim18", num_classes=0)
    save(network, ModelCard(architecture="slim18", dimension=network.dimension), path)


def in_header(data: bytes, random: Any) -> bytes:
    """A weights file whose header is mutated as JSON, half of the times the card in it."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if random.random() < 0.7:
        card = next(key for key, value in header["__metadata__"].items() if value.startswith("{"))
        changed = in_json(header["__metadata__"][card].encode(), random)
        header["__metadata__"][card] = changed.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = in_json(json.dumps(header).encode(), random)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def write_checkpoint(path: Path) -> None:
    import torch

    from passerby.models import build

    torch.manual_seed(0)
    torch.save({"state_dict": build("slim18", num_classes=0).state_dict()}, path)


def write_detector(path: Path) -> None:
    from tests.ingest.toy_networks import RedFinder, ssd, write

    write(RedFinder((48, 64), ssd(1), bgr=True, white=255.0), path, ["detection_out"])


def write_openvino(path: Path) -> None:
    import openvino

    write_detector(path.with_suffix(".onnx"))
    openvino.save_model(openvino.convert_model(path.with_suffix(".onnx")), path)
    path.with_suffix(".onnx").unlink()


def exported(suffix: str) -> Callable[[Path], None]:
    """The network of :func:`write_weights` as another runtime's file."""

    def write(path: Path) -> None:
        from passerby.runtime.export import export

        weights = path.with_name("exported.safetensors")
        write_weights(weights)
        export(weights, path.with_suffix(suffix))

    return write


INFO = ("model-info", "FILE")
FORMATS: dict[str, Format] = {
    "weights": Format(
        make=write_weights,
        suffix=".safetensors",
        ways=(*BYTES, in_header, in_header, in_header),
        read=verb(*INFO),
    ),
    "checkpoint": Format(
        make=write_checkpoint,
        suffix=".pth",
        ways=BYTES,
        read=verb("convert", "FILE", "--out", "NEW"),
        every=2,
        good=2,
    ),
    "detector: onnx": Format(make=write_detector, suffix=".onnx", ways=BYTES, read=verb(*INFO)),
    "detector: xml": Format(make=write_openvino, suffix=".xml", ways=TEXT, read=verb(*INFO)),
    "network: onnx": Format(
        make=exported(".onnx"), suffix=".onnx", ways=BYTES, read=verb(*INFO), every=4
    ),
    "network: xml": Format(
        make=exported(".xml"), suffix=".xml", ways=TEXT, read=verb(*INFO), every=4
    ),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_few_mutations_of_every_network(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_many_mutations_of_every_network(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, MANY)
