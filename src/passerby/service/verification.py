"""The verification of a whole city: gallery, crops, catalogue, and rights against the audit."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from passerby.city import City, checksums, copying
from passerby.city.crops import SCENE
from passerby.city.erasing import erased_places
from passerby.city.gallery import StoreError
from passerby.files import sha256
from passerby.service.audit import Audit
from passerby.service.audit_chain import Entry, in_order
from passerby.service.database import ACCOUNTS, APPROVALS, CASES, GRANTS, SEARCHES, Database
from passerby.service.retention import damaged_searches

Rights = tuple[str, frozenset[str], bool]  # role, units, disabled


def faults(city: City, database: Database, audit: Audit) -> Iterator[str]:
    """Yield what is damaged or missing in a city, one sentence each.

    Everything is read in full: vectors and sightings, every crop's bytes, every row of the
    catalogue, every entry of the audit. Sessions are not looked at.
    """
    yield from city.gallery.verify()
    yield from crop_faults(city)
    yield from checksums.faults(database.engine)
    verdict = audit.verify()
    if not verdict.intact:
        yield f"the audit is broken at entry {verdict.broken_at}: {verdict.reason}"
    with database.read() as connection:
        yield from damaged_searches(connection.execute(sa.select(SEARCHES)).yield_per(100))
        yield from right_faults(connection)


def crop_faults(city: City) -> Iterator[str]:
    """Yield the crops that are missing, and those whose bytes are not those of their name."""
    for window in copying.windows(city.gallery):
        try:
            seen = city.gallery.latest(city.gallery.count(window), window)
        except StoreError:
            continue  # ``Gallery.verify`` names the rows that cannot be read
        names = ([getattr(one, key) for one in seen] for key in ("id", "crop", "tracklet"))
        if gone := erased_places(city, *names):
            yield f"{len(gone)} sightings that were erased are stored: passerby admin erase --again"
        for one in seen:
            if one.crop and one.crop not in city.crops:
                yield f"the crop of sighting '{one.id}' is missing"
    for path in sorted(city.crops.folder.glob("[0-9a-f][0-9a-f]/[0-9a-f]*.jpg")):
        name = path.name.removesuffix(SCENE).removesuffix(".jpg")
        if path.name.endswith(SCENE):
            known = city.crops.context(name) if name in city.crops else None
            if known is not None and sha256(path) != known.scene:
                yield f"the scene {path} is damaged: its bytes are not those its crop names"
        elif sha256(path) != name:
            yield f"the crop {path} is damaged: its bytes are not those of its name"


class _Said:
    """What the audit says about accounts, cases and approvals, entry after entry."""

    def __init__(self) -> None:
        self.accounts: dict[str, Rights] = {}
        self.cases: dict[str, tuple[str | None, str | None]] = {}  # purpose and legal basis
        self.closed: set[str] = set()
        self.decided: dict[int, str] = {}

    def add(self, entry: Entry) -> None:
        facts, case = entry.details, entry.case
        if entry.action in ("account_created", "account_changed"):
            rights = (facts["role"], frozenset(entry.units), bool(facts.get("disabled")))
            self.accounts[facts["name"]] = rights
        elif entry.action == "case_opened" and case is not None:
            self.cases[case] = (facts.get("purpose"), facts.get("legal_basis"))
        elif entry.action == "case_closed" and case is not None:
            self.closed.add(case)
        elif entry.action in ("approval_given", "approval_refused"):
            status = "approved" if entry.action == "approval_given" else "refused"
            self.decided[facts["approval"]] = status


def right_faults(connection: sa.Connection) -> Iterator[str]:
    """Yield the rights that the catalogue grants and the audit does not, or otherwise."""
    said = _Said()
    for entry in in_order(connection):
        said.add(entry)
    yield from _accounts(connection, said)
    for row in connection.execute(sa.select(CASES)):
        purpose, basis = said.cases.get(row.id, ("", ""))
        if row.id not in said.cases:
            yield f"case {row.id} was opened without an entry in the audit"
        elif (purpose or row.purpose, basis or row.legal_basis) != (row.purpose, row.legal_basis):
            yield f"case {row.id} has another purpose or legal basis than the audit says"
        if (row.closed is not None) != (row.id in said.closed):
            state = "closed" if row.closed is not None else "open"
            yield f"case {row.id} is {state}, the audit says otherwise"
    for row in connection.execute(sa.select(APPROVALS)):
        if row.status != said.decided.get(row.id, "pending"):
            yield f"request {row.id} for a wide search is {row.status}, the audit says otherwise"


def _accounts(connection: sa.Connection, said: _Said) -> Iterator[str]:
    present: dict[str, Any] = {row.name: row for row in connection.execute(sa.select(ACCOUNTS))}
    units: dict[str, set[str]] = {}
    for row in connection.execute(sa.select(GRANTS)):
        units.setdefault(row.account, set()).add(row.unit)
    for name in sorted(present.keys() | said.accounts.keys()):
        if name not in present:
            yield f"account '{name}' is gone, the audit does not say so"
            continue
        if name not in said.accounts:
            yield f"account '{name}' was made without an entry in the audit"
            continue
        row, (role, granted, disabled) = present[name], said.accounts[name]
        if row.role != role:
            yield f"account '{name}' is {row.role}, the audit says {role}"
        if units.get(name, set()) != granted:
            yield (
                f"account '{name}' may see {', '.join(sorted(units.get(name, set()))) or 'nothing'}"
                f", the audit says {', '.join(sorted(granted))}"
            )
        if bool(row.disabled) != disabled:
            state = "disabled" if row.disabled else "active"
            yield f"account '{name}' is {state}, the audit says otherwise"
