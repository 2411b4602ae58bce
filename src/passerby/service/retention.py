"""What is kept and what is not: the evidence of open cases, and stored searches.

What an open case has confirmed is evidence: retention and erasing leave it, and say so, until the
case is closed or expires; every case does within a year. Of a sighting that was deleted a stored
search keeps nothing but that there was one.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from passerby.city import Gallery
from passerby.city.gallery import UnknownSightingError
from passerby.service.database import CASES, SEARCHES, Database, now

AT_ONCE = 100  # searches read at once


def record_digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a stored search, of its canonical JSON."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def evidence(database: Database) -> dict[str, list[str]]:
    """Return what open cases have confirmed: id of a sighting -> numbers of the cases.

    A verdict holds for the whole passage that was shown, so all its sightings are held.
    """
    query = (
        sa.select(SEARCHES.c.case, SEARCHES.c.record)
        .join(CASES, CASES.c.id == SEARCHES.c.case)
        .where(CASES.c.closed.is_(None), CASES.c.expires > now())
        .order_by(SEARCHES.c.case)
    )
    held: dict[str, set[str]] = {}
    with database.read() as connection:
        for case, record in connection.execute(query):
            for name in confirmed_in(record):
                held.setdefault(name, set()).add(case)
    return {name: sorted(cases) for name, cases in held.items()}


def overdue_evidence(database: Database, gallery: Gallery, before: int) -> dict[str, list[str]]:
    """Return the evidence of open cases that is older than a time (ms), as :func:`evidence`."""
    held = evidence(database)
    there = known(gallery, sorted(held))
    old = {one.id for one in gallery.get(sorted(there)) if one.time < before}
    return {name: held[name] for name in sorted(old)}


def confirmed_in(record: dict[str, Any]) -> set[str]:
    """Return the ids that a stored search has confirmed, with those of their passages."""
    confirmed = set(record["confirmed"])
    passages = ({one["id"], *one["members"]} for one in record["answer"]["matches"])
    return confirmed.union(*(ids for ids in passages if ids & confirmed))


def in_words(held: dict[str, list[str]]) -> str:
    """Return which cases hold how many sightings, such as "A-1 (3)"."""
    counts = Counter(case for cases in held.values() for case in cases)
    return ", ".join(f"{case} ({count})" for case, count in sorted(counts.items()))


def strip_searches(database: Database, gallery: Gallery) -> tuple[int, int]:
    """Remove ids, cameras, places, times and crops of sightings that are no longer in the gallery.

    Run it after every deletion. What an operator asked for stays: units, window, case. The audit
    keeps the ids in its entries, because an entry can never be changed; an id leads nowhere then.

    Returns:
        How many searches were changed, and how many results they lost.
    """
    changed, lost, last = 0, 0, ""
    while True:
        query = sa.select(SEARCHES.c.id).where(SEARCHES.c.id > last).order_by(SEARCHES.c.id)
        with database.read() as connection:
            names = list(connection.scalars(query.limit(AT_ONCE)))
        if not names:
            break
        last = names[-1]
        for name in names:
            own = SEARCHES.c.id == name
            with database.write() as connection:  # feedback may change the same search meanwhile
                record = connection.scalar(sa.select(SEARCHES.c.record).where(own))
                gone = 0 if record is None else _strip(record, gallery)
                if record is not None and gone:
                    values = {"record": record, "digest": record_digest(record)}
                    connection.execute(SEARCHES.update().where(own).values(values))
                    changed, lost = changed + 1, lost + gone
    if changed and database.engine.dialect.name == "sqlite":
        with database.engine.connect() as connection:  # the old pages are in the log until then
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return changed, lost


def _strip(record: dict[str, Any], gallery: Gallery) -> int:
    """Remove what is gone from a stored search; returns how many ids were."""
    matches = record["answer"]["matches"]
    named = {name for one in matches for name in (one["id"], *one["members"])}
    lists = ("confirmed", "rejected", "sightings")
    named = named.union(*(record[key] for key in lists))
    gone = named - known(gallery, sorted(named))
    if gone:
        record["answer"]["matches"] = [
            {**one, "members": [name for name in one["members"] if name not in gone]}
            for one in matches
            if one["id"] not in gone
        ]
        for key in lists:
            record[key] = [name for name in record[key] if name not in gone]
        record["forgotten"] = record.get("forgotten", 0) + len(gone)
    return len(gone)


def known(gallery: Gallery, ids: list[str]) -> set[str]:
    """Return those of the ids that are in the gallery."""
    if not ids:
        return set()
    try:
        return {one.id for one in gallery.get(ids)}
    except UnknownSightingError:
        if len(ids) == 1:
            return set()
        middle = len(ids) // 2
        return known(gallery, ids[:middle]) | known(gallery, ids[middle:])


def damaged_searches(rows: Iterable[Any]) -> list[str]:
    """Return a sentence for each stored search that is not as it was written."""
    return [
        f"the stored search '{row.id}' of {row.account} differs from what was written"
        for row in rows
        if row.digest is not None and row.digest != record_digest(row.record)
    ]
