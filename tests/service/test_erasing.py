"""Erasing by verb and by the API: bytes, tombstones, evidence of open cases, retention."""

import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from passerby.city import City, Sighting
from passerby.cli import main

DAY = 86_400_000
WHY = {"case": "A-1", "reason": "request", "purpose": "the person asked"}


def said(*words: object, status: int = 0) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert main([str(word) for word in words]) == status, err.getvalue()
    return out.getvalue(), err.getvalue()


def traces(folder: Path, one: Sighting, vector: Any, crop: bytes) -> set[str]:
    """What of a sighting is in any file of a folder: "id", "vector", "crop" or "name"."""
    marks = {"id": one.id.encode(), "vector": vector.astype("<f2").tobytes()[:64]}
    middle = len(crop) // 2  # the head of a JPEG file is the same in many
    marks |= {"crop": crop[middle : middle + 100], "name": one.crop.encode()}
    found = set()
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        found |= {mark for mark, wanted in marks.items() if wanted in data}
        found |= {"name"} if one.crop in path.name else set()
    return found


def test_no_byte_of_an_erased_sighting_is_left(city: City, app: FastAPI, ann: Any) -> None:
    found = {one.id: one for one in city.gallery.latest(99)}
    chosen = [found["p1-C01-0"], found["p1-C01-1"]]
    vectors = city.gallery.vectors([one.id for one in chosen])
    pictures = [city.crops.path(one.crop).read_bytes() for one in chosen]
    for one, vector, picture in zip(chosen, vectors, pictures, strict=True):
        assert traces(city.folder, one, vector, picture) == {"id", "vector", "crop", "name"}
    facts = json.loads(
        said("admin", "erase", city.folder, *[one.id for one in chosen], "--json")[0]
    )
    assert (facts["sightings"], facts["crops"], facts["entries"]) == (2, 2, 0)
    for one, vector, picture in zip(chosen, vectors, pictures, strict=True):
        assert traces(city.folder, one, vector, picture) == set()
    entry = app.state.service.audit.entries(limit=1)[0]
    assert (entry.action, entry.details["erased"]) == ("sightings_erased", 2)
    assert "p1-C01" not in json.dumps(entry.details)
    assert said("admin", "verify", city.folder, status=1)[1].count("erased") == 0


def test_stored_searches_forget_and_the_audit_is_counted(city: City, ann: Any) -> None:
    search = ann.search("A-1")
    names = {one["id"] for one in search["matches"]}
    assert "p1-C01-0" in names or "p1-C01-1" in names
    _, warned = said("admin", "erase", city.folder, "--tracklet", "t1-C01")
    assert re.search(r"[1-9]\d* entries of the audit still name them", warned)
    stored = ann.get(f"/api/searches/{search['id']}").json()
    assert not {"p1-C01-0", "p1-C01-1"} & {one["id"] for one in stored["matches"]}
    with city.engine.connect() as connection:
        records = [row[0] for row in connection.exec_driver_sql("SELECT record FROM searches")]
    assert records and not any("p1-C01" in str(record) for record in records)


def confirm(client: Any, case: str = "A-1") -> tuple[dict[str, Any], str]:
    """A search with its first result confirmed; and the id."""
    search = client.search(case)
    name = search["matches"][0]["id"]
    body = {"sighting": name, "verdict": "confirmed", "revision": 0}
    answer = client.post(f"/api/searches/{search['id']}/verdicts", json=body)
    assert answer.status_code == 200, answer.text
    return search, str(name)


def test_evidence_of_an_open_case_is_held_until_it_closes(city: City, ann: Any) -> None:
    _, name = confirm(ann)
    count = city.count()
    _, refused = said("admin", "erase", city.folder, name, status=2)
    assert name in refused and "evidence of an open case: A-1 (1)" in refused
    assert (
        "would be erased; evidence of open cases"
        in (said("admin", "erase", city.folder, name, "--dry-run")[0])
    )
    _, refused = said("admin", "erase", city.folder, name, "--despite-evidence", "x", status=2)
    assert "say in words" in refused
    assert city.count() == count
    assert ann.post("/api/cases/A-1/close").status_code == 200
    said("admin", "erase", city.folder, "--case", "A-1")  # the person, by what was confirmed
    assert city.count() < count


def test_evidence_goes_with_a_reason_which_the_audit_has(
    city: City, ann: Any, app: FastAPI
) -> None:
    _, name = confirm(ann)
    said("admin", "erase", city.folder, name, "--despite-evidence", "the court ordered it")
    entry = app.state.service.audit.entries(limit=1)[0]
    assert entry.details["despite"] == "the court ordered it"
    assert entry.details["evidence"] == "A-1 (1)"


def test_retention_keeps_evidence_as_long_as_its_case_is_open(
    city: City, ann: Any, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name = confirm(ann)
    newest = city.gallery.latest(1)[0].time
    monkeypatch.setattr("time.time", lambda: (newest + 2 * DAY) / 1000)
    counted, _ = said("admin", "retention", city.folder, "--days", 1, "--dry-run")
    assert "stays until they end: A-1 (2)" in counted  # the whole passage
    kept, _ = said("admin", "retention", city.folder, "--days", 1)
    assert "30 sightings" in kept and "stays until they end: A-1 (2)" in kept
    left = city.gallery.latest(99)
    assert len(left) == 2 and name in {one.id for one in left}
    assert all(one.crop in city.crops for one in left)
    entry = app.state.service.audit.entries(limit=1)[0]
    assert (entry.action, entry.details["evidence"]) == ("retention", "A-1 (2)")
    app.state.service.cases.close("A-1")
    assert "stays" not in said("admin", "retention", city.folder)[0] and city.count() == 0


def test_retention_by_the_store_keeps_what_is_held(city: City) -> None:
    found = city.gallery.latest(99)
    moment = found[5].time
    held = {found[5].id, found[20].id}
    gone = city.drop_before(found[0].time, held=held)
    left = {one.id for one in city.gallery.latest(99)}
    newest = {one.id for one in found if one.time >= found[0].time}
    assert left == newest | held and gone == len(found) - len(left)
    assert city.gallery.verify() == [] and city.gallery.get([found[5].id])[0].time == moment
    assert city.drop_before(found[0].time) == len(held - newest)


def test_a_backup_keeps_the_tombstones_and_an_older_one_takes_them_over(
    city: City, tmp_path: Path
) -> None:
    before, after = tmp_path / "before.tar", tmp_path / "after.tar"
    said("admin", "backup", city.folder, before)
    said("admin", "erase", city.folder, "p1-C01-0", "--reason", "order")
    said("admin", "backup", city.folder, after)
    again = tmp_path / "again"
    said("admin", "restore", after, again)
    with City.open(again) as restored, City.open(city.folder) as original:
        vector = np.ones(restored.gallery.dimension or 1, np.float32)
        one = original.gallery.latest(1)[0]
        back = Sighting(
            id="p1-C01-0", camera="C01", time=one.time, vector=vector,
            model=restored.gallery.model_id or "",
        )  # fmt: skip
        assert restored.add_sightings([back]) == 0
    older = tmp_path / "older"
    said("admin", "restore", before, older)
    with City.open(older) as restored:
        assert restored.count() == city.count() + 1
    assert "hashes taken over" in said("admin", "erase", older, "--as-in", city.folder)[0]
    with City.open(older) as restored:
        assert restored.count() == city.count()
    assert "nothing is left" in said("admin", "erase", older, "--again")[0]


def test_an_interrupted_erasure_is_found_and_finished(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(city.gallery), "delete", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["admin", "erase", str(city.folder), "p1-C01-0"])
    monkeypatch.undo()
    assert (
        "1 sightings that were erased are stored"
        in (said("admin", "verify", city.folder, status=1)[1])
    )
    said("admin", "erase", city.folder, "--again")
    assert "that were erased" not in said("admin", "verify", city.folder, status=1)[1]
    assert city.count() == 31


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ((), "there is no sighting to erase"),
        (("nobody",), "no sighting 'nobody'"),
        (("p1-C01-0", "nobody"), "no sighting 'nobody'"),
        (("--tracklet", "none"), "no sighting of the tracklet 'none'"),
        (("--camera", "C99"), "no camera 'C99'"),
        (("--camera", "C01", "--end", "2001-01-01T00:00Z"), "no sighting to erase"),
        (("--start", "2030-01-01T00:00Z"), "need --camera"),
        (("--camera", "C01", "--start", "yesterday"), "yesterday"),
        (("--case", "none"), "no sighting to erase"),
        (("p1-C01-0", "--again"), "name nothing else"),
    ],
)
def test_what_cannot_be_erased_is_refused(city: City, words: tuple[str, ...], error: str) -> None:
    count = city.count()
    _, refused = said("admin", "erase", city.folder, *words, status=2)
    assert error in refused and refused.count("\n") == 1
    assert city.count() == count


# the API -----------------------------------------------------------------------------------------


@pytest.fixture
def root(sign_in: Callable[[str], Any], ann: Any) -> Any:
    return sign_in("root")


def test_an_administrator_counts_and_erases_for_an_open_case(root: Any, city: City) -> None:
    wanted = {**WHY, "tracklets": ["t1-C01"]}
    counted = root.post("/api/erasures", json={**wanted, "count_only": True})
    assert counted.json()["sightings"] == 2 and city.count() == 32
    done = root.post("/api/erasures", json=wanted)
    assert done.status_code == 200 and done.json()["sightings"] == 2 and city.count() == 30
    (past,) = root.get("/api/erasures").json()
    assert (past["reason"], past["sightings"]) == ("request", 2)
    window = {"camera": "C08", "start": "2030-01-01T00:00:00Z", "end": "2030-01-01T00:05:00Z"}
    assert root.post("/api/erasures", json={**WHY, **window}).json()["sightings"] == 2
    assert root.post("/api/erasures", json={**WHY, "confirmed_in": "A-1"}).status_code == 422


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"case": "none"}, 404, "not_found"),
        ({"confirmed_in": "none"}, 404, "not_found"),
        ({"sightings": ["nobody"]}, 422, "no_sighting"),
        ({"sightings": []}, 422, "nothing_to_erase"),
        ({"purpose": "x"}, 422, "erasure_words"),
        ({"reason": "because"}, 422, "malformed"),
        ({"camera": "C99"}, 404, "not_found"),
        ({"start": "2030-01-01T00:00:00Z"}, 422, "window_needs_camera"),
    ],
)
def test_refusals(root: Any, city: City, change: dict[str, Any], status: int, code: str) -> None:
    answer = root.post("/api/erasures", json={**WHY, "sightings": ["p1-C01-0"], **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert city.count() == 32


def test_evidence_is_held_and_the_case_is_named(root: Any, ann: Any, city: City) -> None:
    _, name = confirm(ann)
    wanted = {**WHY, "sightings": [name]}
    counted = root.post("/api/erasures", json={**wanted, "count_only": True}).json()
    assert counted["evidence"] == "A-1 (1)"
    answer = root.post("/api/erasures", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (422, "evidence_held")
    assert "A-1" in answer.json()["error"] and city.count() == 32
    wanted["despite_evidence"] = "the court ordered it"
    assert root.post("/api/erasures", json=wanted).status_code == 200
    assert city.count() == 31


def test_a_closed_case_a_strange_unit_and_another_role_erase_nothing(
    root: Any, ann: Any, app: FastAPI, sign_in: Callable[[str], Any], city: City
) -> None:
    wanted = {**WHY, "sightings": ["p1-C01-0"]}
    for client in (ann, sign_in("sue")):
        assert client.post("/api/erasures", json=wanted).status_code == 403
        assert client.get("/api/erasures").status_code == 403
    app.state.service.accounts.create("eve", "administrator", ("9902",), "a long enough password")
    eve = sign_in("eve")
    assert eve.post("/api/erasures", json=wanted).status_code == 404  # the case is the city's
    assert eve.get("/api/erasures").status_code == 404
    ann.post("/api/cases/A-1/close")
    assert root.post("/api/erasures", json=wanted).json()["code"] == "case_closed"
    assert city.count() == 32


def test_a_part_of_the_city_is_erased_by_its_own_administrator_alone(
    ann: Any, bob: Any, app: FastAPI, sign_in: Callable[[str], Any], city: City
) -> None:
    app.state.service.accounts.create("eve", "administrator", ("9901",), "a long enough password")
    eve = sign_in("eve")
    for name, status in (("p1-C05-0", 404), ("p1-C01-0", 200)):
        body = {**WHY, "case": "B-1", "sightings": [name]}
        assert eve.post("/api/erasures", json=body).status_code == status
    assert city.count() == 31


def test_erased_crops_are_shown_nobody(root: Any, ann: Any) -> None:
    shown = "/api/sightings/p1-C01-0/crop?case=A-1"
    assert ann.get(shown).status_code == 200
    root.post("/api/erasures", json={**WHY, "sightings": ["p1-C01-0"]})
    assert ann.get(shown).status_code == 404
