"""What every route needs: the service's parts, the caller, shared models, errors, headers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from passerby.city import City, Scope
from passerby.city.networks import Networks
from passerby.service.access import Access, Refusal, not_found
from passerby.service.accounts import Account, Accounts
from passerby.service.audit import Audit, Entry
from passerby.service.cases import Approvals, Case, Cases, require_open
from passerby.service.database import Database
from passerby.service.inputs import Moment, Name, Names, Wanted
from passerby.service.pictures import QueryPictures
from passerby.service.searches import Searches
from passerby.service.sessions import COOKIE, FailedSignIns, Session, Sessions
from passerby.service.settings import Settings
from passerby.service.width import Width
from passerby.times import format_time

TOKEN_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a running service."""

    city: City
    networks: Networks
    settings: Settings
    database: Database
    accounts: Accounts
    sessions: Sessions
    failed_sign_ins: FailedSignIns
    cases: Cases
    approvals: Approvals
    audit: Audit
    pictures: QueryPictures
    searches: Searches
    width: Width


# the caller ------------------------------------------------------------------------------------


def get_service(request: Request) -> Service:
    """Return the service that answers this request."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(get_service)]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who sends a request, with the service that answers it.

    Attributes:
        service: the service.
        session: the session of the request.
        account: the signed-in account.
        access: the part of the city that the account may see.
    """

    service: Service
    session: Session
    account: Account
    access: Access

    def sees_case(self, case: Case) -> bool:
        """Return whether the account owns a case, or supervises all its units."""
        supervises = self.account.may("approve") and self.access.covers(case.units)
        return case.owner == self.account.name or supervises

    def find_case(self, identifier: str) -> Case:
        """Return a case that the account may see.

        Raises:
            Refusal: 404.
        """
        case = self.service.cases.get(identifier)
        if case is None or not self.sees_case(case):
            raise not_found("case")
        return case

    def require_case(self, identifier: str) -> Case:
        """Return an open case of the account: without one nobody is shown to anybody.

        Raises:
            Refusal: 404 for none that the account may see, 403 for one that is closed or expired.
        """
        return require_open(self.find_case(identifier))

    def record(
        self,
        action: str,
        details: dict[str, Any] | None = None,
        *,
        case: str | None = None,
        units: tuple[str, ...] | None = None,
    ) -> Entry:
        """Add an entry for the account to the audit; without units it gets the granted ones."""
        return self.service.audit.append(
            action,
            account=self.account.name,
            case=case,
            units=self.account.grants if units is None else units,
            details=details,
        )


def get_signed_in(request: Request, service: TheService) -> Caller:
    """Return the caller of a request, also one who has yet to choose a password.

    Raises:
        Refusal: 401 without a session; 403 for a change without the session's token.
        AuditError: a change while the audit is not as it was left; nothing is changed then.
    """
    cookie = request.cookies.get(COOKIE)
    session = service.sessions.find(cookie) if cookie else None
    if session is None:
        raise Refusal(401, "signed_out", "You are not signed in.", "Sign in again.")
    if request.method not in SAFE_METHODS:
        token = request.headers.get(TOKEN_HEADER)
        if not service.sessions.check_token(session, token):
            raise Refusal(
                403,
                "forged",
                "The request did not come from this page.",
                f"Reload the page; programs send the session's token as {TOKEN_HEADER}.",
            )
        service.audit.check()
    service.city.refresh()  # the command line may have moved a camera
    histories = service.city.history.items()
    units = {name: tuple(one.unit for one in history) for name, history in histories}
    access = Access.of(service.city.units, session.account.grants, units)
    return Caller(service=service, session=session, account=session.account, access=access)


SignedIn = Annotated[Caller, Depends(get_signed_in)]


def get_caller(caller: SignedIn) -> Caller:
    """Return the caller of a request, whose password is known to nobody else.

    Raises:
        Refusal: 403 for an account whose password an administrator gave.
    """
    if caller.account.must_change:
        raise Refusal(
            403,
            "password_change_needed",
            "This account has a one-time password.",
            "Choose a password of your own first.",
        )
    return caller


AnyCaller = Annotated[Caller, Depends(get_caller)]


def allowed(what: str) -> Callable[[Caller], Caller]:
    """Return a dependency: the caller, whose role must allow ``what``."""

    def check(caller: AnyCaller) -> Caller:
        if not caller.account.may(what):
            raise Refusal(
                403,
                "not_allowed",
                f"Your role does not allow {what}.",
                "Ask an administrator of the city.",
            )
        return caller

    return check


Searcher = Annotated[Caller, Depends(allowed("search"))]


# models that several routes share ----------------------------------------------------------------


class Answer(BaseModel):
    """Base of the answers; ``model_validate`` reads them from the service's own values."""

    model_config = ConfigDict(from_attributes=True)


def _time_text(value: Any) -> Any:
    return format_time(value) if isinstance(value, int) else value


Time = Annotated[str, BeforeValidator(_time_text)]  # ISO 8601, from ms since the epoch


def rounded(digits: int) -> AfterValidator:
    """Return a validator that rounds a number for the answer."""
    return AfterValidator(lambda value: round(value, digits))


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    code: str = Field(description="A stable word, such as `approval_needed`.")
    error: str = Field(description="One sentence: what was wrong.")
    what_to_do: str = Field(description="One sentence: what to do about it.")


class ScopeModel(Wanted):
    """Where and when to look; nothing named means all that the account may see."""

    units: Names = Field(default=[], description="unit codes of any level")
    cameras: Names = Field(default=[], description="camera ids; with units: both hold")
    start: Moment | None = Field(default=None, description="ISO 8601 with an offset")
    end: Moment | None = Field(default=None, description="ISO 8601 with an offset; not included")
    quality: float | None = Field(default=None, ge=0, le=1, description="the least quality")
    attributes: Annotated[list[tuple[Name, Name]], Field(max_length=100)] = Field(
        default=[], description="(name, value); several values of one name mean any of them"
    )

    def scope(self) -> Scope:
        """Return the scope with times in ms; a time without a zone is refused."""
        return Scope.parse(**dict(self))

    @classmethod
    def of(cls, scope: Scope) -> "ScopeModel":
        """Return the scope with times as text."""
        return cls(**scope.as_dict())


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        400: "Not a request that can be read",
        401: "Not signed in, or the session has ended",
        403: "Not allowed, no valid case, an approval is needed, or a missing token",
        404: "No such thing among those the account may see",
        408: "The request did not arrive in time",
        409: "What the request builds on is no longer so",
        413: "The request is too large",
        422: "Bad input",
        500: "The city's stored data cannot be used",
        503: "The city's database does not answer, or the audit is not as it was left",
    }.items()
}
