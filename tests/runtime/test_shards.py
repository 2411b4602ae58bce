"""A folder of pictures to shards of vectors: whole, resumable, with every failure counted."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image
from pyarrow import dataset, parquet

import passerby
from passerby.cli import main
from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime import EmbeddedBatch, Embedder, Picture, shards
from passerby.runtime.backend import Backend, Features, Pictures
from passerby.runtime.shards import embed_folder


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


class Colours(Backend):
    """Mean colours of the rows of a picture: a network that takes no time."""

    runtime, precision, dimension = "colours", "fp32", 96

    def features(self, pictures: Pictures) -> Features:
        return 1.0 + pictures.mean(axis=2, dtype=np.float32).reshape(len(pictures), -1)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    card = ModelCard(architecture="colours", dimension=96, input_size=(32, 16))
    return Embedder(Colours(), card, "colours-0123456789ab")


class Broken(Embedder):
    """Stops after a number of batches, as a killed process does."""

    batches = 1

    def stream(self, images: Iterable[Picture], *, batch_size: int = 32) -> Iterator[EmbeddedBatch]:
        for number, batch in enumerate(super().stream(images, batch_size=batch_size)):
            if number == self.batches:
                raise KeyboardInterrupt
            yield batch


def embed_and_stop(
    folder: Path, out: Path, embedder: Embedder, *, batches: int, batch_size: int
) -> None:
    broken = Broken(embedder.backend, embedder.card, embedder.model_id)
    broken.batches = batches
    with pytest.raises(KeyboardInterrupt):
        embed_folder(folder, out, embedder=broken, batch_size=batch_size)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROWS", 4)


@pytest.fixture
def broken_off(folder: Path, embedder: Embedder, tmp_path: Path, small_shards: None) -> Path:
    """The shards of a run that was killed after its first one, of four pictures."""
    out = tmp_path / "out"
    embed_and_stop(folder, out, embedder, batches=1, batch_size=4)
    assert names_in(out) == ["part-00000.parquet"]
    return out


def names_in(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


def content(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in names_in(out)}


def test_shards_hold_every_picture_in_order(
    folder: Path, embedder: Embedder, tmp_path: Path, small_shards: None
) -> None:
    out = tmp_path / "out"
    report = embed_folder(folder, out, embedder=embedder, batch_size=4)
    assert (report.pictures, report.embedded, report.left_out) == (11, 10, 1)
    assert list(report.problems) == ["1/bad.jpg"]
    assert names_in(out) == [f"part-{number:05d}.parquet" for number in range(3)]
    table = parquet.read_table(out)
    paths = table.column("path").to_pylist()
    assert len(paths) == 10
    assert paths == sorted(paths)
    expected = embedder.embed([folder / path for path in paths], batch_size=4)
    assert np.abs(np.array(table.column("vector").to_pylist()) - expected).max() < 1e-6
    assert table.schema.metadata[b"passerby.model_id"].decode() == embedder.model_id
    assert dataset.dataset(out, format="parquet").to_table().equals(table)


@pytest.mark.parametrize("batch_size", [1, 3, 4, 32])
def test_a_shard_holds_whole_batches(
    batch_size: int, folder: Path, embedder: Embedder, tmp_path: Path, small_shards: None
) -> None:
    """So a run that continues forms the same batches as one without a break."""
    embed_folder(folder, tmp_path / "out", embedder=embedder, batch_size=batch_size)
    counts = []
    for name in names_in(tmp_path / "out"):
        found = parquet.read_metadata(tmp_path / "out" / name)
        problems = json.loads(found.metadata[b"passerby.problems"])
        counts.append(found.num_rows + len(problems))
    assert sum(counts) == 11
    assert all(count % batch_size == 0 for count in counts[:-1])


def test_a_broken_run_goes_on_where_it_stopped(
    folder: Path, embedder: Embedder, tmp_path: Path, broken_off: Path
) -> None:
    report = embed_folder(folder, broken_off, embedder=embedder, batch_size=4)
    assert report.resumed == 4
    assert (report.embedded, list(report.problems)) == (10, ["1/bad.jpg"])
    embed_folder(folder, tmp_path / "whole", embedder=embedder, batch_size=4)
    assert content(broken_off) == content(tmp_path / "whole")


@pytest.mark.parametrize("batches", range(7))
def test_a_run_may_stop_after_any_batch(
    batches: int, folder: Path, embedder: Embedder, tmp_path: Path, small_shards: None
) -> None:
    """At most one shard is lost, and the rest is as if there had been no break."""
    out, whole = tmp_path / "out", tmp_path / "whole"
    embed_folder(folder, whole, embedder=embedder, batch_size=2)
    if batches < 6:
        embed_and_stop(folder, out, embedder, batches=batches, batch_size=2)
    report = embed_folder(folder, out, embedder=embedder, batch_size=2)
    assert report.resumed == (0 if batches == 6 else batches // 2 * 4)
    assert report.embedded == 10
    assert content(out) == content(whole)


def test_the_first_missing_or_damaged_shard_ends_what_is_kept(
    folder: Path, embedder: Embedder, tmp_path: Path, small_shards: None
) -> None:
    out = tmp_path / "out"
    embed_folder(folder, out, embedder=embedder, batch_size=2)
    whole = content(out)
    (out / "part-00001.parquet").write_bytes(b"half a shard")
    (out / ".part-00002.parquet.tmp").write_bytes(b"of a killed run")
    assert embed_folder(folder, out, embedder=embedder, batch_size=2).resumed == 4
    assert content(out) == whole
    (out / "part-00000.parquet").unlink()
    assert embed_folder(folder, out, embedder=embedder, batch_size=2).resumed == 0
    assert content(out) == whole


def test_two_runs_do_not_write_one_folder(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"):
        with pytest.raises(InputError, match=r"another run is writing '.*out'"):
            embed_folder(folder, out, embedder=embedder)
        embed_folder(folder, tmp_path / "other", embedder=embedder)
    assert embed_folder(folder, out, embedder=embedder).embedded == 10


def test_other_inputs_are_refused(folder: Path, embedder: Embedder, broken_off: Path) -> None:
    before = content(broken_off)
    other = Embedder(embedder.backend, embedder.card, "another-network")
    with pytest.raises(InputError, match="run with other network; remove it, or give another"):
        embed_folder(folder, broken_off, embedder=other, batch_size=4)
    with pytest.raises(InputError, match="with other batch size"):
        embed_folder(folder, broken_off, embedder=embedder, batch_size=2)
    Image.new("RGB", (30, 60), "red").save(folder / "0" / "0.png")
    with pytest.raises(InputError, match="with other pictures;"):
        embed_folder(folder, broken_off, embedder=embedder, batch_size=4)
    assert content(broken_off) == before


def test_other_files_are_not_mixed_with_shards(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="contains other files"):
        embed_folder(folder, folder, embedder=embedder)
    (tmp_path / "file.parquet").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written: File exists"):
        embed_folder(folder, tmp_path / "file.parquet", embedder=embedder)
    with pytest.raises(InputError, match="cannot be written"):
        embed_folder(folder, tmp_path / "file.parquet" / "out", embedder=embedder)


def test_a_finished_folder_is_left_as_it_is(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = embed_folder(folder, out, embedder=embedder)
    written = (out / "part-00000.parquet").stat().st_mtime_ns
    again = embed_folder(folder, out, embedder=embedder)
    assert (again.embedded, again.resumed, again.left_out) == (10, 11, 1)
    assert (out / "part-00000.parquet").stat().st_mtime_ns == written
    assert again.problems_file == first.problems_file


def test_no_list_of_problems_without_problems(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    (folder / "1" / "bad.jpg").unlink()
    (tmp_path / "out.problems.csv").write_text("of an older run")
    report = embed_folder(folder, tmp_path / "out", embedder=embedder)
    assert (report.embedded, report.problems_file) == (10, None)
    assert not (tmp_path / "out.problems.csv").exists()


def test_what_was_left_out_is_listed_beside(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = embed_folder(folder, out, embedder=embedder)
    assert report.problems_file == str(tmp_path / "out.problems.csv")
    with Path(report.problems_file).open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["path", "problem"]
    assert [line[0] for line in lines[1:]] == ["1/bad.jpg"]
    assert "not a picture" in lines[1][1]


def test_a_folder_of_damaged_files_gives_no_rows(embedder: Embedder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        (tmp_path / "in" / f"{index}.jpg").write_bytes(b"\xff\xd8 no picture")
    report = embed_folder(tmp_path / "in", tmp_path / "out", embedder=embedder)
    assert (report.embedded, report.left_out) == (0, 3)
    table = parquet.read_table(tmp_path / "out")
    assert (table.num_rows, table.column_names) == (0, ["path", "vector"])


def test_a_name_that_is_no_text(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    odd = os.fsencode(folder) + b"/odd\xff.png"
    with open(odd, "wb") as file:
        Image.new("RGB", (20, 40)).save(file, "PNG")
    report = embed_folder(folder, tmp_path / "out", embedder=embedder)
    assert (report.embedded, report.left_out) == (10, 2)
    listed = Path(report.problems_file or "").read_text(encoding="utf-8")
    assert r"odd\udcff.png,its name is not UTF-8" in listed


def test_the_metadata_says_what_made_the_shards(
    folder: Path, embedder: Embedder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    embed_folder(folder, out, embedder=embedder)
    metadata = parquet.read_table(out).schema.metadata
    assert ModelCard.from_json(metadata[b"passerby.card"].decode()) == embedder.card
    made = json.loads(metadata[b"passerby.provenance"])
    assert made["passerby"] == passerby.__version__
    assert made["embedder"] == repr(embedder)
    assert made["folder"] == "pictures"
    assert str(tmp_path) not in str(metadata), "no path of this machine"


def test_no_folder_and_no_pictures(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        embed_folder(tmp_path / "none", tmp_path / "out", embedder=embedder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        embed_folder(tmp_path / "empty", tmp_path / "out", embedder=embedder)


def test_command_line(
    folder: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--out", str(out), "--model", str(weights), "--runtime", "torch"]
    assert main(["embed", str(folder), *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("10 vectors in ")
    assert "left out" in captured.err
    assert "bad.jpg" in captured.err
    assert main(["embed", str(tmp_path / "none"), *options]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
