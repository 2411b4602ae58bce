"""A folder to a table of vectors: whole, resumable, honest about bad files."""

import csv
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

import passerby
from passerby.cli import main
from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime import Embedded, Embedder, Picture, tables
from passerby.runtime.folders import find_pictures, walk_pictures
from passerby.runtime.parts import Parts
from passerby.runtime.tables import embed_folder


@pytest.fixture
def folder(tmp_path: Path, pictures: list[np.ndarray]) -> Path:
    root = tmp_path / "pictures"
    for index, picture in enumerate(pictures):
        path = root / f"{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    (root / "1" / "bad.jpg").write_text("no")
    (root / "notes.txt").write_text("no picture, no problem")
    return root


@pytest.fixture(scope="module")
def embedder(weights: Path) -> Embedder:
    return Embedder.load(weights, runtime="torch")


class Broken(Embedder):
    """Stops dead after a number of batches, as a killed process does."""

    left = 1

    def stream(self, images: Iterable[Picture], *, batch_size: int = 32) -> Iterator[Embedded]:
        for number, batch in enumerate(super().stream(images, batch_size=batch_size)):
            if number == self.left:
                raise KeyboardInterrupt
            yield batch


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PART", 4)


@pytest.fixture
def broken_off(folder: Path, embedder: Embedder, tmp_path: Path, small_parts: None) -> Path:
    """The table of a run that was killed after its first part, of four pictures."""
    out = tmp_path / "out.parquet"
    broken = Broken(embedder.backend, embedder.card, embedder.model_id)
    with pytest.raises(KeyboardInterrupt):
        embed_folder(folder, out, embedder=broken, batch_size=4)
    assert not out.exists()
    return out


def test_table_holds_every_picture_in_order(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    report = embed_folder(folder, out, embedder=embedder)
    assert (report.pictures, report.embedded) == (11, 10)
    assert list(report.problems) == ["1/bad.jpg"]
    table = parquet.read_table(out)
    paths = table.column("path").to_pylist()
    assert paths == sorted(paths)
    expected = embedder.embed([folder / path for path in paths])
    assert np.array_equal(np.array(table.column("vector").to_pylist(), np.float32), expected)
    assert table.schema.metadata[b"passerby.model_id"].decode() == embedder.model_id
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_broken_run_goes_on_where_it_stopped(
    folder: Path, embedder: Embedder, tmp_path: Path, broken_off: Path
) -> None:
    report = embed_folder(folder, broken_off, embedder=embedder, batch_size=4)
    assert report.resumed == 4
    assert (report.embedded, list(report.problems)) == (10, ["1/bad.jpg"])
    whole = tmp_path / "whole.parquet"
    embed_folder(folder, whole, embedder=embedder, batch_size=4)
    assert broken_off.read_bytes() == whole.read_bytes()


def test_two_runs_do_not_write_one_table(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with Parts(out, embedder.dimension).alone():
        with pytest.raises(InputError, match=r"another run is writing '.*out\.parquet'"):
            embed_folder(folder, out, embedder=embedder)
        embed_folder(folder, tmp_path / "other.parquet", embedder=embedder)
    assert embed_folder(folder, out, embedder=embedder).embedded == 10


def test_parts_may_be_missing_anywhere(
    folder: Path, embedder: Embedder, tmp_path: Path, small_parts: None
) -> None:
    """Only the first and the last part of three are there: the middle one is made."""
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    embed_folder(folder, whole, embedder=embedder, batch_size=2)
    broken = Broken(embedder.backend, embedder.card, embedder.model_id)
    broken.left = 6
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tables.Parts, "join", broken_join)
        embed_folder(folder, out, embedder=broken, batch_size=2)
    parts = sorted((tmp_path / ".out.parquet.parts").glob("*.parquet"))
    assert len(parts) == 3
    parts[1].write_bytes(b"half a part")
    report = embed_folder(folder, out, embedder=embedder, batch_size=2)
    assert report.resumed == 7
    assert out.read_bytes() == whole.read_bytes()


def broken_join(*_: object) -> None:
    raise KeyboardInterrupt


def test_changed_files_are_embedded_anew(
    folder: Path, embedder: Embedder, broken_off: Path
) -> None:
    Image.new("RGB", (30, 60), "red").save(folder / "0" / "0.png")
    assert embed_folder(folder, broken_off, embedder=embedder, batch_size=4).resumed == 0


def test_another_network_embeds_all_anew(
    folder: Path, embedder: Embedder, broken_off: Path
) -> None:
    other = Embedder(embedder.backend, embedder.card, "slim18-another")
    assert embed_folder(folder, broken_off, embedder=other, batch_size=4).resumed == 0


def test_a_finished_table_is_left_as_it_is(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    first = embed_folder(folder, out, embedder=embedder)
    written = out.stat().st_mtime_ns
    again = embed_folder(folder, out, embedder=embedder)
    assert (again.embedded, again.resumed, again.left_out) == (10, 11, 1)
    assert out.stat().st_mtime_ns == written
    assert again.problems_file == first.problems_file
    (folder / "1" / "bad.jpg").unlink()
    assert embed_folder(folder, out, embedder=embedder).embedded == 10
    assert out.stat().st_mtime_ns != written
    assert not Path(first.problems_file or "").exists(), "no list where there is nothing to list"


def test_what_was_left_out_is_listed_beside(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    report = embed_folder(folder, out, embedder=embedder)
    assert report.problems_file == str(tmp_path / "out.parquet.problems.csv")
    with Path(report.problems_file).open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["path", "problem"]
    assert [line[0] for line in lines[1:]] == ["1/bad.jpg"]
    assert "not a picture" in lines[1][1]


def test_a_folder_of_damaged_files_is_an_empty_table(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        (tmp_path / "in" / f"{index}.jpg").write_bytes(b"\xff\xd8 no picture")
    report = embed_folder(tmp_path / "in", tmp_path / "out.parquet", embedder=embedder)
    assert (report.embedded, report.left_out) == (0, 3)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert (table.num_rows, table.column_names) == (0, ["path", "vector"])


def test_a_name_that_is_no_text(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    odd = os.fsencode(folder) + b"/odd\xff.png"
    with open(odd, "wb") as file:
        Image.new("RGB", (20, 40)).save(file, "PNG")
    report = embed_folder(folder, tmp_path / "out.parquet", embedder=embedder)
    assert (report.embedded, report.left_out) == (10, 2)
    listed = Path(report.problems_file or "").read_text(encoding="utf-8")
    assert r"odd\udcff.png,its name is not UTF-8" in listed


def test_the_table_says_what_made_it(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    embed_folder(folder, out, embedder=embedder)
    metadata = parquet.read_schema(out).metadata
    assert ModelCard.from_json(metadata[b"passerby.card"].decode()) == embedder.card
    made = json.loads(metadata[b"passerby.provenance"])
    assert made["passerby"] == passerby.__version__
    assert made["embedder"] == repr(embedder)
    assert (made["folder"], made["left_out"]) == ("pictures", 1)
    assert str(tmp_path) not in str(metadata), "no path of this machine"


def test_walking_is_in_the_order_of_paths(tmp_path: Path) -> None:
    names = ["a.jpg", "a/b.jpg", "a/b/c.png", "a-b/x.JPG", "ab.webp", "a0.tif", "z/y/x.bmp"]
    for name in [*names, "a/note.txt", "z/.hidden"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty.jpg").mkdir()
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    assert list(walk_pictures(tmp_path)) == sorted(names)
    assert find_pictures(tmp_path) == [tmp_path / name for name in sorted(names)]


def test_no_folder_and_no_pictures(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        embed_folder(tmp_path / "none", tmp_path / "out.parquet", embedder=embedder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        embed_folder(tmp_path / "empty", tmp_path / "out.parquet", embedder=embedder)


def test_command_line(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    options = ["--out", str(out), "--model", str(weights), "--runtime", "torch"]
    assert main(["embed", str(folder), *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("10 vectors in ")
    assert "left out" in captured.err
    assert "bad.jpg" in captured.err
    assert main(["embed", str(tmp_path / "none"), *options]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_folder_of_parts_that_has_just_been_removed_is_made_again(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run begins in the instant in which another one ends and removes the folder."""
    out = tmp_path / "out.parquet"
    parts, ended = Parts(out, embedder.dimension), list[int]()
    lock = fcntl.flock

    def late(handle: int, kind: int) -> None:
        if not ended:
            ended.append(handle)
            Parts(out, embedder.dimension).discard()
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with parts.alone():
        assert ended
        with pytest.raises(InputError, match="another run"), Parts(out, embedder.dimension).alone():
            pass
