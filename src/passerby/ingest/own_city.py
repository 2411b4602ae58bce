"""A city of one block around one camera, for users who only have a clip."""

import math
from pathlib import Path

from passerby.city import City, geojson
from passerby.errors import InputError

METRES_PER_DEGREE = 111_320.0  # of latitude
BLOCK = 200.0  # metres from the camera to the block's edge
# two digits of the code for each level; names in English and Chinese
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
        folder: The folder to make the city in; it holds none yet.
        camera: Id of the camera.
        place: (longitude, latitude) of the camera, in WGS 84 degrees.

    Raises:
        InputError: There is no such place, or the folder holds a city already.
    """
    longitude, latitude = place
    if not (-180 <= longitude <= 180 and -85 <= latitude <= 85):
        raise InputError(f"there is no place {longitude}, {latitude}; give longitude, latitude")
    high = BLOCK / METRES_PER_DEGREE
    wide = high / math.cos(math.radians(latitude))
    west, east, south, north = longitude - wide, longitude + wide, latitude - high, latitude + high
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    units = [
        geojson.feature(
            {"code": code, "parent": code[:-2], "level": level, "name": name, "name_zh": zh},
            "Polygon",
            [ring],
        )
        for level, code, name, zh in LEVELS
    ]
    properties = {"id": camera, "number": 1, "name": camera, "unit": LEVELS[-1][1]}
    stands = geojson.feature(properties, "Point", [longitude, latitude])
    return City.create(
        folder, units=geojson.collection(units), cameras=geojson.collection([stands])
    )
