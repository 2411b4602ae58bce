"""Bad input ends with status 2 and one clear line that names what was wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from passerby.cli import main
from passerby.ingest import ingest_folder
from passerby.ingest.own_city import create_small_city
from passerby.runtime import Embedder

PLACE = (113.3, 20.5)
Arguments = Callable[[Path, Path], list[str]]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Path:
    """A city of one block with one camera and an empty gallery; ``filled`` beside it has one."""
    folder = tmp_path_factory.mktemp("bad") / "city"
    create_small_city(folder, camera="C01", place=PLACE).close()
    (crops := folder.parent / "crops").mkdir()
    shutil.copy(files / "person.jpg", crops)
    with create_small_city(folder.parent / "filled", camera="C01", place=PLACE) as filled:
        ingest_folder(
            filled,
            crops,
            embedder=Embedder.load("default"),
            camera="C01",
            start="2030-05-06T08:00:00Z",
            any_time=True,
        )
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures and of things that are none."""
    folder = tmp_path_factory.mktemp("files")
    noise = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "person.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is not a picture")
    (folder / "notes.txt").write_text("no clip\n")
    (folder / "empty").mkdir()
    return folder


def filled(city: Path) -> str:
    """The city that has a sighting."""
    return str(city.parent / "filled")


CASES: dict[str, tuple[Arguments, str]] = {
    "unknown verb": (lambda c, f: ["serach", str(c)], "no verb 'serach'"),
    "check: missing folder": (lambda c, f: ["check", str(f / "nowhere")], "nowhere"),
    "train: missing data": (
        lambda c, f: ["train", "bag-of-tricks-small", "--data", str(f / "nowhere")],
        "nowhere",
    ),
    "evaluate: missing data": (
        lambda c, f: ["evaluate", "resnet50.safetensors", "--data", str(f / "nowhere")],
        "resnet50.safetensors",
    ),
    "model-info: not a model": (lambda c, f: ["model-info", str(f / "notes.txt")], "notes.txt"),
    "model-info: missing file": (lambda c, f: ["model-info", str(f / "no.safetensors")], "no.saf"),
    "embed: missing folder": (
        lambda c, f: ["embed", str(f / "nowhere"), "--out", str(f / "x.parquet")],
        "nowhere",
    ),
    "simulate: nobody": (
        lambda c, f: ["simulate", str(f / "new"), "--people", "0"],
        "people",
    ),
    "simulate: folder in use": (lambda c, f: ["simulate", str(f), "--people", "4"], "not empty"),
    "search: missing city": (
        lambda c, f: ["search", str(f / "nowhere"), str(f / "person.jpg")],
        "no city",
    ),
    "search: unreadable picture": (
        lambda c, f: ["search", filled(c), str(f / "broken.jpg")],
        "broken.jpg",
    ),
    "search: missing picture": (
        lambda c, f: ["search", filled(c), str(f / "gone.jpg")],
        "gone.jpg",
    ),
    "search: empty gallery": (lambda c, f: ["search", str(c), str(f / "person.jpg")], "empty"),
    "search: unknown unit": (
        lambda c, f: ["search", str(c), str(f / "person.jpg"), "--unit", "1234"],
        "1234",
    ),
    "search: unknown camera": (
        lambda c, f: ["search", str(c), str(f / "person.jpg"), "--camera", "C77"],
        "C77",
    ),
    "search: time without zone": (
        lambda c, f: ["search", str(c), str(f / "person.jpg"), "--from", "2030-05-06T08:00:00"],
        "zone",
    ),
    "search: end before start": (
        lambda c, f: [
            "search",
            str(c),
            str(f / "person.jpg"),
            "--from",
            "2030-05-06T09:00:00Z",
            "--to",
            "2030-05-06T08:00:00Z",
        ],
        "before it starts",
    ),
    "search: missing detector": (
        lambda c, f: ["search", filled(c), str(f / "person.jpg"), "--detector", str(f / "no.xml")],
        "no.xml",
    ),
    "search: not a detector": (
        lambda c, f: [
            "search",
            filled(c),
            str(f / "person.jpg"),
            "--detector",
            str(f / "person.jpg"),
        ],
        "person.jpg",
    ),
    "trace: a person without a detector": (
        lambda c, f: ["trace", filled(c), str(f / "person.jpg"), "--person", "2"],
        "add --detector",
    ),
    "trace: one person for two pictures": (
        lambda c, f: [
            "trace",
            filled(c),
            str(f / "person.jpg"),
            str(f / "person.jpg"),
            "--detector",
            str(f / "no.xml"),
            "--person",
            "1",
        ],
        "once for each picture",
    ),
    "trace: empty gallery": (lambda c, f: ["trace", str(c), str(f / "person.jpg")], "empty"),
    "ingest: missing city": (
        lambda c, f: ["ingest", str(f / "empty"), "--city", str(f / "nowhere")],
        "no city",
    ),
    "ingest: missing clip": (
        lambda c, f: ["ingest", str(f / "gone.mp4"), "--city", str(c)],
        "gone.mp4",
    ),
    "ingest: folder without pictures": (
        lambda c, f: [
            "ingest",
            str(f / "empty"),
            "--city",
            str(c),
            "--camera",
            "C01",
            "--start",
            "2030-05-06T08:00:00Z",
        ],
        "no pictures",
    ),
    "ingest: unknown camera": (
        lambda c, f: [
            "ingest",
            str(f),
            "--city",
            str(c),
            "--camera",
            "C99",
            "--start",
            "2030-05-06T08:00:00Z",
        ],
        "C99",
    ),
    "ingest: time without zone": (
        lambda c, f: [
            "ingest",
            str(f),
            "--city",
            str(c),
            "--camera",
            "C01",
            "--start",
            "2030-05-06T08:00:00",
        ],
        "zone",
    ),
    "serve: missing city": (lambda c, f: ["serve", str(f / "nowhere")], "no city"),
    "bench: unknown": (lambda c, f: ["bench", "nothing"], "no benchmark 'nothing'"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_status_2(
    case: str, city: Path, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, expected = CASES[case]
    assert main(arguments(city, files)) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, f"one line was promised, not {len(lines)}: {said.err}"
    assert expected in lines[0]
    assert "Traceback" not in said.err


def test_options_that_do_not_exist_end_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", "out", "--poeple", "3"])
    assert stopped.value.code == 2
    assert "--people" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_and_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip()
