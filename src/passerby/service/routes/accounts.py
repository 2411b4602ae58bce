"""Sign in and out, and manage accounts.

Only administrators manage accounts, and only those whose units lie inside their own.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from passerby.service.access import CodedError, Refusal, not_found
from passerby.service.accounts import Account, check_password
from passerby.service.http import (
    PROBLEMS,
    Answer,
    Caller,
    Problem,
    Service,
    SignedIn,
    TheService,
    Time,
    allowed,
)
from passerby.service.inputs import Name, Names, Wanted
from passerby.service.sessions import COOKIE

router = APIRouter(prefix="/api/accounts", tags=["accounts"], responses=PROBLEMS)
session_router = APIRouter(prefix="/api/session", tags=["session"], responses=PROBLEMS)
TOO_MANY: dict[int | str, dict[str, Any]] = {
    429: {"model": Problem, "description": "Too many failures"}
}
Administrator = Annotated[Caller, Depends(allowed("accounts"))]


class Credentials(Wanted):
    """What is typed to sign in."""

    name: Annotated[str, Field(max_length=64)]
    password: Annotated[str, Field(max_length=256)]


class AccountInfo(Answer):
    """An account as it may be shown."""

    name: str
    role: str = Field(description="operator, supervisor or administrator")
    may: list[str] = Field(validation_alias="rights", description="what the role allows")
    units: list[str] = Field(validation_alias="grants", description="codes of the granted units")
    created: Time
    disabled: bool
    must_change: bool = Field(description="has to choose a password before anything else")


class SessionInfo(Answer):
    """A session; its token goes into the X-CSRF-Token header of every changing request."""

    account: AccountInfo
    csrf: str
    expires: Time


class NewAccount(Wanted):
    """An account to create."""

    name: Annotated[str, Field(max_length=64)]
    role: Name
    units: Annotated[Names, Field(min_length=1)]


class Change(Wanted):
    """What to change of an account; what is left out stays."""

    units: Names | None = None
    disabled: bool | None = None
    new_password: bool = Field(default=False, description="generate a one-time password")


class WithPassword(BaseModel):
    """An account, and its password where one was just generated; it is shown this once."""

    account: AccountInfo
    password: str | None = Field(description="one-time: its owner chooses another at sign-in")


class NewPassword(Wanted):
    """A password of one's own."""

    current: Annotated[str, Field(max_length=256)] = Field(
        default="", description="the present one; not needed after a one-time password"
    )
    new: Annotated[str, Field(max_length=256)]


# the session -------------------------------------------------------------------------------------


@session_router.post("", summary="Sign in", responses=TOO_MANY)
def sign_in(
    credentials: Credentials, request: Request, response: Response, service: TheService
) -> SessionInfo:
    """Check a name and password; sets the session's cookie (http-only, same-site strict)."""
    address, name = _address(request), credentials.name.strip().lower()
    service.audit.check()  # a one-time password is used up by the next line
    service.failed_sign_ins.begin(address, name)
    account = service.accounts.verify(name, credentials.password)
    if account is None:
        _record_failure(service, name)
        raise Refusal(
            401,
            "wrong_credentials",
            "The name or the password is wrong.",
            "Check both; an administrator can set a new password.",
        )
    service.failed_sign_ins.succeed(address, name)
    service.audit.append("signed_in", account=account.name, units=account.grants)
    return _begin(service, account, response)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _begin(service: Service, account: Account, response: Response) -> SessionInfo:
    """Begin a session, and set its cookie."""
    session, cookie = service.sessions.begin(account)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(service.settings.session_hours * 3600),
        httponly=True,
        samesite="strict",
        secure=service.settings.secure_cookies,
    )
    return SessionInfo.model_validate(session)


def _record_failure(service: Service, name: str) -> None:
    """Record a failed sign-in; the entry names the account only where it exists."""
    existing = service.accounts.get(name)
    service.audit.append(
        "sign_in_failed",
        account=existing.name if existing else "(unknown)",
        units=existing.grants if existing else (),
    )


@session_router.get("", summary="The session of this cookie")
def current(caller: SignedIn) -> SessionInfo:
    """Who is signed in, what the account may do and see, and the token for changes."""
    return SessionInfo.model_validate(caller.session)


@session_router.delete("", summary="Sign out", status_code=204)
def sign_out(response: Response, caller: SignedIn) -> None:
    """End the session; query pictures of the account leave the memory."""
    service, name = caller.service, caller.account.name
    service.pictures.forget(name)
    service.searches.forget(name)
    service.sessions.end(caller.session)
    caller.record("signed_out")
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


@session_router.post(
    "/password",
    summary="Choose a password",
    responses=TOO_MANY,
)
def choose_password(
    wanted: NewPassword, request: Request, response: Response, caller: SignedIn
) -> SessionInfo:
    """Set one's own password; all sessions of the account end, and a new one begins."""
    service, account = caller.service, caller.account
    check_password(wanted.new)
    if not account.must_change:
        address = _address(request)
        service.failed_sign_ins.begin(address, account.name)
        if service.accounts.verify(account.name, wanted.current) is None:
            caller.record("password_change_failed")
            raise Refusal(403, "wrong_password", "The present password is wrong.", "Type it again.")
        service.failed_sign_ins.succeed(address, account.name)
        if wanted.new == wanted.current:
            raise CodedError("password_same", "the new password is the present one; choose another")
    caller.record("password_changed", {"name": account.name, "one_time": account.must_change})
    service.accounts.set_password(account.name, wanted.new)
    changed = service.accounts.get(account.name)
    assert changed is not None
    return _begin(service, changed, response)


# accounts ----------------------------------------------------------------------------------------


@router.get("", summary="Accounts")
def accounts(caller: Administrator) -> list[AccountInfo]:
    """Every account whose units lie inside the administrator's."""
    every = caller.service.accounts.all()
    return [AccountInfo.model_validate(one) for one in every if caller.access.covers(one.grants)]


@router.post("", summary="Create an account", status_code=201)
def create(new: NewAccount, caller: Administrator) -> WithPassword:
    """Create an account with a one-time password."""
    _check_units(caller, new.units)
    hours = caller.service.settings.code_hours
    password = caller.service.accounts.create(
        new.name, new.role, tuple(new.units), code_hours=hours
    )
    account = _find(caller, new.name)
    _record(caller, "account_created", account)
    return WithPassword(account=AccountInfo.model_validate(account), password=password)


@router.patch("/{name}", summary="Change an account")
def change(name: str, wanted: Change, caller: Administrator) -> WithPassword:
    """Change units, disable or enable, or give a one-time password; open sessions end."""
    before = _find(caller, name)
    if name == caller.account.name:
        raise Refusal(
            403, "own_account", "Nobody changes their own account.", "Ask another administrator."
        )
    every = caller.service.accounts
    if wanted.units is not None:
        _check_units(caller, wanted.units)
        every.set_grants(name, tuple(wanted.units))
    if wanted.disabled is not None:
        every.set_disabled(name, wanted.disabled)
    account = _find(caller, name)
    if wanted.units is not None or wanted.disabled is not None:
        _record(caller, "account_changed", account)
    password = None
    if wanted.new_password:
        hours = caller.service.settings.code_hours
        details = {"name": name, "by": caller.account.name, "hours": hours}
        caller.record("password_reset", details, units=before.grants)
        password = every.set_password(name, code_hours=hours)
        account = _find(caller, name)
    return WithPassword(account=AccountInfo.model_validate(account), password=password)


def _find(caller: Caller, name: str) -> Account:
    account = caller.service.accounts.get(name)
    if account is None or not caller.access.covers(account.grants):
        raise not_found("account")
    return account


def _check_units(caller: Caller, units: list[str]) -> None:
    if not caller.access.covers(tuple(units)):
        raise not_found("unit")


def _record(caller: Caller, action: str, account: Account) -> None:
    details = {"name": account.name, "role": account.role, "disabled": account.disabled}
    caller.record(action, details, units=account.grants)
