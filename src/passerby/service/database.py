"""The service's tables in the city's catalogue, and its read and write transactions.

The revisions in ``passerby.city.migrations`` create the tables that are declared here and in
:mod:`passerby.city.catalogue`. A change of a table needs a new revision; a test compares the two.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from passerby.city import City, schema
from passerby.city.address import Address
from passerby.city.engines import open_engine
from passerby.city.erasing import TombstoneRow

METADATA = TombstoneRow.metadata  # of one catalogue: the city's tables and these
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # 64 bits in both

ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("password", sa.Text, nullable=False),  # argon2id, with its own salt and cost
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("disabled", sa.Boolean, nullable=False, default=False),
    # the password is an administrator's or a one-time code: it is good for choosing another
    sa.Column("must_change", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("code_until", sa.BigInteger),  # ms; the password is a code that ends then
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
    sa.Column("digest", sa.String(64)),  # SHA-256 of the record; None from before there were any
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
    sa.Column("mac", sa.String(64)),  # HMAC of the digest; None from before there was a key
)
LOOKS = sa.Table(
    "looks",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("case", sa.String(64), nullable=False),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("time", sa.BigInteger, nullable=False),
    sa.Column("cameras", sa.JSON, nullable=False),
    sa.Column("start", sa.BigInteger, nullable=False),
    sa.Column("end", sa.BigInteger, nullable=False),
    sa.Index("looks_of_case", "case", "time"),
)


def now() -> int:
    """Return the present time in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


class Database:
    """The catalogue of one city, opened for the service's own tables.

    A write transaction takes the write lock at its start (see :mod:`passerby.city.engines`). So
    reading the last entry and appending another, as the audit does, is safe between threads,
    processes and machines.
    """

    def __init__(self, address: Address | Path) -> None:
        """Open the tables in a file or a database; create them where they are missing.

        Raises:
            InputError: the database does not answer, or its schema is not this program's.
        """
        place = address if isinstance(address, Address) else Address(where=address)
        self.engine = open_engine(place)
        schema.prepare(self.engine, place)

    @classmethod
    def of(cls, city: City) -> "Database":
        """Open the tables in the catalogue of a city."""
        return cls(city.address)

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Begin a transaction that holds the write lock; it commits at the end of the block."""
        engine = self.engine.execution_options(immediate=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Begin a transaction that sees one consistent state of the tables."""
        engine = self.engine.execution_options(snapshot=True)
        with engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()
