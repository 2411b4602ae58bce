"""The catalogue: everything about a city but its sightings, in one relational database.

Units, cameras, streets and settings are declared here. The service adds its own tables on
:class:`Base` (accounts, cases, audit). The revisions in ``migrations`` make the tables; a test
checks that both agree.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from passerby.city import schema
from passerby.city.address import CATALOGUE, Address, write_address
from passerby.city.cameras import Camera, History
from passerby.city.engines import open_engine
from passerby.city.streets import Street
from passerby.city.units import Unit, UnitTree
from passerby.errors import InputError, MissingExtraError
from passerby.files import replacing

try:
    from sqlalchemy import (
        JSON,
        URL,
        BigInteger,
        Double,
        ForeignKey,
        Index,
        Select,
        String,
        delete,
        insert,
        select,
    )
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
    """A camera in a span of time, see :class:`passerby.city.cameras.Camera`."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    valid_from: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    valid_to: Mapped[int | None] = mapped_column(BigInteger)
    number: Mapped[int]
    name: Mapped[str]
    name_zh: Mapped[str]
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    lon: Mapped[float]
    lat: Mapped[float]
    heading: Mapped[float]
    field_of_view: Mapped[float]
    height: Mapped[float]
    range: Mapped[float]
    clock: Mapped[int] = mapped_column(BigInteger)


class ClipRow(Base):
    """A clip that was ingested, see :class:`passerby.city.clips.ClipRecord`."""

    __tablename__ = "clips"
    __table_args__ = (
        Index("clips_of_camera", "camera", "first"),
        Index("clips_of_content", "content"),
    )

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    content: Mapped[str] = mapped_column(String(64))
    camera: Mapped[str] = mapped_column(String(64))
    start: Mapped[int | None] = mapped_column(BigInteger)
    source: Mapped[str]
    options: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16))
    target: Mapped[int | None] = mapped_column(BigInteger)
    first: Mapped[int | None] = mapped_column(BigInteger)
    last: Mapped[int | None] = mapped_column(BigInteger)
    gaps: Mapped[list[Any]] = mapped_column(JSON)
    frames: Mapped[int]
    sightings: Mapped[int]
    ingested: Mapped[int] = mapped_column(BigInteger)


class StreetRow(Base):
    """A street line as a list of (lon, lat)."""

    __tablename__ = "streets"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_zh: Mapped[str]
    kind: Mapped[str]
    line: Mapped[list[Any]] = mapped_column(JSON)


FORMAT = "format"  # the setting that a finished city has; tables alone are no city


class SettingRow(Base):
    """A setting of the city; the value is JSON."""

    __tablename__ = "settings"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str]


class ChecksumRow(Base):
    """The checksum of one table, see :mod:`passerby.city.checksums`."""

    __tablename__ = "checksums"

    table: Mapped[str] = mapped_column(String(64), primary_key=True)
    rows: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))


def write_map(
    session: Session, units: UnitTree, cameras: dict[str, Camera], streets: list[Street]
) -> None:
    """Write units, cameras and streets of a new city."""
    # parents first, so that each foreign key finds its row
    rows = [{**unit.properties(), "geometry": unit.geometry} for unit in units]
    session.execute(insert(UnitRow), rows)
    for camera in cameras.values():
        write_camera(session, (camera,))
    session.add_all(
        StreetRow(number=number, line=[list(place) for place in street.line], **street.properties())
        for number, street in enumerate(streets)
    )


def read_units(session: Session) -> UnitTree:
    """The unit tree."""
    return UnitTree(Unit(**row) for row in _rows(session, select(UnitRow.__table__)))


def read_cameras(session: Session) -> dict[str, History]:
    """The history of each camera by id, in the order of the cameras' numbers."""
    order = (CameraRow.number, CameraRow.id, CameraRow.valid_from)
    histories: dict[str, History] = {}
    for row in _rows(session, select(CameraRow.__table__).order_by(*order)):
        camera = Camera(place=(row.pop("lon"), row.pop("lat")), **row)
        histories[camera.id] = (*histories.get(camera.id, ()), camera)
    return histories


def write_camera(session: Session, history: History) -> None:
    """Store the history of a camera in place of the one before."""
    session.execute(delete(CameraRow).where(CameraRow.id == history[0].id))
    session.add_all(
        CameraRow(**one.columns(), lon=one.place[0], lat=one.place[1]) for one in history
    )


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


def _rows(session: Session, query: Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(query).mappings()]


def read_setting(session: Session, key: str, default: Any = None) -> Any:
    """A setting's value, or ``default``."""
    row = session.get(SettingRow, key)
    return default if row is None else json.loads(row.value)


def write_setting(session: Session, key: str, value: Any) -> None:
    """Set a setting to a JSON value; of two writes at once the later one stays."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {"key": key, "value": json.dumps(value)}
    statement = dialect.insert(SettingRow).values(row)
    session.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"value": row["value"]})
    )


def create_catalogue(
    folder: Path,
    address: Address,
    units: UnitTree,
    cameras: dict[str, Camera],
    streets: list[Street],
) -> None:
    """Write the catalogue of a new city; a crash leaves no half a city.

    Args:
        folder: The city's folder, without a city.
        address: Where the catalogue shall be: in the folder, or in an empty database.
        units: The tree of units.
        cameras: Cameras by id.
        streets: The street lines.

    Raises:
        InputError: The database holds a city already, or cannot be used.
    """
    if isinstance(address.where, URL):
        _write(address, units, cameras, streets)
        write_address(folder, address.where)
        return
    with replacing(folder / CATALOGUE) as partial:
        _write(replace(address, where=partial), units, cameras, streets)


def _write(
    address: Address, units: UnitTree, cameras: dict[str, Camera], streets: list[Street]
) -> None:
    engine = open_engine(address)
    try:
        schema.prepare(engine, address)
        with Session(engine.execution_options(immediate=True)) as session, session.begin():
            if read_setting(session, FORMAT) is not None:
                raise InputError(
                    f"there is a city in the database {address} already; this folder can join it: "
                    "passerby admin database join CITY --database ADDRESS"
                )
            write_map(session, units, cameras, streets)
            write_setting(session, FORMAT, 1)
    finally:
        engine.dispose()


def join_catalogue(folder: Path, address: Address) -> None:
    """Make a folder of this machine belong to the city of a database.

    Raises:
        InputError: There is no city in the database, or it cannot be used.
    """
    assert isinstance(address.where, URL)
    engine = open_engine(address)
    try:
        if schema.current(engine) is not None:
            schema.prepare(engine, address)
            with Session(engine) as session:
                if read_setting(session, FORMAT) is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    write_address(folder, address.where)
                    return
    finally:
        engine.dispose()
    raise InputError(
        f"there is no city in the database {address}; make one: "
        "passerby admin create CITY --database ADDRESS"
    )
