"""The audit: an append-only chain of entries, each of which holds the hash of the one before."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from passerby.service.database import AUDIT, Database, now

HEAD_FILE = "audit.head"  # number and digest of the last entry, beside the database
LOCK_FILE = "audit.lock"
START = "0" * 64
ROWS_AT_ONCE = 5_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that was done.

    Attributes:
        number: 1, 2, 3, ... without gaps.
        time: ms since the epoch, UTC.
        account: who.
        action: what, one word of ``ACTIONS``.
        case: for what case, or None.
        units: the units that it touched; they decide which supervisors may read the entry.
        details: the rest: query picture hashes, model, result ids, window, format, ...
        previous: the digest of entry number - 1 (64 zeros for the first).
        digest: SHA-256 of all the above in canonical JSON.
    """

    number: int
    time: int
    account: str
    action: str
    case: str | None
    units: tuple[str, ...]
    details: dict[str, Any]
    previous: str
    digest: str = ""

    def expected_digest(self) -> str:
        """SHA-256 of the entry without its digest, in canonical JSON (sorted keys, UTF-8)."""
        body = {key: value for key, value in vars(self).items() if key != "digest"}
        body["units"] = list(self.units)
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What :meth:`Audit.verify` found: how many entries hold, and the first that does not."""

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def intact(self) -> bool:
        """Whether the whole chain holds."""
        return self.broken_at is None


class Audit:
    """Append, read and verify the chain of one city.

    The database's write lock makes one chain of what any number of machines append. Each machine
    notes the last entry of its own outside the database, in the city's folder: a witness that
    whoever can write the database cannot reach.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.head_path = folder / HEAD_FILE
        self._lock = FileLock(folder / LOCK_FILE)

    def append(
        self,
        action: str,
        *,
        account: str,
        case: str | None = None,
        units: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> Entry:
        """Add one entry, durable when this returns, and note it as the head.

        The lock goes around both, so that the note is never of an older entry than the last.
        """
        with self._lock:
            entry = self._append(action, account, case, units, details or {})
            self._write_head(entry)
        return entry

    def _append(
        self,
        action: str,
        account: str,
        case: str | None,
        units: tuple[str, ...],
        details: dict[str, Any],
    ) -> Entry:
        with self.database.write() as connection:
            last = connection.execute(
                sa.select(AUDIT.c.number, AUDIT.c.digest).order_by(AUDIT.c.number.desc()).limit(1)
            ).first()
            # through JSON and back, so that what is hashed is what a reader will get
            plain = json.loads(json.dumps(details))
            body = Entry(
                number=last.number + 1 if last else 1,
                time=now(),
                account=account,
                action=action,
                case=case,
                units=tuple(units),
                details=plain,
                previous=last.digest if last else START,
            )
            entry = Entry(**{**vars(body), "digest": body.expected_digest()})
            connection.execute(AUDIT.insert().values({**vars(entry), "units": list(entry.units)}))
        return entry

    def _write_head(self, entry: Entry) -> None:
        """Note the head outside the database, so that cutting off the chain's end shows too."""
        draft = self.head_path.with_suffix(".tmp")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"number": entry.number, "digest": entry.digest}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.head_path)

    def entries(self, *, before: int | None = None, limit: int | None = None) -> list[Entry]:
        """Entries from the newest down, those numbered below ``before``."""
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc())
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        if limit is not None:
            query = query.limit(limit)
        with self.database.read() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self) -> Verdict:
        """Recompute the chain from its start and find the first entry that does not hold."""
        note = self._note()  # before the chain, which may grow meanwhile
        previous, count, noted = START, 0, ""
        with self.database.read() as connection:
            for entry in _in_order(connection):
                reason = _fault(entry, count + 1, previous)
                if reason:
                    return Verdict(entries=count, head=previous, broken_at=count + 1, reason=reason)
                previous, count = entry.digest, count + 1
                if note and note["number"] == count:
                    noted = previous
        broken_at, reason = _note_fault(note, count, noted)
        return Verdict(entries=count, head=previous, broken_at=broken_at, reason=reason)

    def note(self) -> None:
        """Note the present last entry, where this folder has just joined the city of others."""
        with self._lock:
            last = self.entries(limit=1)
            if last:
                self._write_head(last[0])

    def _note(self) -> dict[str, Any] | None:
        """What was noted; empty where it is damaged, None where it is missing."""
        try:
            note = json.loads(self.head_path.read_text(encoding="utf-8"))
            return {"number": int(note["number"]), "digest": str(note["digest"])}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return {}


def _note_fault(note: dict[str, Any] | None, count: int, noted: str) -> tuple[int | None, str]:
    """What the note says against a chain of ``count`` entries, and of which entry.

    A note of an older entry is none: another machine wrote since, or the power failed before the
    newer note. But that entry must be the one that was noted.
    """
    if note is None:
        return (count + 1, "the note of the last entry is missing") if count else (None, "")
    if not note:
        return count + 1, "the note of the last entry is damaged"
    if note["number"] > count:
        return count + 1, f"entries {count + 1} to {note['number']} are missing"
    if noted != note["digest"]:
        return note["number"], f"entry {note['number']} is not the one that was noted"
    return None, ""


def _in_order(connection: sa.Connection) -> Iterator[Entry]:
    """Every entry from the first, a bounded number in memory."""
    last = -(2**62)
    query = sa.select(AUDIT).order_by(AUDIT.c.number).limit(ROWS_AT_ONCE)
    while rows := connection.execute(query.where(AUDIT.c.number > last)).all():
        yield from map(_entry, rows)
        last = rows[-1].number


def _fault(entry: Entry, number: int, previous: str) -> str:
    if entry.number != number:
        return "an entry is missing"
    if entry.previous != previous:
        return "the entry does not follow the one before it"
    if entry.digest != entry.expected_digest():
        return "the entry was changed"
    return ""


def _entry(row: sa.Row[Any]) -> Entry:
    values = dict(row._mapping)
    return Entry(**{**values, "units": tuple(values["units"])})
