"""The first writing of a city's catalogue; a crash leaves no half a city."""

from dataclasses import replace
from pathlib import Path

from passerby.city import catalogue, schema
from passerby.city.address import Address, write_address
from passerby.city.cameras import Camera
from passerby.city.engines import open_engine
from passerby.city.folder import CATALOGUE
from passerby.city.streets import Street
from passerby.city.units import UnitTree
from passerby.errors import InputError, MissingExtraError

try:
    from sqlalchemy import URL
    from sqlalchemy.orm import Session
except ImportError:
    raise MissingExtraError("sqlalchemy", "city") from None

FORMAT = "format"  # the setting that tells a city from mere tables


def found(
    folder: Path,
    address: Address,
    units: UnitTree,
    cameras: dict[str, Camera],
    streets: list[Street],
) -> None:
    """Write the catalogue of a new city.

    Args:
        folder: the city's folder, without a city.
        address: where the catalogue shall be: in the folder, or in an empty database.
        units: the tree of units.
        cameras: cameras by id.
        streets: the street lines.

    Raises:
        InputError: the database holds a city already, or cannot be used.
    """
    if not isinstance(address.where, URL):
        draft = folder / f"{CATALOGUE}.new"  # the name comes last
        draft.unlink(missing_ok=True)
        _write(replace(address, where=draft), units, cameras, streets)
        draft.rename(folder / CATALOGUE)
        return
    _write(address, units, cameras, streets)
    write_address(folder, address.where)


def join(folder: Path, address: Address) -> None:
    """Let a folder of this machine belong to the city of a database.

    Raises:
        InputError: there is no city in the database, or it cannot be used.
    """
    assert isinstance(address.where, URL)
    engine = open_engine(address)
    try:
        if schema.current(engine) is not None:
            schema.prepare(engine, address)
            with Session(engine) as session:
                if catalogue.read_setting(session, FORMAT) is not None:
                    folder.mkdir(parents=True, exist_ok=True)
                    write_address(folder, address.where)
                    return
    finally:
        engine.dispose()
    raise InputError(
        f"there is no city in the database {address}; make one: "
        "passerby admin create CITY --database ADDRESS"
    )


def _write(
    address: Address, units: UnitTree, cameras: dict[str, Camera], streets: list[Street]
) -> None:
    engine = open_engine(address)
    try:
        schema.prepare(engine, address)
        with Session(engine.execution_options(immediate=True)) as session, session.begin():
            if catalogue.read_setting(session, FORMAT) is not None:
                raise InputError(
                    f"there is a city in the database {address} already; this folder can join it: "
                    "passerby admin database join CITY --database ADDRESS"
                )
            catalogue.write_map(session, units, cameras, streets)
            catalogue.write_setting(session, FORMAT, 1)
    finally:
        engine.dispose()
