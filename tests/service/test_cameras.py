"""Cameras by an administrator: exact access before and after a move, audited, refused outside."""

from typing import Any

import pytest

from passerby.city import City
from passerby.city.cameras import retired
from passerby.city.changes import change_camera
from passerby.times import format_time

START = 1_893_456_000_000
MINUTE = 60_000
IN_A, IN_B = [121.402, 31.202], [121.414, 31.202]  # Old Town, and Harbour


@pytest.fixture
def root(client: Any) -> Any:
    client.sign_in("root", "a long enough password")
    return client


@pytest.fixture
def client(app: Any, ann: Any) -> Any:
    return type(ann)(app)


def signed(app: Any, ann: Any, name: str) -> Any:
    other = type(ann)(app)
    other.sign_in(name, "a long enough password")
    return other


def browse(client: Any, case: str, camera: str) -> set[str]:
    answer = client.get("/api/sightings", params={"case": case, "camera": camera, "limit": 200})
    return {one["id"] for one in answer.json()} if answer.status_code == 200 else set()


def test_after_a_move_each_district_sees_its_own_time(app: Any, ann: Any, root: Any) -> None:
    """bob sees 9901; wes sees 9902; C01 moves from one to the other between its two passages."""
    bob, wes = signed(app, ann, "bob"), signed(app, ann, "wes")
    bob.open_case("B-1")
    wes.open_case("W-1")
    city: City = app.state.service.city
    seen = {one.id: one for one in city.gallery.latest(1000) if one.camera == "C01"}
    when = START + 20 * MINUTE
    early = {name for name, one in seen.items() if one.time < when}
    late = set(seen) - early
    assert early and late
    moved = root.patch("/api/cameras/C01", json={"place": IN_B, "at": format_time(when)})
    assert moved.status_code == 200, moved.text
    assert moved.json()["replaced"] == len(late)
    assert moved.json()["camera"]["geometry"]["coordinates"] == IN_B
    assert [one["unit"][:4] for one in moved.json()["camera"]["properties"]["history"]] == [
        "9901", "9902"
    ]  # fmt: skip
    best = {name.rsplit("-", 1)[0] for name in early}
    assert {name.rsplit("-", 1)[0] for name in browse(bob, "B-1", "C01")} == best
    assert browse(wes, "W-1", "C01") <= late and browse(wes, "W-1", "C01")
    for name in seen:
        cases = ((bob, {"case": "B-1"}), (wes, {"case": "W-1"}))
        (mine, own), (others, theirs) = cases if name in early else cases[::-1]
        assert mine.get(f"/api/sightings/{name}", params=own).status_code == 200
        assert others.get(f"/api/sightings/{name}", params=theirs).status_code == 404
        assert others.get(f"/api/sightings/{name}/crop", params=theirs).status_code == 404
    places = {}
    for client, name in ((bob, "bob"), (wes, "wes")):
        features = client.get("/api/cameras").json()["features"]
        (one,) = [f for f in features if f["properties"]["id"] == "C01"]
        assert len(one["properties"]["history"]) == 1
        places[name] = one["geometry"]["coordinates"]
        counts = {c["camera"]: c["sightings"] for c in client.get("/api/coverage").json()}
        assert counts["C01"] == len(early if name == "bob" else late)
    assert places == {"bob": pytest.approx(IN_A), "wes": IN_B}
    entries = root.get("/api/audit").json()
    (entry,) = [one for one in entries if one["action"] == "camera_moved"]
    assert entry["details"]["replaced"] == len(late)
    assert {unit[:4] for unit in entry["units"]} == {"9901", "9902"}


def test_add_rename_clock_retire(root: Any, app: Any) -> None:
    new = {"id": "N1", "place": [121.403, 31.203], "name": "Gate", "name_zh": "门", "heading": 90}
    added = root.post("/api/cameras", json=new)
    assert added.status_code == 201, added.text
    assert added.json()["camera"]["properties"]["number"] == 9
    assert root.post("/api/cameras", json=new).status_code == 422
    renamed = root.patch("/api/cameras/N1", json={"name": "Yard", "name_zh": "院"})
    versions = renamed.json()["camera"]["properties"]["history"]
    assert [one["name"] for one in versions] == ["Gate", "Yard"]
    timed = root.patch("/api/cameras/C02", json={"clock": 95.5, "apply_clock": True}).json()
    own = [one for one in app.state.service.city.gallery.latest(999) if one.camera == "C02"]
    assert timed["retimed"] == len(own) > 0
    assert {dict(one.attributes)["clock"] for one in own} == {"95500"}
    assert len(timed["camera"]["properties"]["history"]) == 1  # since ever
    gone = root.post("/api/cameras/N1/retirement", json={})
    assert gone.json()["camera"]["properties"]["valid_to"] is not None
    actions = [one["action"] for one in root.get("/api/audit").json()]
    assert actions[:4] == ["camera_retired", "camera_clock_set", "camera_renamed", "camera_added"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "a b", "place": IN_A}, 422),
        ({"id": "x", "place": [500, 0]}, 422),
        ({"id": "x", "place": [10, 10]}, 422),
        ({"id": "x", "place": IN_A, "unit": "99"}, 422),
        ({"id": "x", "place": IN_A, "at": "yesterday"}, 422),
        ({"id": "x"}, 422),
    ],
)
def test_bad_cameras_are_refused(root: Any, body: dict[str, Any], status: int) -> None:
    assert root.post("/api/cameras", json=body).status_code == status


def test_only_administrators_change_and_only_in_their_units(app: Any, ann: Any, root: Any) -> None:
    new = {"id": "N1", "place": IN_A}
    assert ann.post("/api/cameras", json=new).status_code == 403
    assert ann.patch("/api/cameras/C01", json={"name": "x"}).status_code == 403
    accounts = app.state.service.accounts
    accounts.create("dan", "administrator", ("9902",), "a long enough password")
    dan = signed(app, ann, "dan")
    assert dan.post("/api/cameras", json=new).status_code == 404
    assert dan.patch("/api/cameras/C01", json={"name": "x"}).status_code == 404
    assert dan.patch("/api/cameras/C08", json={"place": IN_A}).status_code == 404
    assert dan.post("/api/cameras/C01/retirement", json={}).status_code == 404
    assert dan.patch("/api/cameras/nobody", json={"name": "x"}).status_code == 404
    assert dan.patch("/api/cameras/C08", json={"name": "x"}).status_code == 200
    assert root.patch("/api/cameras/C01", json={}).status_code == 422


def test_a_running_service_sees_what_the_command_line_changes(app: Any, ann: Any) -> None:
    with City.open(app.state.service.city.folder) as other:
        change_camera(other, "C01", lambda one: retired(one, START + MINUTE))
    features = ann.get("/api/cameras").json()["features"]
    (one,) = [f for f in features if f["properties"]["id"] == "C01"]
    assert one["properties"]["valid_to"] == format_time(START + MINUTE)
