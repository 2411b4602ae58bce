"""The catalogue's schema: the revision of a database, and its upgrade to the newest one.

A SQLite file is upgraded when it is opened, after a copy was made beside it. A database that
several machines share is upgraded only on command (``passerby admin database upgrade``), because
other machines may still run the older program.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from passerby.city import checksums
from passerby.city.address import Address
from passerby.city.engines import DatabaseError, open_engine
from passerby.errors import InputError, MissingExtraError
from passerby.files import replacing

try:
    import sqlalchemy as sa
except ImportError:
    raise MissingExtraError("sqlalchemy", "city") from None

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
)  # of migrations/versions; so that reading them needs no Alembic
HEAD = REVISIONS[-1]
BEFORE = "0000"  # a city from before revisions were counted
MIGRATIONS = Path(__file__).parent / "migrations"
UPGRADE = "passerby admin database upgrade CITY"


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of a database; None for an empty one, ``BEFORE`` for a city without one."""
    tables = set(sa.inspect(connection).get_table_names())
    if "alembic_version" in tables:
        found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if found is not None:
            return str(found)
    return BEFORE if tables & {"units", "accounts"} else None


def current(engine: sa.Engine) -> str | None:
    """The revision of the database behind an engine, see :func:`revision_of`."""
    with engine.connect() as connection:
        return revision_of(connection)


def prepare(engine: sa.Engine, address: Address) -> None:
    """Make sure that a catalogue has the newest schema; create the tables of an empty one.

    Raises:
        InputError: A newer program wrote it; or it is shared and older than this program.
    """
    found = current(engine)
    if found == HEAD:
        return
    _refuse_newer(found)
    if found is not None and address.file is None:
        raise InputError(
            f"the city's database has the schema {found}, this program needs {HEAD}; stop the "
            f"other machines' programs, make a backup and run '{UPGRADE}'"
        )
    upgrade(address)


def upgrade(address: Address) -> Path | None:
    """Bring a catalogue to the newest revision, in one transaction.

    Returns:
        For SQLite, the copy of the file as it was before. None when nothing was changed, and for
        PostgreSQL, whose backups are made with its own tools.

    Raises:
        InputError: A newer program wrote it.
    """
    # statements of a change may be slow, and rebuilt tables are referred to: an engine of its own
    engine = open_engine(address, upgrading=True)
    copy = None
    try:
        with engine.execution_options(immediate=True).begin() as connection:
            found = revision_of(connection)
            _refuse_newer(found)
            if found == HEAD:  # another process was faster
                return None
            if found is not None and address.file is not None:
                copy = _copy(address.file, found)
            _run(connection)
            checksums.write(connection)
            _check_references(connection)
    finally:
        engine.dispose()
    return copy


def _refuse_newer(found: str | None) -> None:
    if found is not None and found != BEFORE and found not in REVISIONS:
        raise InputError(
            f"the city's database has the schema {found}, this program knows up to {HEAD}; "
            "a newer Passerby wrote it: install that one"
        )


def _run(connection: sa.Connection) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except ImportError:
        raise MissingExtraError("alembic", "city") from None
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_references(connection: sa.Connection) -> None:
    """Refuse an upgrade that would leave a row without the row that it refers to."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        raise DatabaseError(
            f"the upgrade of the catalogue would leave {len(broken)} rows of '{broken[0][0]}' "
            "without what they refer to; nothing was changed, report this"
        )


def _copy(path: Path, revision: str) -> Path:
    """A consistent copy of a SQLite file, beside it, named by its revision."""
    first = path.with_name(f"{path.name}.{revision}")
    target, number = first, 0
    while target.exists():
        number += 1
        target = first.with_name(f"{first.name}.{number}")
    with (
        replacing(target, mode=0o600) as partial,  # it holds password hashes
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(partial)) as copy,
    ):
        source.backup(copy)
    return target
