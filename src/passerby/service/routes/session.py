"""Sign in, who am I, sign out."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from passerby.service.accounts import ROLES, Account
from passerby.service.http import PROBLEMS, Service, TheService, TheSession
from passerby.service.refusals import Refusal
from passerby.service.sessions import COOKIE, Session
from passerby.times import format_time

router = APIRouter(prefix="/api/session", tags=["session"], responses=PROBLEMS)


class Credentials(BaseModel):
    """What is typed to sign in."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=256)]


class AccountInfo(BaseModel):
    """An account as it may be shown."""

    name: str
    role: str = Field(description="operator, supervisor or administrator")
    may: list[str] = Field(description="what the role allows")
    units: list[str] = Field(description="codes of the granted units")
    created: str
    disabled: bool

    @classmethod
    def of(cls, account: Account) -> "AccountInfo":
        """The account without its password."""
        return cls(
            name=account.name,
            role=account.role,
            may=sorted(ROLES[account.role]),
            units=list(account.grants),
            created=format_time(account.created),
            disabled=account.disabled,
        )


class SessionInfo(BaseModel):
    """A session; its token goes into the X-CSRF-Token header of every changing request."""

    account: AccountInfo
    csrf: str
    expires: str

    @classmethod
    def of(cls, session: Session) -> "SessionInfo":
        """What the page needs of a session."""
        account = AccountInfo.of(session.account)
        return cls(account=account, csrf=session.csrf, expires=format_time(session.expires))


@router.post("", summary="Sign in", responses={429: {"description": "Too many failures"}})
def sign_in(
    credentials: Credentials, request: Request, response: Response, service: TheService
) -> SessionInfo:
    """Check a name and password; sets the session's cookie (http-only, same-site strict)."""
    address = request.client.host if request.client else "unknown"
    name = credentials.name.strip().lower()
    service.attempts.check(address, name)
    account = service.accounts.verify(name, credentials.password)
    if account is None:
        service.attempts.failed(address, name)
        _note_failure(service, name)
        raise Refusal(
            401,
            "wrong_credentials",
            "The name or the password is wrong.",
            "Check both; an administrator can set a new password.",
        )
    service.attempts.succeeded(address, name)
    session, cookie = service.sessions.begin(account)
    service.audit.append("signed_in", account=account.name, units=account.grants)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(service.settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=service.settings.secure_cookies,
    )
    return SessionInfo.of(session)


def _note_failure(service: Service, name: str) -> None:
    """A failure is noted under the account's name only where there is such an account."""
    known = service.accounts.get(name)
    service.audit.append(
        "sign_in_failed",
        account=known.name if known else "(unknown)",
        units=known.grants if known else (),
    )


@router.get("", summary="The session of this cookie")
def current(session: TheSession) -> SessionInfo:
    """Who is signed in, what the account may do and see, and the token for changes."""
    return SessionInfo.of(session)


@router.delete("", summary="Sign out", status_code=204)
def sign_out(response: Response, session: TheSession, service: TheService) -> None:
    """End the session; query pictures of the account leave the memory."""
    name = session.account.name
    service.views.flush(name)
    service.pictures.forget(name)
    service.searches.forget(name)
    service.sessions.end(session)
    service.audit.append("signed_out", account=name, units=session.account.grants)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
