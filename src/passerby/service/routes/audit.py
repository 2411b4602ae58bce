"""Read and verify the audit; the health of the service and of the city."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

import passerby
from passerby.service.access import Access
from passerby.service.audit import Entry
from passerby.service.http import PROBLEMS, Answer, Caller, Time, allowed
from passerby.service.inputs import Name, Number, Wanted

router = APIRouter(prefix="/api/audit", tags=["audit"], responses=PROBLEMS)
health_router = APIRouter(prefix="/api/health", tags=["health"])
Auditor = Annotated[Caller, Depends(allowed("audit"))]
Monitor = Annotated[Caller, Depends(allowed("health"))]


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


class Alive(BaseModel):
    """The service answers."""

    status: str
    version: str


class Condition(BaseModel):
    """The state of the city's stores."""

    model_matches: bool = Field(description="the gallery was made by the network in use")
    gallery_model: str | None
    model: str
    sightings: int
    gallery_bytes: int
    audit_intact: bool
    audit_heads: str = Field(description="why heads of the audit cannot be sent away, or empty")


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


@health_router.get("", summary="Alive?")
def alive() -> Alive:
    """For monitors; needs no session and says nothing of the city."""
    return Alive(status="ok", version=passerby.__version__)


@health_router.get("/city", summary="The city's condition", responses=PROBLEMS)
def condition(caller: Monitor) -> Condition:
    """For administrators: stores, model, audit."""
    service = caller.service
    stats, model = service.city.gallery.stats(), service.networks.now().model_id
    return Condition(
        model_matches=stats.model_id in (None, model),
        gallery_model=stats.model_id,
        model=model,
        sightings=stats.sightings,
        gallery_bytes=stats.bytes,
        audit_intact=service.audit.verify().intact,
        audit_heads=service.audit.forwarder.failed,
    )
