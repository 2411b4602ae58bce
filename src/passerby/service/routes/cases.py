"""Cases, and approvals of wide searches."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BeforeValidator, Field

from passerby.service.access import not_found
from passerby.service.http import PROBLEMS, Answer, Caller, ScopeModel, Time, allowed
from passerby.service.inputs import Moment, Name, Number, Wanted
from passerby.times import parse_time

router = APIRouter(prefix="/api", tags=["cases"], responses=PROBLEMS)
CaseWorker = Annotated[Caller, Depends(allowed("cases"))]
Approver = Annotated[Caller, Depends(allowed("approve"))]


class NewCase(Wanted):
    """A case to open."""

    id: Annotated[str, Field(description="the file number", max_length=64)]
    purpose: Annotated[str, Field(description="what for", max_length=2000)]
    legal_basis: Annotated[str, Field(description="on what ground", max_length=2000)]
    expires: Annotated[Moment, Field(description="ISO 8601 with an offset")]


class CaseInfo(Answer):
    """A case."""

    id: str
    purpose: str
    legal_basis: str
    owner: str
    opened: Time
    expires: Time
    closed: Time | None
    is_open: bool


class NewApproval(Wanted):
    """A request for a wide search."""

    case: Name
    scope: ScopeModel
    reason: Annotated[str, Field(max_length=2000)]


class Decision(Wanted):
    """A supervisor's answer."""

    approve: bool


class ApprovalInfo(Answer):
    """A request for a wide search and what became of it."""

    id: int
    case: str
    account: str
    scope: Annotated[ScopeModel, BeforeValidator(ScopeModel.of)]
    reason: str
    asked: Time
    status: str = Field(description="pending, approved or refused")
    decided_by: str | None
    decided: Time | None
    until: Time | None = Field(description="when the approval lapses")


@router.get("/cases", summary="Cases")
def cases(caller: CaseWorker) -> list[CaseInfo]:
    """The account's own cases, and for a supervisor those of its units; newest first."""
    every = caller.service.cases.all()
    return [CaseInfo.model_validate(case) for case in every if caller.sees_case(case)]


@router.post("/cases", summary="Open a case", status_code=201)
def open_case(new: NewCase, caller: CaseWorker) -> CaseInfo:
    """Open a case: number, purpose, legal basis, expiry. Every search names one."""
    case = caller.service.cases.open(
        new.id,
        purpose=new.purpose,
        legal_basis=new.legal_basis,
        owner=caller.account.name,
        units=caller.account.grants,
        expires=parse_time(new.expires, "the case's expiry"),
    )
    details = {"purpose": case.purpose, "legal_basis": case.legal_basis}
    caller.record("case_opened", details, case=case.id, units=case.units)
    return CaseInfo.model_validate(case)


@router.post("/cases/{identifier}/close", summary="Close a case")
def close_case(identifier: str, caller: CaseWorker) -> CaseInfo:
    """Close a case; it can still be read, but no search can be made for it."""
    case = caller.find_case(identifier)
    caller.service.cases.close(case.id)
    caller.record("case_closed", case=case.id, units=case.units)
    return CaseInfo.model_validate(caller.find_case(identifier))


@router.get("/approvals", summary="Requests for wide searches")
def approvals(caller: CaseWorker) -> list[ApprovalInfo]:
    """The account's own requests, and for a supervisor those inside its units; newest first."""
    supervises = caller.account.may("approve")
    return [
        ApprovalInfo.model_validate(approval)
        for approval in caller.service.approvals.all()
        if approval.account == caller.account.name
        or (supervises and caller.access.covers(approval.units))
    ]


@router.post("/approvals", summary="Ask for a wide search", status_code=201)
def ask(new: NewApproval, caller: CaseWorker) -> ApprovalInfo:
    """Ask a supervisor to agree to a search of the whole city or of a long window."""
    case = caller.require_case(new.case)
    scope = caller.access.narrow(new.scope.scope())
    approval = caller.service.approvals.request(
        scope, case=case.id, account=caller.account.name, reason=new.reason
    )
    details = {"approval": approval.id, "reason": approval.reason, "scope": scope.as_dict()}
    caller.record("approval_asked", details, case=case.id, units=scope.units)
    return ApprovalInfo.model_validate(approval)


@router.post("/approvals/{identifier}/decision", summary="Approve or refuse")
def decide(identifier: Number, decision: Decision, caller: Approver) -> ApprovalInfo:
    """Decide another account's request; nobody decides their own."""
    approvals = caller.service.approvals
    approval = approvals.get(identifier)
    if approval is None or not caller.access.covers(approval.units):
        raise not_found("request")
    decided = approvals.decide(identifier, supervisor=caller.account.name, approve=decision.approve)
    action = "approval_given" if decision.approve else "approval_refused"
    details = {"approval": decided.id, "for": decided.account}
    caller.record(action, details, case=decided.case, units=decided.units)
    return ApprovalInfo.model_validate(decided)
