"""What stands before and after every route: refusals as answers, headers, limits of a body."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from passerby.city.engines import DatabaseError
from passerby.city.gallery import AwayError, StoreError
from passerby.errors import InputError
from passerby.service.access import CodedError, Refusal
from passerby.service.audit import AuditError
from passerby.service.http import SAFE_METHODS, Problem
from passerby.service.settings import Settings

LOG = logging.getLogger("passerby.service")
VERIFY = "Tell an administrator: 'passerby admin verify' names what is damaged in the city."
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

# errors ------------------------------------------------------------------------------------------


def answer(refusal: Refusal) -> JSONResponse:
    """Return a refusal as a response."""
    headers = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    texts = {"code": refusal.code, "error": refusal.error, "what_to_do": refusal.what_to_do}
    # what was sent may be quoted, and may hold half a surrogate pair, which no answer can hold
    body = {key: text.encode("utf-8", "replace").decode() for key, text in texts.items()}
    body = Problem(**body).model_dump()
    return JSONResponse(body, status_code=refusal.status, headers=headers)


def add_error_answers(app: FastAPI) -> None:
    """Answer every error with a :class:`Problem`; none shows a stack or a path of the machine."""
    _add_store_answers(app)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return answer(refusal)

    @app.exception_handler(InputError)
    async def bad_input(request: Request, error: InputError) -> Response:
        error_text, remedy = _explained(request, error)
        code = error.code if isinstance(error, CodedError) else "bad_input"
        return answer(Refusal(422, code, error_text, remedy or "Change the request."))

    @app.exception_handler(Exception)
    async def fault(_request: Request, _error: Exception) -> Response:
        remedy = "Try again; if it happens again, tell who runs the service: its log has the error."
        return answer(Refusal(500, "internal", "The service failed at this request.", remedy))

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"] if part != "body")[:200]
        place = f" at '{where}'" if where else ""
        text = (
            f"The request is malformed{place}: {first['msg'].removeprefix('Value error, ')[:200]}."
        )
        remedy = "Compare it with the description at /api/openapi.json."
        return answer(Refusal(422, "malformed", text, remedy))

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> Response:
        remedy = "Look at the address." if error.status_code == 404 else "Change the request."
        return answer(Refusal(error.status_code, "http", f"{error.detail}.", remedy))


def _add_store_answers(app: FastAPI) -> None:
    """Answer the faults of the stores; what is wrong with them is for the log."""

    @app.exception_handler(AuditError)
    async def audit_fault(_request: Request, error: AuditError) -> Response:
        LOG.critical("%s", error)
        text = "The audit is not as it was left, so nothing is recorded and nothing is done."
        remedy = "Tell an administrator: 'passerby admin audit verify' says what is wrong."
        return answer(Refusal(503, "audit_fault", text, remedy))

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


def _try_later(code: str, text: str, error: InputError) -> JSONResponse:
    """Log a fault that may pass; the answer does not name the server."""
    LOG.error("%s", error)
    return answer(Refusal(503, code, text, "Try again in a minute.", retry_after=60))


def _explained(request: Request, error: InputError) -> tuple[str, str]:
    """What was wrong and, where the error says it, what to do; without the city's folder."""
    folder = str(request.app.state.service.city.folder)
    text, _, remedy = " ".join(str(error).replace(folder, "the city").split()).partition("; ")
    return _sentence(text[:400]), _sentence(remedy[:400]) if remedy else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return (text[:1].upper() + text[1:]).rstrip(".") + "."


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

        try:
            await self.app(scope, counted, checked)
        except Exception:
            if seen <= self.most:
                raise
            if not refused:
                await self._refuse()(scope, receive, send)

    def _refuse(self) -> JSONResponse:
        limit = f"{self.most / 2**20:.0f} MB"
        text, remedy = f"The upload is larger than {limit}.", f"Give a file of at most {limit}."
        response = answer(Refusal(413, "too_large", text, remedy))
        response.headers.update(HEADERS)
        return response
