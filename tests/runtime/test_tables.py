"""A folder to a table of vectors: whole, resumable, honest about bad files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from passerby.cli import main
from passerby.errors import InputError
from passerby.runtime import Embedded, Embedder, Picture, tables
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
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().stream(images, batch_size=batch_size)


@pytest.fixture
def broken_off(
    folder: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The table of a run that was killed after its first part, of four pictures."""
    monkeypatch.setattr(tables, "PART", 4)
    out = tmp_path / "out.parquet"
    broken = Broken(embedder.backend, embedder.card, embedder.model_id)
    with pytest.raises(KeyboardInterrupt):
        embed_folder(folder, out, embedder=broken)
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
    report = embed_folder(folder, broken_off, embedder=embedder)
    assert report.resumed == 4
    assert (report.embedded, list(report.problems)) == (10, ["1/bad.jpg"])
    whole = tmp_path / "whole.parquet"
    embed_folder(folder, whole, embedder=embedder)
    assert parquet.read_table(broken_off).equals(parquet.read_table(whole))


def test_changed_files_are_embedded_anew(
    folder: Path, embedder: Embedder, broken_off: Path
) -> None:
    Image.new("RGB", (30, 60), "red").save(folder / "0" / "0.png")
    assert embed_folder(folder, broken_off, embedder=embedder).resumed == 0


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
