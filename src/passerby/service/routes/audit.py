"""Read and verify the audit."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from passerby.service.access import Access
from passerby.service.audit import Entry
from passerby.service.http import PROBLEMS, Answer, Caller, Time, allowed
from passerby.service.inputs import Name, Number, Wanted

router = APIRouter(prefix="/api/audit", tags=["audit"], responses=PROBLEMS)
Auditor = Annotated[Caller, Depends(allowed("audit"))]


class EntryInfo(Answer):
    """One entry of the audit."""

    number: int
    time: Time
    account: str
    action: str
    case: str | None
    units: list[str]
    details: dict[str, Any]
    digest: str = Field(description="SHA-256 over the entry and the digest of the one before")


class VerdictInfo(Answer):
    """Whether the chain holds."""

    intact: bool
    entries: int = Field(description="entries that hold, from the first on")
    head: str = Field(description="digest of the last entry that holds")
    broken_at: int | None = Field(description="number of the first entry that does not hold")
    reason: str
    uncovered: list[str] = Field(description="what this verification cannot find")


class Filter(Wanted):
    """Which entries to read."""

    before: Number | None = Field(default=None, description="only entries numbered below this")
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    account: Name | None = None
    action: Name | None = None
    case: Name | None = None

    def matches(self, entry: Entry) -> bool:
        """Return whether an entry passes the filter."""
        return (
            self.account in (None, entry.account)
            and self.action in (None, entry.action)
            and self.case in (None, entry.case)
        )


def _visible(entry: Entry, access: Access) -> bool:
    """Whether the account sees all units of an entry; of one without units, the whole city."""
    units = entry.units or tuple(root.code for root in access.units.roots)
    return access.covers(units)


@router.get("", summary="Entries, newest first")
def entries(caller: Auditor, wanted: Annotated[Filter, Query()]) -> list[EntryInfo]:
    """Entries that concern only the account's units. The audit records the reading, too."""
    service = caller.service
    found = [
        entry
        for entry in service.audit.entries(before=wanted.before)
        if wanted.matches(entry) and _visible(entry, caller.access)
    ][: wanted.limit]
    if wanted.before is None:
        caller.record("audit_read")
    return [EntryInfo.model_validate(entry) for entry in found]


@router.get("/verification", summary="Verify the chain")
def verification(caller: Auditor) -> VerdictInfo:
    """Recompute every hash from the first entry on and name the first that does not hold."""
    return VerdictInfo.model_validate(caller.service.audit.verify())
