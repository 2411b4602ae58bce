"""Facts of units: read from files without loss, stored, rolled up over the tree."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.city import City, UnitTree
from passerby.city.fact_files import facts_of_features, number_in, read_facts_file
from passerby.city.facts import (
    Fact,
    add_facts,
    fact_names,
    features_with_facts,
    remove_facts,
    roll_up,
    set_rule,
    stored_facts,
    unit_facts,
)
from passerby.city.moving import back_up, restore
from passerby.errors import InputError


@pytest.fixture(scope="module")
def tree(map_files: dict[str, Any]) -> UnitTree:
    return UnitTree.from_geojson(map_files["units"])


# reading -----------------------------------------------------------------------------------------


def read(**properties: Any) -> dict[tuple[str, str], Any]:
    found = facts_of_features([{"properties": {"code": "99", **properties}}], "census.geojson")
    return {(one.name, one.date): one.value for one in found.facts.values()}


def test_every_property_is_kept_whatever_its_kind() -> None:
    assert read(
        population=1234,
        weather="rain",
        open=True,
        ratio=0.5,
        empty=None,
        nan=math.nan,
        tags=["a", "b"],
        census={"men": 3, "women": {"young": 4}},
        number=2**60 + 1,
        area={"value": 2, "measure": "km2", "date": "2020", "source": "bureau"},
        flow=[{"value": 1, "date": "2019"}, {"value": 2, "date": "2020"}],
        level="city",
    ) == {
        ("population", ""): 1234,
        ("weather", ""): "rain",
        ("open", ""): "true",
        ("ratio", ""): 0.5,
        ("tags", ""): '["a", "b"]',
        ("census.men", ""): 3,
        ("census.women.young", ""): 4,
        ("number", ""): str(2**60 + 1),
        ("area", "2020"): 2,
        ("flow", "2019"): 1,
        ("flow", "2020"): 2,
    }


def test_what_is_not_kept_as_it_was_is_said() -> None:
    feature = {"properties": {"code": "99", "a": None, "b": {"c": 1}, "d": [1]}}
    notes = facts_of_features([feature], "f").notes
    assert [note.split()[0] for note in notes] == ["1", "1", "1"]
    assert "empty" in notes[0] and "outer.inner" in notes[1] and "JSON" in notes[2]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"x": math.inf}, "property 'x' of the unit '99' is infinite"),
        ({"x" * 200: 1}, "200 characters"),
        ({"x": {"value": 1, "date": "yesterday"}}, "has the date 'yesterday'"),
        ({"x": {"value": 1, "date": "2020-02-31"}}, "has the date '2020-02-31'"),
        ({"x": "\ud800"}, "no text"),
        ({" ": 1}, "no name"),
    ],
)
def test_what_cannot_be_stored_is_refused(properties: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(**properties)


def test_numbers_in_text() -> None:
    kept = ("0571", "1,234", "n/a", "1e", "0x10", "١")
    assert [number_in(text) for text in kept] == list(kept)
    assert [number_in(text) for text in ("12", " -3.5 ", "1e3", "0", "0.5")] == [
        12, -3.5, 1000, 0, 0.5,
    ]  # fmt: skip
    assert number_in("1,5", decimal_comma=True) == 1.5


def test_a_wide_table(tree: UnitTree, tmp_path: Path) -> None:
    path = tmp_path / "census.csv"
    text = "code;name;density [people/km2];postcode;date;remark\n9901;East;1,5;0571;2020;\n"
    path.write_text(text + "9902;West;2;0572;2021;old\n")
    found = read_facts_file(path, tree)
    assert [(f.unit, f.name, f.value, f.measure, f.date) for f in found.facts.values()] == [
        ("9901", "density", 1.5, "people/km2", "2020"),
        ("9901", "postcode", "0571", "", "2020"),
        ("9902", "density", 2, "people/km2", "2021"),
        ("9902", "postcode", "0572", "", "2021"),
        ("9902", "remark", "old", "", "2021"),
    ]
    assert {fact.source for fact in found.facts.values()} == {"census.csv"}
    notes = " ".join(found.notes)
    assert "semicolons" in notes and "columns name" in notes and "1 empty values" in notes


def test_a_parquet_table_of_one_fact_a_row(tree: UnitTree, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "facts.parquet"
    columns = {
        "unit": [9901, 9902],  # as numbers
        "name": ["rain", "rain"],
        "value": [0.25, None],
        "measure": ["mm", "mm"],
    }
    parquet.write_table(pa.table(columns), path)
    found = read_facts_file(path, tree, source="station", date="2024-05")
    (fact,) = found.facts.values()
    assert fact == Fact(
        unit="9901", name="rain", value=0.25, measure="mm", date="2024-05", source="station"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("district,population\n9901,3\n", "no column 'code'.*it has district, population"),
        ("code,a\n9999,3\n", "row 2 names the unit '9999'; this city has 31: 99, 9901"),
        ("code,a,A\n9901,3,4\n", "column 'a' twice"),
        ("code,a\n9901,3\n9901,4\n", "is '4.0', but '3.0' was given before"),
        ("code,name,value,remark\n9901,a,3,x\n", "column 'remark' has no place"),
        ("code,,b\n9901,3,4\n", "column '',.* has no name"),
        ("code\n9901\n", "holds no fact"),
        ("code,a,date\n9901,3,May\n", "column 'a', has the date 'May'"),
    ],
)
def test_a_wrong_table_is_refused(tree: UnitTree, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_facts_file(path, tree)


def test_unknown_units_are_left_out_only_when_asked_and_counted(
    tree: UnitTree, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("code,a\n9901,1\ntotal,5\n")
    found = read_facts_file(path, tree, skip_unknown=True)
    assert [fact.unit for fact in found.facts.values()] == ["9901"]
    assert any(note.startswith("1 rows of units") for note in found.notes)


# rolling up --------------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
def test_a_sum_counts_each_value_once_however_deep(map_files: dict[str, Any], seed: int) -> None:
    """Against a search from the top for the nearest units below that have a value."""
    tree, rng = UnitTree.from_geojson(map_files["units"]), random.Random(seed)
    values = {unit.code: float(rng.randint(-9, 9)) for unit in tree if rng.random() < 0.4}

    def parts(code: str) -> list[str]:
        if code in values:
            return [code]
        return [part for child in tree.children(code) for part in parts(child.code)]

    facts = [Fact(unit=code, name="x", value=value) for code, value in values.items()]
    found = {rule: roll_up(tree, facts, rule) for rule in ("sum", "mean", "area")}
    for unit in tree:
        inside = parts(unit.code)
        assert (unit.code in found["sum"]) == bool(inside)
        if not inside:
            continue
        areas = [tree[code].area() for code in inside]
        given = [values[code] for code in inside]
        assert found["sum"][unit.code].value == sum(given)
        assert found["mean"][unit.code].value == pytest.approx(sum(given) / len(given))
        weighted = sum(a * v for a, v in zip(areas, given, strict=True)) / sum(areas)
        assert found["area"][unit.code].value == pytest.approx(weighted)
        fact = found["sum"][unit.code]
        assert (fact.units, fact.derived) == (len(inside), unit.code not in values)


def test_a_derived_value_says_of_what_it_is(tree: UnitTree) -> None:
    facts = [
        Fact(unit="990101", name="p", value=1, date="2019", source="a"),
        Fact(unit="990101", name="p", value=2, date="2020", source="b"),
        Fact(unit="990201", name="p", value=5, date="2021", source="c"),
    ]
    top = roll_up(tree, facts, "sum")["99"]
    assert (top.value, top.units, top.missing, top.date) == (7, 2, 2, "2020/2021")
    assert (top.source, top.derived) == ("b; c", True)
    assert set(roll_up(tree, facts, "none")) == {"990101", "990201"}


def test_the_area_of_a_cell(tree: UnitTree) -> None:
    side = 0.002 * 111_195.08
    assert tree["9901010101"].area() == pytest.approx(side**2, rel=1e-3)


# the catalogue -----------------------------------------------------------------------------------


def test_facts_are_stored_replaced_and_kept_over_a_backup(
    map_files: dict[str, Any], tmp_path: Path
) -> None:
    units = json.loads(json.dumps(map_files["units"]))
    units["features"][0]["properties"] |= {"population": 10, "weather": "rain"}
    with City.create(tmp_path / "city", **(map_files | {"units": units})) as city:
        assert {fact.name: fact.value for fact in stored_facts(city)} == {
            "population": 10,
            "weather": "rain",
        }
        again = [
            Fact(unit="99", name="population", value=11, measure="people"),
            Fact(unit="9901", name="population", value=6),
        ]
        done = add_facts(city, again)
        assert (done.added, done.replaced, done.unchanged) == (1, 1, 0)
        assert add_facts(city, again).unchanged == 2
        names = fact_names(city)
        assert (names["population"].measure, names["population"].units) == ("people", 2)
        back_up(city, tmp_path / "copy.tar")
        assert remove_facts(city, "weather") == 1
        assert list(fact_names(city)) == ["population"]
    restore(tmp_path / "copy.tar", tmp_path / "again")
    with City.open(tmp_path / "again") as city:
        assert [fact.value for fact in stored_facts(city)] == [11, 6, "rain"]


def test_measures_and_texts_are_guarded_and_nothing_is_half_stored(city: City) -> None:
    add_facts(city, [Fact(unit="99", name="p", value=1, measure="people")])
    good = Fact(unit="9901", name="p", value=2)
    with pytest.raises(InputError, match="is in 'thousand', those of this city are in 'people'"):
        add_facts(city, [good, Fact(unit="9902", name="p", value=2, measure="thousand")])
    set_rule(city, "p", rule="sum")
    with pytest.raises(InputError, match="text 'many'"):
        add_facts(city, [good, Fact(unit="9902", name="p", value="many")])
    add_facts(city, [Fact(unit="99", name="w", value="rain")])
    with pytest.raises(InputError, match="1 texts"):
        set_rule(city, "w", rule="mean")
    with pytest.raises(InputError, match="no fact 'q' in this city; there are 2: p, w"):
        unit_facts(city, ["q"])
    with pytest.raises(InputError, match="no unit"):
        add_facts(city, [Fact(unit="1", name="p", value=1)])
    assert len(stored_facts(city)) == 2


def test_geojson_goes_round(tree: UnitTree) -> None:
    facts = [
        Fact(unit="99", name="p", value=1.0, measure="m", date="2019", source="s"),
        Fact(unit="99", name="p", value=2.5, measure="m", date="2020", source="s"),
        Fact(unit="9901", name="w", value="rain", source="s"),
    ]
    features = features_with_facts(tree, facts)["features"]
    assert sorted(facts_of_features(features, "other").facts.values(), key=str) == sorted(
        facts, key=str
    )
