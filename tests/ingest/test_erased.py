"""What was erased from a city does not come back with the same clip, table, or folder."""

import io
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from passerby.city import City, Scope
from passerby.city.changes import delete_clip, retime_clip
from passerby.city.clips import clips_of
from passerby.city.erasing import erase, erased, remaining
from passerby.cli import main
from passerby.errors import InputError
from passerby.ingest import Detector, IngestReport, ingest_clip, ingest_folder
from passerby.ingest.pipeline import ClipOptions
from passerby.runtime import Embedder

START, LATER = "2026-05-01T08:00:00+08:00", "2026-05-01T09:00:00+08:00"


@pytest.fixture
def ingest(detector: Detector, embedder: Embedder) -> Callable[..., IngestReport]:
    def run(city: City, path: Path, start: str = START, **more: Any) -> IngestReport:
        return ingest_clip(
            city, path, camera="C01", start=start, detector=detector, embedder=embedder, **more
        )

    return run


@pytest.fixture
def clip(tmp_path: Path, draw_clip: Callable[..., Path]) -> Path:
    return draw_clip(tmp_path / "short.mp4", 20)


def ids(city: City) -> set[str]:
    return {one.id for one in city.gallery.latest(9999)}


def crops(city: City) -> set[str]:
    return {one.crop for one in city.gallery.latest(9999)}


def files(city: City) -> set[str]:
    return {path.name.split(".")[0] for path in city.crops.folder.rglob("*.jpg")}


def test_a_clip_again_brings_nobody_back(
    city: City, clip: Path, ingest: Callable[..., IngestReport]
) -> None:
    first = ingest(city, clip)
    tracklets = sorted({one.tracklet for one in city.gallery.latest(9999)})
    assert len(tracklets) > 1
    person = city.gallery.tracklets(tracklets[:1])[tracklets[0]]
    gone = {one.crop for one in person}
    done = erase(city, person, "request")
    assert done.sightings == done.crops == len(person) and done.scenes >= len(person)
    rest = ids(city)
    assert len(rest) == first.sightings - len(person) and not gone & files(city)

    def comes_back(**more: Any) -> IngestReport:
        report = ingest(city, clip, **more)
        assert not gone & (crops(city) | files(city)) and city.count() == len(rest)
        assert report.erased == len(person)
        assert any(f"{len(person)} sightings were erased" in one for one in report.notices)
        return report

    assert comes_back().added == 0
    (record,) = clips_of(city)
    delete_clip(city, record.name)  # and read anew from the first frame
    assert comes_back().added == len(rest)
    (record,) = clips_of(city)
    retime_clip(city, record.name, record.start + 3_600_000)  # other ids, the same pictures
    assert comes_back(start=LATER).added == 0
    (record,) = clips_of(city)
    delete_clip(city, record.name)
    with pytest.raises(InputError, match=r"people were erased .* read with every 1"):
        ingest(city, clip, options=ClipOptions(every=2))
    assert city.count() == 0 and clips_of(city) == []


def test_a_scene_that_shows_somebody_erased_goes_with_all_crops_of_its_frame(
    city: City, clip: Path, ingest: Callable[..., IngestReport]
) -> None:
    ingest(city, clip)
    every = city.gallery.latest(9999)
    one = next(
        one for one in every if sum(other.time == one.time for other in every) > 1
    )  # two people in a frame
    others = [other for other in every if other.time == one.time and other is not one]
    context = city.crops.context(one.crop)
    assert context is not None and city.crops.scene_path(others[0].crop) is not None
    done = erase(city, [one], "request")
    assert done.scenes == 1 + len(others)
    assert all(city.crops.scene_path(other.crop) is None for other in others)
    assert all(other.crop in city.crops for other in others)
    (record,) = clips_of(city)
    delete_clip(city, record.name)
    ingest(city, clip)
    assert others[0].crop in city.crops and city.crops.scene_path(others[0].crop) is None
    assert erased(city, "scene", [context.scene]) == {context.scene}


def test_a_crop_that_another_sighting_has_stays(
    city: City, clip: Path, ingest: Callable[..., IngestReport]
) -> None:
    ingest(city, clip)
    one = city.gallery.latest(1)[0]
    vector = city.gallery.vectors([one.id])[0].astype(np.float32)
    twin = replace(one, id="twin", tracklet="", vector=vector)
    city.add_sightings([twin])
    assert erase(city, [one], "mistake").crops == 0
    assert twin.crop in city.crops and "twin" in ids(city) and remaining(city) == []
    assert city.add_sightings([twin]) == 0 and city.add_sightings([replace(twin, id=one.id)]) == 0


def folder_of(root: Path, count: int) -> Path:
    rng = np.random.default_rng(3)
    from PIL import Image

    root.mkdir()
    for number in range(count):
        pixels = rng.integers(0, 255, (128, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.{('png', 'jpg')[number % 2]}")
    return root


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_folder_or_table_again_brings_nobody_back(
    city: City, tmp_path: Path, embedder: Embedder, kind: str
) -> None:
    root = folder_of(tmp_path / "crops", 6)
    if kind == "table":
        names = sorted(path.name for path in root.iterdir())
        columns = {"id": [f"person {n}" for n in names], "camera": ["C01"] * 6, "path": names}
        times = [1_777_593_600_000 + n for n in range(6)]
        pq.write_table(pa.table({**columns, "time": times}), root / "sightings.parquet")

    def run() -> Any:
        return ingest_folder(
            city, root, embedder=embedder, camera="C01", start=START, pictures="crops"
        )

    assert run().added == 6
    some = city.gallery.latest(9999)[:2]
    erase(city, some, "order")
    again = run()
    assert (again.added, again.erased, city.count()) == (0, 2, 4)
    assert any("2 sightings were erased" in one for one in again.notices)
    city.delete(Scope())
    assert city.compact(grace=0.0) > 0
    again = run()
    assert (again.added, again.erased) == (4, 2)
    assert not {one.crop for one in some} & files(city)
    for path in root.glob("*.*g"):  # under other names they are the same pictures
        path.rename(root / f"renamed-{path.name}")
    if kind == "folder":
        assert run().erased == 2 and city.count() == 4


def test_a_table_of_vectors_again_brings_nobody_back(city: City, tmp_path: Path) -> None:
    table = tmp_path / "vectors.parquet"
    vectors = np.eye(8, dtype=np.float32)
    columns = {
        "id": [f"s{n}" for n in range(8)], "camera": ["C01"] * 8,
        "time": [1_777_593_600_000 + n for n in range(8)], "vector": list(vectors),
    }  # fmt: skip
    pq.write_table(pa.table(columns), table)

    def add() -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            assert (
                main(["admin", "gallery", "add", str(city.folder), str(table), "--model", "m"]) == 0
            )
        return out.getvalue(), err.getvalue()

    assert "8 sightings added" in add()[0]
    erase(city, city.gallery.get(["s2", "s5"]), "request")
    said, warned = add()
    assert "0 sightings added, 6 in all" in said
    assert "2 sightings were erased from this city and are not stored again" in warned
    assert ids(city) == {f"s{n}" for n in (0, 1, 3, 4, 6, 7)}
