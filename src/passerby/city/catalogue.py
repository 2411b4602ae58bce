"""The catalogue: everything about a city but its sightings, in one relational database.

Units, cameras, streets and settings are here. Rooms above add their own tables on :class:`Base`
(accounts, cases, audit). The tables themselves are made by the revisions of ``migrations``, which
a test holds equal to what is declared here and above.
"""

import json
from typing import Any, ClassVar

from passerby.city.cameras import Camera
from passerby.city.streets import Street
from passerby.city.units import Unit, UnitTree
from passerby.errors import MissingExtraError

try:
    from sqlalchemy import JSON, Double, ForeignKey, String, insert, select
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
except ImportError:
    raise MissingExtraError("sqlalchemy", "city") from None


class Base(DeclarativeBase):
    """Base of every table in the catalogue."""

    # in every version of SQLAlchemy
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}


class UnitRow(Base):
    """A city unit; the polygon as GeoJSON geometry."""

    __tablename__ = "units"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    parent: Mapped[str | None] = mapped_column(ForeignKey("units.code"))
    level: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    name_zh: Mapped[str]
    geometry: Mapped[dict[str, Any]] = mapped_column(JSON)


class CameraRow(Base):
    """A camera."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    number: Mapped[int] = mapped_column(unique=True)
    name: Mapped[str]
    name_zh: Mapped[str]
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    lon: Mapped[float]
    lat: Mapped[float]
    heading: Mapped[float]
    field_of_view: Mapped[float]
    height: Mapped[float]
    range: Mapped[float]


class StreetRow(Base):
    """A street line as a list of (lon, lat)."""

    __tablename__ = "streets"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_zh: Mapped[str]
    kind: Mapped[str]
    line: Mapped[list[Any]] = mapped_column(JSON)


class SettingRow(Base):
    """A setting of the city; the value is JSON."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


def write_map(
    session: Session, units: UnitTree, cameras: dict[str, Camera], streets: list[Street]
) -> None:
    """Write units, cameras and streets of a new city."""
    rows = [
        {**unit.properties(), "geometry": unit.geometry}
        for unit in units  # parents first, so that each foreign key finds its row
    ]
    session.execute(insert(UnitRow), rows)
    session.add_all(
        CameraRow(**camera.properties(), lon=camera.place[0], lat=camera.place[1])
        for camera in cameras.values()
    )
    session.add_all(
        StreetRow(
            number=number,
            name=street.name,
            name_zh=street.name_zh,
            kind=street.kind,
            line=[list(place) for place in street.line],
        )
        for number, street in enumerate(streets)
    )


def read_units(session: Session) -> UnitTree:
    """The unit tree."""
    return UnitTree(
        Unit(
            code=row.code,
            parent=row.parent,
            level=row.level,
            name=row.name,
            name_zh=row.name_zh,
            geometry=row.geometry,
        )
        for row in session.scalars(select(UnitRow))
    )


def read_cameras(session: Session) -> dict[str, Camera]:
    """Cameras by id, in the order of their numbers."""
    return {
        row.id: Camera(
            id=row.id,
            number=row.number,
            name=row.name,
            name_zh=row.name_zh,
            unit=row.unit,
            place=(row.lon, row.lat),
            heading=row.heading,
            field_of_view=row.field_of_view,
            height=row.height,
            range=row.range,
        )
        for row in session.scalars(select(CameraRow).order_by(CameraRow.number))
    }


def read_streets(session: Session) -> list[Street]:
    """Street lines in the order they were given."""
    return [
        Street(
            name=row.name,
            name_zh=row.name_zh,
            kind=row.kind,
            line=tuple((float(lon), float(lat)) for lon, lat in row.line),
        )
        for row in session.scalars(select(StreetRow).order_by(StreetRow.number))
    ]


def read_setting(session: Session, key: str, default: Any = None) -> Any:
    """A setting's value, or ``default``."""
    row = session.get(SettingRow, key)
    return default if row is None else json.loads(row.value)


def write_setting(session: Session, key: str, value: Any) -> None:
    """Set a setting to a JSON value; of two at once, the later stays."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {"key": key, "value": json.dumps(value)}
    statement = dialect.insert(SettingRow).values(row)
    session.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": row["value"]})
    )
