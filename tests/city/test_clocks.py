"""Clocks estimated from people who pass several cameras, and the refusals."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from passerby.city import Calibration, City, Scope, Sighting
from passerby.city.clocks import LEAST_PEOPLE, ClockEstimate, estimate_clocks
from passerby.cli import main

START = 1_777_593_600_000
CURVE = Calibration(slope=20.0, intercept=-10.0, measured=True)
NAMES = [f"C{number:02d}" for number in range(1, 9)]


def walk(
    city: City,
    skew: dict[str, float],
    *,
    people: int,
    seed: int,
    there_alone: bool = False,
    model: str = "toy",
    size: int = 32,
) -> None:
    """People walk along the cameras, some stop, some look alike; clocks show true time - skew."""
    rng = np.random.default_rng(seed)
    places = [city.camera(name) for name in NAMES]
    far = city.streets.distances(places)
    made = []
    for person in range(people):
        looks = rng.normal(size=size)
        first, count = int(rng.integers(0, 4)), int(rng.integers(3, 6))
        way = list(range(first, min(first + count, len(NAMES))))
        if not there_alone and rng.random() < 0.5:
            way.reverse()
        time, speed = rng.uniform(0, 3600), rng.lognormal(np.log(1.3), 0.15)
        for step, at in enumerate(way):
            if step:
                time += far[way[step - 1], at] / speed + (rng.random() < 0.2) * rng.exponential(300)
            for frame in range(3):
                vector = looks / np.linalg.norm(looks) + 0.3 * rng.normal(size=size) / np.sqrt(size)
                shown = START + round(1000 * (time + 2 * frame - skew.get(NAMES[at], 0.0)))
                made.append(
                    Sighting(
                        id=f"p{person}-{step}-{frame}", camera=NAMES[at], time=shown, model=model,
                        tracklet=f"p{person}-{step}", vector=vector.astype(np.float32),
                    )
                )  # fmt: skip
    city.add_sightings(made)


def by_camera(city: City, **options: Any) -> dict[str, ClockEstimate]:
    found = estimate_clocks(city, Scope(), calibration=CURVE, **options)
    return {one.camera: one for one in found}


@pytest.mark.parametrize("seed", range(3))
def test_clocks_that_are_off_are_found_and_the_others_are_left(city: City, seed: int) -> None:
    skew = {"C03": 95.0, "C05": -310.0}
    walk(city, skew, people=150, seed=seed)
    found = by_camera(city)
    for name, off in skew.items():
        assert found[name].refusal == "" and found[name].differs
        assert abs(found[name].offset - off) < 20
        assert found[name].low <= off <= found[name].high
        assert found[name].people >= LEAST_PEOPLE and min(found[name].there, found[name].back) >= 2
    assert not any(one.differs for name, one in found.items() if name not in skew)
    proposed = [one for one in found.values() if not one.refusal]
    covered = [one.low <= skew.get(one.camera, 0.0) <= one.high for one in proposed]
    assert len(proposed) >= 5 and all(covered)


def test_few_people_are_too_few(city: City) -> None:
    walk(city, {"C03": 95.0}, people=4, seed=0)
    found = by_camera(city)
    assert set(found) == set(city.cameras)
    assert {one.reason for one in found.values()} <= {"few", "nobody"}
    few = next(one for one in found.values() if one.reason == "few")
    assert f"only {few.people} people" in few.refusal and "look at a longer window" in few.refusal


def test_the_ends_of_a_one_way_street_are_refused(city: City) -> None:
    """In the middle the walks to a camera and from it tell the clock; at the ends nothing does."""
    walk(city, {"C03": 95.0}, people=80, seed=1, there_alone=True)
    found = by_camera(city)
    for name in ("C01", "C08"):
        one = found[name]
        assert one.reason == "one_way"
        assert f"{one.there} walks begin here and {one.back} end here" in one.refusal
    assert found["C03"].differs and found["C03"].low <= 95 <= found["C03"].high
    assert not any(one.differs for name, one in found.items() if name != "C03")


def test_cameras_without_people_and_one_alone_are_told(
    city: City, sightings_of: Callable[..., list[Sighting]]
) -> None:
    assert {one.reason for one in by_camera(city).values()} == {"nobody"}
    one = sightings_of(1)[0]
    city.add_sightings([one])
    found = by_camera(city)
    assert set(found) == set(city.cameras)
    assert found.pop(one.camera).reason == "alone"
    assert {other.reason for other in found.values()} == {"nobody"}
    other = next(name for name in city.cameras if name != one.camera)
    city.add_sightings(
        [replace(one, id="o", tracklet="o", camera=other, unit="", vector=-one.vector)]
    )
    found = by_camera(city)  # two people who are not one: no pair at all
    assert found[one.camera].reason == found[other].reason == "few"
    assert found[other].tracklets == 1 and found[other].pairs == 0


def test_the_verb_sets_and_applies(city: City) -> None:
    walk(city, {"C03": 95.0}, people=150, seed=5)
    words = ["admin", "camera", "clock", str(city.folder), "C03"]
    offset = by_camera(city)["C03"].offset
    out = io.StringIO()
    with redirect_stdout(out):
        assert main([*words, "--offset", str(offset), "--apply", "--json"]) == 0
    own = city.count(Scope(cameras=("C03",)))
    assert json.loads(out.getvalue())["retimed"] == own > 0
    city.refresh()
    again = by_camera(city)["C03"]  # what the camera's own clock shows is still that much off
    assert abs(again.offset - offset) < 5
    assert city.camera("C03").clock == round(1000 * offset)
    assert main([*words]) == 2
    assert main([*words, "--offset", "1", "--estimate"]) == 2
