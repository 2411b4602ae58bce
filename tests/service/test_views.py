"""Nobody is shown without an open case, the entry is durable first, and width is measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.city import City
from passerby.service.audit import Audit, AuditError
from passerby.service.database import Database
from passerby.service.settings import Settings
from passerby.times import format_time

START = 1_893_456_000_000
HOUR = {"start": format_time(START), "end": format_time(START + 3_600_000)}
SHOWN = ("/api/sightings/p1-C01-0", "/api/sightings/p1-C01-0/crop")


@pytest.mark.parametrize("path", SHOWN)
def test_a_picture_needs_an_open_case_of_ones_own(ann: Any, bob: Any, path: str) -> None:
    assert ann.get(path).status_code == 422, "without a case"
    assert ann.get(path, params={"case": "nothing"}).status_code == 404
    assert ann.get(path, params={"case": "B-1"}).status_code == 404, "bob's"
    assert ann.get(path, params={"case": "A-1"}).status_code == 200
    ann.post("/api/cases/A-1/close")
    answer = ann.get(path, params={"case": "A-1"})
    assert (answer.status_code, answer.json()["code"]) == (403, "case_closed")


def test_every_route_that_shows_a_person_ends_with_the_case(
    ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.service import cases

    search = ann.search("A-1")["id"]
    calls: dict[str, Callable[[], Any]] = {
        "search": lambda: ann.get(f"/api/searches/{search}"),
        "path": lambda: ann.get(f"/api/searches/{search}/trajectory"),
        "feedback": lambda: ann.put(f"/api/searches/{search}/judgement", json={}),
        "export": lambda: ann.post(f"/api/searches/{search}/exports", json={"format": "json"}),
        "crop": lambda: ann.get(SHOWN[1], params={"case": "A-1"}),
        "facts": lambda: ann.get(SHOWN[0], params={"case": "A-1"}),
        "browse": lambda: ann.get("/api/sightings", params={"case": "A-1", "camera": "C01"}),
    }
    for name, call in calls.items():
        assert call().status_code == 200, name
    real = cases.now
    monkeypatch.setattr(cases, "now", lambda: real() + 31 * 86_400_000)
    for name, call in calls.items():
        answer = call()
        assert (answer.status_code, answer.json()["code"]) == (403, "case_expired"), name


def test_the_entry_is_durable_before_the_bytes(
    ann: Any, app: FastAPI, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process reads from the disk at the moment when the picture is opened."""
    seen: list[list[str]] = []
    real = city.crops.path

    def path(name: str) -> Path:
        database = Database(city.address)
        seen.append(Audit(database, city.folder).entries(limit=1)[0].details["sightings"])
        database.close()
        return real(name)

    monkeypatch.setattr(city.crops, "path", path)
    assert ann.get(SHOWN[1], params={"case": "A-1"}).status_code == 200
    assert seen == [["p1-C01-0"]]


def test_without_the_audit_nothing_is_shown_or_changed(
    ann: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AuditError("entries 3 to 4 are missing")

    for name in ("_commit", "check"):
        monkeypatch.setattr(app.state.service.audit, name, refuse)
    answers = [
        ann.get(SHOWN[1], params={"case": "A-1"}),
        ann.get(SHOWN[0], params={"case": "A-1"}),
        ann.post("/api/cases/A-1/close"),
        ann.post("/api/session", json={"name": "bob", "password": "a long enough password"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "audit_fault")
        assert "entries 3" not in answer.text, "what is wrong is for the log"
    assert app.state.service.cases.get("A-1").closed is None


# width -------------------------------------------------------------------------------------------


def search(client: Any, scope: dict[str, Any], case: str = "A-1") -> int:
    body = {"case": case, "sightings": ["p1-C01-0"], "scope": scope}
    return int(client.post("/api/searches", json=body).status_code)


CAMERAS = [f"C{number:02d}" for number in range(1, 9)]
wide = pytest.mark.parametrize(
    "app", [Settings(wide_needs_approval=True, wide_hours=2)], indirect=True
)


@wide
@pytest.mark.parametrize(
    ("scope", "status"),
    [
        ({"units": ["9901"], **HOUR}, 201),
        ({"units": ["9901", "9902"], **HOUR}, 403),
        ({"units": ["990101", "990102", "990201", "990202"], **HOUR}, 403),
        ({"units": ["9901", "990201"], **HOUR}, 403),
        ({"cameras": CAMERAS, **HOUR}, 403),
        ({"cameras": CAMERAS[:5], **HOUR}, 403),
        ({"cameras": CAMERAS[:4], **HOUR}, 201),
        ({"units": ["99"], "cameras": ["C01"], **HOUR}, 201),
        ({"cameras": ["C01"]}, 403),
    ],
)
def test_what_is_reached_counts_not_how_it_is_named(
    ann: Any, scope: dict[str, Any], status: int
) -> None:
    assert search(ann, scope) == status


@wide
def test_narrow_looks_add_up_to_a_wide_one(ann: Any) -> None:
    assert search(ann, {"units": ["9901"], **HOUR}) == 201
    assert search(ann, {"units": ["9901"], **HOUR}) == 201, "the same again is no more"
    assert search(ann, {"units": ["990201"], **HOUR}) == 403
    ann.open_case("A-2")
    assert search(ann, {"units": ["990201"], **HOUR}, "A-2") == 201, "another case"


@wide
def test_many_short_windows_add_up_to_a_long_one(ann: Any) -> None:
    statuses = []
    for hour in range(4):
        window = [format_time(START + 3_600_000 * (hour + part)) for part in (0, 1)]
        scope = {"cameras": ["C01"], "start": window[0], "end": window[1]}
        statuses.append(search(ann, scope))
    assert statuses == [201, 201, 403, 403]


@wide
@pytest.mark.parametrize("window", [{}, HOUR])
def test_browsing_is_looking(ann: Any, window: dict[str, str]) -> None:
    statuses = [
        ann.get("/api/sightings", params={"case": "A-1", "camera": camera, **window}).status_code
        for camera in CAMERAS
    ]
    assert statuses == ([200] * 4 + [403] * 4 if window else [403] * 8)


@wide
def test_an_approval_that_has_lapsed_ends_feedback_and_path(
    ann: Any, sign_in: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.service import cases

    wish = {"case": "A-1", "scope": HOUR, "reason": "no district is ruled out"}
    asked = ann.post("/api/approvals", json=wish).json()
    sue = sign_in("sue")
    sue.post(f"/api/approvals/{asked['id']}/decision", json={"approve": True})
    found = ann.search("A-1", scope=HOUR)
    base = f"/api/searches/{found['id']}"
    assert ann.get(f"{base}/trajectory").status_code == 200
    assert search(ann, {"units": ["9901"], **HOUR}) == 201, "what was approved does not add up"
    real = cases.now
    monkeypatch.setattr(cases, "now", lambda: real() + 25 * 3_600_000)
    for answer in (
        ann.get(f"{base}/trajectory"),
        ann.put(f"{base}/judgement", json={}),
        ann.post(f"{base}/exports", json={"format": "json"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "approval_needed")
