"""Clips and clocks by an administrator: exact access, audited, refused outside the units."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI

from passerby.city import City, Scope
from passerby.city.cameras import changed, retired
from passerby.city.changes import change_camera
from passerby.city.clips import STORED, ClipRecord, clip_name, find_clip, write_clip
from passerby.errors import InputError
from passerby.times import format_time

START = 1_777_593_600_000
MINUTE = 60_000
IN_B = (121.414, 31.202)


def add_clip(city: City, camera: str, start: int = START, people: int = 3) -> ClipRecord:
    """A clip of ten minutes with a gap, and sightings of its own."""
    content = f"{camera}-content"
    record = ClipRecord(
        name=clip_name(content, camera, start), content=content, camera=camera, start=start,
        source=f"/srv/recorder/{camera}.mp4", state=STORED, first=start, last=start + 10 * MINUTE,
        gaps=((start + MINUTE, start + 2 * MINUTE),), frames=900, sightings=people, ingested=START,
    )  # fmt: skip
    write_clip(city, record)
    like = next(iter(city.gallery.latest(1)))
    vector = city.gallery.vectors([like.id])[0]
    city.add_sightings(
        dataclasses.replace(
            like, id=f"{record.name}-{n}-0", tracklet=f"{record.name}-{n}", camera=camera, unit="",
            time=start + n * 1000, vector=vector, crop="", attributes=(),
        )
        for n in range(people)
    )  # fmt: skip
    return record


@pytest.fixture
def root(sign_in: Callable[[str], Any]) -> Any:
    return sign_in("root")


@pytest.fixture
def dan(app: FastAPI, sign_in: Callable[[str], Any]) -> Any:
    """An administrator of one district."""
    app.state.service.accounts.create("dan", "administrator", ("9902",), "a long enough password")
    return sign_in("dan")


def test_a_clip_is_listed_retimed_and_deleted(app: FastAPI, root: Any) -> None:
    city: City = app.state.service.city
    record = add_clip(city, "C01")
    (shown,) = root.get("/api/clips", params={"camera": "C01"}).json()
    assert (shown["source"], shown["frames"], shown["sightings"]) == ("C01.mp4", 900, 3)
    assert shown["start"] == format_time(START)
    assert shown["gaps"] == [[format_time(START + MINUTE), format_time(START + 2 * MINUTE)]]
    new = START - 60 * MINUTE
    path = f"/api/clips/{record.name}"
    answer = root.patch(path, json={"start": format_time(new)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["retimed"] == 3
    name = answer.json()["clip"]["name"]
    assert name == clip_name(record.content, "C01", new) != record.name
    ids = {one.id for one in city.gallery.latest(999, Scope(cameras=("C01",), end=START))}
    assert ids == {f"{name}-{n}-0" for n in range(3)}
    assert root.delete(path).status_code == 404, "the old name is gone"
    gone = root.delete(f"/api/clips/{name}").json()
    assert gone == {"deleted": 3, "crops": 0}
    assert root.get("/api/clips", params={"camera": "C01"}).json() == []
    retimed, deleted = (
        next(one for one in root.get("/api/audit").json() if one["action"] == action)
        for action in ("clip_retimed", "clip_deleted")
    )
    assert retimed["details"]["now"] == name and retimed["details"]["retimed"] == 3
    assert deleted["details"]["clip"] == name and deleted["details"]["deleted"] == 3
    assert retimed["units"] == deleted["units"] == [city.camera("C01").unit]


def test_clips_are_listed_some_at_a_time_newest_first(app: FastAPI, root: Any) -> None:
    made = [add_clip(app.state.service.city, "C01", START + n * MINUTE, 1).name for n in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"camera": "C01", "limit": 2}
    while some := root.get("/api/clips", params=query).json():
        assert len(some) <= 2
        seen += [one["name"] for one in some]
        query["after"] = seen[-1]
    assert seen == made[::-1]
    query["after"] = "nothing"
    assert root.get("/api/clips", params=query).status_code == 404


def test_times_that_cannot_be_are_refused(app: FastAPI, root: Any) -> None:
    city: City = app.state.service.city
    record = add_clip(city, "C01")
    path = f"/api/clips/{record.name}"
    for start in ("1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
        assert root.patch(path, json={"start": start}).status_code == 422
    assert root.patch(path, json={}).status_code == 422, "nothing was interrupted"
    change_camera(city, "C01", lambda one: retired(one, START + 100 * MINUTE))
    late = root.patch(path, json={"start": format_time(START + 95 * MINUTE)})
    assert late.status_code == 422 and "C01" in late.json()["error"], "it ends after the camera"
    assert find_clip(city, record.name) == record, "nothing was changed"
    early = {"start": "1999-01-01T00:00:00Z", "any_time": True}
    assert root.patch(path, json=early).json()["retimed"] == 3


def test_a_clip_belongs_to_the_units_of_its_time(app: FastAPI, root: Any, dan: Any) -> None:
    """C01 stands in 9901, and since an hour after the clip in 9902; C08 stands in 9902."""
    city: City = app.state.service.city
    first, own = add_clip(city, "C01"), add_clip(city, "C08")
    unit = city.camera("C08").unit
    moved = START + 60 * MINUTE
    change_camera(city, "C01", lambda one: changed(one, moved, place=IN_B, unit=unit))
    later = add_clip(city, "C01", START + 120 * MINUTE)
    across = add_clip(city, "C01", START + 55 * MINUTE)
    listed = dan.get("/api/clips", params={"camera": "C01"}).json()
    assert [one["name"] for one in listed] == [later.name]
    assert len(root.get("/api/clips", params={"camera": "C01"}).json()) == 3
    for hidden in (first.name, across.name, "0" * 16, later.name[:8]):
        assert dan.delete(f"/api/clips/{hidden}").status_code == 404
        back = {"start": format_time(START)}
        assert dan.patch(f"/api/clips/{hidden}", json=back).status_code == 404
    into = {"start": format_time(START - MINUTE)}
    assert dan.patch(f"/api/clips/{later.name}", json=into).status_code == 404, "not into 9901"
    assert dan.delete(f"/api/clips/{own.name}").json()["deleted"] == 3
    assert dan.get("/api/clips", params={"camera": "C03"}).status_code == 404
    assert dan.get("/api/clips", params={"camera": "nobody"}).status_code == 404


def test_a_clip_of_an_older_program_is_for_the_whole_city(
    app: FastAPI, dan: Any, root: Any
) -> None:
    write_clip(app.state.service.city, ClipRecord(name="0123456789abcdef", state=STORED))
    assert dan.delete("/api/clips/0123456789abcdef").status_code == 404
    assert root.delete("/api/clips/0123456789abcdef").status_code == 200
    with pytest.raises(InputError):
        find_clip(app.state.service.city, "0123456789abcdef")


def test_others_than_administrators_are_refused(app: FastAPI, ann: Any) -> None:
    record = add_clip(app.state.service.city, "C01")
    assert ann.get("/api/clips", params={"camera": "C01"}).status_code == 403
    assert ann.patch(f"/api/clips/{record.name}", json={}).status_code == 403
    assert ann.delete(f"/api/clips/{record.name}").status_code == 403
    assert ann.post("/api/cameras/clocks", json={}).status_code == 403


def test_clocks_are_estimated_for_the_granted_cameras(root: Any, dan: Any) -> None:
    found = root.post("/api/cameras/clocks", json={}).json()
    assert [one["camera"] for one in found["cameras"]] == [f"C0{n}" for n in range(1, 9)]
    for one in found["cameras"]:  # four people
        assert one["reason"] == "few"
        assert f"only {one['people']} people" in one["refusal"]
    assert (found["least"], found["calibrated"], found["cut"]) == (8, False, False)
    own = dan.post("/api/cameras/clocks", json={"within": 600}).json()["cameras"]
    assert [one["camera"] for one in own] == ["C05", "C06", "C07", "C08"]
    empty = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}
    none = root.post("/api/cameras/clocks", json=empty).json()["cameras"]
    assert {one["reason"] for one in none} == {"nobody"}
    assert root.post("/api/cameras/clocks", json={"within": 1e9}).status_code == 422
    entries = [one for one in root.get("/api/audit").json() if one["action"] == "clocks_estimated"]
    assert [(one["account"], one["units"]) for one in entries] == [
        ("root", ["99"]), ("dan", ["9902"]), ("root", ["99"])
    ]  # fmt: skip
