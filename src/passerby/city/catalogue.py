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
from passerby.city.facts import Added, Fact, FactName
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
        func,
        insert,
        select,
    )
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
except ImportError:
    raise MissingExtraError("sqlalchemy", "city") from None


class Base(DeclarativeBase):
    """Base of every table in the catalogue."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}  # in every SQLAlchemy


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
    file: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))


class StreetRow(Base):
    """A street line as a list of (lon, lat)."""

    __tablename__ = "streets"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    name_zh: Mapped[str]
    kind: Mapped[str]
    line: Mapped[list[Any]] = mapped_column(JSON)


class FactNameRow(Base):
    """What all facts of a name share, see :class:`passerby.city.facts.FactName`."""

    __tablename__ = "fact_names"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    measure: Mapped[str]
    rule: Mapped[str] = mapped_column(String(16))


class FactRow(Base):
    """A fact of a unit, see :class:`passerby.city.facts.Fact`: a number, or else a text."""

    __tablename__ = "facts"
    __table_args__ = (Index("facts_of_name", "name"),)

    unit: Mapped[str] = mapped_column(String(64), ForeignKey("units.code"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), ForeignKey("fact_names.name"), primary_key=True)
    date: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[float | None]
    text: Mapped[str | None]
    source: Mapped[str]


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


def read_fact_names(session: Session) -> dict[str, FactName]:
    """The names of facts with measure, rule and how many values there are, by name."""
    counts = select(
        FactRow.name,
        func.count(FactRow.number),
        func.count(FactRow.text),
        func.count(FactRow.unit.distinct()),
    ).group_by(FactRow.name)
    found = {name: numbers for name, *numbers in session.execute(counts)}
    names: dict[str, FactName] = {}
    for row in session.scalars(select(FactNameRow).order_by(FactNameRow.name)):
        shared = {"name": row.name, "measure": row.measure, "rule": row.rule}
        numbers, texts, units = found.get(row.name, (0, 0, 0))
        names[row.name] = FactName(**shared, numbers=numbers, texts=texts, units=units)
    return names


def write_fact_name(session: Session, shared: FactName) -> None:
    """Store what all facts of a name share."""
    session.merge(FactNameRow(name=shared.name, measure=shared.measure, rule=shared.rule))
    session.flush()


def read_facts(
    session: Session, names: list[str] | None = None, within: str | None = None
) -> list[Fact]:
    """The facts of all or of some names, of all units or one and those in it, by name and unit."""
    query = select(FactRow.__table__, FactNameRow.measure).join(FactNameRow)
    if names is not None:
        query = query.where(FactRow.name.in_(names))
    if within is not None:
        query = query.where(FactRow.unit.startswith(within, autoescape=True))
    query = query.order_by(FactRow.name, FactRow.unit, FactRow.date)
    rows = _rows(session, query)
    values = [(row.pop("number"), row.pop("text")) for row in rows]
    return [
        Fact(value=text if number is None else number, **row)
        for row, (number, text) in zip(rows, values, strict=True)
    ]


def write_facts(session: Session, facts: list[Fact]) -> Added:
    """Store facts; one of the same unit, name and date is replaced.

    Raises:
        InputError: A measure is not that of the name, or a text is given for a name with a rule.
    """
    known = read_fact_names(session)
    for fact in facts:
        shared = known.get(fact.name, FactName(name=fact.name))
        known[fact.name] = shared.accept(fact)
    for name in {fact.name for fact in facts}:
        write_fact_name(session, known[name])
    there = read_facts(session, sorted({fact.name for fact in facts}))
    old = {(one.unit, one.name, one.date): (one.value, one.source) for one in there}
    new = {(one.unit, one.name, one.date): (one.value, one.source) for one in facts}
    due = {key: value for key, value in new.items() if old.get(key) != value}
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(FactRow)
    columns = {name: statement.excluded[name] for name in ("number", "text", "source")}
    rows = [
        {
            "unit": unit,
            "name": name,
            "date": date,
            "number": None if isinstance(value, str) else value,
            "text": value if isinstance(value, str) else None,
            "source": source,
        }
        for (unit, name, date), (value, source) in due.items()
    ]
    if rows:
        keys = ["unit", "name", "date"]
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_=columns), rows)
    replaced = sum(key in old for key in due)
    return Added(added=len(due) - replaced, replaced=replaced, unchanged=len(new) - len(due))


def delete_facts(session: Session, name: str) -> int:
    """Delete the facts of a name, and the name; returns how many went."""
    count = select(func.count()).select_from(FactRow).where(FactRow.name == name)
    gone = int(session.execute(count).scalar_one())
    session.execute(delete(FactRow).where(FactRow.name == name))
    session.execute(delete(FactNameRow).where(FactNameRow.name == name))
    return gone


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
    *,
    facts: list[Fact],
) -> None:
    """Write the catalogue of a new city; a crash leaves no half a city.

    Args:
        folder: The city's folder, without a city.
        address: Where the catalogue shall be: in the folder, or in an empty database.
        units: The tree of units.
        cameras: Cameras by id.
        streets: The street lines.
        facts: What is known of the units.

    Raises:
        InputError: The database holds a city already, or cannot be used.
    """
    if isinstance(address.where, URL):
        _write(address, units, cameras, streets, facts)
        write_address(folder, address.where)
        return
    with replacing(folder / CATALOGUE) as partial:
        _write(replace(address, where=partial), units, cameras, streets, facts)


def _write(
    address: Address,
    units: UnitTree,
    cameras: dict[str, Camera],
    streets: list[Street],
    facts: list[Fact],
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
            write_facts(session, facts)
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
