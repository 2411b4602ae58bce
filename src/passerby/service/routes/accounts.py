"""Managing accounts; for administrators, and only inside their own units."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from passerby.service.accounts import Account
from passerby.service.http import PROBLEMS, Service, TheService, allowed
from passerby.service.refusals import Refusal, nothing_there
from passerby.service.routes.session import AccountInfo
from passerby.service.sessions import Session

router = APIRouter(prefix="/api/accounts", tags=["accounts"], responses=PROBLEMS)
Administrator = Annotated[Session, Depends(allowed("accounts"))]


class NewAccount(BaseModel):
    """An account to create."""

    name: Annotated[str, Field(max_length=64)]
    role: str
    units: Annotated[list[str], Field(min_length=1)]


class Change(BaseModel):
    """What to change of an account; what is left out stays."""

    units: list[str] | None = None
    disabled: bool | None = None
    new_password: bool = Field(default=False, description="generate a new password")


class WithPassword(BaseModel):
    """An account, and its password where one was just generated; it is shown this once."""

    account: AccountInfo
    password: str | None


@router.get("", summary="Accounts")
def accounts(session: Administrator, service: TheService) -> list[AccountInfo]:
    """Every account whose units lie inside the administrator's."""
    access = service.access(session.account)
    return [AccountInfo.of(one) for one in service.accounts.all() if access.covers(one.grants)]


@router.post("", summary="Create an account", status_code=201)
def create(new: NewAccount, session: Administrator, service: TheService) -> WithPassword:
    """Create an account with a generated password."""
    _check_units(service, session, new.units)
    password = service.accounts.create(new.name, new.role, tuple(new.units))
    account = _find(service, session, new.name)
    _note(service, session, "account_created", account)
    return WithPassword(account=AccountInfo.of(account), password=password)


@router.patch("/{name}", summary="Change an account")
def change(name: str, wanted: Change, session: Administrator, service: TheService) -> WithPassword:
    """Change units, bar or admit, or give a new password; open sessions end."""
    before = _find(service, session, name)
    if before.name == session.account.name:
        raise Refusal(
            403, "own_account", "Nobody changes their own account.", "Ask another administrator."
        )
    if wanted.units is not None:
        _check_units(service, session, wanted.units)
        service.accounts.set_grants(name, tuple(wanted.units))
    if wanted.disabled is not None:
        service.accounts.set_disabled(name, wanted.disabled)
    password = service.accounts.set_password(name) if wanted.new_password else None
    account = _find(service, session, name)
    _note(service, session, "account_changed", account)
    return WithPassword(account=AccountInfo.of(account), password=password)


def _find(service: Service, session: Session, name: str) -> Account:
    account = service.accounts.get(name)
    if account is None or not service.access(session.account).covers(account.grants):
        raise nothing_there("account")
    return account


def _check_units(service: Service, session: Session, units: list[str]) -> None:
    if not service.access(session.account).covers(tuple(units)):
        raise nothing_there("unit")


def _note(service: Service, session: Session, action: str, account: Account) -> None:
    service.audit.append(
        action,
        account=session.account.name,
        units=account.grants,
        details={"name": account.name, "role": account.role, "disabled": account.disabled},
    )
