"""Erasing on demand: which sightings, what holds them, what is written down about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from passerby.city import City, Scope, Sighting
from passerby.city.address import CATALOGUE
from passerby.city.backup_files import TEMPORARY
from passerby.city.erasing import erase
from passerby.city.gallery import UnknownSightingError
from passerby.service.access import CodedError
from passerby.service.audit import Audit
from passerby.service.audit_chain import in_order
from passerby.service.cases import says_something
from passerby.service.database import SEARCHES, Database
from passerby.service.retention import confirmed_in, evidence, in_words, known, strip_searches


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which sightings are meant: all that one of these names.

    Attributes:
        sightings: ids.
        confirmed_in: number of a case; what its searches have confirmed, with whole tracklets.
        tracklets: ids of tracklets.
        scope: a camera and a window; None for none.
    """

    sightings: Sequence[str] = ()
    confirmed_in: str | None = None
    tracklets: Sequence[str] = ()
    scope: Scope | None = None


def choose(city: City, database: Database, choice: Choice) -> list[Sighting]:
    """Return the sightings that are meant, each once.

    Raises:
        CodedError: nothing is named, or a sighting or tracklet that is not there.
    """
    try:
        found = list(city.gallery.get(list(dict.fromkeys(choice.sightings))))
    except UnknownSightingError as error:
        raise CodedError("no_sighting", str(error)) from None
    names = set(choice.tracklets)
    if choice.confirmed_in is not None:
        ids: set[str] = set()
        query = sa.select(SEARCHES.c.record).where(SEARCHES.c.case == choice.confirmed_in)
        with database.read() as connection:
            for record in connection.scalars(query):
                ids |= confirmed_in(record)
        confirmed = city.gallery.get(sorted(known(city.gallery, sorted(ids))))
        found += confirmed
        names |= {one.tracklet for one in confirmed if one.tracklet}
    whole = city.gallery.tracklets(sorted(names)) if names else {}
    for name in sorted(names):
        if not whole.get(name):
            raise CodedError("no_sighting", f"there is no sighting of the tracklet '{name[:200]}'")
        found += whole[name]
    if choice.scope is not None:
        scope = city.check(choice.scope)
        found += city.gallery.latest(max(city.gallery.count(scope), 1), scope)
    if not found:
        raise CodedError(
            "nothing_to_erase",
            "there is no sighting to erase; name sightings, tracklets, a case with confirmed "
            "ones, or a camera and a window in which somebody was seen",
        )
    return list({one.id: one for one in found}.values())


def erase_sightings(
    city: City,
    database: Database,
    audit: Audit,
    found: Sequence[Sighting],
    *,
    account: str,
    reason: str,
    purpose: str = "",
    case: str | None = None,
    despite: str = "",
) -> dict[str, Any]:
    """Erase sightings for good, see :func:`passerby.city.erasing.erase`; return what went.

    The audit's entry is durable before the first byte goes. It has counts and no ids.

    Args:
        city: the city.
        database: has the searches that may have confirmed some of them.
        audit: gets an entry.
        found: the sightings.
        account: who erases.
        reason: one of ``passerby.city.erasing.REASONS``.
        purpose: the same in words, for the audit.
        case: for which case.
        despite: why evidence of open cases goes nevertheless; empty: it does not.

    Raises:
        CodedError: an open case has confirmed one of them, or ``despite`` says nothing.
        InputError: there is no such reason.
    """
    held = held_of(database, found)
    check_held(held, despite)
    units = tuple(sorted({one.unit for one in found}))
    facts: dict[str, Any] = {"erased": len(found), "reason": reason, "purpose": purpose}
    if held:
        facts |= {"despite": despite, "evidence": in_words(held)}
    audit.append("sightings_erased", account=account, case=case, units=units, details=facts)
    done = erase(city, found, reason)
    searches, _ = strip_searches(database, city.gallery)
    entries = entries_naming(database, {one.id for one in found})
    copies = sorted(
        path.name
        for path in city.folder.glob(f"{CATALOGUE}.*")  # made before each upgrade of the schema
        if not path.name.endswith(TEMPORARY)
    )
    facts = {"searches": searches, "entries": entries, "copies": ", ".join(copies)}
    return {**vars(done), "reason": reason, **facts}


def held_of(database: Database, found: Iterable[Sighting]) -> dict[str, list[str]]:
    """Return those of the sightings that are evidence of open cases, with the cases."""
    held = evidence(database)
    return {one.id: held[one.id] for one in found if one.id in held}


def check_held(held: dict[str, list[str]], despite: str = "") -> None:
    """Refuse to delete evidence of open cases without a reason.

    Raises:
        CodedError: it names a sighting, and every case.
    """
    if not held:
        return
    if despite and not says_something(despite):
        raise CodedError("despite_words", "say in words why evidence of an open case goes")
    if not despite:
        name = min(held)
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise CodedError(
            "evidence_held",
            f"sighting '{name}'{more} is evidence of an open case: {in_words(held)}; close the "
            "case, or say why it goes nevertheless (--despite-evidence WHY)",
        )


def entries_naming(database: Database, ids: set[str]) -> int:
    """Count the audit's entries that name one of the sightings; none can ever be changed."""
    with database.read() as connection:
        return sum(not ids.isdisjoint(_texts(entry.details)) for entry in in_order(connection))


def _texts(value: Any) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set[str]().union(*map(_texts, value))
    return {value} if isinstance(value, str) else set()
