"""The files beside the crops: sightings, truth, units, cameras, streets."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import MissingExtraError

try:  # the writer imports this module before the others that need shapely
    import shapely
    from shapely.geometry import mapping
except ImportError as error:
    raise MissingExtraError("shapely", "simulate") from error

from passerby.simulate.geometry import DECIMALS, to_degrees
from passerby.simulate.shots import SPLITS, CropList
from passerby.simulate.world import World


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    """Write columns (arrays or lists; None is null in lists of strings)."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "simulate") from error
    arrays = {
        name: pa.array(values, type=pa.string() if isinstance(values, list) else None)
        for name, values in columns.items()
    }
    pyarrow.parquet.write_table(pa.table(arrays), path, compression="zstd")


def write_json(path: Path, content: object) -> None:
    """Write indented JSON in UTF-8."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def box_columns(box: np.ndarray) -> dict[str, np.ndarray]:
    """Columns x0, y0, x1, y1 (float32) of boxes (N, 4)."""
    return dict(zip(("x0", "y0", "x1", "y1"), box.astype(np.float32).T, strict=True))


def milliseconds(world: World, seconds: np.ndarray) -> np.ndarray:
    """Seconds since the start -> int64 milliseconds since the epoch, UTC."""
    return world.options.start_ms + np.round(seconds * 1000.0).astype(np.int64)


def sightings(world: World, crops: CropList) -> dict[str, Any]:
    """Columns of sightings.parquet: what an operator has, without anybody's identity."""
    digits = max(6, len(str(len(crops))))
    return {
        "id": [f"S{row:0{digits}d}" for row in range(1, len(crops) + 1)],
        "camera": [world.cameras[i].id for i in crops.camera.tolist()],
        "time": milliseconds(world, crops.time),
        "tracklet": [f"T{i:06d}" for i in crops.tracklet.tolist()],
        **box_columns(crops.box),
        "path": crops.path,
        "quality": crops.quality.astype(np.float32),
        "split": [SPLITS[i] for i in crops.split.tolist()],
    }


def truth(world: World, tracklet_of: dict[int, int]) -> dict[str, Any]:
    """Columns of truth.parquet: every person's path, then every passage of a camera.

    Args:
        world: the city and its day.
        tracklet_of: tracklet number of each passage that was detected.
    """
    walks, passages = world.walks, world.passages
    until = np.append(walks.time[1:], walks.time[-1])
    until[walks.first[1:] - 1] = walks.time[walks.first[1:] - 1]
    until = np.where(walks.indoors, until, walks.time)
    middle = walks.position(passages.person, (passages.enter + passages.leave) / 2)
    places = to_degrees(np.concatenate([walks.place, middle]))
    moments, count = len(walks.time), len(passages)
    numbers = [tracklet_of.get(i) for i in range(count)]
    return {
        "event": ["path"] * moments + ["passage"] * count,
        "identity": np.concatenate([walks.person, passages.person]) + 1,
        "time": milliseconds(world, np.concatenate([walks.time, passages.enter])),
        "leave": milliseconds(world, np.concatenate([until, passages.leave])),
        "lon": places[:, 0],
        "lat": places[:, 1],
        "camera": [None] * moments + [world.cameras[i].id for i in passages.camera.tolist()],
        "tracklet": [None] * moments + [n and f"T{n:06d}" for n in numbers],
    }


Feature = tuple[shapely.Geometry, dict[str, Any]]  # WGS 84 geometry and properties


def write_geojson(path: Path, features: Iterable[Feature]) -> None:
    """Write a feature collection, one line a feature, coordinates to 7 decimals."""
    lines = []
    for shape, properties in features:
        rounded = shapely.transform(shape, lambda points: np.round(points, DECIMALS))
        feature = {"type": "Feature", "properties": properties, "geometry": mapping(rounded)}
        lines.append(json.dumps(feature, ensure_ascii=False))
    text = '{"type": "FeatureCollection", "features": [\n' + ",\n".join(lines) + "\n]}\n"
    path.write_text(text, encoding="utf-8")


def _units(world: World) -> Iterable[Feature]:
    """Polygons of all units, parents before children."""
    for unit in world.units:
        names = ("code", "parent", "level", "name", "name_zh")
        yield unit.polygon, {name: getattr(unit, name) for name in names}


def _cameras(world: World) -> Iterable[Feature]:
    """Points of all cameras, in order of their numbers."""
    for camera in world.cameras:
        first = ("id", "number", "name", "name_zh", "unit", "heading")
        yield (
            shapely.Point(to_degrees(camera.place)),
            {
                **{name: getattr(camera, name) for name in first},
                "field_of_view": round(camera.field_of_view, 1),
                "height": camera.height,
                "range": camera.range,
            },
        )


def _streets(world: World) -> Iterable[Feature]:
    """Lines of all streets between crossings; lines that meet have equal end points."""
    streets = world.streets
    for course, kind, (name, name_zh) in zip(
        streets.courses, streets.kinds, streets.names, strict=True
    ):
        line = shapely.LineString(to_degrees(course))
        yield line, {"name": name, "name_zh": name_zh, "kind": kind}


def _landscape(world: World) -> Iterable[Feature]:
    """Polygons of the water and the park inside the city, for drawing a map."""
    city = world.units[0].polygon
    for kind, shape in (("water", world.layout.river), ("park", world.layout.park)):
        placed = shapely.transform(shape, to_degrees).intersection(city)
        for part in shapely.get_parts(placed):
            yield shapely.Polygon(part.exterior), {"kind": kind}


MAPS: dict[str, Callable[[World], Iterable[Feature]]] = {
    "units": _units,
    "cameras": _cameras,
    "streets": _streets,
    "landscape": _landscape,
}
