"""What every route needs: the service's parts, the session, the error model, the headers."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from passerby.city import City
from passerby.city.engines import DatabaseError
from passerby.city.gallery import AwayError, StoreError
from passerby.city.networks import Networks
from passerby.errors import InputError
from passerby.runtime import Embedder
from passerby.service.access import Access
from passerby.service.accounts import Account, Accounts
from passerby.service.approvals import Approvals
from passerby.service.attempts import Attempts
from passerby.service.audit import Audit
from passerby.service.cases import Cases
from passerby.service.database import Database
from passerby.service.pictures import QueryPictures
from passerby.service.refusals import Refusal, not_allowed, not_signed_in
from passerby.service.searches import Searches
from passerby.service.sessions import COOKIE, Session, Sessions
from passerby.service.settings import Settings
from passerby.service.views import Views

LOG = logging.getLogger("passerby.service")
TELL = "Tell an administrator: 'passerby admin verify' names what is damaged in the city."
TOKEN_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
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


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    code: str = Field(description="A stable word, such as `approval_needed`.")
    error: str = Field(description="One sentence: what was wrong.")
    what_to_do: str = Field(description="One sentence: what to do about it.")


@dataclass(frozen=True, kw_only=True)
class Service:
    """The parts of a running service."""

    city: City
    networks: Networks
    settings: Settings
    database: Database
    accounts: Accounts
    sessions: Sessions
    attempts: Attempts
    cases: Cases
    approvals: Approvals
    audit: Audit
    pictures: QueryPictures
    searches: Searches
    views: Views

    @property
    def embedder(self) -> Embedder:
        """The network of the gallery's vectors at this moment."""
        return self.networks.now()

    def access(self, account: Account) -> Access:
        """What an account may see of the city."""
        leaves = {camera.id: camera.unit for camera in self.city.cameras.values()}
        return Access.of(self.city.units, account.grants, leaves)


def get_service(request: Request) -> Service:
    """The service that answers this request."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(get_service)]


def get_session(request: Request, service: TheService) -> Session:
    """The session of this request; a state-changing one must carry the session's token.

    Raises:
        Refusal: 401 without a session, 403 without its token.
    """
    cookie = request.cookies.get(COOKIE)
    session = service.sessions.find(cookie) if cookie else None
    if session is None:
        raise not_signed_in()
    token = request.headers.get(TOKEN_HEADER)
    if request.method not in SAFE_METHODS and not service.sessions.check_token(session, token):
        raise Refusal(
            403,
            "forged",
            "The request did not come from this page.",
            f"Reload the page; programs send the session's token as {TOKEN_HEADER}.",
        )
    return session


TheSession = Annotated[Session, Depends(get_session)]


def allowed(what: str) -> Callable[[Session], Session]:
    """A dependency: the session of an account whose role allows ``what``."""

    def check(session: TheSession) -> Session:
        if not session.account.may(what):
            raise not_allowed(what)
        return session

    return check


Searcher = Annotated[Session, Depends(allowed("search"))]


def answer(refusal: Refusal) -> JSONResponse:
    """A refusal as a response."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    body = Problem(code=refusal.code, error=refusal.error, what_to_do=refusal.what_to_do)
    return JSONResponse(body.model_dump(), status_code=refusal.status, headers=headers)


def add_error_answers(app: FastAPI) -> None:
    """Answer every error with a :class:`Problem`; none shows a stack or a path."""

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return answer(refusal)

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> Response:
        said, remedy = _told(request, error)
        return answer(Refusal(422, "bad_input", said, remedy or "Change the request."))

    @app.exception_handler(AwayError)
    async def store_away(_request: Request, error: AwayError) -> Response:
        LOG.error("%s", error)
        said = "The gallery's server does not answer."
        return answer(Refusal(503, "store_away", said, "Try again in a minute.", retry_after=60))

    @app.exception_handler(StoreError)
    async def store_fault(request: Request, error: StoreError) -> Response:
        LOG.error("%s", error)
        said, _ = _told(request, error)
        return answer(Refusal(500, "store_fault", said, TELL))

    @app.exception_handler(DatabaseError)
    async def database_fault(_request: Request, error: DatabaseError) -> Response:
        LOG.error("%s", error)
        said = "The city's database does not answer as it should."
        return answer(
            Refusal(503, "database_fault", said, "Try again in a minute.", retry_after=60)
        )

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return answer(
            Refusal(
                422,
                "malformed",
                f"The request is malformed at '{where}': {first['msg']}.",
                "Compare it with the description at /api/openapi.json.",
            )
        )

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> Response:
        remedy = "Look at the address." if error.status_code == 404 else "Change the request."
        return answer(Refusal(error.status_code, "http", f"{error.detail}.", remedy))


def _told(request: Request, error: InputError) -> tuple[str, str]:
    """What was wrong and, where the error says it, what to do; no path of the machine goes out."""
    folder = str(request.app.state.service.city.folder)
    said, _, remedy = " ".join(str(error).replace(folder, "the city").split()).partition("; ")
    return _sentence(said), _sentence(remedy) if remedy else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return (text[:1].upper() + text[1:]).rstrip(".") + "."


Next = Callable[[Request], Awaitable[Response]]


def add_guards(app: FastAPI, settings: Settings) -> None:
    """Security headers on every answer; no request from another site may change anything."""

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
    """Refuse what a browser says was sent by another site's page (sign-in included)."""
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
                raise HTTPException(413)  # stops the reading; what is answered stands below
            return message

        async def checked(message: Any) -> None:
            nonlocal refused
            if seen <= self.most:
                await send(message)
            elif not refused:
                refused = True
                await self._refuse()(scope, receive, send)

        await self.app(scope, counted, checked)

    def _words(self) -> tuple[str, str]:
        limit = f"{self.most / 2**20:.0f} MB"
        return f"The upload is larger than {limit}.", f"Give a file of at most {limit}."

    def _refuse(self) -> JSONResponse:
        response = answer(Refusal(413, "too_large", *self._words()))
        response.headers.update(HEADERS)
        return response


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
