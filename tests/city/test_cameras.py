"""Cameras with a history: exact scopes by time, and sightings that follow a change."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from passerby.city import Camera, City, Scope, Sighting
from passerby.city import changes as changes_module
from passerby.city.cameras import ALWAYS, changed, nearest_version, retired, version_at
from passerby.city.changes import (
    Changed,
    add_camera,
    change_camera,
    settle,
    unit_at,
)
from passerby.city.trajectory import trace
from passerby.errors import InputError
from passerby.metrics import Calibration

START = 1_777_593_600_000
HOUR = 3_600_000


def camera(**facts: Any) -> Camera:
    usual = {"id": "C", "number": 1, "name": "C", "name_zh": "C", "unit": "a", "place": (0.0, 0.0)}
    return Camera(**{**usual, **facts})


def seen(city: City, name: str, minutes: list[int], **facts: Any) -> list[Sighting]:
    rng = np.random.default_rng(len(minutes))
    made = [
        Sighting(
            id=f"{name}-{minute}",
            camera=name,
            time=START + minute * 60_000,
            vector=rng.normal(size=8).astype(np.float32),
            model="toy",
            **facts,
        )
        for minute in minutes
    ]
    city.add_sightings(made)
    return made


def move(city: City, name: str, place: tuple[float, float], time: int) -> Changed:
    unit = unit_at(city, name, place)
    return change_camera(city, name, lambda one: changed(one, time, place=place, unit=unit))


def test_a_history_has_one_version_at_each_time() -> None:
    one = (camera(),)
    two = changed(one, 100, place=(1.0, 1.0))
    assert [version.place for version in two] == [(0.0, 0.0), (1.0, 1.0)]
    assert two[0].valid_from == ALWAYS and two[0].valid_to == two[1].valid_from == 100
    three = changed(two, 50, name="gate")  # a change of the past holds on
    assert [(version.name, version.place[0]) for version in three] == [
        ("C", 0.0), ("gate", 0.0), ("gate", 1.0)
    ]  # fmt: skip
    four = changed(three, 20, place=(2.0, 2.0))  # but not over what was changed again
    assert [version.place[0] for version in four] == [0.0, 2.0, 2.0, 1.0]
    assert changed(two, 100, place=(0.0, 0.0)) == one  # taken back
    ended = retired(four, 200)
    for time in range(-10, 260, 7):
        held = [version for version in ended if version.holds(time)]
        assert len(held) == (time < 200)
        assert version_at(ended, time) == (held[0] if held else None)
    assert nearest_version(ended, 500) == ended[-1]
    with pytest.raises(InputError, match="was retired at"):
        changed(ended, 300, name="x")
    with pytest.raises(InputError, match="retire it after that"):
        retired(four, 60)


def test_a_scope_of_a_unit_holds_a_camera_while_it_stood_there(city: City) -> None:
    seen(city, "C01", list(range(0, 120, 10)))
    old, new = city.cameras["C01"].unit, city.cameras["C16"].unit
    done = move(city, "C01", city.cameras["C16"].place, START + HOUR)
    assert (done.replaced, done.retimed) == (6, 0)
    assert move(city, "C01", city.cameras["C16"].place, START + HOUR) == Changed()
    seen(city, "C01", [30 + 1, 90 + 1])  # what comes later falls in by its time
    assert (city.count(Scope(units=(old,))), city.count(Scope(units=(new,)))) == (7, 7)
    assert all(one.time < START + HOUR for one in city.gallery.latest(99, Scope(units=(old,))))
    district = {unit[:4] for unit in (old, new)}
    assert len(district) == 2
    for unit in district:
        assert city.count(Scope(units=(unit,))) == 7
    late = Scope(units=(old,), start=START + HOUR)
    assert "C01" not in city.cameras_in(late) and "C01" in city.cameras_in(Scope(units=(old,)))
    assert {one.camera for one in city.coverage(late)}.isdisjoint({"C01"})
    with City.open(city.folder) as again:
        assert again.history == city.history
    assert city.gallery.verify() == []


def test_another_process_sees_the_change_at_its_next_add(city: City) -> None:
    with City.open(city.folder) as other:
        move(city, "C01", city.cameras["C16"].place, START)
        seen(other, "C01", [5])
        assert other.gallery.get(["C01-5"])[0].unit == city.cameras["C16"].unit


def test_a_unit_of_its_own_is_left_alone(city: City) -> None:
    own = city.cameras["C09"].unit
    seen(city, "C01", [70], unit=own)
    assert move(city, "C01", city.cameras["C16"].place, START).replaced == 0
    assert city.gallery.get(["C01-70"])[0].unit == own


def test_a_retired_camera_takes_no_later_sighting_and_comes_back(city: City) -> None:
    seen(city, "C02", [10])
    change_camera(city, "C02", lambda one: retired(one, START + HOUR))
    with pytest.raises(InputError, match="was retired at"):
        seen(city, "C02", [61])
    with pytest.raises(InputError, match="camera 'C02' already"):
        add_camera(city, replace(city.cameras["C02"], valid_from=START, valid_to=None))
    place = city.cameras["C03"].place
    back = add_camera(city, camera(id="C02", place=place, unit="", valid_from=START + 2 * HOUR))
    assert back.number == 2 and back.unit == city.cameras["C03"].unit
    seen(city, "C02", [121])
    assert city.gallery.get(["C02-121"])[0].unit == back.unit
    with pytest.raises(InputError, match="outside every unit"):
        add_camera(city, camera(id="far", place=(50.0, 50.0), unit=""))
    with pytest.raises(InputError, match="cannot be a camera's id"):
        add_camera(city, camera(id="a b", place=place, unit=""))


def test_times_follow_a_clock_and_back(city: City) -> None:
    seen(city, "C01", list(range(0, 60, 10)))
    before = {one.id: one.time for one in city.gallery.latest(99)}
    tick = lambda ms: lambda one: changed(one, START + HOUR // 2, clock=ms)  # noqa: E731
    assert change_camera(city, "C01", tick(95_000)) == Changed()  # only when it is asked for
    done = change_camera(city, "C01", lambda one: one, apply_clock=True)
    assert done.retimed == 3
    moved = {one.id: one for one in city.gallery.latest(99)}
    late = [name for name, time in before.items() if time >= START + HOUR // 2]
    assert {n: one.time - before[n] for n, one in moved.items()} == {
        name: 95_000 * (name in late) for name in before
    }
    assert all(dict(moved[name].attributes) == {"clock": "95000"} for name in late)
    change_camera(city, "C01", tick(-5_000), apply_clock=True)
    assert {one.time - before[one.id] for one in city.gallery.latest(99)} == {0, -5_000}
    change_camera(city, "C01", tick(0), apply_clock=True)
    assert {one.id: one.time for one in city.gallery.latest(99)} == before
    assert not any(one.attributes for one in city.gallery.latest(99))


@pytest.mark.parametrize("page", [2, 5])
def test_a_change_that_was_cut_off_is_finished(
    city: City, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(city, "C01", list(range(0, 120, 10)))
    monkeypatch.setattr(changes_module, "PAGE", page)
    whole, calls = changes_module._rewrite, 0

    def dies(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        whole(*arguments)

    monkeypatch.setattr(changes_module, "_rewrite", dies)
    with pytest.raises(KeyboardInterrupt):
        move(city, "C01", city.cameras["C16"].place, START)
    new = Scope(units=(city.cameras["C01"].unit,))
    assert city.count(new) < 12
    monkeypatch.setattr(changes_module, "_rewrite", whole)
    with City.open(city.folder) as again:
        settle(again)
        assert again.count(new) == 12
        assert settle(again) == Changed()


def test_many_sightings_of_one_moment_are_all_paged(city: City) -> None:
    seen(city, "C01", [0])
    vector = np.ones(8, np.float32)
    city.add_sightings(
        Sighting(id=f"x{i:03d}", camera="C01", time=START, vector=vector, model="toy")
        for i in range(50)
    )
    original, changes_module.PAGE = changes_module.PAGE, 4
    try:
        pages = list(changes_module.pages_of(city, Scope()))
    finally:
        changes_module.PAGE = original
    names = [one.id for page in pages for one in page]
    assert len(set(names)) == 51


def test_a_path_stands_where_the_camera_stood(city: City) -> None:
    person = np.eye(8, dtype=np.float32)[0]
    for name, minute in (("C01", 0), ("C02", 4), ("C01", 120), ("C02", 124)):
        city.add_sightings(
            [
                Sighting(
                    id=f"{name}-{minute}-{crop}", camera=name, tracklet=f"{name}-{minute}",
                    time=START + minute * 60_000 + crop * 1_000, vector=person, model="toy",
                )
                for crop in range(4)
            ]
        )  # fmt: skip
    old, new = city.cameras["C01"].place, city.cameras["C03"].place
    move(city, "C01", new, START + HOUR)
    found = trace(city, person, Scope(), calibration=Calibration(slope=20.0, intercept=-10.0))
    places = [visit.place for visit in found.visits if visit.camera == "C01"]
    assert places == [old, new]
    units = [visit.unit for visit in found.visits if visit.camera == "C01"]
    assert units == [version.unit for version in city.history["C01"]]
    assert found.legs[0].path[0] == old and found.legs[-1].path[0] == new
