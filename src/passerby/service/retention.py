"""What stored searches keep of sightings that were deleted: nothing but how many there were."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from passerby.city import Gallery
from passerby.city.gallery import UnknownSightingError
from passerby.service.database import SEARCHES, Database

AT_ONCE = 100  # searches read at once


def record_digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a stored search, of its canonical JSON."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
