"""Cases, and approvals of wide searches."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from passerby.city import Scope
from passerby.service.access import Access
from passerby.service.accounts import Account
from passerby.service.approvals import Approval
from passerby.service.cases import Case, require_open
from passerby.service.http import PROBLEMS, Service, TheService, allowed
from passerby.service.refusals import nothing_there
from passerby.service.sessions import Session
from passerby.times import format_time, parse_time

router = APIRouter(prefix="/api", tags=["cases"], responses=PROBLEMS)
CaseWorker = Annotated[Session, Depends(allowed("cases"))]
Approver = Annotated[Session, Depends(allowed("approve"))]


class NewCase(BaseModel):
    """A case to open."""

    id: Annotated[str, Field(description="the file number", max_length=64)]
    purpose: Annotated[str, Field(description="what for", max_length=2000)]
    legal_basis: Annotated[str, Field(description="on what ground", max_length=2000)]
    expires: Annotated[str, Field(description="ISO 8601 with an offset")]


class CaseInfo(BaseModel):
    """A case."""

    id: str
    purpose: str
    legal_basis: str
    owner: str
    opened: str
    expires: str
    closed: str | None
    is_open: bool

    @classmethod
    def of(cls, case: Case) -> "CaseInfo":
        """The case with times as text."""
        return cls(
            id=case.id,
            purpose=case.purpose,
            legal_basis=case.legal_basis,
            owner=case.owner,
            opened=format_time(case.opened),
            expires=format_time(case.expires),
            closed=format_time(case.closed) if case.closed else None,
            is_open=case.is_open,
        )


class ScopeModel(BaseModel):
    """Where and when to look; nothing named means all that the account may see."""

    units: list[str] = Field(default=[], description="unit codes of any level")
    cameras: list[str] = Field(default=[], description="camera ids; with units: both hold")
    start: str | None = Field(default=None, description="ISO 8601 with an offset")
    end: str | None = Field(default=None, description="ISO 8601 with an offset; not included")
    quality: float | None = Field(default=None, ge=0, le=1, description="the least quality")
    attributes: list[tuple[str, str]] = Field(
        default=[], description="(name, value); several values of one name mean any of them"
    )

    def scope(self) -> Scope:
        """The scope of the city's room; a time without a zone is refused."""
        return Scope.parse(
            units=self.units,
            cameras=self.cameras,
            start=self.start,
            end=self.end,
            quality=self.quality,
            attributes=self.attributes,
        )

    @classmethod
    def of(cls, scope: Scope) -> "ScopeModel":
        """The scope with times as text."""
        return cls(**scope.as_dict())


class NewApproval(BaseModel):
    """A request for a wide search."""

    case: str
    scope: ScopeModel
    reason: Annotated[str, Field(max_length=2000)]


class Decision(BaseModel):
    """A supervisor's answer."""

    approve: bool


class ApprovalInfo(BaseModel):
    """A request for a wide search and what became of it."""

    id: int
    case: str
    account: str
    scope: ScopeModel
    reason: str
    asked: str
    status: str = Field(description="pending, approved or refused")
    decided_by: str | None
    decided: str | None
    until: str | None = Field(description="when the approval lapses")

    @classmethod
    def of(cls, approval: Approval) -> "ApprovalInfo":
        """The approval with times as text."""
        scope = Scope(units=approval.units, start=approval.start, end=approval.end)
        return cls(
            id=approval.id,
            case=approval.case,
            account=approval.account,
            scope=ScopeModel.of(scope),
            reason=approval.reason,
            asked=format_time(approval.asked),
            status=approval.status,
            decided_by=approval.decided_by,
            decided=format_time(approval.decided) if approval.decided else None,
            until=format_time(approval.until) if approval.until else None,
        )


def sees_case(case: Case, account: Account, access: Access) -> bool:
    """The owner sees a case, and so does a supervisor of all its units."""
    return case.owner == account.name or (account.may("approve") and access.covers(case.units))


def find_case(service: Service, account: Account, identifier: str) -> Case:
    """A case that the account may see.

    Raises:
        Refusal: 404.
    """
    case = service.cases.get(identifier)
    if case is None or not sees_case(case, account, service.access(account)):
        raise nothing_there("case")
    return case


@router.get("/cases", summary="Cases")
def cases(session: CaseWorker, service: TheService) -> list[CaseInfo]:
    """The account's own cases, and for a supervisor those of its units; newest first."""
    access = service.access(session.account)
    found = [case for case in service.cases.all() if sees_case(case, session.account, access)]
    return [CaseInfo.of(case) for case in found]


@router.post("/cases", summary="Open a case", status_code=201)
def open_case(new: NewCase, session: CaseWorker, service: TheService) -> CaseInfo:
    """Open a case: number, purpose, legal basis, expiry. Every search names one."""
    case = service.cases.open(
        new.id,
        purpose=new.purpose,
        legal_basis=new.legal_basis,
        owner=session.account.name,
        units=session.account.grants,
        expires=parse_time(new.expires, "the case's expiry"),
    )
    service.audit.append(
        "case_opened",
        account=session.account.name,
        case=case.id,
        units=case.units,
        details={"purpose": case.purpose, "legal_basis": case.legal_basis},
    )
    return CaseInfo.of(case)


@router.post("/cases/{identifier}/close", summary="Close a case")
def close_case(identifier: str, session: CaseWorker, service: TheService) -> CaseInfo:
    """Close a case; it can be read but no longer searched for."""
    case = find_case(service, session.account, identifier)
    service.cases.close(case.id)
    service.audit.append(
        "case_closed", account=session.account.name, case=case.id, units=case.units
    )
    return CaseInfo.of(find_case(service, session.account, identifier))


@router.get("/approvals", summary="Requests for wide searches")
def approvals(session: CaseWorker, service: TheService) -> list[ApprovalInfo]:
    """The account's own requests, and for a supervisor those inside its units; newest first."""
    access = service.access(session.account)
    return [
        ApprovalInfo.of(approval)
        for approval in service.approvals.all()
        if approval.account == session.account.name
        or (session.account.may("approve") and access.covers(approval.units))
    ]


@router.post("/approvals", summary="Ask for a wide search", status_code=201)
def ask(new: NewApproval, session: CaseWorker, service: TheService) -> ApprovalInfo:
    """Ask a supervisor to agree to a search of the whole city or of a long window."""
    case = require_open(find_case(service, session.account, new.case))
    scope = service.access(session.account).narrow(new.scope.scope())
    approval = service.approvals.ask(
        scope, case=case.id, account=session.account.name, reason=new.reason
    )
    service.audit.append(
        "approval_asked",
        account=session.account.name,
        case=case.id,
        units=scope.units,
        details={"approval": approval.id, "reason": approval.reason, "scope": scope.as_dict()},
    )
    return ApprovalInfo.of(approval)


@router.post("/approvals/{identifier}/decision", summary="Approve or refuse")
def decide(
    identifier: int, decision: Decision, session: Approver, service: TheService
) -> ApprovalInfo:
    """Decide another account's request; nobody decides their own."""
    approval = service.approvals.get(identifier)
    if approval is None or not service.access(session.account).covers(approval.units):
        raise nothing_there("request")
    decided = service.approvals.decide(
        identifier, supervisor=session.account.name, approve=decision.approve
    )
    service.audit.append(
        f"approval_{'given' if decision.approve else 'refused'}",
        account=session.account.name,
        case=decided.case,
        units=decided.units,
        details={"approval": decided.id, "for": decided.account},
    )
    return ApprovalInfo.of(decided)
