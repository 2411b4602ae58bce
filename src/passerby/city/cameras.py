"""Cameras: their places, their directions of view, and the smallest units they belong to."""

from dataclasses import dataclass, fields
from typing import Any

from passerby.city import geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        id: For example "C01".
        number: The camera's number in Market-style file names.
        unit: Code of the smallest unit that holds the camera.
        place: (longitude, latitude) in WGS 84 degrees.
        heading: Direction of view, in degrees clockwise from north.
        field_of_view: Horizontal angle of view, in degrees.
        height: Metres above the ground.
        range: Metres up to which a person can be recognised.
    """

    id: str
    number: int
    name: str
    name_zh: str
    unit: str
    place: tuple[float, float]
    heading: float = 0.0
    field_of_view: float = 360.0
    height: float = 4.0
    range: float = 30.0

    def properties(self) -> dict[str, Any]:
        """Every field but the place, for a map; also the camera's columns in the catalogue."""
        names = (field.name for field in fields(self) if field.name != "place")
        return {name: getattr(self, name) for name in names}

    def to_geojson(self) -> dict[str, Any]:
        """The camera as a GeoJSON feature, which :func:`cameras_from_geojson` reads."""
        return geojson.feature(self.properties(), "Point", list(self.place))


def cameras_from_geojson(source: geojson.Source, units: UnitTree) -> dict[str, Camera]:
    """Read cameras. A camera without a unit gets the smallest unit that holds its place.

    Raises:
        InputError: An id or number is given twice, a unit is unknown, or a place is outside every
            unit.
    """
    cameras: dict[str, Camera] = {}
    numbers: dict[int, str] = {}
    for position, feature in enumerate(geojson.features(source, "cameras"), start=1):
        camera = _camera(feature, position, units)
        if camera.id in cameras:
            raise InputError(f"camera '{camera.id}' is given twice; ids must be unique")
        if camera.number in numbers:
            raise InputError(
                f"cameras '{numbers[camera.number]}' and '{camera.id}' share the number "
                f"{camera.number}; numbers must be unique"
            )
        numbers[camera.number] = camera.id
        cameras[camera.id] = camera
    return cameras


def _camera(feature: dict[str, Any], position: int, units: UnitTree) -> Camera:
    name = str(geojson.wanted(feature, "id", "a camera"))
    where = f"camera '{name}'"
    shape = geojson.geometry(feature, ("Point",), where)
    place = geojson.positions(shape["coordinates"])[0]
    properties = feature["properties"]
    try:
        view = {
            key: float(properties[key])
            for key in ("heading", "field_of_view", "height", "range")
            if properties.get(key) is not None
        }
        number = int(properties.get("number") or position)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} has a property that should be a number: {error}") from None
    return Camera(
        id=name,
        number=number,
        name=str(properties.get("name") or name),
        name_zh=str(properties.get("name_zh") or properties.get("name") or name),
        unit=_leaf(properties.get("unit"), place, units, where),
        place=place,
        **view,
    )


def _leaf(code: object, place: tuple[float, float], units: UnitTree, where: str) -> str:
    if code in (None, ""):
        found = units.locate(*place)
        if found is None:
            raise InputError(f"{where} stands at {place}, outside every unit; move it or name one")
        return found.code
    if str(code) not in units:
        raise InputError(f"{where} names the unit '{code}', which does not exist")
    unit = units[str(code)]
    if unit.end != unit.number + 1:
        raise InputError(
            f"{where} names the {unit.level} '{unit.code}'; a camera belongs to a smallest unit"
        )
    return unit.code
