"""Cameras: their places, names, clocks and smallest units, each with the time in which it holds.

A camera that moves, gets another name or another clock has one version from then on. The versions
of a camera are its history: a tuple in order of time. Two versions never hold at the same time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from passerby.city import geojson
from passerby.city.units import UnitTree
from passerby.errors import InputError
from passerby.times import format_time

ALWAYS = -(1 << 62)  # milliseconds: before every sighting
DATED = ("valid_from", "valid_to")


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """One camera, as it was or is in a span of time.

    Attributes:
        id: For example "C01".
        number: The camera's number in Market-style file names.
        unit: Code of the smallest unit that holds the camera.
        place: (longitude, latitude) in WGS 84 degrees.
        heading: Direction of view, in degrees clockwise from north.
        field_of_view: Horizontal angle of view, in degrees.
        height: Metres above the ground.
        range: Metres up to which a person can be recognised.
        clock: Milliseconds to add to the time that the camera's own clock shows.
        valid_from: Milliseconds from which this is true; ``ALWAYS`` for the first version.
        valid_to: Milliseconds up to which this is true, not included; None while it lasts.
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
    clock: int = 0
    valid_from: int = ALWAYS
    valid_to: int | None = None

    def holds(self, time: int) -> bool:
        """Return whether the camera was so at a time."""
        return self.valid_from <= time and (self.valid_to is None or time < self.valid_to)

    def meets(self, start: int | None, end: int | None) -> bool:
        """Return whether the camera was so at some time of [start, end)."""
        begins = end is None or self.valid_from < end
        return begins and (start is None or self.valid_to is None or start < self.valid_to)

    def columns(self) -> dict[str, Any]:
        """Every field but the place, as the columns of the catalogue."""
        names = (field.name for field in fields(self) if field.name != "place")
        return {name: getattr(self, name) for name in names}

    def properties(self) -> dict[str, Any]:
        """Every field but the place, for a map: dates as text, None for no bound."""
        dates = {
            "valid_from": None if self.valid_from == ALWAYS else format_time(self.valid_from),
            "valid_to": None if self.valid_to is None else format_time(self.valid_to),
        }
        return {**self.columns(), **dates}

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
        view: dict[str, Any] = {
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
        unit=leaf_of(properties.get("unit"), place, units, where),
        place=place,
        **view,
    )


def leaf_of(code: object, place: tuple[float, float], units: UnitTree, where: str) -> str:
    """Return the code of a camera's smallest unit: the one that is named, or that of its place.

    Raises:
        InputError: There is no such unit, it is none of the smallest, or the place is outside all.
    """
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


# history -----------------------------------------------------------------------------------------

History = tuple[Camera, ...]


def version_at(history: History, time: int) -> Camera | None:
    """Return the camera as it was at a time; None where it did not exist."""
    return next((one for one in history if one.holds(time)), None)


def nearest_version(history: History, time: int) -> Camera:
    """Return the camera as it was at a time, or else as it was at the nearest time."""
    held = version_at(history, time)
    if held is not None:
        return held
    before = [one for one in history if one.valid_to is not None and one.valid_to <= time]
    return before[-1] if before else history[0]


def changed(history: History, time: int, **changes: Any) -> History:
    """Return a history in which some fields have new values from a time on.

    A later version keeps its own value of a field that was changed there again.

    Raises:
        InputError: The camera did not exist at that time.
    """
    old = version_at(history, time)
    if old is None:
        raise InputError(absence(history, time))
    versions: list[Camera] = []
    open_fields = dict(changes)
    for one in history:
        if one.valid_to is not None and one.valid_to <= time:
            versions.append(one)
        elif one is old:
            if one.valid_from < time:
                versions.append(replace(one, valid_to=time))
            versions.append(replace(one, valid_from=max(one.valid_from, time), **changes))
        else:
            if one.valid_from != versions[-1].valid_to:  # it was retired in between
                open_fields = {}
            same = [name for name in open_fields if getattr(one, name) == getattr(old, name)]
            open_fields = {name: open_fields[name] for name in same}
            versions.append(replace(one, **open_fields))
    return _joined(versions)


def retired(history: History, time: int) -> History:
    """Return a history that ends at a time.

    Raises:
        InputError: The camera did not exist at that time, or was changed after it.
    """
    held = version_at(history, time)
    if held is None:
        raise InputError(absence(history, time))
    if held is not history[-1]:
        raise InputError(
            f"camera '{held.id}' was changed at {format_time(history[-1].valid_from)}; "
            "retire it after that"
        )
    if held.valid_from == time:
        return history[:-1]
    return (*history[:-1], replace(held, valid_to=time))


def _joined(versions: Iterable[Camera]) -> History:
    """Return versions in which nothing but the dates differs from the one before as one."""
    joined: list[Camera] = []
    for one in versions:
        last = joined[-1] if joined else None
        dates = {name: getattr(one, name) for name in DATED}
        if last and last.valid_to == one.valid_from and replace(last, **dates) == one:
            joined[-1] = replace(last, valid_to=one.valid_to)
        else:
            joined.append(one)
    return tuple(joined)


def absence(history: History, time: int) -> str:
    """Return in words why a camera was not there at a time."""
    name = history[0].id
    if time < history[0].valid_from:
        since = format_time(history[0].valid_from)
        return f"camera '{name}' stands only since {since}, after {format_time(time)}"
    ended = max(one.valid_to or 0 for one in history if one.valid_to is not None)
    return (
        f"camera '{name}' was retired at {format_time(ended)}, before {format_time(time)}; "
        "add it again, or give an earlier time"
    )
