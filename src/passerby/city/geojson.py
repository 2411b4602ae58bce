"""Reading and writing GeoJSON FeatureCollections, with errors that name the feature."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from passerby.errors import InputError, one_line

EARTH_RADIUS = 6_371_008.8  # metres, mean
METRES_PER_DEGREE = EARTH_RADIUS * math.pi / 180  # of latitude
Source = str | Path | Mapping[str, Any]
Point = tuple[float, float]
PARTS = ("geometry", "properties")
DEPTH = {"Point": 1, "LineString": 2, "MultiLineString": 3, "Polygon": 3, "MultiPolygon": 4}


def features(source: Source, what: str) -> list[dict[str, Any]]:
    """The features of a FeatureCollection, given as a file or as the object itself.

    Raises:
        InputError: The file is missing, is no JSON, or holds no FeatureCollection.
    """
    if isinstance(source, Mapping):
        data: Any = source
    else:
        path = Path(source)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"there is no {what} file {path}") from None
        except (ValueError, OSError, RecursionError) as error:
            raise InputError(f"the {what} file {path} is no readable JSON: {error}") from None
    facts = data if isinstance(data, Mapping) else {}
    found = facts.get("features") or []
    if facts.get("type") != "FeatureCollection" or not isinstance(found, list):
        raise InputError(f"the {what} are no GeoJSON FeatureCollection")
    for number, one in enumerate(found, start=1):
        _check_feature(one, f"feature {number} of the {what}")
    return found


def _check_feature(feature: Any, where: str) -> None:
    """Refuse what is no feature, and text that no file and no database can hold."""
    parts = [feature, *map(feature.get, PARTS)] if isinstance(feature, Mapping) else [0]
    if not all(part is None or isinstance(part, Mapping) for part in parts):
        raise InputError(f"{where} is no GeoJSON Feature, an object with a geometry and properties")
    try:
        text = json.dumps(feature, ensure_ascii=False)
        text.encode()
        if "\\u0000" in text:
            raise ValueError("a zero character")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} holds what is no text: {one_line(error)}") from None


def wanted(feature: Mapping[str, Any], name: str, where: str) -> Any:
    """A property that every feature of this kind needs.

    Raises:
        InputError: The property is missing or empty.
    """
    value = (feature.get("properties") or {}).get(name)
    if value is None or value == "":
        raise InputError(f"{where} has no property '{name}'; add it")
    return value


def geometry(feature: Mapping[str, Any], kinds: tuple[str, ...], where: str) -> dict[str, Any]:
    """The geometry, after a check of its type and of its coordinates.

    Raises:
        InputError: The geometry is missing or of another type, or a coordinate is outside the range
            of WGS 84 degrees.
    """
    shape = feature.get("geometry") or {}
    kind = shape.get("type")
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"{where} must be a {' or '.join(kinds)}, not {str(kind)[:80]}")
    points, depth = shape.get("coordinates"), DEPTH[kind]
    if not _nested(points, depth) or not positions(points):
        raise InputError(
            f"{where} has coordinates that are no {kind}: {str(points)[:80]}; give longitude and "
            f"latitude in {depth} lists"
        )
    for lon, lat in positions(points):
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise InputError(
                f"{where} has the position ({lon}, {lat}), which is not (longitude, latitude) "
                "in WGS 84 degrees; convert it first"
            )
    return dict(shape)


def positions(coordinates: Any) -> list[Point]:
    """All (lon, lat) of nested GeoJSON coordinates, in order."""
    if coordinates and isinstance(coordinates[0], int | float):
        return [(float(coordinates[0]), float(coordinates[1]))]
    return [point for part in coordinates for point in positions(part)]


def _nested(coordinates: Any, depth: int) -> bool:
    """Whether coordinates are positions in so many lists; a position is one of them."""
    if not isinstance(coordinates, list | tuple):
        return False
    if depth > 1:
        return all(_nested(part, depth - 1) for part in coordinates)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in coordinates)
    return numbers and len(coordinates) >= 2


def feature(properties: Mapping[str, Any], kind: str, coordinates: Any) -> dict[str, Any]:
    """A Feature with a geometry of a kind such as "Point"."""
    shape = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": dict(properties), "geometry": shape}


def collection(features: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A FeatureCollection."""
    return {"type": "FeatureCollection", "features": list(features)}
