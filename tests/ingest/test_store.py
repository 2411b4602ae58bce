"""Tables and folders of crops in a city: whole, once, honest about bad files."""

from pathlib import Path

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from passerby.city import City
from passerby.errors import InputError
from passerby.ingest import create_small_city, ingest_folder, ingest_table, store
from passerby.runtime import Embedder

ROWS = 10


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Ten crops with a table, as a simulated tree has them."""
    root = tmp_path / "tree"
    (root / "gallery").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for row in range(ROWS):
        coarse = Image.fromarray(rng.integers(0, 256, (4, 2, 3)).astype(np.uint8))
        coarse.resize((32, 64)).save(root / "gallery" / f"{row}.jpg")
    write_table(root)
    return root


def write_table(root: Path, without: str = "", camera: str = "C01") -> None:
    columns = {
        "id": [f"s{row}" for row in range(ROWS)],
        "camera": [camera] * ROWS,
        "time": 1_777_593_600_000 + 1000 * np.arange(ROWS),
        "tracklet": [f"t{row // 2}" for row in range(ROWS)],
        **{name: np.full(ROWS, i, np.float32) for i, name in enumerate(("x0", "y0", "x1", "y1"))},
        "path": [f"gallery/{row}.jpg" for row in range(ROWS)],
        "quality": np.linspace(0, 1, ROWS, dtype=np.float32),
        "split": ["query" if row < 3 else "gallery" for row in range(ROWS)],
    }
    columns.pop(without, None)
    parquet.write_table(pyarrow.table(columns), root / "sightings.parquet")


def test_a_table_comes_in_whole_and_once(city: City, tree: Path, embedder: Embedder) -> None:
    stored: list[str] = []
    report = ingest_folder(city, tree, embedder=embedder, on_stored=stored.extend)
    assert (report.rows, report.done, report.added, report.problems) == (ROWS, ROWS, ROWS, {})
    assert stored == [f"s{row}" for row in range(ROWS)]
    for row, fact in enumerate(city.gallery.get(stored)):
        assert (fact.time, fact.tracklet) == (1_777_593_600_000 + 1000 * row, f"t{row // 2}")
        assert fact.box == (0, 1, 2, 3)
        assert fact.quality == pytest.approx(row / (ROWS - 1), abs=1e-4)
        original = (tree / "gallery" / f"{row}.jpg").read_bytes()
        assert city.crops.path(fact.crop).read_bytes() == original
    expected = embedder.embed([tree / "gallery" / f"{row}.jpg" for row in range(ROWS)])
    assert np.abs(city.gallery.vectors(stored) - expected).max() < 1e-3
    again = ingest_table(city, tree / "sightings.parquet", embedder=embedder)
    assert (again.added, again.done, city.count()) == (0, ROWS, ROWS)


def test_a_split_of_a_table(city: City, tree: Path, embedder: Embedder) -> None:
    report = ingest_table(city, tree / "sightings.parquet", embedder=embedder, splits=("query",))
    assert (report.rows, city.count()) == (3, 3)


def test_a_broken_off_table_is_completed(
    city: City, tree: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 4)

    def stop(ids: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_folder(city, tree, embedder=embedder, on_stored=stop)
    assert city.count() == 4
    assert ingest_folder(city, tree, embedder=embedder).added == ROWS - 4


def test_bad_files_are_left_out_and_named(city: City, tree: Path, embedder: Embedder) -> None:
    (tree / "gallery" / "2.jpg").unlink()
    (tree / "gallery" / "5.jpg").write_text("no picture")
    (tree / "gallery" / "6.jpg").write_bytes(b"\xff\xd8\xff broken")
    stored: list[str] = []
    report = ingest_folder(city, tree, embedder=embedder, on_stored=stored.extend)
    assert report.added == city.count() == ROWS - 3
    assert [Path(path).name for path in report.problems] == ["2.jpg", "5.jpg", "6.jpg"]
    assert not {"s2", "s5", "s6"} & set(stored)


def test_a_folder_without_a_table(city: City, tree: Path, embedder: Embedder) -> None:
    (tree / "sightings.parquet").unlink()
    Image.open(tree / "gallery" / "0.jpg").resize((40, 80)).save(tree / "more.png")
    with pytest.raises(InputError, match="which camera"):
        ingest_folder(city, tree, embedder=embedder)
    options = {"camera": "C01", "start": "2026-05-01T08:00:00Z"}
    report = ingest_folder(city, tree, embedder=embedder, **options)
    assert (report.rows, report.added) == (ROWS + 1, ROWS + 1)
    assert ingest_folder(city, tree, embedder=embedder, **options).added == 0


def test_bad_tables_and_folders(city: City, tree: Path, embedder: Embedder, tmp_path: Path) -> None:
    def refuse(message: str, path: Path = tree) -> None:
        with pytest.raises(InputError, match=message):
            ingest_folder(city, path, embedder=embedder)

    refuse("no folder", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        ingest_folder(
            city,
            tmp_path / "empty",
            embedder=embedder,
            camera="C01",
            start="2026-05-01T08:00:00Z",
        )
    write_table(tree, without="time")
    refuse("lacks the columns time")
    write_table(tree, camera="C77")
    refuse("no camera 'C77'")
    (tree / "sightings.parquet").write_text("no table")
    refuse("Parquet")
    write_table(tree, without="split")
    with pytest.raises(InputError, match="no column split"):
        ingest_table(city, tree / "sightings.parquet", embedder=embedder, splits=("query",))
    assert city.count() == 0


def test_small_city_has_every_level_and_a_real_place(tmp_path: Path) -> None:
    with create_small_city(tmp_path / "c", camera="Gate 1", place=(13.4, 52.5)) as city:
        camera = city.cameras["Gate 1"]
        assert camera.place == (13.4, 52.5)
        unit = city.units.locate(13.4, 52.5)
        assert unit is not None
        assert unit.code == camera.unit
        assert len(unit.code) == 10
    with pytest.raises(InputError, match="already"):
        create_small_city(tmp_path / "c", camera="C01", place=(13.4, 52.5))
    with pytest.raises(InputError, match="longitude"):
        create_small_city(tmp_path / "d", camera="C01", place=(52.5, 113.4))
