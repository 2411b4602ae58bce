"""The audit: an append-only chain of entries; each entry holds the hash of the entry before it.

Each entry also has a code that needs a key from outside of the database, and each commit leaves its
head in a file outside of the database, see :mod:`passerby.service.audit_heads`. Before each append
the chain's end is compared with the last head. An audit that was cut, emptied or rewritten takes no
further entry, so the service allows nothing until somebody has looked.
"""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from passerby.errors import InputError
from passerby.service.audit_chain import (
    OLD_HEAD_FILE,
    RESUMED,
    START,
    Entry,
    Verdict,
    Verifier,
    entry_of,
    fault,
    last_entry,
    next_entry,
    read_old_head,
)
from passerby.service.audit_heads import Forwarder, Heads, Key, heads_path, make_key, read_key
from passerby.service.database import AUDIT, Database, now

__all__ = ["START", "Audit", "AuditError", "Entry", "Verdict"]


class AuditError(InputError):
    """The audit is not as it was left: nothing can be recorded, so nothing is allowed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the audit is not as it was left: {reason}; nothing is recorded and nothing is done "
            "until somebody has looked: passerby admin audit verify CITY"
        )
        self.reason = reason


@dataclass(kw_only=True)
class _Wish:
    """An entry that waits to be written, and what became of it."""

    values: dict[str, Any]
    entry: Entry | None = None
    error: Exception | None = None


class Audit:
    """Append, read and verify the chain of one city.

    The database's write lock orders the entries of all machines in one chain. All machines of a
    city need the same key; each has a file of heads of its own.
    """

    def __init__(
        self, database: Database, folder: Path, forwarder: Forwarder | None = None
    ) -> None:
        self.database = database
        self.folder = folder
        self.heads = Heads(heads_path(folder))
        self.forwarder = forwarder or Forwarder()
        self._lock = FileLock(self.heads.path.with_suffix(".lock"))
        self._turn = threading.Lock()
        self._pending: list[_Wish] = []
        self._queue = threading.Lock()

    # append --------------------------------------------------------------------------------------

    def append(
        self,
        action: str,
        *,
        account: str,
        case: str | None = None,
        units: tuple[str, ...] = (),
        details: dict[str, Any] | None = None,
    ) -> Entry:
        """Add one entry; it and its head are durable when this returns.

        Entries of several threads at once share one commit: whoever gets the turn writes all that
        wait, so that sixty crops of a page cost a few commits.

        Raises:
            AuditError: the chain's end is not that of the last head.
        """
        # The hash covers what a reader gets: tuples, for example, come back as lists.
        values = {
            "time": now(),
            "account": account,
            "action": action,
            "case": case,
            "units": tuple(units),
            "details": json.loads(json.dumps(details or {})),
        }
        wish = _Wish(values=values)
        with self._queue:
            self._pending.append(wish)
        with self._turn:
            if wish.entry is None and wish.error is None:
                with self._queue:
                    batch, self._pending = self._pending, []
                self._write(batch)
        if wish.error is not None:
            raise wish.error
        assert wish.entry is not None
        return wish.entry

    def _write(self, batch: list[_Wish]) -> None:
        """Write a batch in one commit; after a fault each alone, so that one spoils no other."""
        try:
            self._commit(batch)
        except Exception as error:  # every waiting thread gets it
            if len(batch) == 1 or isinstance(error, AuditError):
                for wish in batch:
                    wish.error = error
                return
            for wish in batch:
                self._write([wish])

    def _commit(self, batch: list[_Wish]) -> None:
        # One lock covers the entry and its head. Without it a slower thread could leave an older
        # head after a newer one.
        with self._lock:
            with self.database.write() as connection:
                last = last_entry(connection)
                key = self._checked_key(connection, last)
                entries = []
                for wish in batch:
                    last = next_entry(last, wish.values, key)
                    entries.append(last)
                rows = [{**vars(entry), "units": list(entry.units)} for entry in entries]
                connection.execute(AUDIT.insert(), rows)
            self.heads.append(entries[-1].head)
        self.forwarder.send(entries[-1].head)
        for wish, entry in zip(batch, entries, strict=True):
            wish.entry = entry

    def check(self) -> None:
        """Refuse to go on where the chain's end is not that of the last head.

        Raises:
            AuditError: it is not.
        """
        with self._lock, self.database.read() as connection:
            self._compare(connection, last_entry(connection), read_key(self.folder))

    def _checked_key(self, connection: sa.Connection, last: Entry | None) -> Key:
        """Compare the chain's end with the last head; return the key, or make the first one."""
        key = read_key(self.folder)
        self._compare(connection, last, key)
        return key or make_key(self.folder, last.number + 1 if last else 1)

    def _compare(self, connection: sa.Connection, last: Entry | None, key: Key | None) -> None:
        if key is None and last is not None and last.mac is not None:
            raise AuditError("its key is missing")
        head = self.heads.last()
        number, digest = (head.number, head.digest) if head else self._old_head(key, last)
        if (last.number if last else 0) < number:
            raise AuditError(f"entries {last.number + 1 if last else 1} to {number} are missing")
        after = AUDIT.c.number >= max(number, 1)
        for row in connection.execute(sa.select(AUDIT).where(after).order_by(AUDIT.c.number)):
            entry = entry_of(row)
            if entry.number == number:
                if entry.digest != digest:
                    raise AuditError(f"entry {number} differs from the audit head")
            elif reason := fault(entry, number + 1, digest, key):
                raise AuditError(f"entry {entry.number}: {reason}")
            number, digest = entry.number, entry.digest

    def _old_head(self, key: Key | None, last: Entry | None) -> tuple[int, str]:
        """Number and digest of the last entry where no head was ever written with a key."""
        if last is None:
            return 0, START
        if key is not None and last.mac is not None:
            raise AuditError("its heads are missing")
        old = read_old_head(self.folder)
        if old is None:
            raise AuditError("its heads are missing")
        return old

    def adopt_head(self) -> None:
        """Store the last entry as this folder's first head, after the folder has joined a city.

        Raises:
            InputError: the folder has not the city's key.
        """
        with self._lock, self.database.read() as connection:
            last, key = last_entry(connection), read_key(self.folder)
            if last is None:
                return
            if last.mac is not None and (key is None or key.code(last.digest) != last.mac):
                raise InputError(
                    "this folder has not the key of the city's audit; copy 'service.key' of the "
                    "city's first machine into it, then join again"
                )
            self.heads.append(last.head)

    def resume(self, *, account: str, reason: str) -> Entry:
        """Let an audit go on after a loss that was looked into; the first new entry names the loss.

        The old heads are kept under another name.
        """
        found = self.verify()
        with self._lock:
            aside = self.heads.set_aside()
            (self.folder / OLD_HEAD_FILE).unlink(missing_ok=True)
            with self.database.write() as connection:
                last = last_entry(connection)
                key = read_key(self.folder) or make_key(self.folder, last.number + 1 if last else 1)
                details = {
                    "reason": reason,
                    "found": found.reason,
                    "at": found.broken_at,
                    "heads": aside.name if aside else "",
                }
                values = {"time": now(), "account": account, "action": RESUMED, "case": None}
                entry = next_entry(last, {**values, "units": (), "details": details}, key)
                connection.execute(AUDIT.insert().values({**vars(entry), "units": []}))
            self.heads.append(entry.head)
        self.forwarder.send(entry.head)
        return entry

    def close(self) -> None:
        """Send the last head away, where heads are sent."""
        self.forwarder.close()

    # read ----------------------------------------------------------------------------------------

    def entries(self, *, before: int | None = None, limit: int | None = None) -> list[Entry]:
        """Return entries, newest first; with ``before``, those with a smaller number."""
        query = sa.select(AUDIT).order_by(AUDIT.c.number.desc())
        if before is not None:
            query = query.where(AUDIT.c.number < before)
        if limit is not None:
            query = query.limit(limit)
        with self.database.read() as connection:
            return [entry_of(row) for row in connection.execute(query)]

    def verify(self, elsewhere: Path | None = None) -> Verdict:
        """Recompute the chain from its start and find the first entry that is not intact.

        Args:
            elsewhere: a file of heads that were sent away, such as a log of syslog.

        Raises:
            InputError: that file cannot be read.
        """
        verifier = Verifier(self.folder, self.heads, read_key(self.folder), elsewhere)
        with self.database.read() as connection:
            return verifier.verify(connection)
