from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.city import UnitTree
from passerby.errors import InputError


@pytest.fixture(scope="module")
def tree(map_files: dict[str, Any]) -> UnitTree:
    return UnitTree.from_geojson(map_files["units"])


def test_levels_and_relations(tree: UnitTree) -> None:
    assert len(tree) == 1 + 2 + 4 + 8 + 16
    assert [unit.code for unit in tree.ancestors("9901020102")] == [
        "99",
        "9901",
        "990102",
        "99010201",
    ]
    assert [unit.code for unit in tree.children("9902")] == ["990201", "990202"]
    assert {unit.level for unit in tree.leaves()} == {"cell"}
    assert len(tree.leaves("9901")) == 8


def test_intervals_prefixes_and_ancestors_agree(tree: UnitTree) -> None:
    for outer in tree:
        inside = {unit.code for unit in tree.descendants(outer.code)}
        for inner in tree:
            by_parent = outer.code == inner.code or outer in tree.ancestors(inner.code)
            assert tree.holds(outer.code, inner.code) == by_parent == (inner.code in inside)
            assert inner.code.startswith(outer.code) == by_parent


@given(x=st.floats(0, 0.008), y=st.floats(0, 0.008))
def test_every_place_lies_in_one_cell(map_files: dict[str, Any], x: float, y: float) -> None:
    tree = UnitTree.from_geojson(map_files["units"])
    cell = tree.locate(x, y)
    assert cell is not None
    ring = cell.geometry["coordinates"][0]
    xs, ys = [p[0] for p in ring], [p[1] for p in ring]
    assert min(xs) <= x <= max(xs)
    assert min(ys) <= y <= max(ys)


def test_outside_every_unit(tree: UnitTree) -> None:
    assert tree.locate(50.0, 50.0) is None


def test_geojson_goes_round(tree: UnitTree, map_files: dict[str, Any]) -> None:
    again = UnitTree.from_geojson(tree.to_geojson())
    assert list(again) == list(tree)
    assert again["9901"].name_zh == "单元9901"


def _broken(map_files: dict[str, Any], victim: str, /, **change: Any) -> dict[str, Any]:
    features = []
    for feature in map_files["units"]["features"]:
        properties = dict(feature["properties"])
        if properties["code"] == victim:
            properties |= change
        features.append({**feature, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"code": "9902"}, "given twice"),
        ({"parent": "98"}, "missing"),
        ({"parent": "9902"}, "must start with"),
        ({"level": "city"}, "inside"),
        ({"level": "village"}, "level"),
        ({"code": "98010101"}, "missing|must start"),
    ],
)
def test_broken_trees_are_named(map_files: dict[str, Any], change: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        UnitTree.from_geojson(_broken(map_files, "9901", **change))


def test_a_foreign_prefix_is_refused(map_files: dict[str, Any]) -> None:
    stray = _broken(map_files, "9902", parent=None, code="9902")
    with pytest.raises(InputError, match="does not lie in it"):
        UnitTree.from_geojson(stray)


def test_degrees_are_checked(map_files: dict[str, Any]) -> None:
    data = _broken(map_files, "99")
    data["features"][0]["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[500000, 4e6], [500001, 4e6], [500001, 4000001], [500000, 4e6]]],
    }
    with pytest.raises(InputError, match="degrees"):
        UnitTree.from_geojson(data)


def test_no_units_and_no_file() -> None:
    with pytest.raises(InputError, match="no units"):
        UnitTree.from_geojson({"type": "FeatureCollection", "features": []})
    with pytest.raises(InputError, match="no units file"):
        UnitTree.from_geojson("/nowhere/units.geojson")
