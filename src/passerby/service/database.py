"""The service's tables in the city's catalogue, and the two ways to talk to them.

What is declared here and in the city's catalogue is made by the revisions of
``passerby.city.migrations``; a change needs one, and a test holds the two equal.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from passerby.city import City, schema
from passerby.city.address import Address
from passerby.city.catalogue import Base
from passerby.city.engines import open_engine

METADATA = Base.metadata  # one catalogue: the city's tables and these
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # 64 bits in both

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
    sa.Column("unit", sa.String(64), primary_key=True),
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),  # of the id; the id is in the cookie
    sa.Column("account", sa.String(64), sa.ForeignKey("accounts.name"), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Index("sessions_of_account", "account"),
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
    sa.Index("approvals_of_case", "case", "account"),
)
SEARCHES = sa.Table(
    "searches",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("case", sa.String(64), nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("audit", NUMBER, nullable=False),
    sa.Column("record", sa.JSON, nullable=False),  # scope, ids and scores, judgements; no vectors
    sa.Index("searches_of_account", "account", "created"),
)
AUDIT = sa.Table(
    "audit",
    METADATA,
    sa.Column("number", NUMBER, primary_key=True, autoincrement=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("case", sa.String(64)),
    sa.Column("units", sa.JSON, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
)


def now() -> int:
    """The present, milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Database:
    """The catalogue of one city, opened for the service's own tables.

    A write begins with the write lock taken (see :mod:`passerby.city.engines`), so that
    read-then-append, as the audit chain needs it, is safe between threads, processes and machines.
    """

    def __init__(self, address: Address | Path) -> None:
        """Open (and where needed create) the tables in a file or a database.

        Raises:
            InputError: the database does not answer, or its schema is not this program's.
        """
        place = address if isinstance(address, Address) else Address(where=address)
        self.engine = open_engine(place)
        schema.prepare(self.engine, place)

    @classmethod
    def of(cls, city: City) -> "Database":
        """The tables in a city's own catalogue."""
        return cls(city.address)

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that holds the write lock from its start; commits at the end."""
        engine = self.engine.execution_options(immediate=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view of the tables."""
        engine = self.engine.execution_options(snapshot=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()
