"""No search without a case; no wide search without a second person where the city asks for one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.service.settings import Settings
from passerby.times import format_time

START = 1_893_456_000_000
HOUR = {"start": format_time(START), "end": format_time(START + 3_600_000)}


def case(**changes: str) -> dict[str, str]:
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    return {"id": "K-1", "purpose": "To find", "legal_basis": "Act", "expires": later} | changes


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a b"},
        {"id": "../x"},
        {"purpose": " "},
        {"legal_basis": ""},
        {"expires": "2020-01-01T00:00:00Z"},
        {"expires": "2999-01-01T00:00:00Z"},
        {"expires": "2030-01-01T00:00:00"},
        {"expires": "soon"},
    ],
)
def test_bad_cases_are_refused_with_what_to_do(ann: Any, change: dict[str, str]) -> None:
    answer = ann.post("/api/cases", json=case(**change))
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert answer.json()["what_to_do"]


def test_a_number_is_used_once(ann: Any) -> None:
    assert ann.post("/api/cases", json=case()).status_code == 201
    assert ann.post("/api/cases", json=case()).status_code == 422


def test_no_search_without_an_open_case(ann: Any, bob: Any) -> None:
    picture = ann.add_picture()
    wish = {"pictures": [{"id": picture}]}
    assert ann.post("/api/searches", json=wish).status_code == 422
    for number in ("B-1", "nothing"):  # bob's, and nobody's: the same answer
        answer = ann.post("/api/searches", json={**wish, "case": number})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    ann.post("/api/cases/A-1/close")
    answer = ann.post("/api/searches", json={**wish, "case": "A-1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "case_closed")


def test_an_expired_case_allows_nothing(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from passerby.service import cases

    picture, real = ann.add_picture(), cases.now
    monkeypatch.setattr(cases, "now", lambda: real() + 31 * 86_400_000)
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": [{"id": picture}]})
    assert (answer.status_code, answer.json()["code"]) == (403, "case_expired")


def test_supervisors_see_cases_of_their_units_alone(
    ann: Any, bob: Any, sign_in: Callable[[str], Any]
) -> None:
    seen = {
        name: {one["id"] for one in sign_in(name).get("/api/cases").json()}
        for name in ("sue", "wes")
    }
    assert seen["sue"] == {"A-1", "B-1"}
    assert seen["wes"] == set()
    assert {one["id"] for one in ann.get("/api/cases").json()} == {"A-1"}


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    return make_app(settings=Settings(wide_needs_approval=True, wide_hours=2))


def search(client: Any, case_id: str, scope: dict[str, Any]) -> Any:
    body = {"case": case_id, "pictures": [{"id": client.add_picture()}], "scope": scope}
    return client.post("/api/searches", json=body)


@pytest.mark.parametrize(
    ("scope", "wide"),
    [
        ({"units": ["9901"], **HOUR}, False),
        ({"units": ["9901", "9902"], **HOUR}, True),
        ({**HOUR}, True),
        ({"units": ["99"], **HOUR}, True),
        ({"units": ["9901"]}, True),
        ({"units": ["9901"], "start": HOUR["start"]}, True),
        ({"units": ["9901"], "start": HOUR["start"], "end": format_time(START + 7_200_001)}, True),
    ],
)
def test_wide_searches_need_approval(ann: Any, scope: dict[str, Any], wide: bool) -> None:
    answer = search(ann, "A-1", scope)
    if wide:
        assert (answer.status_code, answer.json()["code"]) == (403, "approval_needed")
    else:
        assert answer.status_code == 201


def test_a_second_person_approves_and_it_lapses(
    ann: Any, sign_in: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.service import cases

    sue, wes = sign_in("sue"), sign_in("wes")
    asked = ann.post(
        "/api/approvals", json={"case": "A-1", "scope": HOUR, "reason": "no district is ruled out"}
    ).json()
    path = f"/api/approvals/{asked['id']}/decision"
    assert search(ann, "A-1", HOUR).status_code == 403, "pending is not approved"
    assert ann.post(path, json={"approve": True}).status_code == 403, "an operator cannot approve"
    assert wes.post(path, json={"approve": True}).status_code == 404, "nor a stranger to the units"
    assert sue.post(path, json={"approve": True}).json()["status"] == "approved"
    assert sue.post(path, json={"approve": False}).status_code == 409
    found = search(ann, "A-1", HOUR)
    assert found.status_code == 201
    later = {"start": HOUR["start"], "end": format_time(START + 2 * 3_600_000)}
    assert search(ann, "A-1", later).status_code == 403, "wider than approved"
    ann.open_case("A-2")
    assert search(ann, "A-2", HOUR).status_code == 403, "for another case"
    real = cases.now
    monkeypatch.setattr(cases, "now", lambda: real() + 25 * 3_600_000)
    assert search(ann, "A-1", HOUR).status_code == 403, "it has lapsed"


def test_nobody_approves_their_own(sign_in: Callable[[str], Any]) -> None:
    sue = sign_in("sue")
    sue.open_case("S-1")
    wish = {"case": "S-1", "scope": HOUR, "reason": "because I can"}
    asked = sue.post("/api/approvals", json=wish).json()
    answer = sue.post(f"/api/approvals/{asked['id']}/decision", json={"approve": True})
    assert (answer.status_code, answer.json()["code"]) == (403, "second_person")


def test_a_refused_request_allows_nothing(ann: Any, sign_in: Callable[[str], Any]) -> None:
    wish = {"case": "A-1", "scope": HOUR, "reason": "no district is ruled out"}
    asked = ann.post("/api/approvals", json=wish).json()
    sue = sign_in("sue")
    sue.post(f"/api/approvals/{asked['id']}/decision", json={"approve": False})
    assert search(ann, "A-1", HOUR).status_code == 403
    assert [one["status"] for one in ann.get("/api/approvals").json()] == ["refused"]
