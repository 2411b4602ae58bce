"""Engines of the catalogue's two databases, SQLite and PostgreSQL, with the same guarantees.

A transaction with the execution option ``immediate`` holds the catalogue's write lock from its
start: ``BEGIN IMMEDIATE`` in SQLite, an advisory lock in PostgreSQL. The audit reads the last entry
and then appends one; the lock makes this safe between threads, processes and machines. A
transaction with ``snapshot`` sees one state of the tables. A commit is on the disk when it returns.
"""

import sqlite3
from pathlib import Path
from typing import Any, NoReturn

from passerby.city.address import PASSWORD, Address, tls_of
from passerby.errors import InputError, MissingExtraError

try:
    import sqlalchemy as sa
    from sqlalchemy import event

    from passerby.city import checksums
except ImportError:
    raise MissingExtraError("sqlalchemy", "city") from None

WAIT = 30  # seconds for the write lock
CONNECTIONS = 20  # of one process, at most
WRITE_LOCK = 0x5061_7373_6572_6279  # "Passerby"; an advisory lock's key
_LOCK = f"SELECT set_config('lock_timeout', '{WAIT}s', true), pg_advisory_xact_lock({WRITE_LOCK})"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

# SQLSTATE, or its first two signs -> what is the matter and what to do
_STATES = {
    "08": "is away; try again when it is back",
    "57": "is shutting down or starting; try again in a moment",
    "53": "is out of connections, memory or disk; ask who keeps it",
    "28": f"does not admit this user; set {PASSWORD}, or {PASSWORD}_FILE to a file's path",
    "3D": "has no database of that name; create it first (createdb)",
    "42501": "does not allow this to the user of the address; ask who keeps it for the right",
    "25006": "is read-only; give the address of the primary server",
    "55P03": f"was busy for {WAIT} s; try again",
    "40": "could not finish beside other writers; try again",
}


_BROKEN = ("DatabaseError", "OperationalError")  # of sqlite3; the others are about one value


class DatabaseError(InputError):
    """The catalogue's database cannot be reached, is full, or refuses this program."""


def open_engine(address: Address, *, upgrading: bool = False) -> sa.Engine:
    """Make an engine for a catalogue; it connects when it is used.

    Args:
        address: Where the catalogue is.
        upgrading: For changes of the schema: a statement may take any time, and SQLite does not
            check foreign keys while tables are rebuilt.

    Raises:
        InputError: The address cannot be used.
    """
    if isinstance(address.where, Path):
        engine = _sqlite(address.where, foreign_keys=not upgrading)
    else:
        timeout = None if upgrading else 2 * WAIT
        engine = _postgresql(address.where, address.password, timeout=timeout, place=str(address))
    checksums.maintain(engine)
    return engine


def _sqlite(path: Path, *, foreign_keys: bool) -> sa.Engine:
    # not a text: a '?' or '%' in the path would mean something
    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, connect_args={"timeout": WAIT})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late
        keys = "ON" if foreign_keys else "OFF"
        # secure_delete: what retention strips from a search must not stay in the file's free pages
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"foreign_keys={keys}",
            "secure_delete=ON",
        ):
            try:
                connection.execute(f"PRAGMA {pragma}")
            except UnicodeDecodeError as error:  # a damaged name; the driver does not translate it
                raise sqlite3.DatabaseError("a name in it is no text") from error

    @event.listens_for(engine, "handle_error")
    def translate(context: sa.engine.ExceptionContext) -> None:
        error = context.original_exception
        broken = isinstance(error, sqlite3.DatabaseError) and type(error).__name__ in _BROKEN
        if broken or isinstance(error, UnicodeDecodeError):
            raise DatabaseError(
                f"the city's catalogue '{path}' cannot be used ({error}); where it is damaged, "
                "restore a backup"
            ) from error

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _postgresql(
    url: sa.URL, password: str | None, *, timeout: float | None, place: str
) -> sa.Engine:
    try:
        import pg8000  # noqa: F401
    except ImportError:
        raise MissingExtraError("pg8000", "postgres") from None
    arguments: dict[str, Any] = {
        "application_name": "passerby",
        "password": password or "",  # the driver fails on None when the server asks for one
        "ssl_context": tls_of(url),
        "timeout": timeout,
    }
    engine = sa.create_engine(
        url.difference_update_query(["sslmode", "sslrootcert"]),
        connect_args=arguments,
        pool_size=CONNECTIONS // 4,
        max_overflow=CONNECTIONS - CONNECTIONS // 4,
        pool_pre_ping=True,  # connects again after the server was restarted
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: object, words: Any, options: Any) -> Any:
        try:
            made = dialect.connect(*words, **options)
        except OSError as error:  # from the encryption; the driver translates all others
            _away(place, f"cannot be reached ({error})", error)
        made._sock = _Stream(made._sock, dialect.loaded_dbapi.InterfaceError)
        return made

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if options.get("immediate"):
            connection.exec_driver_sql(_LOCK)
        elif options.get("snapshot"):
            connection.exec_driver_sql(_SNAPSHOT)

    @event.listens_for(engine, "handle_error")
    def translate(context: sa.engine.ExceptionContext) -> None:
        if not context.is_pre_ping:
            _translate(context, place)

    return engine


class _Stream:
    """The driver's stream; an ``OSError`` while reading becomes the driver's own error.

    pg8000 1.31 does not translate the first ``OSError`` of a message. SQLAlchemy would then not see
    that the server has reset the connection, and would not replace it.
    """

    def __init__(self, stream: Any, broken: type[Exception]) -> None:
        self._stream, self._broken = stream, broken

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._stream.read(size))
        except OSError as error:
            raise self._broken("network error") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _translate(context: sa.engine.ExceptionContext, place: str) -> None:
    """Raise an error that an operator can act on; any other error stays as it is."""
    error = context.original_exception
    first = error.args[0] if error.args else ""
    if not isinstance(first, dict):  # an error of the driver: the connection is broken
        if isinstance(error, OSError) or context.is_disconnect or context.connection is None:
            _away(place, f"cannot be reached ({first})", error)
        return
    state = str(first.get("C", ""))
    reason = _STATES.get(state) or _STATES.get(state[:2])
    if reason:
        _away(place, reason, error)
    if state.startswith("23"):  # the driver translates only one of these states
        raise sa.exc.IntegrityError(context.statement, context.parameters, error) from error
    if state.startswith("22"):
        raise InputError(
            f"the database cannot keep a value ({first.get('M', 'no reason given')}); "
            "shorten or change it"
        ) from error


def _away(place: str, what: str, error: BaseException) -> NoReturn:
    raise DatabaseError(f"the city's database {place} {what}") from error
