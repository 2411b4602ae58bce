"""The audit's chain: what an entry is, what follows what, and the verification of all of it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from passerby.service.audit_heads import Head, Heads, Key, read_heads
from passerby.service.database import AUDIT

OLD_HEAD_FILE = "audit.head"  # number and digest of the last entry, of versions without a key
START = "0" * 64
ROWS_AT_ONCE = 5_000
RESUMED = "audit_resumed"


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
        digest: SHA-256 of the attributes above in canonical JSON.
        mac: HMAC-SHA-256 of the digest; None in an entry from before there was a key.
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
    mac: str | None = None

    def expected_digest(self) -> str:
        """Return the SHA-256 of the entry without digest and code, in canonical JSON.

        Canonical means sorted keys, no spaces, UTF-8.
        """
        body = {key: value for key, value in vars(self).items() if key not in ("digest", "mac")}
        body["units"] = list(self.units)
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def head(self) -> Head:
        """The entry's head."""
        return Head(number=self.number, time=self.time, digest=self.digest, mac=self.mac or START)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of :meth:`Audit.verify`.

    Attributes:
        entries: how many entries are intact, from the first on.
        head: digest of the last of them.
        broken_at: number of the first entry that is not intact; None for an intact chain.
        reason: what is wrong with it.
        uncovered: what this verification cannot find, one sentence each.
    """

    entries: int
    head: str
    broken_at: int | None = None
    reason: str = ""
    uncovered: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether the whole chain is intact."""
        return self.broken_at is None


def next_entry(last: Entry | None, values: dict[str, Any], key: Key) -> Entry:
    """Return the entry after ``last``."""
    number, previous = _after(last)
    body = Entry(number=number, previous=previous, **values)
    digest = body.expected_digest()
    return replace(body, digest=digest, mac=key.code(digest))


def last_entry(connection: sa.Connection) -> Entry | None:
    """Return the entry with the highest number; None in an empty audit."""
    row = connection.execute(sa.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(1)).first()
    return entry_of(row) if row else None


def in_order(connection: sa.Connection) -> Iterator[Entry]:
    """Yield every entry from the first, at most :data:`ROWS_AT_ONCE` in memory at a time."""
    last = -(2**62)
    query = sa.select(AUDIT).order_by(AUDIT.c.number).limit(ROWS_AT_ONCE)
    while rows := connection.execute(query.where(AUDIT.c.number > last)).all():
        yield from map(entry_of, rows)
        last = rows[-1].number


def fault(entry: Entry, number: int, previous: str, key: Key | None) -> str:
    """Return what is wrong with an entry at a place of the chain; empty where nothing is."""
    if entry.number != number:
        return "an entry is missing"
    if entry.previous != previous:
        return "the entry does not follow the one before it"
    if entry.digest != entry.expected_digest():
        return "the entry was changed"
    if key is None:
        return "" if entry.mac is None else "the audit's key is missing"
    if entry.number >= key.since and entry.mac != key.code(entry.digest):
        return "the entry was not written with the city's key"
    return ""


def entry_of(row: sa.Row[Any]) -> Entry:
    """Return the entry of a row."""
    values = dict(row._mapping)
    return Entry(**{**values, "units": tuple(values["units"])})


class Verifier:
    """Recomputes a chain from its start and compares it with the heads that were left."""

    def __init__(self, folder: Path, heads: Heads, key: Key | None, elsewhere: Path | None) -> None:
        self.folder, self.heads, self.key, self.elsewhere = folder, heads, key, elsewhere
        self._ahead = _Ahead(self._known_heads())  # before the chain, which may grow meanwhile
        self._bare = self._resumed = 0

    def verify(self, connection: sa.Connection) -> Verdict:
        """Return the first entry that is not intact, or that all are."""
        last: Entry | None = None
        for found in in_order(connection):
            number, previous = _after(last)
            reason = fault(found, number, previous, self.key) or self._ahead.differs(found)
            if reason:
                return _verdict(last, reason)
            self._bare += found.mac is None or (self.key is not None and number < self.key.since)
            self._resumed += found.action == RESUMED
            last = found
        reason = self._ahead.beyond(last.number if last else 0)
        if last is not None and not self._ahead.seen:
            reason = "the audit head is missing"
        return replace(_verdict(last, reason), uncovered=() if reason else self._uncovered(last))

    def _known_heads(self) -> list[tuple[int, str]]:
        """Number and digest of every head, in order of number."""
        heads: set[tuple[int, str]] = set()
        for path in (self.elsewhere, self.heads.path if self.heads.path.exists() else None):
            if path is not None:
                heads |= {(one.number, one.digest) for one in read_heads(path)}
        old = read_old_head(self.folder)
        return sorted(heads | {old} if old else heads)

    def _uncovered(self, last: Entry | None) -> tuple[str, ...]:
        """What somebody could have done without being found here."""
        said = []
        if self._bare:
            said.append(
                f"{self._bare} entries are older than the key: whoever can write to the database "
                "could have changed those before the oldest head"
            )
        if self.key is None or self.key.in_folder:
            said.append(
                "the key lies in the city's folder: whoever can write to the folder and the "
                "database can write the audit anew, unless heads were sent elsewhere"
            )
        if self.heads.path.parent == self.folder and self.elsewhere is None:
            said.append(
                "the heads lie in the city's folder: whoever can write to the folder and the "
                "database can cut off the end of both; compare heads that were sent elsewhere "
                "with --heads FILE"
            )
        if last is not None and self._ahead.seen < last.number:
            said.append(
                f"entries {self._ahead.seen + 1} to {last.number} have no head here: another "
                "machine wrote them, or the power failed before their head was written"
            )
        if self._resumed:
            said.append(
                f"the audit was resumed after a loss, {self._resumed} times; see the entries "
                f"'{RESUMED}'"
            )
        return tuple(said)


def read_old_head(folder: Path) -> tuple[int, str] | None:
    """Return number and digest of the head of an older version; None without one.

    A damaged one is returned as a head that no entry has.
    """
    try:
        old = json.loads((folder / OLD_HEAD_FILE).read_text(encoding="utf-8"))
        return int(old["number"]), str(old["digest"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return 0, ""


def _after(last: Entry | None) -> tuple[int, str]:
    """Number and previous digest of the entry after ``last``."""
    return (last.number + 1, last.digest) if last else (1, START)


def _verdict(last: Entry | None, reason: str) -> Verdict:
    number, previous = _after(last)
    broken_at = number if reason else None
    return Verdict(entries=number - 1, head=previous, broken_at=broken_at, reason=reason)


class _Ahead:
    """Compares a chain, entry after entry, with heads in order of number."""

    def __init__(self, heads: list[tuple[int, str]]) -> None:
        self._heads = iter(heads)
        self._next = next(self._heads, None)
        self.seen = 0  # number of the last head that an entry had

    def differs(self, entry: Entry) -> str:
        """Return what is wrong between an entry and its heads; empty where nothing is."""
        while self._next is not None and self._next[0] <= entry.number:
            number, digest = self._next
            if number < entry.number:
                return "the audit head is damaged"
            if digest != entry.digest:
                return f"entry {number} differs from the audit head"
            self.seen, self._next = number, next(self._heads, None)
        return ""

    def beyond(self, count: int) -> str:
        """Return which entries are missing at the end, as the heads say; empty where none is."""
        if self._next is None:
            return ""
        if self._next[0] <= count:
            return "the audit head is damaged"
        last = max([self._next[0], *[number for number, _ in self._heads]])
        return f"entries {count + 1} to {last} are missing"
