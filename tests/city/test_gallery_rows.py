"""``passerby admin gallery add``: a table is brought from outside; nothing in it is believed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from passerby.city import City
from passerby.cli import main
from tests.city.gallery_contract import many
from tests.city.test_bulk import table_of


def add(city: City, table: pa.Table, tmp_path: Path) -> int:
    parquet.write_table(table, tmp_path / "t.parquet")
    return main(["admin", "gallery", "add", str(city.folder), str(tmp_path / "t.parquet")])


def good(city: City) -> pa.Table:
    return table_of([replace(one, unit=city.camera(one.camera).unit) for one in many(4)])


def changed(table: pa.Table, column: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


@pytest.mark.parametrize(
    "lie",
    [
        ("unit", "other", "its camera"),
        ("crop", "../../service.secret", "no SHA-256"),
        ("crop", "A" * 64, "no SHA-256"),
        ("id", "x" * 1_000_000, "has 1000000 characters"),
        ("id", None, "has no id"),
        ("camera", "nowhere", "no camera"),
        ("quality", float("nan"), "quality"),
        ("time", -(2**62), "time"),
    ],
)
def test_one_row_with_a_lie_is_refused_by_name(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str], lie: tuple[str, Any, str]
) -> None:
    column, value, said = lie
    table = good(city)
    if value == "other":
        cameras = set(table.column("camera").to_pylist())
        stands = {city.camera(one).unit for one in cameras}
        value = next(unit.code for unit in city.units.leaves() if unit.code not in stands)
    values = table.column(column).to_pylist()
    values[2] = value
    assert add(city, changed(table, column, pa.array(values)), tmp_path) == 2
    lines = [one for one in capsys.readouterr().err.splitlines() if "passerby" in one]
    assert len(lines) == 1
    assert said in lines[0]
    assert len(lines[0]) < 600
    assert city.gallery.count() == 0
    assert add(city, good(city), tmp_path) == 0


KINDS: dict[str, pa.Array] = {
    "texts": pa.array(["x"] * 4),
    "numbers": pa.array([1, 2, 3, 4]),
    "nothing": pa.nulls(4),
    "bytes": pa.array([b"\xff\xfe"] * 4),
    "lists": pa.array([[1.0], [2.0], [3.0], [4.0]]),
    "lists of texts": pa.array([["a"]] * 4),
    "empty lists": pa.array([[]] * 4, pa.list_(pa.float32())),
    "lists of lists": pa.array([[[1.0]]] * 4),
    "not finite": pa.array([[float("nan")]] * 4),
    "structs": pa.array([{"a": 1}] * 4),
    "days": pa.array([1, 2, 3, 4], pa.date32()),
    "decimals": pa.array([1, 2, 3, 4]).cast(pa.decimal128(25, 2)),
    "true": pa.array([True] * 4),
    "far times": pa.array([2**50] * 4, pa.timestamp("s", "UTC")),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "column", ["id", "camera", "time", "vector", "quality", "x0", "attributes", "model"]
)
def test_a_column_of_another_kind_ends_in_one_line(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, kind: str
) -> None:
    status = add(city, changed(good(city), column, KINDS[kind]), tmp_path)
    assert status in (0, 2)
    said = capsys.readouterr().err
    assert "Traceback" not in said
    if status == 2:
        assert len([one for one in said.splitlines() if one.startswith("passerby")]) == 1
