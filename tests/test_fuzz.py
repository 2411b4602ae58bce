"""Every format that is read: what is damaged or hostile ends in one clear line and status 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from passerby.ingest.own_city import create_small_city
from tests.fuzzing import (
    BYTES,
    FEW,
    JSON,
    MANY,
    PLACE,
    T0,
    TEXT,
    Format,
    bytewise,
    check_reader,
    in_text,
    in_toml,
    make_world,
    read,
    try_format,
    verb,
    write_clip,
    write_json,
    write_text,
    write_vectors,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("fuzz"))


def write_crops(path: Path) -> None:
    columns = {"id": ["a", "b"], "camera": ["C01"] * 2, "time": [T0, T0 + 1], "path": ["a.jpg"] * 2}
    Image.new("RGB", (64, 128), (90, 30, 30)).save(path.parent / "a.jpg")
    pq.write_table(pa.table(columns), path)


def write_facts(path: Path) -> None:
    pq.write_table(pa.table({"unit": [UNIT], "population": [3.5], "use": ["homes"]}), path)


def write_data(path: Path) -> None:
    Image.new("RGB", (64, 128), (90, 30, 30)).save(path.parent / "a.jpg")
    pq.write_table(
        pa.table({"path": ["a.jpg"] * 4, "identity": [1, 1, 2, 2], "camera": [1, 2, 1, 2],
                  "split": ["train", "train", "query", "gallery"]}), path,
    )  # fmt: skip


def write_manifest(path: Path) -> None:
    """The manifest of many cameras, with the files that it names."""
    root = path.parent
    for name in ("one.mp4", "there/C02_20260501_080000.mp4", "tree/2026-05-01/00/gate/00.00.mp4"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(root / name)
    write_text(PLAYLIST)(root / "one.m3u8")
    write_text(MANIFEST)(path)


# readers -----------------------------------------------------------------------------------------


def create(**fixed: str) -> Callable[[Path, Path], int]:
    """``admin create`` of which one map file is the mutated one."""

    def run(path: Path, world: Path) -> int:
        words = ["admin", "create", "NEW"]
        for kind, value in MAP.items():
            good = world / f"{kind}.geojson"
            good.write_text(json.dumps(value), encoding="utf-8")
            words += [f"--{kind}", "FILE" if kind == fixed["which"] else str(good)]
        return verb(*words)(path, world)

    return run


def crops_of_table(path: Path, world: Path) -> int:
    from passerby.ingest import ingest_table
    from passerby.runtime import Embedder

    embedder = Embedder.load("default")
    shutil.rmtree(world / "fresh", ignore_errors=True)
    with create_small_city(world / "fresh", camera="C01", place=PLACE) as city:
        return check_reader(lambda one: ingest_table(city, one, embedder=embedder), path)


def _map() -> dict[str, Any]:
    box = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    units = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [box]},
         "properties": {"code": code, "parent": code[:-2] or None, "level": level, "name": level,
                        "name_zh": "市", "population": 3.5, "use": "homes"}}
        for level, code in (("city", "99"), ("district", "9901"), ("street", "990101"),
                            ("area", "99010101"), ("cell", "9901010101"))
    ]  # fmt: skip
    camera = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0.5, 0.5]},
              "properties": {"id": "C01", "number": 1, "name": "Yard", "heading": 3.0, "height": 4,
                             "field_of_view": 60, "range": 30, "unit": "9901010101"}}  # fmt: skip
    line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
            "properties": {"name": "Road", "name_zh": "路", "kind": "street"}}  # fmt: skip
    kinds = {"units": units, "cameras": [camera], "streets": [line]}
    return {kind: {"type": "FeatureCollection", "features": one} for kind, one in kinds.items()}


MAP = _map()
UNIT = "99"
FACTS = ("admin", "units", "facts", "add", "CITY", "FILE")
PLAYLIST = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MAP:URI="start.mp4",BYTERANGE="100@0"
#EXT-X-PROGRAM-DATE-TIME:2026-05-01T08:00:00.000+08:00
#EXTINF:4.0,
#EXT-X-BYTERANGE:100@0
one.ts
#EXT-X-DISCONTINUITY
#EXT-X-GAP
#EXTINF:3.5,
two.ts
#EXT-X-ENDLIST
"""
MANIFEST = """city = "city"
workers = 2
every = 2
detector = "none.xml"
crops = 3
enhance = true
[cameras.C01]
clips = [{path = "one.mp4", start = "2026-05-01T08:00:00+08:00"}]
longest_gap = 3.5
[cameras.C02]
folder = "there"
pattern = "stamp"
zone = "Asia/Shanghai"
[cameras.C03]
playlist = "one.m3u8"
start = "2026-05-01T08:00:00Z"
[[folders]]
folder = "tree"
pattern = "frigate"
names = {gate = "G"}
"""
FORMATS: dict[str, Format] = {
    **{
        f"map: {kind}": Format(
            make=write_json(value), suffix=".geojson", ways=JSON, read=create(which=kind)
        )
        for kind, value in MAP.items()
    },
    "facts: geojson": Format(
        make=write_json(MAP["units"]), suffix=".geojson", ways=JSON, read=verb(*FACTS)
    ),
    "facts: csv": Format(
        make=write_text("unit,population [people],use,date\n99,3.5,homes,2026\n9901,4,x,2025-01\n"),
        suffix=".csv",
        ways=TEXT,
        read=verb(*FACTS),
    ),
    "facts: parquet": Format(make=write_facts, suffix=".parquet", ways=BYTES, read=verb(*FACTS)),
    "vectors: parquet": Format(
        make=write_vectors,
        suffix=".parquet",
        ways=BYTES,
        read=verb("admin", "gallery", "add", "CITY", "FILE"),
    ),
    "crops: parquet": Format(
        make=write_crops, suffix=".parquet", ways=BYTES, read=crops_of_table, every=6
    ),
    "data: parquet": Format(
        make=write_data,
        suffix=".parquet",
        ways=BYTES,
        good=1,
        read=verb("check", "FILE", statuses=(0, 1, 2)),
    ),
    "data: csv": Format(
        make=write_text("path,identity,camera,split,time\na.jpg,1,1,train,3\na.jpg,2,1,query,4\n"),
        suffix=".csv",
        ways=TEXT,
        good=1,
        read=verb("check", "FILE", statuses=(0, 1, 2)),
    ),
    "playlist": Format(
        make=write_text(PLAYLIST),
        suffix=".m3u8",
        ways=TEXT,
        read=read("passerby.ingest.segments:from_playlist"),
    ),
    "manifest": Format(
        make=write_manifest,
        suffix=".toml",
        ways=(in_toml, in_toml, in_text, bytewise),
        read=read("passerby.ingest.manifest:read_manifest"),
    ),
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_few_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_many_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, MANY)
