"""``passerby admin account | case | audit | settings``: who may search, for what, and who did."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from passerby.cli.arguments import OfCity, parse, parse_choice
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city import City
    from passerby.service.audit import Audit
    from passerby.service.database import Database

BY = "(command line)"
Name = Annotated[str, tyro.conf.Positional]


@contextmanager
def opened(folder: Path) -> "Iterator[tuple[City, Database, Audit]]":
    """A city, the service's tables in it, and its audit."""
    from passerby.city import City
    from passerby.service.audit import Audit
    from passerby.service.database import Database

    with City.open(folder) as city, closing(Database.of(city)) as database:
        yield city, database, Audit(database, city.folder)


@dataclass(frozen=True, kw_only=True)
class AddAccount(OfCity):
    """Create an account and print its generated password."""

    name: Name
    """Name to sign in with."""
    role: str = "operator"
    """operator, supervisor or administrator."""
    unit: list[str] = field(default_factory=list)
    """Codes of the units it may see; the whole city when none is given."""

    def run(self) -> int:
        """Do it."""
        from passerby.service.accounts import Accounts

        with opened(self.city) as (city, database, audit):
            grants = tuple(self.unit) or tuple(unit.code for unit in city.units.roots)
            for code in grants:
                city.units[code]
            password = Accounts(database).create(self.name, self.role, grants)
            details = {"name": self.name, "role": self.role}
            audit.append("account_created", account=BY, units=grants, details=details)
        print(f"{self.name} ({self.role}) has the password {password}")
        return 0


@dataclass(frozen=True, kw_only=True)
class ChangeAccount(OfCity):
    """Change an account: a new password, other units, barred or admitted; its sessions end."""

    name: Name
    """Name of the account."""
    new_password: bool = False
    """Generate a new password and print it."""
    unit: list[str] = field(default_factory=list)
    """Codes of the units it may see from now on."""
    disable: bool = False
    """It can no longer sign in."""
    enable: bool = False
    """It can sign in again."""

    def run(self) -> int:
        """Do it."""
        from passerby.service.accounts import Accounts

        if self.disable and self.enable:
            raise InputError("--disable and --enable exclude each other; give one")
        with opened(self.city) as (city, database, audit):
            accounts = Accounts(database)
            for code in self.unit:
                city.units[code]
            if self.unit:
                accounts.set_grants(self.name, tuple(self.unit))
            if self.disable or self.enable:
                accounts.set_disabled(self.name, self.disable)
            password = accounts.set_password(self.name) if self.new_password else None
            account = accounts.get(self.name)
            if account is None:
                raise InputError(f"there is no account '{self.name}'; list them to see all")
            details = {"name": account.name, "role": account.role, "disabled": account.disabled}
            audit.append("account_changed", account=BY, units=account.grants, details=details)
        state = "disabled" if account.disabled else "active"
        print(f"{account.name} ({account.role}) is {state}, units {', '.join(account.grants)}")
        if password:
            print(f"new password: {password}")
        return 0


@dataclass(frozen=True, kw_only=True)
class ListAccounts(OfCity):
    """List the accounts."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Do it."""
        from passerby.service.accounts import Accounts

        with opened(self.city) as (_, database, _audit):
            accounts = Accounts(database).all()
        if self.json:
            print(json.dumps([dataclasses.asdict(one) for one in accounts]))
        for one in [] if self.json else accounts:
            state = "disabled" if one.disabled else "active"
            print(f"{one.name:<20} {one.role:<14} {state:<9} {', '.join(one.grants)}")
        return 0


@dataclass(frozen=True, kw_only=True)
class OpenCase(OfCity):
    """Open a case for an account; every search names one."""

    number: Name
    """The file number."""
    owner: str
    """The account that will search."""
    purpose: str
    """What for."""
    legal_basis: str
    """On what ground."""
    days: float = 30.0
    """How long it stays open."""

    def run(self) -> int:
        """Do it."""
        from passerby.service.accounts import Accounts
        from passerby.service.cases import Cases
        from passerby.service.database import now

        with opened(self.city) as (_, database, audit):
            owner = Accounts(database).get(self.owner)
            if owner is None:
                raise InputError(f"there is no account '{self.owner}'; list them to see all")
            case = Cases(database).open(
                self.number,
                purpose=self.purpose,
                legal_basis=self.legal_basis,
                owner=owner.name,
                units=owner.grants,
                expires=now() + int(self.days * 86_400_000),
            )
            details = {"purpose": case.purpose, "legal_basis": case.legal_basis}
            audit.append("case_opened", account=BY, case=case.id, units=case.units, details=details)
        print(f"case {case.id} is open for {owner.name}")
        return 0


@dataclass(frozen=True, kw_only=True)
class ListCases(OfCity):
    """List the cases, newest first."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Do it."""
        from passerby.service.cases import Cases
        from passerby.times import format_time

        with opened(self.city) as (_, database, _audit):
            cases = Cases(database).all()
        if self.json:
            print(json.dumps([dataclasses.asdict(one) for one in cases]))
        for one in [] if self.json else cases:
            state = "open" if one.is_open else "closed" if one.closed else "expired"
            print(f"{one.id:<20} {state:<8} {one.owner:<16} {format_time(one.expires)}")
            print(f"    {one.purpose}")
        return 0


@dataclass(frozen=True, kw_only=True)
class VerifyAudit(OfCity):
    """Recompute the audit's chain of hashes; status 1 and the first bad entry when it is broken."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Do it."""
        with opened(self.city) as (_, _database, audit):
            verdict = audit.verify()
        if self.json:
            print(json.dumps({**dataclasses.asdict(verdict), "intact": verdict.intact}))
        elif verdict.intact:
            print(f"all {verdict.entries} entries hold; the last digest is {verdict.head}")
        else:
            print(
                f"broken at entry {verdict.broken_at}: {verdict.reason}; "
                f"{verdict.entries} entries before it hold",
                file=sys.stderr,
            )
        return 0 if verdict.intact else 1


@dataclass(frozen=True, kw_only=True)
class ShowAudit(OfCity):
    """Print the audit's newest entries."""

    last: int = 20
    """How many."""
    json: bool = False
    """Print one JSON object a line, with everything."""

    def run(self) -> int:
        """Do it."""
        from passerby.times import format_time

        with opened(self.city) as (_, _database, audit):
            entries = audit.entries(limit=self.last)[::-1]
        for one in entries:
            if self.json:
                print(json.dumps(dataclasses.asdict(one), ensure_ascii=False))
            else:
                time = format_time(one.time)
                print(f"{one.number:>6} {time} {one.account:<16} {one.action:<18} {one.case or ''}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Change(OfCity):
    """Show the settings of a city's service, or change one; restart the service afterwards."""

    set: Annotated[list[str], tyro.conf.arg(metavar="NAME=VALUE")] = field(default_factory=list)
    """Settings to change, such as wide_needs_approval=true or time_zone="Europe/Berlin"."""


def settings(arguments: Sequence[str]) -> int:
    """Run ``passerby admin settings``."""
    options: Change = parse(Change, arguments, "admin settings")
    from passerby.service.settings import Settings

    with opened(options.city) as (city, _, audit):
        current = Settings.read(city)
        if options.set:
            values = dict(_assignment(text) for text in options.set)
            current = current.changed(values)
            current.write(city)
            roots = tuple(unit.code for unit in city.units.roots)
            audit.append("settings_changed", account=BY, units=roots, details=values)
    for name, value in dataclasses.asdict(current).items():
        print(f"{name:<22} {value}")
    return 0


def _assignment(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise InputError(f"'{text}' sets nothing; write NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def account(arguments: Sequence[str]) -> int:
    """Run ``passerby admin account``."""
    verbs = {"list": ListAccounts, "add": AddAccount, "change": ChangeAccount}
    return int(parse_choice(verbs, arguments, "admin account").run())


def case(arguments: Sequence[str]) -> int:
    """Run ``passerby admin case``."""
    return int(parse_choice({"list": ListCases, "open": OpenCase}, arguments, "admin case").run())


def audit(arguments: Sequence[str]) -> int:
    """Run ``passerby admin audit``."""
    verbs = {"verify": VerifyAudit, "show": ShowAudit}
    return int(parse_choice(verbs, arguments, "admin audit").run())
