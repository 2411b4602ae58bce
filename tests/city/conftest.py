"""A small city of 2 districts x 2 streets x 2 areas x 2 cells over a grid of streets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.city import City, Sighting

CELL = 0.002  # degrees; about 222 m at the equator, where the city lies
LEVELS = ("city", "district", "street", "area", "cell")
START = 1_777_593_600_000  # 2026-05-01T00:00:00Z
MINUTE = 60_000


def unit(code: str, parent: str | None, box: tuple[float, float, float, float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    return {
        "type": "Feature",
        "properties": {
            "code": code,
            "parent": parent,
            "level": LEVELS[len(code) // 2 - 1],
            "name": f"Unit {code}",
            "name_zh": f"单元{code}",
        },
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def split(code: str, box: tuple[float, float, float, float]) -> list[dict[str, Any]]:
    """Halve a unit, by turns across and along, down to the cells."""
    if len(code) == 10:
        return []
    x0, y0, x1, y1 = box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    across = len(code) // 2 % 2
    halves = [(x0, y0, x, y1), (x, y0, x1, y1)] if across else [(x0, y0, x1, y), (x0, y, x1, y1)]
    out = []
    for number, half in enumerate(halves, start=1):
        child = f"{code}{number:02d}"
        out += [unit(child, code, half), *split(child, half)]
    return out


def collection(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": features}


@pytest.fixture(scope="session")
def map_files() -> dict[str, Any]:
    """Units, 16 cameras (one in the middle of each cell) and a grid of streets through them."""
    side = 4 * CELL
    box = (0.0, 0.0, side, side)
    middles = [(i + 0.5) * CELL for i in range(4)]
    cameras = [
        {
            "type": "Feature",
            "properties": {"id": f"C{1 + 4 * row + column:02d}", "number": 1 + 4 * row + column},
            "geometry": {"type": "Point", "coordinates": [x, y]},
        }
        for row, y in enumerate(middles)
        for column, x in enumerate(middles)
    ]
    lines = [[[x, y] for x in middles] for y in middles]
    lines += [[[x, y] for y in middles] for x in middles]
    streets = [
        {
            "type": "Feature",
            "properties": {"name": f"Street {i}", "name_zh": f"{i}街", "kind": "street"},
            "geometry": {"type": "LineString", "coordinates": line},
        }
        for i, line in enumerate(lines)
    ]
    return {
        "units": collection([unit("99", None, box), *split("99", box)]),
        "cameras": collection(cameras),
        "streets": collection(streets),
    }


@pytest.fixture
def city(tmp_path: Path, map_files: dict[str, Any]) -> Iterator[City]:
    with City.create(tmp_path / "city", **map_files) as made:
        yield made


@pytest.fixture(scope="session")
def sightings_of() -> Callable[..., list[Sighting]]:
    """Random sightings over three days, in tracklets of three; same seed, same sightings."""

    def make(count: int, *, dimension: int = 16, seed: int = 0, first: int = 0) -> list[Sighting]:
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((count, dimension)).astype(np.float32)
        times = START + rng.integers(0, 3 * 24 * 60, count) * MINUTE
        cameras = rng.integers(1, 17, count)
        return [
            Sighting(
                id=f"s{first + i:06d}",
                camera=f"C{cameras[i // 3 * 3]:02d}",
                time=int(times[i // 3 * 3]) + (i % 3) * 1000,
                vector=vectors[i] / np.linalg.norm(vectors[i]),
                model="toy",
                tracklet=f"t{(first + i) // 3}",
                box=(1.0, 2.0, 3.0, 4.0),
                quality=0.5,
            )
            for i in range(count)
        ]

    return make
