"""Facts of units over HTTP: names, a layer of the map, a unit's card, all under the grants."""

from collections.abc import Callable
from typing import Any

import pytest

from passerby.city import City
from passerby.city.facts import Fact, add_facts, set_rule


@pytest.fixture
def known(city: City) -> City:
    people = {"9901": 30.0, "9902": 12.0}
    facts = [
        Fact(unit=code, name="population", value=value, measure="people", date="2020")
        for code, value in people.items()
    ]
    secret = [Fact(unit="9902", name="secret", value=1), Fact(unit="9901", name="use", value="mix")]
    add_facts(city, [*facts, *secret])
    set_rule(city, "population", rule="sum")
    return city


def test_a_whole_city_sees_sums(known: City, ann: Any) -> None:
    names = {one["name"]: one for one in ann.get("/api/facts").json()}
    assert list(names) == ["population", "secret", "use"]
    assert names["population"] == {
        "name": "population",
        "measure": "people",
        "rule": "sum",
        "numeric": True,
        "levels": ["city", "district"],
    }
    assert not names["use"]["numeric"]
    layer = ann.get("/api/facts/values?name=population&level=district").json()
    assert {one["unit"]: one["value"] for one in layer} == {"9901": 30, "9902": 12}
    (top,) = ann.get("/api/facts/values?name=population&level=city").json()
    assert (top["value"], top["derived"], top["units"], top["date"]) == (42, True, 2, "2020")
    card = {one["name"]: one["value"] for one in ann.get("/api/units/9901/facts").json()}
    assert card == {"population": 30, "use": "mix"}


def test_an_account_sees_facts_of_its_own_units_alone(
    known: City, sign_in: Callable[[str], Any]
) -> None:
    bob = sign_in("bob")  # of 9901
    assert [one["name"] for one in bob.get("/api/facts").json()] == ["population", "use"]
    assert bob.get("/api/facts/values?name=population&level=city").json() == []
    layer = bob.get("/api/facts/values?name=population&level=district").json()
    assert [one["unit"] for one in layer] == ["9901"]
    for path in ("facts/values?name=secret&level=district", "units/99/facts", "units/9902/facts"):
        answer = bob.get(f"/api/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    unknown = bob.get("/api/facts/values?name=none&level=district")
    assert unknown.json() == bob.get("/api/facts/values?name=secret&level=district").json()


def test_a_wrong_level_is_named(known: City, ann: Any) -> None:
    answer = ann.get("/api/facts/values?name=population&level=cellar")
    assert answer.status_code == 422
    assert "cellar" in answer.json()["error"] and "district" in answer.json()["what_to_do"]


def test_units_are_chosen_by_what_they_contain(known: City, ann: Any) -> None:
    found = ann.get("/api/units/chosen?where=level = district and population > 20").json()
    assert (found["scope"], found["missing"], found["summary"]) == (["9901"], 0, "1 district")
    assert found["sightings"] == 16
    wrong = ann.get("/api/units/chosen?where=rain > 2")
    assert wrong.status_code == 422 and "population, secret, use" in wrong.text


def test_the_gallery_of_a_condition_is_that_of_its_units(known: City, ann: Any) -> None:
    query = {"case": "A-1", "pictures": [{"id": ann.add_picture()}], "limit": 100}
    asked = "level = district and population > 20"
    chosen = ann.post("/api/searches", json={**query, "where": asked}).json()
    named = ann.post("/api/searches", json={**query, "scope": {"units": ["9901"]}}).json()
    assert (chosen["scope"]["units"], chosen["where"]) == (["9901"], asked)
    assert chosen["searched"] == named["searched"] == 16
    assert chosen["matches"] == named["matches"]
    assert ann.get(f"/api/searches/{chosen['id']}").json()["where"] == asked
    entries = [one for one in ann.app.state.service.audit.entries() if one.action == "searched"]
    assert [entry.details.get("where") for entry in entries].count(asked) == 1
    none = ann.post("/api/searches", json={**query, "where": "population > 99"})
    assert (none.status_code, none.json()["code"]) == (422, "no_unit")


def test_a_condition_keeps_to_the_grants(known: City, sign_in: Callable[[str], Any]) -> None:
    bob = sign_in("bob")  # of 9901
    found = bob.get("/api/units/chosen?where=population > 0").json()
    assert (found["units"], found["scope"]) == (["9901"], ["9901"])
    for name in ("secret", "nought"):
        hidden = bob.get(f"/api/units/chosen?where={name} = 1")
        assert hidden.status_code == 422
        assert "there are 2: population, use" in hidden.text.lower()
