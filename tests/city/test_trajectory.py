"""Paths of simulated walkers with look-alikes."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from passerby.city import (
    Calibration,
    City,
    Leg,
    Match,
    Scope,
    Sighting,
    TraceOptions,
    find,
    reorder,
    trace,
)
from passerby.errors import InputError

START = 1_777_593_600_000
SIDE, BLOCK = 12, 120.0  # a grid of 12 x 12 corners, 120 m apart
DEGREE = 111_195.0
HOURS = 2.0


@dataclass(frozen=True)
class World:
    city: City
    truth: dict[str, set[str]]  # sighting id -> ids of all sightings of the same person
    vectors: dict[str, np.ndarray]
    curve: Calibration
    queries: list[str]


def grid_map(rng: np.random.Generator, cameras: int) -> tuple[dict[str, Any], np.ndarray]:
    step = BLOCK / DEGREE
    corners = np.array([(x * step, y * step) for y in range(SIDE) for x in range(SIDE)])
    lines = [[corners[SIDE * y + x].tolist() for x in range(SIDE)] for y in range(SIDE)]
    lines += [[corners[SIDE * y + x].tolist() for y in range(SIDE)] for x in range(SIDE)]
    high = SIDE * step
    ring = [[-step, -step], [high, -step], [high, high], [-step, high], [-step, -step]]
    places = rng.choice(SIDE * SIDE, cameras, replace=False)

    def collection(kind: str, items: list[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
        features = [
            {"type": "Feature", "properties": p, "geometry": {"type": kind, "coordinates": c}}
            for p, c in items
        ]
        return {"type": "FeatureCollection", "features": features}

    maps = {
        "units": collection("Polygon", [({"code": "99", "level": "city"}, [ring])]),
        "cameras": collection(
            "Point", [({"id": f"K{p}", "range": 15.0}, corners[p].tolist()) for p in places]
        ),
        "streets": collection("LineString", [({}, line) for line in lines]),
    }
    return maps, places


def walk(rng: np.random.Generator) -> list[tuple[int, float]]:
    """(corner, seconds) of one walker: to random corners, along x then y, with stops."""
    here = rng.integers(0, SIDE, 2)
    now = rng.uniform(0, HOURS * 1800)
    speed = np.clip(rng.normal(1.35, 0.25), 0.8, 1.9)
    out = []
    while now < HOURS * 3600:
        goal = rng.integers(0, SIDE, 2)
        for axis in rng.permutation(2):
            while here[axis] != goal[axis]:
                here[axis] += np.sign(goal[axis] - here[axis])
                now += BLOCK / speed
                out.append((int(SIDE * here[1] + here[0]), now))
        now += rng.exponential(900.0)
    return [(corner, at) for corner, at in out if at < HOURS * 3600]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def sightings_of_walkers(
    rng: np.random.Generator, places: np.ndarray, people: int, look_alike: float, miss: float
) -> tuple[list[Sighting], dict[str, list[str]]]:
    dimension, camera_at = 64, set(places.tolist())
    groups = unit(rng.standard_normal((people // 15 + 1, dimension)))
    faces = np.sqrt(look_alike) * groups[np.arange(people) // 15] + np.sqrt(1 - look_alike) * unit(
        rng.standard_normal((people, dimension))
    )
    faces = unit(faces)
    out: list[Sighting] = []
    whose: dict[str, list[str]] = {}
    for person in range(people):
        for number, (corner, at) in enumerate(walk(rng)):
            if corner not in camera_at or rng.random() < miss:
                continue
            view = unit(rng.standard_normal(dimension))
            for frame in range(2):
                noise = 0.55 * view + 0.25 * unit(rng.standard_normal(dimension))
                name = f"p{person}n{number}f{frame}"
                whose.setdefault(str(person), []).append(name)
                out.append(
                    Sighting(
                        id=name,
                        camera=f"K{corner}",
                        time=START + int(1000 * (at + 2 * frame)),
                        vector=unit(faces[person] + 1.15 * noise).astype(np.float32),
                        model="toy",
                        tracklet=f"p{person}n{number}",
                    )
                )
    return out, whose


def build(
    folder: Any, seed: int, people: int = 300, cameras: int = 40, miss: float = 0.15
) -> World:
    rng = np.random.default_rng(seed)
    maps, places = grid_map(rng, cameras)
    made, whose = sightings_of_walkers(rng, places, people, look_alike=0.75, miss=miss)
    city = City.create(folder, **maps)
    city.add_sightings(made)
    truth = {name: set(names) for names in whose.values() for name in names}
    vectors = {one.id: one.vector for one in made if one.vector is not None}
    order = rng.permutation([names[0] for names in whose.values() if len(names) >= 8])
    similar, same = [], []
    for name in order[:40]:  # people whose calibration the queries do not share
        hits = city.gallery.search(vectors[name], 300)[0]
        similar += [1 - float(d) for d in hits.distances[1:]]
        same += [other in truth[name] for other in hits.ids[1:]]
    curve = Calibration.fit(similar, same)
    return World(city, truth, vectors, curve, [str(name) for name in order[40:70]])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = build(tmp_path_factory.mktemp("world") / "city", seed=3)
    yield made
    made.city.close()


def f1(found: set[str], truth: set[str]) -> float:
    return 2 * len(found & truth) / (len(found) + len(truth))


def scores(world: World, method: Any) -> float:
    return float(np.mean([f1(method(name), world.truth[name]) for name in world.queries]))


def by_looks(world: World, name: str) -> set[str]:
    found = find(
        world.city, world.vectors[name], Scope(), k=300, rerank=False, calibration=world.curve
    )
    return {match.sighting.id for match in found.matches if match.score > 0.5}


def by_path(world: World, name: str, rejected: tuple[str, ...] = ()) -> set[str]:
    path = trace(
        world.city, world.vectors[name], Scope(), calibration=world.curve, rejected=rejected
    )
    return {one.id for one in path.sightings}


def test_the_group_and_walking_find_more_than_looks(world: World) -> None:
    looks = scores(world, lambda name: by_looks(world, name))
    full = scores(world, lambda name: by_path(world, name))
    print(f"looks {looks:.3f} path {full:.3f}")
    assert full > looks + 0.1


def test_the_evidence_orders_a_list_better_than_looks(world: World) -> None:
    def precision(matches: tuple[Match, ...], mine: set[str]) -> float:
        hit = np.array([match.sighting.id in mine for match in matches])
        return float((hit * hit.cumsum() / np.arange(1, len(hit) + 1)).sum() / len(mine))

    before, after = [], []
    for name in world.queries:
        vector = world.vectors[name]
        found = find(world.city, vector, Scope(), k=80, per="tracklet", calibration=world.curve)
        ordered = reorder(found, world.city, vector, model=None, calibration=world.curve, k=80)
        assert sorted(map(repr, ordered.matches)) == sorted(map(repr, found.matches))
        assert ordered.space_time
        before.append(precision(found.matches, world.truth[name]))
        after.append(precision(ordered.matches, world.truth[name]))
    assert np.mean(after) > np.mean(before)


def test_a_confirmation_helps_on_average(world: World) -> None:
    def helped(name: str) -> set[str]:
        rest = sorted(world.truth[name] - {name})
        one = rest[len(rest) // 2]
        path = trace(
            world.city, world.vectors[name], Scope(), calibration=world.curve, confirmed=[one]
        )
        return {sighting.id for sighting in path.sightings}

    assert scores(world, helped) > scores(world, lambda name: by_path(world, name))


def test_a_path_can_be_walked_and_says_why(world: World) -> None:
    name = world.queries[0]
    path = trace(world.city, world.vectors[name], Scope(), calibration=world.curve)
    assert len(path.visits) >= 3
    assert len(path.legs) == len(path.visits) - 1
    for before, leg, after in zip(path.visits, path.legs, path.visits[1:], strict=False):
        assert (leg.origin, leg.target) == (before.camera, after.camera)
        assert leg.seconds == (after.arrive - before.leave) / 1000
        assert leg.path[0] == before.place
        assert leg.path[-1] == after.place
        assert max(leg.distance_m - 30.0, 0) <= 2.6 * leg.seconds  # two cameras see 15 m each
        assert leg.origin != leg.target or leg.distance_m == 0
        if leg.speed is not None:
            assert f"{leg.distance_m:.0f} m in {leg.seconds:.0f} s" in leg.reason
        assert leg.known or leg.origin == leg.target or "unknown" in leg.reason
    assert any(not leg.known for leg in path.legs)
    for visit in path.visits:
        assert 0 <= visit.confidence <= 1
        assert visit.arrive == visit.sightings[0].time
        assert visit.leave == visit.sightings[-1].time
    features = path.to_geojson()["features"]
    assert len(features) == len(path.visits) + len(path.legs)
    assert json.loads(json.dumps(path.as_dict()))["visits"][0]["camera"] == path.visits[0].camera
    for other in path.alternatives:
        assert {v.sightings for v in other.visits} != {v.sightings for v in path.visits}


def test_gpx_has_every_visit_twice(world: World) -> None:
    path = trace(world.city, world.vectors[world.queries[0]], Scope(), calibration=world.curve)
    root = ElementTree.fromstring(path.to_gpx())
    name = "{http://www.topografix.com/GPX/1/1}"
    for points in (root.findall(f"{name}wpt"), root.findall(f"{name}rte/{name}rtept")):
        places = [(float(p.attrib["lon"]), float(p.attrib["lat"])) for p in points]
        assert places == [pytest.approx(visit.place, abs=1e-6) for visit in path.visits]
        assert [p.findtext(f"{name}name") for p in points] == [v.camera for v in path.visits]


def test_a_known_leg_has_two_sure_ends(world: World) -> None:
    for name in world.queries[:10]:
        path = trace(world.city, world.vectors[name], Scope(), calibration=world.curve)
        for before, leg, after in zip(path.visits, path.legs, path.visits[1:], strict=False):
            assert leg.chance == pytest.approx(before.confidence * after.confidence)
            assert not leg.known or leg.chance >= 0.9


def test_confidence_is_earned(world: World) -> None:
    """Visits said to be sure are right more often than those said to be doubtful."""
    sure, doubtful = [], []
    for name in world.queries:
        path = trace(world.city, world.vectors[name], Scope(), calibration=world.curve)
        for visit in path.visits:
            right = visit.sightings[0].id in world.truth[name]
            (sure if visit.confidence > 0.9 else doubtful).append(right)
    assert np.mean(sure) > 0.85
    assert np.mean(sure) > np.mean(doubtful)


def test_the_operator_is_obeyed(world: World) -> None:
    name = world.queries[1]
    query = world.vectors[name]
    first = trace(world.city, query, Scope(), calibration=world.curve)
    wrong = first.visits[1].sightings[0]
    without = trace(world.city, query, Scope(), calibration=world.curve, rejected=[wrong.id])
    assert wrong.tracklet not in {one.tracklet for one in without.sightings}
    stranger = next(one for one in world.vectors if one not in world.truth[name])
    forced = trace(world.city, query, Scope(), calibration=world.curve, confirmed=[stranger])
    assert stranger in {one.id for one in forced.sightings}
    anchor = next(v for v in forced.visits if stranger in {one.id for one in v.sightings})
    assert anchor.confidence == pytest.approx(1.0)
    with pytest.raises(InputError, match="both confirmed and rejected"):
        trace(world.city, query, Scope(), confirmed=[wrong.id], rejected=[wrong.id])
    with pytest.raises(InputError, match="no sighting"):
        trace(world.city, query, Scope(), confirmed=["nobody"])


def test_two_confirmed_sightings_connect_whatever_the_speed(world: World) -> None:
    first, second = "", ""
    known = sorted(world.city.gallery.get(list(world.vectors)), key=lambda one: one.time)
    for a, b in pairwise(known):
        far = world.city.streets.distance(world.city.camera(a.camera), world.city.camera(b.camera))
        if far > 500 and 0 < b.time - a.time < 5000:
            first, second = a.id, b.id
            break
    assert first
    path = trace(
        world.city,
        world.vectors[first],
        Scope(),
        calibration=world.curve,
        confirmed=[first, second],
    )
    assert {first, second} <= {one.id for one in path.sightings}


def test_nothing_outside_the_scope_is_told(world: World) -> None:
    """Not even the rest of a tracklet that lies half in the window, nor a confirmed sighting."""
    name = world.queries[2]
    full = trace(world.city, world.vectors[name], Scope(), calibration=world.curve)
    middle = next(v for v in full.visits[1:] if len(v.sightings) > 1)
    scope = Scope(start=full.visits[0].arrive, end=middle.sightings[-1].time)
    path = trace(
        world.city,
        world.vectors[name],
        scope,
        calibration=world.curve,
        confirmed=[full.visits[-1].sightings[-1].id],
    )
    assert path.visits
    assert all(scope.holds(one) for one in path.sightings)
    for other in path.alternatives:
        assert all(scope.holds(one) for one in other.sightings)


def test_nobody_is_an_answer(world: World) -> None:
    stranger = -np.sum(list(world.vectors.values()), axis=0)
    path = trace(world.city, stranger, Scope(), calibration=world.curve)
    assert path.visits == ()
    assert path.legs == ()
    empty = trace(world.city, world.vectors[world.queries[0]], Scope(end=START))
    assert empty.as_dict()["visits"] == []


def test_a_leg_without_a_way_has_no_distance_in_json() -> None:
    leg = Leg(
        origin="A", target="B", distance_m=math.inf, seconds=60, speed=None, path=(), known=False
    )
    assert json.loads(json.dumps(leg.as_dict(), allow_nan=False))["distance_m"] is None


@pytest.mark.parametrize("prior", [0.0, -1.0, 1.01, math.nan])
def test_a_prior_is_a_chance(prior: float) -> None:
    with pytest.raises(InputError, match="prior"):
        TraceOptions(prior=prior)


def test_errors_are_clear(world: World, city: City) -> None:
    query = world.vectors[world.queries[0]]
    with pytest.raises(InputError, match="no unit '77'"):
        trace(world.city, query, Scope(units=("77",)))
    with pytest.raises(InputError, match="no camera 'X'"):
        trace(world.city, query, Scope(cameras=("X",)))
    with pytest.raises(InputError, match="model 'toy'"):
        trace(world.city, query, Scope(), model="other")
    with pytest.raises(InputError, match="empty"):
        trace(city, query, Scope())
