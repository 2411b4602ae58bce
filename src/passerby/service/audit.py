"""The audit: an append-only chain of entries; each entry holds the hash of the entry before it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from passerby.files import write_json
from passerby.service.database import AUDIT, Database, now

HEAD_FILE = "audit.head"  # number and digest of the last entry, beside the database
LOCK_FILE = "audit.lock"
START = "0" * 64
ROWS_AT_ONCE = 5_000
VIEWS_IN_ENTRY = 200
VIEW_WAIT = 60_000  # ms that the view of a crop may wait for its entry


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One recorded action.

    Attributes:
        number: 1, 2, 3, ... without gaps.
        time: ms since the epoch, UTC.
        account: who acted.
        action: one word, such as "searched" or "exported".
        case: number of the case; None for an action without a case.
        units: codes of the units concerned; they decide which supervisors may read the entry.
        details: plain JSON that depends on the action: hashes of query pictures, the model, ids of
            results, the window, the format of an export, ...
        previous: digest of the entry before this one; 64 zeros for the first.
        digest: SHA-256 of all other attributes in canonical JSON.
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
        """Return the SHA-256 of the entry without its digest, in canonical JSON.

        Canonical means sorted keys, no spaces, UTF-8.
        """
        body = {key: value for key, value in vars(self).items() if key != "digest"}
        body["units"] = list(self.units)
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of :meth:`Audit.verify`.

    Attributes:
        entries: how many entries are intact, from the first on.
        head: digest of the last of them.
        broken_at: number of the first entry that is not intact; None for an intact chain.
        reason: what is wrong with it.
    """

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""

    @property
    def intact(self) -> bool:
        """Whether the whole chain is intact."""
        return self.broken_at is None


class Audit:
    """Append, read and verify the chain of one city.

    The database's write lock orders the entries of all machines in one chain. Each machine also
    keeps an audit head in the city's folder: number and digest of the last entry that it wrote. A
    person who can change the database alone cannot change that file.
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
        """Add one entry and store it as the audit head; both are durable when this returns.

        One lock covers both writes. Without it, a slower thread could store an older entry as the
        head.
        """
        # The hash covers what a reader gets: tuples, for example, come back as lists.
        plain = json.loads(json.dumps(details or {}))
        with self._lock:
            with self.database.write() as connection:
                columns = sa.select(AUDIT.c.number, AUDIT.c.digest)
                last = connection.execute(columns.order_by(AUDIT.c.number.desc()).limit(1)).first()
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
                entry = replace(body, digest=body.expected_digest())
                row = {**vars(entry), "units": list(entry.units)}
                connection.execute(AUDIT.insert().values(row))
            self._write_head(entry)
        return entry

    def _write_head(self, entry: Entry) -> None:
        """Store the audit head; with it, :meth:`verify` also detects a chain that was cut short."""
        write_json(self.head_path, {"number": entry.number, "digest": entry.digest})

    def entries(self, *, before: int | None = None, limit: int | None = None) -> list[Entry]:
        """Return entries, newest first; with ``before``, those with a smaller number."""
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc())
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        if limit is not None:
            query = query.limit(limit)
        with self.database.read() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self) -> Verdict:
        """Recompute the chain from its start and find the first entry that is not intact."""
        head = self._read_head()  # before the chain, which may grow meanwhile
        previous, count, digest_at_head = START, 0, ""
        with self.database.read() as connection:
            for entry in _in_order(connection):
                reason = _fault(entry, count + 1, previous)
                if reason:
                    return Verdict(entries=count, head=previous, broken_at=count + 1, reason=reason)
                previous, count = entry.digest, count + 1
                if head and head["number"] == count:
                    digest_at_head = previous
        broken_at, reason = _head_fault(head, count, digest_at_head)
        return Verdict(entries=count, head=previous, broken_at=broken_at, reason=reason)

    def adopt_head(self) -> None:
        """Store the last entry as this folder's audit head, after the folder has joined a city."""
        with self._lock:
            last = self.entries(limit=1)
            if last:
                self._write_head(last[0])

    def _read_head(self) -> dict[str, Any] | None:
        """The audit head; empty where the file is damaged, None where it is missing."""
        try:
            head = json.loads(self.head_path.read_text(encoding="utf-8"))
            return {"number": int(head["number"]), "digest": str(head["digest"])}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return {}


def _head_fault(
    head: dict[str, Any] | None, count: int, digest_at_head: str
) -> tuple[int | None, str]:
    """Compare the audit head with a chain of ``count`` intact entries.

    An old head is no fault: another machine may have written since, or the power failed before the
    newer head was stored. But the entry of that number must have the digest of the head.

    Returns:
        The number of the entry that is not intact, or None, and the reason.
    """
    if head is None:
        return (count + 1, "the audit head is missing") if count else (None, "")
    if not head:
        return count + 1, "the audit head is damaged"
    if head["number"] > count:
        return count + 1, f"entries {count + 1} to {head['number']} are missing"
    if digest_at_head != head["digest"]:
        return head["number"], f"entry {head['number']} differs from the audit head"
    return None, ""


def _in_order(connection: sa.Connection) -> Iterator[Entry]:
    """Every entry from the first, at most :data:`ROWS_AT_ONCE` in memory at a time."""
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


class CropViews:
    """Collects the views of crops; one audit entry records many of them.

    A page shows dozens of crops at once. An entry for each would fill the audit.
    """

    def __init__(self, audit: Audit) -> None:
        self.audit = audit
        # account -> time of the first view, unit of each viewed sighting
        self._pending: dict[str, tuple[int, dict[str, str]]] = {}
        self._lock = threading.Lock()

    def add(self, account: str, unit: str, sighting: str) -> None:
        """Add one view; write an entry when there are many, or the first has waited long."""
        present = now()
        with self._lock:
            since, units = self._pending.setdefault(account, (present, {}))
            units[sighting] = unit
            due = len(units) >= VIEWS_IN_ENTRY or present - since > VIEW_WAIT
        if due:
            self.flush(account)

    def flush(self, account: str | None = None) -> None:
        """Write the collected views of one account, or of all accounts, to the audit."""
        with self._lock:
            names = [name for name in self._pending if account in (None, name)]
            taken = {name: self._pending.pop(name)[1] for name in names}
        for name, units in taken.items():
            self.audit.append(
                "crops_viewed",
                account=name,
                units=tuple(sorted(set(units.values()))),
                details={"sightings": sorted(units)},
            )
