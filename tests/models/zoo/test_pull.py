"""A pulled network is converted, cached whole, named by its content, and opened by its name."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from passerby.cli import main
from passerby.errors import InputError
from passerby.models import build, convert, load, zoo
from passerby.models.card import PREPARATION
from passerby.models.identity import find_file
from passerby.models.zoo import ZooEntry, ZooFile, cache, download, table
from passerby.models.zoo.pull import with_facts

REAL = Path(__file__).parents[3].parent / "shared" / "real" / "models"
NAME = "tiny-resnet"
PUBLISHED = table.find("torchreid-resnet50-market")
Register = Callable[..., ZooEntry]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint as torchreid writes it, of random weights."""
    torch.manual_seed(0)
    network = build("slim18", num_classes=5, last_stride=2, neck=False)
    state = {re.sub(r"^backbone\.", "", k): v for k, v in network.state_dict().items()}
    path = tmp_path_factory.mktemp("foreign") / "resnet.pth"
    torch.save({"state_dict": state, "epoch": 3}, path)
    return path.read_bytes()


def damaged(content: bytes) -> bytes:
    """One bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Put a network into the table, for one test."""

    def put(*files: ZooFile, **values: Any) -> ZooEntry:
        like = table.find("osnet-x0-25-msmt17-all")
        entry = replace(like, **{"name": NAME, "files": files, **values})
        for module in (table, zoo):
            monkeypatch.setattr(module, "entries", lambda: {NAME: entry})
        return entry

    return put


@pytest.fixture
def entry(server: Any, checkpoint: bytes, register: Register) -> ZooEntry:
    server.serve("/resnet.pth", checkpoint)
    digest = "sha256:" + hashlib.sha256(checkpoint).hexdigest()
    file = ZooFile(address=f"{server.address}/resnet.pth", size=len(checkpoint), digest=digest)
    return register(file, card={"input_size": (384, 128), "interpolation": "bicubic"})


def test_a_pulled_network_is_the_checkpoint_with_its_card(
    entry: ZooEntry, checkpoint: bytes, own_cache: Path, tmp_path: Path
) -> None:
    done = zoo.pull(NAME)
    assert (done.fresh, done.verified) == (True, True)
    assert done.sources == {"resnet.pth": entry.files[0].digest}
    network, card = load(done.path)
    (tmp_path / "resnet.pth").write_bytes(checkpoint)
    expected, theirs = convert(tmp_path / "resnet.pth")
    pictures = torch.rand(2, 3, 64, 32)
    assert torch.equal(network(pictures), expected(pictures))
    assert (card.input_size, card.interpolation) == ((384, 128), "bicubic"), "as the table says"
    told = with_facts(PUBLISHED, theirs)
    for name in PREPARATION:
        assert getattr(told, name) == getattr(theirs, name), "table and converter agree"
    assert card.training["zoo"] == NAME
    assert card.training["published_percent"]["market1501"] == {"mAP": 31.0, "rank1": 59.9}
    assert "MIT" in card.licence
    assert "research" in card.licence
    assert find_file(NAME) == done.path == zoo.pulled(NAME)
    files = list(done.path.parent.iterdir())
    assert done.path.parent.name == f"{NAME}-{cache.content_hash(files)[:12]}"
    assert not (own_cache / "models" / "downloads" / NAME).exists()


def test_nothing_is_fetched_twice(entry: ZooEntry, server: Any, tmp_path: Path) -> None:
    first = zoo.pull(NAME)
    again = zoo.pull(NAME, to=tmp_path / "networks")
    assert (again.fresh, again.path) == (False, tmp_path / "networks" / first.path.name)
    assert again.path.read_bytes() == first.path.read_bytes()
    assert len(server.requests) == 1
    shutil.rmtree(first.path.parent)
    assert zoo.pulled(NAME) is None, "a record without its file is no network"
    assert zoo.pull(NAME).path.read_bytes() == again.path.read_bytes(), "content by content"


def test_a_broken_pull_goes_on(entry: ZooEntry, server: Any, checkpoint: bytes) -> None:
    half = len(checkpoint) // 2
    server.files["/resnet.pth"].drops = [half, 0, 0, 0, 0]
    with pytest.raises(InputError, match=f"cannot be reached.*pull {NAME} --from FILE"):
        zoo.pull(NAME)
    with pytest.raises(InputError, match=f"not here yet; run: passerby models pull {NAME}"):
        find_file(NAME)
    server.requests.clear()
    zoo.pull(NAME)
    assert server.requests == [("/resnet.pth", f"bytes={half}-")]


def test_a_conversion_that_fails_keeps_the_download(
    server: Any, register: Register, own_cache: Path
) -> None:
    server.serve("/odd.pth", b"no checkpoint at all")
    register(ZooFile(address=f"{server.address}/odd.pth"))
    for _ in range(2):
        with pytest.raises(InputError, match=r"odd\.pth"):
            zoo.pull(NAME)
    assert len(server.requests) == 1
    folder = own_cache / "models"
    assert sorted(path.name for path in folder.iterdir()) == [f".{NAME}.lock", "downloads"]


def test_wrong_bytes_are_never_converted(
    entry: ZooEntry, server: Any, checkpoint: bytes, own_cache: Path
) -> None:
    server.serve("/resnet.pth", damaged(checkpoint))
    with pytest.raises(InputError, match="is not the file wanted"):
        zoo.pull(NAME)
    assert zoo.pulled(NAME) is None
    assert list((own_cache / "models" / "downloads" / NAME).iterdir()) == []


def test_another_address_and_a_file_by_hand(
    entry: ZooEntry, server: Any, checkpoint: bytes, tmp_path: Path
) -> None:
    server.serve("/mirror/resnet.pth", checkpoint)
    zoo.pull(NAME, source=f"{server.address}/mirror/")
    assert server.requests == [("/mirror/resnet.pth", None)]
    file = tmp_path / "saved from a browser (1).pth"
    file.write_bytes(checkpoint)
    assert zoo.pull(NAME, source=str(file)).verified
    file.write_bytes(damaged(checkpoint))
    with pytest.raises(InputError, match="is not the file wanted"):
        zoo.pull(NAME, source=str(file))
    with pytest.raises(InputError, match="there is no file"):
        zoo.pull(NAME, source=str(tmp_path / "none"))
    assert zoo.pulled(NAME), "what was there stays"


def test_what_only_a_browser_gets(
    register: Register, checkpoint: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(by_hand="https://example.org/page", inside="the one for Market-1501")
    assert main(["models", "pull", NAME]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in ("https://example.org/page", "the one for Market-1501", "--from FILE", "convert"):
        assert part in said
    file = tmp_path / "saved.pth"
    file.write_bytes(checkpoint)
    assert main(["models", "pull", NAME, "--from", str(file), "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert not done["verified"]
    assert load(done["path"])[1].training["zoo"] == NAME


def test_writers_wait_for_each_other_and_pull_once(entry: ZooEntry, server: Any) -> None:
    """Two at once, as two processes: each opens the lock for itself."""
    waited: list[str] = []
    with ThreadPoolExecutor(2) as pool, cache.sole_writer(NAME, lambda: None):
        pulls = [pool.submit(zoo.pull, NAME, on_wait=lambda: waited.append("")) for _ in "ab"]
        while len(waited) < 2:
            time.sleep(0.01)
        assert server.requests == []
    done = [pull.result() for pull in pulls]
    assert done[0].path == done[1].path
    assert len(server.requests) == 1


def test_offline_is_one_line(
    register: Register, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    register(ZooFile(address="https://no-such-host.invalid/resnet.pth"))
    assert main(["models", "pull", NAME]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be reached" in said
    assert "Traceback" not in said


def test_the_command_line(entry: ZooEntry, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert f"{NAME} " in (listed := capsys.readouterr().out)
    assert " pull" in listed
    assert main(["models", "pull", NAME]) == 0
    assert "licence" not in capsys.readouterr().err
    assert main(["models", "list", "tiny", "--pulled", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["pulled"].endswith(f"{NAME}.safetensors")
    assert main(["models", "list", "no-such-word", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["models", "pull", "tiny-resnett"]) == 2
    assert f"did you mean {NAME}?" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written(
    entry: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="set PASSERBY_CACHE"):
        zoo.pull(NAME)


@pytest.mark.real
@pytest.mark.parametrize("number", ["0277", "0287", "0288"])
def test_the_open_model_zoo_as_it_comes(number: str, server: Any) -> None:
    """The real files pass the table's own sizes and digests and are what they were."""
    name = f"person-reidentification-retail-{number}"
    if not (REAL / name).is_dir():
        pytest.skip("the real networks (../shared/real) are not here")
    for file in (REAL / name).iterdir():
        server.serve(f"/{file.name}", file.read_bytes())
    done = zoo.pull(name, source=server.address)
    assert done.verified
    assert (done.path.name, find_file(name)) == (f"{name}.xml", done.path)
    for file in (REAL / name).iterdir():
        assert (done.path.parent / file.name).read_bytes() == file.read_bytes()


@pytest.mark.real
def test_the_embedder_opens_a_pulled_name() -> None:
    pytest.importorskip("openvino")
    name = "person-reidentification-retail-0288"
    if not (REAL / name).is_dir():
        pytest.skip("the real networks (../shared/real) are not here")
    zoo.pull(name, source=str(REAL / name))
    from passerby.runtime import Embedder

    pulled = Embedder.load(name)
    known = Embedder.load(REAL / name / f"{name}.xml")
    assert pulled.model_id == known.model_id
    assert pulled.card.colour_order == "BGR"
    assert "Apache-2.0" in pulled.card.licence
    assert pulled.embed(np.full((1, 80, 40, 3), 90, np.uint8)).shape == (1, 256)
