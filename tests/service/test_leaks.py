"""Nothing outside an account's units is in any answer, whatever is asked."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.city import City, Scope
from passerby.times import format_time

START = 1_893_456_000_000
PASSWORD = "a long enough password"
UNITS = ["99", "9901", "9902", "990101", "990102", "990201", "9901010102", "9902010101"]
ASKED = [*UNITS, "990202", "9999"]
CAMERAS = [f"C{i:02d}" for i in range(1, 9)]


@pytest.fixture
def world(app: FastAPI, ann: Any) -> tuple[Any, dict[tuple[str, ...], Any]]:
    """A type of client, and one signed-in account for each set of grants that was tried."""
    return type(ann), {}


def account(
    app: FastAPI, world: tuple[Any, dict[tuple[str, ...], Any]], units: tuple[str, ...]
) -> Any:
    make, known = world
    if units not in known:
        name = f"u{len(known)}"
        app.state.service.accounts.create(name, "operator", units, PASSWORD)
        known[units] = make(app)
        known[units].sign_in(name, PASSWORD)
        known[units].open_case(f"{name}-case")
        known[units].case = f"{name}-case"
        known[units].picture = known[units].add_picture(identity=2)
    return known[units]


def outside(city: City, units: tuple[str, ...]) -> dict[str, set[str]]:
    """Every name that must not be told: the oracle knows prefixes alone."""
    hidden = [c for c in city.cameras.values() if not any(c.unit.startswith(u) for u in units)]
    ids = {c.id for c in hidden}
    seen = [s for s in city.gallery.latest(1000) if s.camera in ids]
    unseen_units = {
        unit.code
        for unit in city.units
        if not any(unit.code.startswith(u) or u.startswith(unit.code) for u in units)
    }
    return {"cameras": ids, "sightings": {s.id for s in seen}, "units": unseen_units}


def strings(value: Any) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return {t for k, v in value.items() for t in strings(v) | {k}}
    if isinstance(value, list):
        return {t for v in value for t in strings(v)}
    return {value} if isinstance(value, str) else set()


grants = st.lists(st.sampled_from(UNITS), min_size=1, max_size=2, unique=True).map(
    lambda units: tuple(sorted(units))
)
scopes = st.fixed_dictionaries(
    {
        "units": st.lists(st.sampled_from(ASKED), max_size=2, unique=True),
        "cameras": st.lists(st.sampled_from(CAMERAS), max_size=2, unique=True),
        "start": st.none() | st.integers(0, 30).map(lambda m: format_time(START + m * 60_000)),
    }
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(units=grants, scope=scopes)
def test_no_answer_names_what_lies_outside(
    app: FastAPI,
    city: City,
    world: tuple[Any, dict[tuple[str, ...], Any]],
    units: tuple[str, ...],
    scope: dict[str, Any],
) -> None:
    client = account(app, world, units)
    hidden = outside(city, units)
    body = {"case": client.case, "pictures": [{"id": client.picture}], "scope": scope}
    answers = [client.post("/api/searches", json=body)]
    asked = set(scope["units"]) | set(scope["cameras"])
    if answers[0].status_code == 201:
        found = answers[0].json()
        assert found["searched"] == city.count(Scope.parse(**found["scope"]))
        base = f"/api/searches/{found['id']}"
        answers.append(client.get(base))
        answers.append(client.get(f"{base}/trajectory"))
        answers.append(client.post(f"{base}/exports", json={"format": "geojson"}))
    else:
        assert answers[0].status_code == 404
    answers += [client.get(p) for p in ("/api/city", "/api/units", "/api/cameras", "/api/coverage")]
    answers += [client.get("/api/coverage", params={"unit": code}) for code in scope["units"]]
    for answer in answers:
        told = strings(json.loads(answer.text))
        for kind, names in hidden.items():
            assert not told & names - asked, f"{kind} told by {answer.url}"
            if answer.status_code >= 400:
                assert not any(name in answer.text for name in names), answer.text


def test_sightings_and_crops_outside_do_not_exist(bob: Any) -> None:
    inside, beyond, nothing = "p1-C01-0", "p1-C05-0", "p9-C01-0"
    assert bob.get(f"/api/sightings/{inside}?case=B-1").status_code == 200
    for path in ("/api/sightings/{}?case=B-1", "/api/sightings/{}/crop?case=B-1"):
        hidden, absent = bob.get(path.format(beyond)), bob.get(path.format(nothing))
        assert hidden.status_code == absent.status_code == 404
        assert hidden.json() == absent.json()
    similar = bob.post("/api/searches", json={"case": "B-1", "sightings": [beyond]})
    absent = bob.post("/api/searches", json={"case": "B-1", "sightings": [nothing]})
    assert similar.status_code == 404
    assert similar.json() == absent.json()


def test_counts_are_those_of_the_grants(ann: Any, bob: Any, city: City) -> None:
    assert ann.get("/api/city").json()["sightings"] == 32
    assert bob.get("/api/city").json()["sightings"] == city.count(Scope(units=("9901",)))
    assert {one["camera"] for one in bob.get("/api/coverage").json()} == {
        "C01",
        "C02",
        "C03",
        "C04",
    }


def test_a_grant_that_is_taken_back_closes_old_searches(
    app: FastAPI, bob: Any, sign_in: Callable[[str], Any]
) -> None:
    found = bob.search("B-1")
    app.state.service.accounts.set_grants("bob", ("9902",))
    again = sign_in("bob")
    assert again.get(f"/api/searches/{found['id']}").status_code == 404
    assert again.get("/api/searches").json() == []
