"""A search, its judgement, its path and its exports, on the real parts."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from passerby.city import City, Scope
from passerby.errors import InputError
from passerby.runtime import Embedder
from passerby.service.access import Access
from passerby.service.database import SEARCHES
from passerby.times import format_time

START = 1_893_456_000_000
VECTOR_WORDS = ("vector", "embedding")


def first_of(found: dict[str, Any]) -> str:
    return str(found["matches"][0]["id"])


def test_the_person_comes_first(ann: Any) -> None:
    found = ann.search("A-1", identity=1)
    best = [one["id"].split("-")[0] for one in found["matches"][:4]]
    assert best[0] == "p1"
    assert best.count("p1") >= 3, "untrained as it is, the network tells drawn colours apart"
    assert found["searched"] == 32
    assert found["verdict"] == "uncalibrated"
    assert [one["rank"] for one in found["matches"]] == list(range(1, 17))
    assert all(one["members"] for one in found["matches"]), "a result is a tracklet"
    assert found["silent"] == []


def test_scope_is_kept(ann: Any) -> None:
    scope = {
        "units": ["9902"],
        "start": format_time(START),
        "end": format_time(START + 15 * 60_000),
    }
    found = ann.search("A-1", scope=scope)
    assert {one["unit"][:4] for one in found["matches"]} == {"9902"}
    assert all(one["time"] < scope["end"] for one in found["matches"])
    assert found["scope"]["units"] == ["9902"]
    cameras = ann.search("A-1", scope={"cameras": ["C01"]})
    assert {one["camera"] for one in cameras["matches"]} == {"C01"}


def test_nobody_in_the_scope(ann: Any) -> None:
    window = {"start": format_time(START - 7_200_000), "end": format_time(START - 3_600_000)}
    found = ann.search("A-1", scope=window)
    assert (found["verdict"], found["matches"], found["searched"]) == ("empty", [], 0)
    assert sorted(found["silent"]) == found["cameras"] == [f"C{i:02d}" for i in range(1, 9)]
    path = ann.get(f"/api/searches/{found['id']}/trajectory").json()
    assert path["visits"] == []


def test_a_sighting_as_query(ann: Any) -> None:
    body = {"case": "A-1", "sightings": ["p3-C04-0"]}
    found = ann.post("/api/searches", json=body).json()
    assert first_of(found) == "p3-C04-0"
    assert found["confirmed"] == ["p3-C04-0"], "who was chosen is the person"
    unknown = ann.post("/api/searches", json={"case": "A-1", "sightings": ["nobody"]})
    assert unknown.status_code == 404


def test_results_by_tracklet_visit_or_sighting(ann: Any) -> None:
    counts = {}
    for group in ("tracklet", "visit", "sighting"):
        body = {"case": "A-1", "sightings": ["p3-C04-0"], "group": group}
        found = ann.post("/api/searches", json=body).json()
        assert found["group"] == group
        assert not found["second_stage"]
        counts[group] = len(found["matches"])
        assert sum(1 + len(one["members"]) for one in found["matches"]) == 32
        again = ann.get(f"/api/searches/{found['id']}").json()
        assert again["matches"] == found["matches"]
    assert counts["visit"] <= counts["tracklet"] < counts["sighting"] == 32
    body = {"case": "A-1", "sightings": ["p3-C04-0"], "group": "person"}
    assert ann.post("/api/searches", json=body).status_code == 422


def test_a_scope_of_qualities_and_attributes(ann: Any) -> None:
    scope = {"quality": 0.5, "attributes": [["upper", "red"]]}
    body = {"case": "A-1", "sightings": ["p3-C04-0"], "scope": scope}
    found = ann.post("/api/searches", json=body).json()
    assert found["searched"] == 0
    assert found["scope"]["attributes"] == [["upper", "red"]]
    body["scope"] = {"quality": 0.0}
    assert ann.post("/api/searches", json=body).json()["searched"] == 32


def test_judging_ranks_again(ann: Any) -> None:
    found = ann.search("A-1", identity=1)
    wrong = next(one for one in found["matches"] if not one["id"].startswith("p1"))
    right = first_of(found)
    path = f"/api/searches/{found['id']}/judgement"
    judged = ann.put(path, json={"confirmed": [right], "rejected": [wrong["id"]]}).json()
    assert (judged["confirmed"], judged["rejected"]) == ([right], [wrong["id"]])
    assert judged["revision"] == 1
    shown = {name for one in judged["matches"] for name in (one["id"], *one["members"])}
    assert wrong["id"] not in shown
    assert len(judged["matches"]) == len(found["matches"]) - 1
    trace = ann.get(f"/api/searches/{found['id']}/trajectory").json()
    on_path = {one["id"] for visit in trace["visits"] for one in visit["sightings"]}
    assert right in on_path
    assert wrong["id"] not in on_path
    back = ann.put(path, json={}).json()
    assert wrong["id"] in {name for one in back["matches"] for name in (one["id"], *one["members"])}


@pytest.mark.parametrize(
    "judgement",
    [{"confirmed": ["nobody"]}, {"rejected": ["nobody"]}],
)
def test_only_what_was_found_is_judged(ann: Any, judgement: dict[str, list[str]]) -> None:
    found = ann.search("A-1")
    assert ann.put(f"/api/searches/{found['id']}/judgement", json=judgement).status_code == 422
    both = {"confirmed": [first_of(found)], "rejected": [first_of(found)]}
    assert ann.put(f"/api/searches/{found['id']}/judgement", json=both).status_code == 422


def test_the_path(ann: Any, walks: dict[int, list[tuple[str, int]]]) -> None:
    found = ann.search("A-1", identity=1)
    for match in found["matches"][:4]:
        ann.put(f"/api/searches/{found['id']}/judgement", json={"confirmed": [match["id"]]})
    path = ann.get(f"/api/searches/{found['id']}/trajectory").json()
    cameras = [visit["camera"] for visit in path["visits"]]
    assert set(cameras) & {camera for camera, _ in walks[1]}
    assert len(path["legs"]) == len(path["visits"]) - 1
    for leg in path["legs"]:
        assert leg["reason"]
        assert leg["path"]


def test_the_scope_is_evaluated_once_a_search(
    ann: Any, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("count", "coverage", "search", "latest"):

        def spy(
            *words: Any, name: str = name, real: Any = getattr(city.gallery, name), **o: Any
        ) -> Any:
            calls.append(name)
            return real(*words, **o)

        monkeypatch.setattr(city.gallery, name, spy)
    narrowed: list[Scope] = []
    narrow = Access.narrow
    monkeypatch.setattr(
        Access, "narrow", lambda self, scope: narrowed.append(scope) or narrow(self, scope)
    )
    found = ann.search("A-1", scope={"units": ["9901"]})
    assert calls == ["coverage", "search"]
    assert len(narrowed) == 1
    calls.clear()
    assert ann.get(f"/api/searches/{found['id']}").json() == found
    assert calls == [], "what was stored is read as it is"


def test_a_search_that_an_older_version_stored_is_read(ann: Any, app: FastAPI) -> None:
    found = ann.search("A-1")
    with app.state.service.database.write() as connection:
        record = connection.scalar(sa.select(SEARCHES.c.record))
        older = {**record, "scope": record["answer"].pop("scope")}
        for key in ("cameras", "silent", "second_stage"):
            del older["answer"][key]
        connection.execute(SEARCHES.update().values(record=older))
    read = ann.get(f"/api/searches/{found['id']}").json()
    assert read == {**found, "cameras": [], "silent": []}


def test_a_search_is_its_accounts_own(ann: Any, sign_in: Callable[[str], Any]) -> None:
    found = ann.search("A-1")
    sue = sign_in("sue")
    for call in (
        sue.get(f"/api/searches/{found['id']}"),
        sue.get(f"/api/searches/{found['id']}/trajectory"),
        sue.put(f"/api/searches/{found['id']}/judgement", json={}),
        sue.post(f"/api/searches/{found['id']}/exports", json={"format": "json"}),
    ):
        assert call.status_code == 404
    assert sue.get("/api/searches").json() == []
    assert [one["id"] for one in ann.get("/api/searches").json()] == [found["id"]]


def test_after_a_restart_a_search_can_be_read_but_not_judged(
    ann: Any, make_app: Callable[..., FastAPI]
) -> None:
    found = ann.search("A-1")
    again = type(ann)(make_app())
    again.sign_in("ann", "a long enough password")
    read = again.get(f"/api/searches/{found['id']}").json()
    assert [one["id"] for one in read["matches"]] == [one["id"] for one in found["matches"]]
    answer = again.put(f"/api/searches/{found['id']}/judgement", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "query_forgotten")


def test_the_service_follows_the_gallery_to_another_network(
    ann: Any, make_app: Callable[..., FastAPI], city: City, embedder: Embedder
) -> None:
    other = Embedder(embedder.backend, embedder.card, "another-network")
    desk = type(ann)(make_app(following=other))
    desk.sign_in("ann", "a long enough password")
    before = desk.search("A-1")
    assert before["model"] == embedder.model_id
    stage = city.gallery.stage(other.model_id)
    ids = [one.id for one in stage.missing(1000)]
    # every vector turned about: found again only where all of a search is of one network
    stage.put(ids, -city.gallery.vectors(ids))
    assert stage.switch()
    answer = desk.put(f"/api/searches/{before['id']}/judgement", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "other_network")
    assert desk.get(f"/api/searches/{before['id']}").json()["model"] == embedder.model_id
    after = desk.search("A-1")
    assert after["model"] == other.model_id
    assert after["matches"][0]["similarity"] < before["matches"][0]["similarity"]
    confirmed = {"confirmed": [after["matches"][0]["id"]]}
    assert desk.put(f"/api/searches/{after['id']}/judgement", json=confirmed).status_code == 200
    with pytest.raises(InputError, match="the gallery was made by 'another-network', this is"):
        make_app()


def test_an_empty_city_says_so(make_app: Callable[..., FastAPI], city: City, ann: Any) -> None:
    from passerby.city import Scope

    city.delete(Scope())
    city.compact()
    picture = ann.add_picture()
    answer = ann.post("/api/searches", json={"case": "A-1", "pictures": [{"id": picture}]})
    body = answer.json()
    assert answer.status_code in (201, 409)
    assert body.get("code") == "empty_gallery" or body["verdict"] == "empty"
    assert str(city.folder) not in answer.text


def test_exports_say_who_why_when(ann: Any, app: FastAPI) -> None:
    found = ann.search("A-1")
    for kind in ("json", "csv", "geojson"):
        answer = ann.post(f"/api/searches/{found['id']}/exports", json={"format": kind})
        assert answer.status_code == 200
        assert f".{kind}" in answer.headers["content-disposition"]
        number = int(answer.headers["x-audit-number"])
        entry = app.state.service.audit.entries(limit=1)[0]
        assert (entry.number, entry.action, entry.details["format"]) == (number, "exported", kind)
        origin = origin_of(kind, answer.text)
        assert origin["exported_by"] == "ann"
        assert origin["case"] == "A-1"
        assert origin["purpose"] == "Find a missing child"
        assert int(origin["audit"]) == number
        assert origin["audit_digest"] == entry.digest
        assert not any(word in answer.text.lower() for word in VECTOR_WORDS)
    assert (
        ann.post(f"/api/searches/{found['id']}/exports", json={"format": "pdf"}).status_code == 422
    )


def origin_of(kind: str, text: str) -> dict[str, Any]:
    if kind == "csv":
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
        assert len(rows) == 16
        return dict(rows[0])
    whole = json.loads(text)
    if kind == "json":
        assert len(whole["results"]) == 16
        return dict(whole["origin"])
    kinds = {feature["properties"]["kind"] for feature in whole["features"]}
    assert "result" in kinds
    return dict(whole["passerby"])


def test_formulas_in_names_are_harmless() -> None:
    from passerby.service.routes.exports import _harmless

    assert _harmless("=1+1") == "'=1+1"
    assert _harmless("@x") == "'@x"
    assert _harmless("C01") == "C01"
    assert _harmless(-3.5) == -3.5


def test_what_was_done_is_in_the_audit(ann: Any, app: FastAPI) -> None:
    found = ann.search("A-1")
    ann.get(f"/api/searches/{found['id']}/trajectory")
    for name in ("p1-C01-0", "p1-C01-1", "p2-C08-0"):
        assert ann.get(f"/api/sightings/{name}/crop?case=A-1").status_code == 200
    ann.get("/api/sightings", params={"case": "A-1", "camera": "C01"})
    ann.delete("/api/session")
    entries = app.state.service.audit.entries()
    actions = [entry.action for entry in reversed(entries)]
    assert actions == [
        "signed_in",
        "case_opened",
        "searched",
        "traced",
        *["crops_viewed"] * 3,
        "browsed",
        "signed_out",
    ]
    by_action = {entry.action: entry for entry in entries}
    searched = by_action["searched"]
    assert (searched.account, searched.case) == ("ann", "A-1")
    assert len(searched.details["pictures"][0]) == 64
    assert searched.details["model"]
    assert len(searched.details["results"]) == 32
    views = [one for one in reversed(entries) if one.action == "crops_viewed"]
    assert [one.details["sightings"] for one in views] == [["p1-C01-0"], ["p1-C01-1"], ["p2-C08-0"]]
    assert {one.case for one in views} == {"A-1"}
    assert app.state.service.audit.verify().intact


def test_browsing_a_camera(ann: Any, bob: Any) -> None:
    seen = ann.get("/api/sightings", params={"case": "A-1", "camera": "C01"}).json()
    assert [one["tracklet"] for one in seen] == ["t3-C01", "t1-C01"], "newest first, one a tracklet"
    assert ann.get("/api/sightings", params={"camera": "C01"}).status_code == 422
    outside = {"case": "B-1", "camera": "C08"}
    assert bob.get("/api/sightings", params=outside).status_code == 404


def test_the_audit_page_shows_units_of_the_supervisor_alone(
    ann: Any, bob: Any, sign_in: Callable[[str], Any]
) -> None:
    ann.search("A-1", scope={"units": ["9902"]})
    bob.search("B-1")
    seen = {}
    for name in ("sue", "wes"):
        client = sign_in(name)
        seen[name] = client.get("/api/audit").json()
        assert client.get("/api/audit/verification").json()["intact"]
    assert {one["account"] for one in seen["sue"]} >= {"ann", "bob"}
    assert {one["account"] for one in seen["wes"]} == {"ann", "wes"}
    assert all(u.startswith("9902") for one in seen["wes"] for u in one["units"])
    assert ann.get("/api/audit").status_code == 403
