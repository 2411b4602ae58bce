from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from passerby.data import CropTable, read, read_any, write_parquet
from passerby.data.files import read_parquet
from passerby.errors import InputError


def csv(tmp_path: Path, text: str, name: str = "own.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_with_every_column(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "path,identity,camera,split,time,tracklet,x0,y0,x1,y1,lon,lat,colour\n"
        "a.jpg,5,1,query,2026-01-02T08:00:00+08:00,3,1,2,30.5,40,114.1,22.5,red\n"
        "b.jpg,-1,2,gallery,1767312000000,4,0,0,10,20,114.2,22.6,blue\n",
    )
    table = read_any(path)
    assert (table.name, table.root) == ("own", tmp_path)
    assert table.time.tolist() == [1767312000000, 1767312000000]
    assert table.box[0].tolist() == [1, 2, 30.5, 40]
    assert table.place[1].tolist() == [114.2, 22.6]
    assert table.tracklet.tolist() == [3, 4]


def test_names_of_people_and_cameras_are_numbered(tmp_path: Path) -> None:
    text = "path,pid,camid,split\na,ann,lobby,query\nb,bob,gate,gallery\nc,ann,gate,gallery\n"
    table = read("csv", csv(tmp_path, text))
    assert table.identity.tolist() == [1, 2, 1]
    assert table.camera.tolist() == [2, 1, 1]


def test_tabs_and_no_split(tmp_path: Path) -> None:
    table = read_any(csv(tmp_path, "path\tidentity\tcamera\na\t1\t2\n", "own.tsv"))
    assert table.split.tolist() == ["gallery"]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    table = read("csv", csv(tmp_path, "path,identity,camera,split\n"))
    assert len(table) == 0
    assert len(table.train.paths()) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,identity,split\na,1,query\n", "has no column 'camera'; a table needs path"),
        ("", "has no column 'path'"),
        ("path,identity,camera,split\na,1\n", "line 2 has 2 fields, the header 4"),
        ("path,identity,camera,split\na,,1,query\n", "line 2 has no identity"),
        (
            "path,identity,camera,split,time\na,1,1,query,2026-01-02T08:00\n",
            "line 2: time .* has no time zone",
        ),
        ("path,identity,camera,split,time\na,1,1,query,noon\n", "time .* is no ISO 8601 time"),
        ("path,identity,camera,split,tracklet\na,1,1,query,x\n", "line 2: tracklet is 'x'"),
        ("path,identity,camera,split\na,1,1,test\n", "split 'test'"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("csv", csv(tmp_path, text))


def test_parquet_and_back(tmp_path: Path) -> None:
    table = CropTable(
        path=["人/a.jpg", "b.jpg"],
        identity=[1, 0],
        camera=[3, 12],
        split=["train", "gallery"],
        time=[1767312000000, -5],
        tracklet=[0, 1],
        box=np.arange(8).reshape(2, 4),
        place=[[114.1, 22.5], [0, 0]],
        name="mine",
        root=tmp_path,
    )
    write_parquet(table, tmp_path / "t.parquet")
    again = read_any(tmp_path / "t.parquet")
    assert again.name == "mine"
    for name, column in table.columns().items():
        assert np.array_equal(column, getattr(again, name)), name
    other = read_parquet(tmp_path / "t.parquet", root="elsewhere")
    assert other.paths()[1] == Path("elsewhere/b.jpg")


def test_parquet_moments_need_a_zone(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": ["a"], "identity": [1], "camera": [1], "split": ["query"]}
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    parquet.write_table(arrow.table({**columns, "time": [moment]}), tmp_path / "zone.parquet")
    assert read_any(tmp_path / "zone.parquet").time.tolist() == [1767312000000]
    bare = arrow.table({**columns, "time": [moment.replace(tzinfo=None)]})
    parquet.write_table(bare, tmp_path / "bare.parquet")
    with pytest.raises(InputError, match="has no time zone"):
        read_any(tmp_path / "bare.parquet")


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the table"):
        read("parquet", csv(tmp_path, "path\n", "x.parquet"))
    with pytest.raises(InputError, match="cannot read the table"):
        read("csv", tmp_path / "none.csv")
