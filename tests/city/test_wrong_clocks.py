"""Paths through a camera whose clock is not right."""

from pathlib import Path

import numpy as np
import pytest

from passerby.city import Calibration, City, Scope, Sighting, trace

CURVE = Calibration(slope=20.0, intercept=-10.0)
WEST, SOUTH, METRE = 121.4, 31.2, 1 / 95_000
START = 1_800_000_000_000


def street(folder: Path, apart: float) -> City:
    """Cameras C1 to C4 on one straight street, ``apart`` metres from each other."""

    def collection(*features: dict[str, object]) -> dict[str, object]:
        return {"type": "FeatureCollection", "features": list(features)}

    def feature(properties: dict[str, object], kind: str, place: object) -> dict[str, object]:
        geometry = {"type": kind, "coordinates": place}
        return {"type": "Feature", "properties": properties, "geometry": geometry}

    places = [[WEST + n * apart * METRE, SOUTH] for n in range(4)]
    a, b, c, d = WEST - 0.01, SOUTH - 0.01, WEST + 0.1, SOUTH + 0.01
    square = [[[a, b], [c, b], [c, d], [a, d], [a, b]]]
    return City.create(
        folder / "street",
        units=collection(feature({"code": "99", "level": "city"}, "Polygon", square)),
        cameras=collection(
            *(feature({"id": f"C{n + 1}", "range": 30}, "Point", p) for n, p in enumerate(places))
        ),
        streets=collection(feature({}, "LineString", places)),
    )


def passage(
    person: np.ndarray, camera: str, at: float, rng: np.random.Generator, name: str
) -> list[Sighting]:
    """Four crops of a person before a camera, in ten seconds."""
    out = []
    for k in range(4):
        vector = person + rng.normal(size=len(person)) * 0.05
        out.append(
            Sighting(
                id=f"{name}-{camera}-{k}",
                camera=camera,
                time=START + int(1000 * (at + 3 * k)),
                vector=(vector / np.linalg.norm(vector)).astype(np.float32),
                model="m",
                tracklet=f"{name}-{camera}",
            )
        )
    return out


@pytest.mark.parametrize("slow", [0, 60, 95])
@pytest.mark.parametrize("camera", ["C2", "C3"])
def test_a_slow_clock_does_not_throw_a_visit_out(tmp_path: Path, camera: str, slow: int) -> None:
    rng = np.random.default_rng(2)
    person = np.eye(16)[0]
    times = {"C1": 0, "C2": 100, "C3": 200, "C4": 300}
    times[camera] -= slow
    with street(tmp_path, apart=120) as city:
        for one, at in times.items():
            city.add_sightings(passage(person, one, at, rng, "p"))
        path = trace(city, person.astype(np.float32), Scope(), calibration=CURVE)
    assert {visit.camera for visit in path.visits} == set(times)
