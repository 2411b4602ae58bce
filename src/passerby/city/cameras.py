"""Cameras: where they stand, where they look, and the leaf unit they belong to."""

from dataclasses import dataclass
from typing import Any

from passerby.city import geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """One camera.

    Attributes:
        id: for example "C01".
        number: the number in Market-style file names.
        unit: code of the leaf unit that holds it.
        place: (longitude, latitude) in WGS 84 degrees.
        heading: degrees clockwise from north.
        field_of_view: horizontal, degrees.
        height: metres above the ground.
        range: metres to which a person is recognisable.
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
        """What a map says of the camera beside its place; also its columns in the catalogue."""
        return {
            "id": self.id,
            "number": self.number,
            "name": self.name,
            "name_zh": self.name_zh,
            "unit": self.unit,
            "heading": self.heading,
            "field_of_view": self.field_of_view,
            "height": self.height,
            "range": self.range,
        }

    def to_geojson(self) -> dict[str, Any]:
        """The camera as the feature it was read from."""
        shape = {"type": "Point", "coordinates": list(self.place)}
        return {"type": "Feature", "properties": self.properties(), "geometry": shape}


def cameras_from_geojson(source: geojson.Source, units: UnitTree) -> dict[str, Camera]:
    """Read cameras; one without a unit gets the leaf that holds its place.

    Raises:
        InputError: an id or number given twice, an unknown unit, a place outside every unit.
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
        numbers = {
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
        heading=numbers.get("heading", 0.0),
        field_of_view=numbers.get("field_of_view", 360.0),
        height=numbers.get("height", 4.0),
        range=numbers.get("range", 30.0),
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
