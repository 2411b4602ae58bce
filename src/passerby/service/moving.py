"""Move a city's catalogue from its folder into a database, or back, with the audit's chain."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from passerby.city import catalogue, schema
from passerby.city.address import ADDRESS_FILE, CATALOGUE, Address, write_address
from passerby.city.catalogue import FORMAT
from passerby.city.checksums import CHECKSUMS
from passerby.city.engines import DatabaseError, open_engine
from passerby.errors import InputError
from passerby.service.audit import Audit
from passerby.service.database import METADATA, Database

ROWS_AT_ONCE = 1_000


def move(folder: Path, target: Address) -> dict[str, int]:
    """Copy a city's catalogue, verify the copy, and make the folder use the copy.

    Programs that have the city open must be stopped first. The old catalogue is not deleted; a file
    gets another name.

    Args:
        folder: the city's folder.
        target: an empty PostgreSQL database; or the folder's own file, to move back from one.

    Returns:
        Rows of each table.

    Raises:
        InputError: the target holds a city already, or is the city's present catalogue.
    """
    source = Address.of(folder)
    if source.where == target.where:
        raise InputError(f"the city's catalogue is in {target} already; name another database")
    draft = target
    if target.file is not None:
        if target.file.exists():
            raise InputError(f"there is a catalogue '{target.file}' already; move it away first")
        draft = replace(target, where=target.file.with_name(f"{CATALOGUE}.new"))
        draft.where.unlink(missing_ok=True)  # type: ignore[union-attr]
    copied = _copy(source, draft)
    with closing(Database(draft)) as database:
        verdict = Audit(database, folder).verify()
    if not verdict.intact:
        raise DatabaseError(
            f"the copied audit does not hold: {verdict.reason}; the city is as before"
        )
    _switch(folder, draft)
    return copied


def _switch(folder: Path, target: Address) -> None:
    old = time.strftime("%Y%m%d-%H%M%S")
    if isinstance(target.where, Path):
        target.where.rename(folder / CATALOGUE)
        (folder / ADDRESS_FILE).rename(folder / f"{ADDRESS_FILE}.{old}")
    else:
        write_address(folder, target.where)  # it takes precedence over a file that still exists
        (folder / CATALOGUE).rename(folder / f"{CATALOGUE}.{old}")


def _copy(source: Address, target: Address) -> dict[str, int]:
    """Copy every row in one transaction; the source is locked for writers meanwhile."""
    reading, writing = open_engine(source), open_engine(target, upgrading=True)
    try:
        schema.prepare(reading, source)
        schema.prepare(writing, target)
        with (
            reading.execution_options(immediate=True).begin() as old,
            writing.execution_options(immediate=True).begin() as new,
        ):
            if new.execute(sa.select(catalogue.SettingRow).filter_by(key=FORMAT)).first():
                raise InputError(f"there is a city in the database {target} already")
            tables = [one for one in METADATA.sorted_tables if one.name != CHECKSUMS]
            copied = {table.name: _copy_table(table, old, new) for table in tables}
            if new.dialect.name == "postgresql":
                _set_counters(new)
    finally:
        reading.dispose()
        writing.dispose()
    return copied


def _copy_table(table: sa.Table, old: sa.Connection, new: sa.Connection) -> int:
    rows = old.execution_options(yield_per=ROWS_AT_ONCE).execute(sa.select(table)).mappings()
    if table is catalogue.UnitRow.__table__:
        return _insert(table, _parents_first([dict(row) for row in rows]), new)
    return sum(_insert(table, [dict(row) for row in part], new) for part in rows.partitions())


def _insert(table: sa.Table, rows: list[dict[str, Any]], new: sa.Connection) -> int:
    if rows:
        new.execute(table.insert(), rows)
    return len(rows)


def _parents_first(units: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order units so that each comes after its parent, as the foreign key demands."""
    parents = {unit["code"]: unit["parent"] for unit in units}

    def depth(code: str | None) -> int:
        return 0 if code is None else 1 + depth(parents[code])

    return sorted(units, key=lambda unit: depth(unit["code"]))


def _set_counters(new: sa.Connection) -> None:
    """Set PostgreSQL's counters, so that new rows are numbered after the copied ones."""
    for table, column in (("approvals", "id"), ("looks", "id"), ("streets", "number")):
        new.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), "
            f"coalesce(max({column}), 0) + 1, false) FROM {table}"
        )
