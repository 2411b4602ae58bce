"""A download is whole, checked and resumed, whatever the server does."""

import hashlib
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import InputError
from passerby.models.zoo import download as room
from passerby.models.zoo.download import download
from passerby.models.zoo.table import ZooFile

CONTENT = random.Random(0).randbytes(700_001)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.pth"


def test_a_file_comes_whole_with_progress(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT)
    heard: list[tuple[int, int | None]] = []
    wanted = ZooFile(address=f"{server.address}/a", size=len(CONTENT), digest=DIGEST)
    download(wanted, target, on_progress=lambda done, total: heard.append((done, total)))
    assert target.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir() if path.is_file()] == ["file.pth"]
    download(wanted, target)
    assert len(server.requests) == 1, "what is there and fits is not fetched again"


def test_dropped_connections_are_resumed(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, drops=[300_000, 200_000, 100])
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, "bytes=300000-", "bytes=500000-", "bytes=500100-"]


def test_a_later_call_goes_on_where_the_first_gave_up(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, drops=[300_000, 0, 0, 0, 0, 0])
    with pytest.raises(InputError, match="cannot be reached"):
        download(ZooFile(address=f"{server.address}/a"), target)
    assert not target.exists()
    assert part_of(target).read_bytes() == CONTENT[:300_000]
    server.requests.clear()
    server.files["/a"].drops.clear()
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [("/a", "bytes=300000-")]


def test_a_server_without_range_is_asked_from_the_beginning(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, ranges=False, drops=[300_000])
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_begins_anew(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, drops=[300_000, 0, 0, 0, 0])
    with pytest.raises(InputError):
        download(ZooFile(address=f"{server.address}/a"), target)
    other = CONTENT[::-1]
    server.serve("/a", other, etag='"two"')
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == other


def test_nothing_is_joined_that_cannot_be_trusted(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, etag=None, drops=[300_000])
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, None]
    target.unlink()
    server.requests.clear()
    server.files["/a"].drops.append(300_000)
    download(ZooFile(address=f"{server.address}/a", digest=DIGEST), target)
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-"]


def test_a_part_that_is_longer_than_the_file_begins_anew(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, drops=[300_000, 0, 0, 0, 0])
    with pytest.raises(InputError):
        download(ZooFile(address=f"{server.address}/a"), target)
    server.serve("/a", CONTENT[:200_000])
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT[:200_000]


def test_a_complete_part_is_not_asked_for_again(
    server: Any, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a process that died between the last byte and the new name."""
    server.serve("/a", CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(room.os, "replace", _die)
        with pytest.raises(KeyboardInterrupt):
            download(ZooFile(address=f"{server.address}/a"), target)
    download(ZooFile(address=f"{server.address}/a"), target)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 1


def _die(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"digest": "sha256:" + "0" * 64}, "is not sha256:0000"),
        ({"digest": "sha384:" + "0" * 96}, "is not sha384:0000"),
        ({"size": 700_000}, "another file by now"),
    ],
)
def test_another_file_is_refused(
    server: Any, target: Path, wanted: dict[str, Any], message: str
) -> None:
    server.serve("/a", CONTENT)
    with pytest.raises(InputError, match=message):
        download(ZooFile(address=f"{server.address}/a", **wanted), target)
    assert not target.exists()
    assert not part_of(target).exists()


def test_a_wrong_length_of_a_stream_without_one(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, chunked=True)
    with pytest.raises(InputError, match="more than the 700,000 bytes"):
        download(ZooFile(address=f"{server.address}/a", size=700_000), target)
    with pytest.raises(InputError, match="not 700,002"):
        download(ZooFile(address=f"{server.address}/a", size=700_002), target)
    download(ZooFile(address=f"{server.address}/a", size=700_001), target)


def test_a_length_that_lies_is_no_whole_file(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, length=len(CONTENT) + 10)
    with pytest.raises(InputError, match="cannot be reached"):
        download(ZooFile(address=f"{server.address}/a"), target)
    assert not target.exists()


def test_redirects_are_followed_and_resumed(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, drops=[300_000])
    server.serve("/old", b"", redirect="/a")
    download(ZooFile(address=f"{server.address}/old"), target)
    assert target.read_bytes() == CONTENT
    assert server.requests[-1] == ("/a", "bytes=300000-")


def test_a_busy_server_is_asked_again_and_a_missing_file_is_not(server: Any, target: Path) -> None:
    server.serve("/a", CONTENT, errors=[503, 500])
    download(ZooFile(address=f"{server.address}/a"), target)
    server.requests.clear()
    with pytest.raises(InputError, match="answers 404 Not Found"):
        download(ZooFile(address=f"{server.address}/none"), target.with_name("b"))
    assert len(server.requests) == 1


def test_a_web_page_is_no_network(server: Any, target: Path) -> None:
    server.serve("/a", b"<html>sign in</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(InputError, match="web page"):
        download(ZooFile(address=f"{server.address}/a"), target)


def test_nobody_listens(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/a"
    with pytest.raises(InputError, match=r"cannot be reached.*refused") as error:
        download(ZooFile(address=address), target)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="not an http"):
        download(ZooFile(address="file:///etc/hostname"), target)
