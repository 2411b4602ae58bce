"""A pulled detector is kept as it comes, and checked by whatever is known of its bytes."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from passerby.cli import main
from passerby.errors import InputError
from passerby.models import zoo
from passerby.models.zoo import ZooEntry, ZooFile, table

CONTENT = b"weights of a detector" * 50
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ZooEntry]:
    def put(like: str, *files: ZooFile) -> ZooEntry:
        entry = replace(table.find(like), files=files)
        for module in (table, zoo):
            monkeypatch.setattr(module, "entries", lambda: {like: entry})
        return entry

    return put


def served(server: Any, name: str, content: bytes = CONTENT, **facts: Any) -> ZooFile:
    server.serve(f"/{name}", content)
    return ZooFile(address=f"{server.address}/{name}", **facts)


def test_a_detector_is_kept_as_it_comes(server: Any, register: Callable[..., ZooEntry]) -> None:
    register("yolox-s", served(server, "yolox_s.onnx", digest=f"sha256:{SHA}"))
    done = zoo.pull("yolox-s")
    assert (done.fresh, done.verified) == (True, True)
    assert done.path.name == "yolox_s.onnx"
    assert done.path.read_bytes() == CONTENT
    assert [file.name for file in done.path.parent.iterdir()] == ["yolox_s.onnx"]
    assert not zoo.pull("yolox-s").fresh
    assert zoo.pulled("yolox-s") == done.path


def test_the_first_digits_of_a_digest_are_checked(
    server: Any, register: Callable[..., ZooEntry], capsys: pytest.CaptureFixture[str]
) -> None:
    name = "ssd300-vgg16"
    register(name, served(server, "a.pth", digest=f"sha256:{SHA[:8]}"))
    assert main(["models", "pull", "ssd300_vgg16"]) == 0  # torchvision's own spelling
    said = capsys.readouterr().out
    assert "only the first 8 digits of its SHA-256 are published; they fit" in said
    assert SHA in said
    wrong = "0" * 8
    register(name, served(server, "b.pth", digest=f"sha256:{wrong}"))
    zoo.cache.models_folder().joinpath(f"{name}.json").unlink()
    with pytest.raises(InputError, match=f"is not sha256:{wrong}"):
        zoo.pull(name)


def test_an_unknown_digest_is_said(
    server: Any, register: Callable[..., ZooEntry], capsys: pytest.CaptureFixture[str]
) -> None:
    register("yolox-m", served(server, "m.onnx"))
    assert main(["models", "pull", "yolox-m"]) == 0
    said = capsys.readouterr().out
    assert "no digest of it is published" in said and SHA in said
    assert "code: Apache-2.0" in said


def test_files_of_another_known_release_may_be_brought(
    register: Callable[..., ZooEntry], tmp_path: Path
) -> None:
    brought = tmp_path / "brought"
    brought.mkdir()
    for name in ("d.xml", "d.bin"):
        (brought / name).write_bytes(CONTENT)
    files = [
        ZooFile(address=f"https://example.org/{name}", size=1, digest="sha256:" + "0" * 64)
        for name in ("d.xml", "d.bin")
    ]
    name = "person-detection-retail-0013"
    register(name, *files)
    with pytest.raises(InputError, match="not the file wanted"):
        zoo.pull(name, source=str(brought))
    register(name, *(replace(file, also=(f"sha256:{SHA}",)) for file in files))
    assert zoo.pull(name, source=str(brought)).path.name == "d.xml"


def test_without_a_network_each_file_and_the_command_are_named(
    server: Any, register: Callable[..., ZooEntry]
) -> None:
    address = server.address
    server.files.clear()
    files = [ZooFile(address=f"{address}/{name}") for name in ("d.xml", "d.bin")]
    register("person-detection-0200", *files)
    with pytest.raises(InputError) as caught:
        zoo.pull("person-detection-0200")
    said = str(caught.value)
    assert f"{address}/d.xml and {address}/d.bin into one folder" in said
    assert said.endswith("'passerby models pull person-detection-0200 --from FOLDER'")
