"""Engines of the catalogue's two databases: the same promises of SQLite and of PostgreSQL.

A transaction with the execution option ``immediate`` holds the catalogue's write lock from its
start (``BEGIN IMMEDIATE``; an advisory lock), so that read-then-append, as the audit's chain needs
it, is safe between threads, processes and machines. One with ``snapshot`` sees one state of the
tables. A commit is on the disk when it returns.
"""

from pathlib import Path
from typing import Any, NoReturn

from passerby.city.address import PASSWORD, Address, tls_of
from passerby.errors import InputError, MissingExtraError

try:
    import sqlalchemy as sa
    from sqlalchemy import event
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


class DatabaseError(InputError):
    """The catalogue's database is away, full, or refuses this program; the request is not wrong."""


def open_engine(address: Address, *, upgrading: bool = False) -> sa.Engine:
    """An engine for a catalogue; nothing is connected yet.

    Args:
        address: where it is.
        upgrading: for changes of the schema: no limit on a statement's time, and SQLite's foreign
            keys are not followed while tables are rebuilt.

    Raises:
        InputError: an address that cannot be used.
    """
    if isinstance(address.where, Path):
        return _sqlite(address.where, foreign_keys=not upgrading)
    timeout = None if upgrading else 2 * WAIT
    return _postgresql(address.where, address.password, timeout=timeout, place=str(address))


def _sqlite(path: Path, *, foreign_keys: bool) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": WAIT})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for us
        keys = "ON" if foreign_keys else "OFF"
        for pragma in ("journal_mode=WAL", "synchronous=FULL", f"foreign_keys={keys}"):
            connection.execute(f"PRAGMA {pragma}")

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
        "password": password or "",  # the driver fails on none where the server asks for one
        "ssl_context": tls_of(url),
        "timeout": timeout,
    }
    engine = sa.create_engine(
        url.difference_update_query(["sslmode", "sslrootcert"]),
        connect_args=arguments,
        pool_size=CONNECTIONS // 4,
        max_overflow=CONNECTIONS - CONNECTIONS // 4,
        pool_pre_ping=True,  # a server that was started anew is found again
    )

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: object, words: Any, options: Any) -> Any:
        try:
            made = dialect.connect(*words, **options)
        except OSError as error:  # of the encryption; the driver tells all else in its own way
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
    def tell(context: sa.engine.ExceptionContext) -> None:
        if not context.is_pre_ping:
            _tell(context, place)

    return engine


class _Stream:
    """The driver's stream, with a broken first read told as the driver tells all others.

    pg8000 1.31 lets the first ``OSError`` of a message through as it is; a connection that the
    server has reset would then never count as broken, nor be replaced.
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


def _tell(context: sa.engine.ExceptionContext, place: str) -> None:
    """Raise what an operator can act upon; any other error goes its usual way."""
    error = context.original_exception
    first = error.args[0] if error.args else ""
    if not isinstance(first, dict):  # the driver's own, never the server's: the way is broken
        if isinstance(error, OSError) or context.is_disconnect or context.connection is None:
            _away(place, f"cannot be reached ({first})", error)
        return
    state = str(first.get("C", ""))
    told = _STATES.get(state) or _STATES.get(state[:2])
    if told:
        _away(place, told, error)
    if state.startswith("23"):  # the driver knows one of these states alone
        raise sa.exc.IntegrityError(context.statement, context.parameters, error) from error
    if state.startswith("22"):
        raise InputError(
            f"the database cannot keep a value ({first.get('M', 'no reason given')}); "
            "shorten or change it"
        ) from error


def _away(place: str, what: str, error: BaseException) -> NoReturn:
    raise DatabaseError(f"the city's database {place} {what}") from error
