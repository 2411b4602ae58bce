"""Paths of simulated walkers with look-alikes: the setting of system.md 2.4, smaller."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from passerby.city import (
    Calibration,
    City,
    Scope,
    Sighting,
    TraceOptions,
    find,
    trace,
)

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


def by_path(world: World, name: str, options: TraceOptions) -> set[str]:
    path = trace(world.city, world.vectors[name], Scope(), calibration=world.curve, options=options)
    return {one.id for one in path.sightings}


def test_the_order_of_methods(world: World) -> None:
    """Looks alone < one best path < expansion and path < expansion from the path."""
    looks = scores(world, lambda name: by_looks(world, name))
    plain = scores(world, lambda n: by_path(world, n, TraceOptions(expand=0, passes=0)))
    expanded = scores(world, lambda n: by_path(world, n, TraceOptions(passes=0)))
    full = scores(world, lambda n: by_path(world, n, TraceOptions()))
    print(f"looks {looks:.3f} path {plain:.3f} expansion {expanded:.3f} twice {full:.3f}")
    assert looks < plain < expanded
    assert full > expanded - 0.01
    assert full > looks + 0.05
