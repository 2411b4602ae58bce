"""A city of one block around one camera, for people who only have a clip."""

import math
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.errors import InputError

METRES_PER_DEGREE = 111_320.0  # of latitude
BLOCK = 200.0  # metres from the camera to the block's edge
# two digits for each level, as everywhere; names in English and Chinese
LEVELS = (
    ("city", "99", "City", "城市"),
    ("district", "9901", "District", "城区"),
    ("street", "990101", "Street", "街道"),
    ("area", "99010101", "Area", "片区"),
    ("cell", "9901010101", "Cell", "网格"),
)


def create_small_city(folder: str | Path, *, camera: str, place: tuple[float, float]) -> City:
    """Make a city with one unit of each level and one camera in its middle.

    Args:
        folder: where the city shall be; there must be none yet.
        camera: id of the camera.
        place: (longitude, latitude) of the camera, WGS 84 degrees.

    Raises:
        InputError: no such place, or there is a city already.
    """
    longitude, latitude = place
    if not (-180 <= longitude <= 180 and -85 <= latitude <= 85):
        raise InputError(f"there is no place {longitude}, {latitude}; give longitude, latitude")
    high = BLOCK / METRES_PER_DEGREE
    wide = high / math.cos(math.radians(latitude))
    west, east, south, north = longitude - wide, longitude + wide, latitude - high, latitude + high
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    units = [
        _feature(
            {"type": "Polygon", "coordinates": [ring]},
            {
                "code": code,
                "parent": code[:-2] or None,
                "level": level,
                "name": name,
                "name_zh": zh,
            },
        )
        for level, code, name, zh in LEVELS
    ]
    point = {"type": "Point", "coordinates": [longitude, latitude]}
    properties = {"id": camera, "number": 1, "name": camera, "name_zh": camera}
    properties["unit"] = LEVELS[-1][1]
    return City.create(
        folder,
        units={"type": "FeatureCollection", "features": units},
        cameras={"type": "FeatureCollection", "features": [_feature(point, properties)]},
    )


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
