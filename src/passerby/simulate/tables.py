"""The files beside the crops: sightings, truth, units, cameras, streets."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from passerby.errors import MissingExtraError
from passerby.simulate.split import SPLITS
from passerby.simulate.tree import CropList
from passerby.simulate.world import World


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    """Write columns (arrays or lists; None is null in lists of strings)."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "simulate") from error
    texts = {name for name, values in columns.items() if isinstance(values, list)}
    arrays = {
        name: pa.array(values, type=pa.string() if name in texts else None)
        for name, values in columns.items()
    }
    pyarrow.parquet.write_table(pa.table(arrays), path, compression="zstd")


def write_json(path: Path, content: object) -> None:
    """Write JSON in UTF-8, one line a feature where it is a collection."""
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        lines = [json.dumps(f, ensure_ascii=False) for f in content["features"]]
        text = '{"type": "FeatureCollection", "features": [\n' + ",\n".join(lines) + "\n]}\n"
    else:
        text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    path.write_text(text, encoding="utf-8")


def milliseconds(world: World, seconds: np.ndarray) -> np.ndarray:
    """Seconds since the start -> int64 milliseconds since the epoch, UTC."""
    return world.options.start_ms + np.round(seconds * 1000.0).astype(np.int64)


def sightings(world: World, crops: CropList) -> dict[str, Any]:
    """Columns of sightings.parquet: what an operator has, without anybody's identity."""
    box = crops.box.astype(np.float32)
    digits = max(6, len(str(len(crops))))
    return {
        "id": [f"S{row:0{digits}d}" for row in range(1, len(crops) + 1)],
        "camera": [world.cameras[i].id for i in crops.camera.tolist()],
        "time": milliseconds(world, crops.time),
        "tracklet": [tracklet_name(i) for i in crops.tracklet.tolist()],
        "x0": box[:, 0],
        "y0": box[:, 1],
        "x1": box[:, 2],
        "y1": box[:, 3],
        "path": crops.path,
        "quality": crops.quality.astype(np.float32),
        "split": [SPLITS[i] for i in crops.split.tolist()],
    }


def tracklet_name(number: int) -> str:
    """Such as "T000042"."""
    return f"T{number:06d}"


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
    places = world.frame.to_degrees(np.concatenate([walks.place, middle]))
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
        "tracklet": [None] * moments + [n and tracklet_name(n) for n in numbers],
    }


def _collection(features: list[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": properties, "geometry": geometry}
            for geometry, properties in features
        ],
    }


def units_geojson(world: World) -> dict[str, Any]:
    """Polygons of all units, parents before children."""
    features = []
    for unit in world.units:
        rings = [unit.polygon.exterior, *unit.polygon.interiors]
        coordinates = [np.round(shapely.get_coordinates(ring), 7).tolist() for ring in rings]
        properties = {
            "code": unit.code,
            "parent": unit.parent,
            "level": unit.level,
            "name": unit.name,
            "name_zh": unit.name_zh,
        }
        features.append(({"type": "Polygon", "coordinates": coordinates}, properties))
    return _collection(features)


def cameras_geojson(world: World) -> dict[str, Any]:
    """Points of all cameras, in order of their numbers."""
    features = []
    for camera in world.cameras:
        point = world.frame.to_degrees(camera.place).tolist()
        properties = {
            "id": camera.id,
            "number": camera.number,
            "name": camera.name,
            "name_zh": camera.name_zh,
            "unit": camera.unit,
            "heading": camera.heading,
            "field_of_view": round(camera.field_of_view, 1),
            "height": camera.height,
            "range": camera.range,
        }
        features.append(({"type": "Point", "coordinates": point}, properties))
    return _collection(features)


def streets_geojson(world: World) -> dict[str, Any]:
    """Lines of all streets between crossings; lines that meet have equal end points."""
    streets = world.streets
    features = []
    for course, kind, (name, name_zh) in zip(
        streets.courses, streets.kinds, streets.names, strict=True
    ):
        line = world.frame.to_degrees(course).tolist()
        properties = {"name": name, "name_zh": name_zh, "kind": kind}
        features.append(({"type": "LineString", "coordinates": line}, properties))
    return _collection(features)


def landscape_geojson(world: World) -> dict[str, Any]:
    """Polygons of the water and the park inside the city, for drawing a map."""
    city = world.units[0].polygon
    features = []
    for kind, shape in (("water", world.layout.river), ("park", world.layout.park)):
        placed = shapely.transform(shape, world.frame.to_degrees).intersection(city)
        for part in shapely.get_parts(placed):
            ring = np.round(shapely.get_coordinates(part.exterior), 7).tolist()
            features.append(({"type": "Polygon", "coordinates": [ring]}, {"kind": kind}))
    return _collection(features)
