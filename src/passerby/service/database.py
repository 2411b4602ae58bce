"""The service's tables in the city's catalogue, and the two ways to talk to them."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from passerby.city import City
from passerby.city.catalogue import Base
from passerby.city.city import CATALOGUE

METADATA = Base.metadata  # one catalogue: the city's tables and these

ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.Text, nullable=False),  # argon2id, with its own salt and cost
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
)
GRANTS = sa.Table(
    "grants",
    METADATA,
    sa.Column("account", sa.String(64), sa.ForeignKey("accounts.name"), primary_key=True),
    sa.Column("unit", sa.String(32), primary_key=True),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),  # of the id; the id is in the cookie
    sa.Column("account", sa.String(64), sa.ForeignKey("accounts.name"), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
)
CASES = sa.Table(
    "cases",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("legal_basis", sa.Text, nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("units", sa.JSON, nullable=False),
    sa.Column("opened", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("closed", sa.BigInteger),
)
APPROVALS = sa.Table(
    "approvals",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case", sa.String(64), sa.ForeignKey("cases.id"), nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("units", sa.JSON, nullable=False),
    sa.Column("start", sa.BigInteger),
    sa.Column("end", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("asked", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("decided_by", sa.String(64)),
    sa.Column("decided", sa.BigInteger),
    sa.Column("until", sa.BigInteger),
)
SEARCHES = sa.Table(
    "searches",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("case", sa.String(64), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("audit", sa.Integer, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),  # scope, ids and scores, judgements; no vectors
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("case", sa.String(64)),
    sa.Column("units", sa.JSON, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)

OURS = [ACCOUNTS, GRANTS, SESSIONS, CASES, APPROVALS, SEARCHES, AUDIT]

# a row of the audit can be added; the database itself refuses to change or remove one
APPEND_ONLY = [
    f"CREATE TRIGGER IF NOT EXISTS audit_no_{verb} BEFORE {verb} ON audit "
    "BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END"
    for verb in ("update", "delete")
]


def now() -> int:
    """The present, milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Database:
    """The catalogue of one city, opened for the service's own tables.

    A write begins with the write lock taken (``BEGIN IMMEDIATE``), so that read-then-append, as the
    audit chain needs it, is safe between threads and between processes.
    """

    def __init__(self, path: Path) -> None:
        """Open (and where needed create) the tables in the SQLite file at ``path``."""
        self.path = path
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        sa.event.listen(self.engine, "connect", _prepare)
        sa.event.listen(self.engine, "begin", _begin)
        with self.write() as connection:
            METADATA.create_all(connection, tables=OURS)
            for statement in APPEND_ONLY:
                connection.execute(sa.text(statement))

    @classmethod
    def of(cls, city: City) -> "Database":
        """The tables in a city's own catalogue."""
        return cls(city.folder / CATALOGUE)

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that holds the write lock from its start; commits at the end."""
        engine = self.engine.execution_options(immediate=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view of the tables."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late for us
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
