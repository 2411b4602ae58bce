"""A file is there whole or not at all, with the right mode, and nothing is left beside it."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from passerby import files


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a.bin", b"one")
    files.write_text(tmp_path / "b.txt", "人\n")
    files.write_json(tmp_path / "c.json", {"a": [1]})
    assert (tmp_path / "a.bin").read_bytes() == b"one"
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "人\n"
    assert json.loads((tmp_path / "c.json").read_text()) == {"a": [1]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "b.txt", "c.json"]


def test_a_failed_writer_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with files.replacing(path) as partial:
            assert partial.parent == path.parent
            assert partial.suffix == ".txt"
            partial.write_text("half")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_text(tmp_path / "none" / "a.txt", "x")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_mode_is_the_umasks_the_old_files_or_the_given_one(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = tmp_path / "a.txt"
        with files.replacing(path) as partial:
            partial.chmod(0o600)  # as safetensors does
        assert mode_of(path) == 0o666 & ~umask
        path.chmod(0o640)
        files.write_text(path, "again")
        assert mode_of(path) == 0o640
        with files.replacing(tmp_path / "secret", mode=0o600) as partial:
            assert mode_of(partial) == 0o600, "at no moment can others read it"
        assert mode_of(tmp_path / "secret") == 0o600
        files.write_text(path, "private", mode=0o600)
        assert mode_of(path) == 0o600
    finally:
        os.umask(before)


def test_many_writers_at_once(tmp_path: Path) -> None:
    path, seen = tmp_path / "a.txt", set()
    texts = [str(number) * 100_000 for number in range(4)]
    threads = [
        threading.Thread(target=lambda text=text: [files.write_text(path, text) for _ in range(5)])
        for text in texts
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            seen.add(path.read_text())
    for thread in threads:
        thread.join()
    assert seen <= set(texts)
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    program = (
        "import os, sys; from passerby import files\n"
        "with files.replacing(sys.argv[1]) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    def make(name: str, *, fail: bool) -> None:
        with files.making_folder(tmp_path / name) as made:
            (made / "file").write_text("x")
            assert made.parent.parent == tmp_path
            if fail:
                raise ValueError

    with pytest.raises(ValueError):
        make("half", fail=True)
    make("whole", fail=False)
    (tmp_path / "empty").mkdir()
    make("empty", fail=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "whole"]
    assert (tmp_path / "whole" / "file").read_text() == "x"
    with pytest.raises(OSError):
        make("whole", fail=False)


def test_sha256_of_bytes_and_files(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    assert files.sha256(data) == files.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
