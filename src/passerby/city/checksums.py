"""Checksums of the catalogue's tables, kept with every change and compared by ``admin verify``.

They find damage: flipped bits, and rows that another program changed. They are not secret, so who
may write to the database can compute them anew; against that stands the audit, which has a key
(:mod:`passerby.service.audit`).
"""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

CHECKSUMS = "checksums"
# table -> the columns that order its rows. Sessions come and go at every sign-in and prove
# nothing; a search has a digest of its own, and the audit its chain.
TABLES = {
    "units": "code",
    "cameras": "id, valid_from",
    "streets": "number",
    "fact_names": "name",
    "facts": "unit, name, date",
    "settings": "key",
    "tombstones": "hash",
    "accounts": "name",
    "grants": "account, unit",
    "cases": "id",
    "approvals": "id",
}
_WRITE = re.compile(r'\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)
_WRITTEN = "passerby.written"


def maintain(engine: sa.Engine) -> None:
    """Let every transaction of an engine bring the checksums of what it wrote up to date."""

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.info[_WRITTEN] = set()

    @event.listens_for(engine, "before_cursor_execute")
    def note(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        found = _WRITE.match(statement)
        if found and found[1].lower() in TABLES:
            connection.info.setdefault(_WRITTEN, set()).add(found[1].lower())

    @event.listens_for(engine, "commit")
    def refresh(connection: sa.Connection) -> None:
        written = connection.info.pop(_WRITTEN, None)
        if written:
            write(connection, written)


def write(connection: sa.Connection, tables: Iterable[str] = TABLES) -> None:
    """Compute and store the checksums of some tables; of a catalogue that has room for them."""
    there = set(sa.inspect(connection).get_table_names())
    if CHECKSUMS not in there:
        return
    for name in sorted(there.intersection(tables)):
        rows, digest = summary(connection, name)
        values = {"name": name, "rows": rows, "digest": digest}
        connection.execute(sa.text(f'DELETE FROM {CHECKSUMS} WHERE "table" = :name'), values)
        insert = f'INSERT INTO {CHECKSUMS} ("table", rows, digest) VALUES (:name, :rows, :digest)'
        connection.execute(sa.text(insert), values)


def summary(connection: sa.Connection, table: str) -> tuple[int, str]:
    """Return the number of rows of a table and the SHA-256 over all of them, in order."""
    digest, rows = hashlib.sha256(), 0
    query = f"SELECT * FROM {table} ORDER BY {TABLES[table]}"
    for row in connection.execute(sa.text(query)):
        text = json.dumps(list(row), sort_keys=True, default=str)
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
        rows += 1
    return rows, digest.hexdigest()


def faults(engine: sa.Engine) -> list[str]:
    """Return what is damaged in a catalogue, one sentence each."""
    found: list[str] = []
    with engine.execution_options(snapshot=True).connect() as connection, connection.begin():
        if connection.dialect.name == "sqlite":
            said = [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
            found += [f"the catalogue's file is damaged: {one}" for one in said if one != "ok"]
        stored = {
            name: (rows, digest)
            for name, rows, digest in connection.execute(
                sa.text(f'SELECT "table", rows, digest FROM {CHECKSUMS}')
            )
        }
        there = set(sa.inspect(connection).get_table_names())
        for name in TABLES:
            if name not in there:
                found.append(f"the catalogue's table '{name}' is missing")
            elif name not in stored:
                found.append(f"the catalogue's table '{name}' has no checksum")
            else:
                found += _compare(name, stored[name], summary(connection, name))
    return found


def _compare(name: str, stored: tuple[int, str], present: tuple[int, str]) -> list[str]:
    if stored == present:
        return []
    return [
        f"the catalogue's table '{name}' differs from its checksum: it has {present[0]} rows and "
        f"was last written with {stored[0]}; another program changed it, or the disk is damaged"
    ]
