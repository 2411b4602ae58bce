"""The walk of docs/own-data.md, command by command, on a folder with typical mistakes."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PEOPLE = ("ann", "bob", "eve", "joe", "李娜", "王伟", "max", "mia", "-1")


def commands() -> list[list[str]]:
    text = (DOCS / "own-data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """People in coats of their own colours, in two cameras, beside what file managers leave."""
    random = np.random.default_rng(0)
    for person in PEOPLE:
        coat = random.integers(40, 216, 3)
        for camera in (1, 2):
            for shot in range(4):
                crop = np.clip(coat + random.normal(0, 12, (64, 32, 3)), 0, 255).astype(np.uint8)
                path = tmp_path / "people" / person / f"cam{camera}_{shot}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(crop).save(path)
        (path.parent / "._cam1_0.jpg").write_bytes(b"\0\5\x16\7")
    (tmp_path / "people" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "people" / "ann" / "phone.HEIC").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.timeout(600)
def test_the_walk(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = commands()
    assert [words[0] for words in given] == [
        "check", "split", "train", "train", "evaluate", "report", "export", "embed", "ingest",
        "search", "trace",
    ]  # fmt: skip
    said = {}
    for words in given:
        # junk beside training people is what check finds first
        expected = 1 if words[0] == "check" else 0
        extra = ["--threads", "1", "--size", "64", "32"] if words[0] == "train" else []
        assert main([*words, *extra]) == expected, words
        said[words[0]] = "".join(capsys.readouterr())
    assert "8 training pictures are junk (-1)" in said["check"]
    assert "1 pictures of a kind that cannot be read (1 .heic" in said["check"]
    assert "10 hidden or of a file manager (1 .db, 9 .jpg" in said["check"]
    assert "train: 32 pictures of 4 people in 2 cameras" in said["split"]
    log = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in log if line["event"] == "epoch"] == [1, 2, 3]
    assert "mAP" in said["evaluate"]
    assert (folder / "report.html").stat().st_size > 10_000
    assert "72 vectors in vectors" in said["embed"]
    assert "72 crops, 72 new" in said["ingest"]
    assert "C1" in said["search"]
    assert "C1" in said["trace"]
