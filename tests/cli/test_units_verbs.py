"""``passerby admin units``: facts from the command line, and at ``admin create``."""

import json
from pathlib import Path
from typing import Any

import pytest

from passerby.city import City
from passerby.cli import main


def square(x0: float, x1: float) -> dict[str, Any]:
    ring = [[x0, 0], [x1, 0], [x1, 0.01], [x0, 0.01], [x0, 0]]
    return {"type": "Polygon", "coordinates": [ring]}


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    units = [
        ({"code": "99", "level": "city", "weather": "rain"}, square(0, 0.02)),
        ({"code": "9901", "parent": "99", "level": "district", "people": 3}, square(0, 0.01)),
        ({"code": "9902", "parent": "99", "level": "district", "people": 4}, square(0.01, 0.02)),
    ]
    camera = ({"id": "C1", "number": 1}, {"type": "Point", "coordinates": [0.004, 0.005]})
    for name, items in (("units", units), ("cameras", [camera])):
        features = [{"type": "Feature", "properties": p, "geometry": g} for p, g in items]
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (tmp_path / f"{name}.geojson").write_text(text)
    return tmp_path


@pytest.fixture
def made(maps: Path) -> str:
    city = str(maps / "city")
    given = ["--units", str(maps / "units.geojson"), "--cameras", str(maps / "cameras.geojson")]
    assert main(["admin", "create", city, *given]) == 0
    return city


def facts(*words: str) -> int:
    return main(["admin", "units", "facts", *words])


def test_create_names_the_facts_and_that_they_have_no_rule(
    maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [f"--{name}={maps / name}.geojson" for name in ("units", "cameras")]
    assert main(["admin", "create", str(maps / "city"), *given]) == 0
    said = capsys.readouterr().out
    assert "facts of units: people, weather" in said
    assert "not rolled up to the units above: people;" in said


def test_a_rule_gives_the_city_a_value(made: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert facts("rule", made, "people", "--rule", "sum", "--measure", "people") == 0
    assert "2 units have a value, 1 a derived one" in capsys.readouterr().out
    assert facts("list", made, "--unit", "99", "--json") == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (found["people"]["value"], found["people"]["derived"]) == (7, True)
    assert found["weather"]["value"] == "rain"
    assert facts("list", made) == 0
    assert "added up" in capsys.readouterr().out


def test_a_table_is_added_and_recorded(
    made: str, maps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = maps / "jobs.csv"
    table.write_text("code,jobs\n9901,5\n9902,\n")
    capsys.readouterr()
    assert facts("add", made, str(table), "--date", "2024", "--json") == 0
    out = capsys.readouterr()
    said = json.loads(out.out)
    assert (said["added"], said["names"], said["without_rule"]) == (1, ["jobs"], ["jobs"])
    assert "1 empty values are left out" in out.err
    assert main(["admin", "audit", "show", made]) == 0
    assert "facts_added" in capsys.readouterr().out
    assert main(["admin", "verify", made]) == 0


@pytest.mark.parametrize("kind", ["csv", "parquet", "geojson"])
def test_an_export_is_read_again(
    made: str, maps: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = maps / f"out.{kind}"
    assert facts("export", made, str(file)) == 0
    assert "3 facts of 3 units" in capsys.readouterr().out
    assert facts("add", made, str(file)) == 0
    assert "0 facts added, 0 replaced, 3 as they were" in capsys.readouterr().out
    with City.open(made) as city:
        assert len(city.units) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--name", "rain"], "no fact 'rain' in this city; there are 2: people, weather"),
        (["list", "--level", "cellar"], "no level 'cellar'"),
        (["list", "--unit", "98"], "no unit '98'"),
        (["add", "none.csv"], "none.csv"),
        (["rule", "weather", "--rule", "sum"], "1 texts"),
        (["rule", "people"], "nothing would change"),
        (["remove", "rain"], "no fact 'rain'"),
        (["export", "facts.xls"], "must end with .csv"),
    ],
)
def test_bad_input_is_one_line(
    made: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert facts(words[0], made, *words[1:]) == 2
    err = capsys.readouterr().err.strip()
    assert said in err and "\n" not in err


def test_units_that_meet_a_condition(made: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["admin", "units", "list", made, "--where", "people > 3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [unit["code"] for unit in found["units"]] == ["9902"]
    assert found["summary"] == "1 district; 1 units lack people"
    assert main(["admin", "units", "list", made, "--where", "peeple > 3"]) == 2
    assert "there are 2: people, weather" in capsys.readouterr().err
    assert main(["admin", "units", "list", made]) == 0
    assert "3 units" in capsys.readouterr().out
