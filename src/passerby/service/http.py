"""What every route needs: the service's parts, the caller, shared models, errors, headers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException

from passerby.city import City, Scope
from passerby.city.engines import DatabaseError
from passerby.city.gallery import AwayError, StoreError
from passerby.city.networks import Networks
from passerby.errors import InputError
from passerby.service.access import Access, Refusal, not_found
from passerby.service.accounts import (
    COOKIE,
    Account,
    Accounts,
    FailedSignIns,
    Session,
    Sessions,
)
from passerby.service.audit import Audit, CropViews, Entry
from passerby.service.cases import Approvals, Case, Cases
from passerby.service.database import Database
from passerby.service.pictures import QueryPictures
from passerby.service.searches import Searches
from passerby.service.settings import Settings
from passerby.times import format_time

LOG = logging.getLogger("passerby.service")
VERIFY = "Tell an administrator: 'passerby admin verify' names what is damaged in the city."
TOKEN_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}


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
    views: CropViews


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


def get_caller(request: Request, service: TheService) -> Caller:
    """Return the caller of a request.

    Raises:
        Refusal: 401 without a session; 403 for a change without the session's token.
    """
    cookie = request.cookies.get(COOKIE)
    session = service.sessions.find(cookie) if cookie else None
    if session is None:
        raise Refusal(401, "signed_out", "You are not signed in.", "Sign in again.")
    token = request.headers.get(TOKEN_HEADER)
    if request.method not in SAFE_METHODS and not service.sessions.check_token(session, token):
        raise Refusal(
            403,
            "forged",
            "The request did not come from this page.",
            f"Reload the page; programs send the session's token as {TOKEN_HEADER}.",
        )
    service.city.refresh()  # the command line may have moved a camera
    histories = service.city.history.items()
    units = {name: tuple(one.unit for one in history) for name, history in histories}
    access = Access.of(service.city.units, session.account.grants, units)
    return Caller(service=service, session=session, account=session.account, access=access)


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
        """Return the scope with times in ms; a time without a zone is refused."""
        return Scope.parse(**dict(self))

    @classmethod
    def of(cls, scope: Scope) -> "ScopeModel":
        """Return the scope with times as text."""
        return cls(**scope.as_dict())


# errors ------------------------------------------------------------------------------------------


def answer(refusal: Refusal) -> JSONResponse:
    """Return a refusal as a response."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    body = Problem(code=refusal.code, error=refusal.error, what_to_do=refusal.what_to_do)
    return JSONResponse(body.model_dump(), status_code=refusal.status, headers=headers)


def add_error_answers(app: FastAPI) -> None:
    """Answer every error with a :class:`Problem`; none shows a stack or a path of the machine."""

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return answer(refusal)

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> Response:
        error_text, remedy = _explained(request, error)
        return answer(Refusal(422, "bad_input", error_text, remedy or "Change the request."))

    @app.exception_handler(AwayError)
    async def store_away(_request: Request, error: AwayError) -> Response:
        return _try_later("store_away", "The gallery's server does not answer.", error)

    @app.exception_handler(DatabaseError)
    async def database_fault(_request: Request, error: DatabaseError) -> Response:
        text = "The city's database does not answer as it should."
        return _try_later("database_fault", text, error)

    @app.exception_handler(StoreError)
    async def store_fault(request: Request, error: StoreError) -> Response:
        LOG.error("%s", error)
        return answer(Refusal(500, "store_fault", _explained(request, error)[0], VERIFY))

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        text = f"The request is malformed at '{where}': {first['msg']}."
        remedy = "Compare it with the description at /api/openapi.json."
        return answer(Refusal(422, "malformed", text, remedy))

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> Response:
        remedy = "Look at the address." if error.status_code == 404 else "Change the request."
        return answer(Refusal(error.status_code, "http", f"{error.detail}.", remedy))


def _try_later(code: str, text: str, error: InputError) -> JSONResponse:
    """Log a fault that may pass; the answer does not name the server."""
    LOG.error("%s", error)
    return answer(Refusal(503, code, text, "Try again in a minute.", retry_after=60))


def _explained(request: Request, error: InputError) -> tuple[str, str]:
    """What was wrong and, where the error says it, what to do; without the city's folder."""
    folder = str(request.app.state.service.city.folder)
    text, _, remedy = " ".join(str(error).replace(folder, "the city").split()).partition("; ")
    return _sentence(text), _sentence(remedy) if remedy else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return (text[:1].upper() + text[1:]).rstrip(".") + "."


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": words}
    for status, words in {
        401: "Not signed in, or the session has ended",
        403: "Not allowed, no valid case, an approval is needed, or a missing token",
        404: "No such thing among those the account may see",
        422: "Bad input",
        500: "The city's stored data cannot be used",
        503: "The city's database does not answer",
    }.items()
}


# guards ------------------------------------------------------------------------------------------

Next = Callable[[Request], Awaitable[Response]]


def add_guards(app: FastAPI, settings: Settings) -> None:
    """Add security headers to every answer; refuse changes that another site's page sends."""

    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        refusal = _cross_site(request) if request.method not in SAFE_METHODS else None
        response = answer(refusal) if refusal else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        kind = "no-store" if request.url.path.startswith("/api/") else "no-cache"
        response.headers.setdefault("Cache-Control", kind)
        if settings.secure_cookies:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return response


def _cross_site(request: Request) -> Refusal | None:
    """Refuse a request that, as the browser says, another site's page sent; also a sign-in."""
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    if foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return Refusal(
            403, "cross_site", "The request came from another site.", "Use the service's own page."
        )
    return None


class BodyLimit:
    """ASGI middleware that refuses a request body above a size, declared or streamed."""

    def __init__(self, app: Any, *, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the request on while it stays below the limit."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self.most:
            await self._refuse()(scope, receive, send)
            return
        seen, refused = 0, False

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413)  # ends the reading; ``checked`` sends the answer
            return message

        async def checked(message: Any) -> None:
            nonlocal refused
            if seen <= self.most:
                await send(message)
            elif not refused:
                refused = True
                await self._refuse()(scope, receive, send)

        await self.app(scope, counted, checked)

    def _refuse(self) -> JSONResponse:
        limit = f"{self.most / 2**20:.0f} MB"
        text, remedy = f"The upload is larger than {limit}.", f"Give a file of at most {limit}."
        response = answer(Refusal(413, "too_large", text, remedy))
        response.headers.update(HEADERS)
        return response
