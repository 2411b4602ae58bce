"""Reading and verifying the audit."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from passerby.service.access import Access
from passerby.service.audit import Entry
from passerby.service.http import PROBLEMS, TheService, allowed
from passerby.service.sessions import Session
from passerby.times import format_time

router = APIRouter(prefix="/api/audit", tags=["audit"], responses=PROBLEMS)
Auditor = Annotated[Session, Depends(allowed("audit"))]


class EntryInfo(BaseModel):
    """One entry of the audit."""

    number: int
    time: str
    account: str
    action: str
    case: str | None
    units: list[str]
    details: dict[str, Any]
    digest: str = Field(description="SHA-256 over the entry and the digest of the one before")


class VerdictInfo(BaseModel):
    """Whether the chain holds."""

    intact: bool
    entries: int = Field(description="entries that hold, from the first on")
    head: str = Field(description="digest of the last entry that holds")
    broken_at: int | None = Field(description="number of the first entry that does not hold")
    reason: str


def _visible(entry: Entry, access: Access) -> bool:
    """An entry is shown to who sees all its units; one without units to who sees the city."""
    units = entry.units or tuple(root.code for root in access.units.roots)
    return access.covers(units)


class Filter(BaseModel):
    """Which entries to read."""

    before: int | None = Field(default=None, description="only entries numbered below this")
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    account: str | None = None
    action: str | None = None
    case: str | None = None

    def wants(self, entry: Entry) -> bool:
        """Whether an entry passes the filter."""
        return (
            self.account in (None, entry.account)
            and self.action in (None, entry.action)
            and self.case in (None, entry.case)
        )


@router.get("", summary="Entries, newest first")
def entries(
    session: Auditor, service: TheService, wanted: Annotated[Filter, Query()]
) -> list[EntryInfo]:
    """Entries that touch the account's units alone. Who reads the audit is in it too."""
    service.views.flush()
    access = service.access(session.account)
    found = [
        entry
        for entry in service.audit.entries(before=wanted.before)
        if wanted.wants(entry) and _visible(entry, access)
    ][: wanted.limit]
    if wanted.before is None:
        service.audit.append(
            "audit_read", account=session.account.name, units=session.account.grants
        )
    return [_info(entry) for entry in found]


def _info(entry: Entry) -> EntryInfo:
    return EntryInfo(
        number=entry.number,
        time=format_time(entry.time),
        account=entry.account,
        action=entry.action,
        case=entry.case,
        units=list(entry.units),
        details=entry.details,
        digest=entry.digest,
    )


@router.get("/verification", summary="Verify the chain")
def verification(session: Auditor, service: TheService) -> VerdictInfo:
    """Recompute every hash from the first entry on and name the first that does not hold."""
    verdict = service.audit.verify()
    return VerdictInfo(
        intact=verdict.intact,
        entries=verdict.entries,
        head=verdict.head,
        broken_at=verdict.broken_at,
        reason=verdict.reason,
    )
