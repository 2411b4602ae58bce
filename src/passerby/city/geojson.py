"""Reading and writing GeoJSON FeatureCollections, with errors that name the feature."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from passerby.errors import InputError

EARTH_RADIUS = 6_371_008.8  # metres, mean
METRES_PER_DEGREE = EARTH_RADIUS * math.pi / 180  # of latitude
Source = str | Path | Mapping[str, Any]
Point = tuple[float, float]


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
        except (ValueError, OSError) as error:
            raise InputError(f"the {what} file {path} is no readable JSON: {error}") from None
    if not isinstance(data, Mapping) or data.get("type") != "FeatureCollection":
        raise InputError(f"the {what} are no GeoJSON FeatureCollection")
    return list(data.get("features") or [])


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
    if shape.get("type") not in kinds:
        raise InputError(f"{where} must be a {' or '.join(kinds)}, not {shape.get('type')}")
    for lon, lat in positions(shape["coordinates"]):
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


def feature(properties: Mapping[str, Any], kind: str, coordinates: Any) -> dict[str, Any]:
    """A Feature with a geometry of a kind such as "Point"."""
    shape = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "properties": dict(properties), "geometry": shape}


def collection(features: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A FeatureCollection."""
    return {"type": "FeatureCollection", "features": list(features)}
