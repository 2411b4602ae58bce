import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from PIL import Image

from passerby.errors import InputError
from passerby.simulate import writer
from passerby.simulate.options import SimulationOptions
from passerby.simulate.writer import simulate, whole_folder

NAME = re.compile(r"(-1|\d{4})_c(\d+)s(\d+)_(\d{6})_(\d{2})\.jpg")
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


def table(tree: Path, name: str) -> dict[str, np.ndarray]:
    content = pq.read_table(tree / f"{name}.parquet")
    return {c: np.array(content[c].to_pylist(), dtype=object) for c in content.column_names}


def names(tree: Path, split: str) -> list[tuple[int, int, str]]:
    found = []
    for path in sorted((tree / FOLDERS[split]).iterdir()):
        match = NAME.fullmatch(path.name)
        assert match, path.name
        found.append((int(match[1]), int(match[2]), path.name))
    return found


def test_identities_are_disjoint_and_queries_have_matches(tree: Path) -> None:
    train, query, gallery = (names(tree, split) for split in FOLDERS)
    people = [{i for i, _, _ in part if i > 0} for part in (train, query, gallery)]
    assert people[0] and people[1] and people[1] <= people[2]
    assert not people[0] & (people[1] | people[2])
    assert len({(i, c) for i, c, _ in query}) == len(query)
    for identity, camera, _ in query:
        assert any(i == identity and c != camera for i, c, _ in gallery)
    assert any(i == 0 for i, _, _ in gallery) and any(i == -1 for i, _, _ in gallery)


def test_sightings_list_every_file_and_no_identity(tree: Path) -> None:
    sightings = table(tree, "sightings")
    assert set(sightings) == {
        "id", "camera", "time", "tracklet", "x0", "y0", "x1", "y1", "path", "quality", "split",
    }  # fmt: skip
    files = {f"{FOLDERS[s]}/{name}" for s in FOLDERS for _, _, name in names(tree, s)}
    assert set(sightings["path"]) == files
    assert len(set(sightings["id"])) == len(files)
    assert (np.diff(sightings["time"].astype(np.int64)) >= 0).all()
    assert (sightings["x1"] > sightings["x0"]).all() and (sightings["y1"] > sightings["y0"]).all()
    for path, camera, split in zip(
        sightings["path"], sightings["camera"], sightings["split"], strict=True
    ):
        assert path.startswith(FOLDERS[split])
        assert f"_c{camera[1:]}s" in path


def test_crops_are_pictures_of_the_right_size(tree: Path) -> None:
    for split, folder in FOLDERS.items():
        for _, _, name in names(tree, split):
            with Image.open(tree / folder / name) as picture:
                assert picture.size == (128, 256)
                assert np.asarray(picture).std() > 1.0


def test_truth_holds_paths_and_passages(tree: Path) -> None:
    truth, sightings = table(tree, "truth"), table(tree, "sightings")
    assert set(truth) == {
        "event", "identity", "time", "leave", "lon", "lat", "camera", "tracklet",
    }  # fmt: skip
    passage = truth["event"] == "passage"
    assert set(truth["event"][~passage]) == {"path"}
    assert (truth["leave"] >= truth["time"]).all()
    assert set(truth["camera"][~passage]) == {None}
    # each sighting of a known person belongs to a passage of that person in that camera and time
    rows = {t: k for k, t in enumerate(truth["tracklet"]) if t}
    columns = (sightings[name] for name in ("tracklet", "path", "time", "camera"))
    for tracklet, path, time, camera in zip(*columns, strict=True):
        identity = int(NAME.fullmatch(Path(path).name)[1])  # type: ignore[index]
        if identity > 0:
            row = rows[tracklet]
            assert truth["identity"][row] == identity
            assert truth["time"][row] - 1 <= time <= truth["leave"][row] + 1
            assert truth["camera"][row] == camera


def test_geojson_rebuilds_the_city(tree: Path) -> None:
    units = json.loads((tree / "units.geojson").read_text("utf-8"))["features"]
    polygons = {u["properties"]["code"]: shapely.geometry.shape(u["geometry"]) for u in units}
    for unit in units:
        assert set(unit["properties"]) == {"code", "parent", "level", "name", "name_zh"}
        own = [polygons[u["properties"]["code"]] for u in units
               if u["properties"]["parent"] == unit["properties"]["code"]]  # fmt: skip
        if own:
            assert shapely.coverage_is_valid(own)
            assert shapely.coverage_union_all(own).equals(polygons[unit["properties"]["code"]])
    cameras = json.loads((tree / "cameras.geojson").read_text("utf-8"))["features"]
    for camera in cameras:
        point = shapely.geometry.shape(camera["geometry"])
        assert polygons[camera["properties"]["unit"]].contains(point)
    streets = json.loads((tree / "streets.geojson").read_text("utf-8"))["features"]
    ends = [tuple(s["geometry"]["coordinates"][i]) for s in streets for i in (0, -1)]
    counts = {end: ends.count(end) for end in ends}
    assert min(counts.values()) >= 2  # every street end is shared: the graph can be rebuilt


def test_record_counts_what_is_there(tree: Path) -> None:
    record = json.loads((tree / "simulation.json").read_text("utf-8"))
    assert record["options"]["people"] == 14
    for split, folder in FOLDERS.items():
        assert record["counts"]["crops"][split] == len(list((tree / folder).iterdir()))


def content(tree: Path) -> dict[str, bytes]:
    files = [p for p in tree.rglob("*") if p.is_file()]
    return {str(p.relative_to(tree)): p.read_bytes() for p in files}


@pytest.mark.slow
def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    options = SimulationOptions(people=12, cameras=6, hours=0.6, extent=650.0, crops_per_passage=2)
    for workers in (1, 2):
        simulate(tmp_path / str(workers), options, workers=workers, progress=False)
    one, two = content(tmp_path / "1"), content(tmp_path / "2")
    assert len(one) > 30
    assert [name for name in one if one[name] != two.get(name)] == []
    assert one.keys() == two.keys()


def test_a_full_folder_is_left_alone(tree: Path, tmp_path: Path) -> None:
    options = SimulationOptions()
    with pytest.raises(InputError, match="is not empty; name another folder or give --overwrite"):
        simulate(tree, options)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no simulation"):
        simulate(tmp_path, options, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        simulate(tmp_path / "mine.txt", options)
    with pytest.raises(InputError, match="workers"):
        simulate(tmp_path / "new", options, workers=0)


def test_nothing_half_made_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "render_all", fail)
    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "city", replace(SimulationOptions(), people=4, hours=0.2))
    assert list(tmp_path.iterdir()) == []


def test_overwriting_keeps_the_old_until_the_new_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "city"
    out.mkdir()
    (out / writer.MARK).write_text("old")
    with pytest.raises(RuntimeError), whole_folder(out) as folder:
        (folder / writer.MARK).write_text("new")
        raise RuntimeError
    assert (out / writer.MARK).read_text() == "old"
    with whole_folder(out) as folder:
        (folder / writer.MARK).write_text("new")
    assert (out / writer.MARK).read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["city"]


def test_leftovers_of_killed_runs_go(tmp_path: Path) -> None:
    dead = tmp_path / ".city.partial-999999999"
    dead.mkdir()
    with whole_folder(tmp_path / "city"):
        assert not dead.exists()
