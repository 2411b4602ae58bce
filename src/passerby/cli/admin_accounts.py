"""``passerby admin account | case | audit | settings``: who may search, for what, and who did."""

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import tyro

from passerby.cli.common import BY, OfCity, Result, audited
from passerby.errors import InputError

Name = Annotated[str, tyro.conf.Positional]
# --unit A B, --unit A --unit B, and both mixed
Texts = Annotated[list[list[str]], tyro.conf.UseAppendAction]


@dataclass(frozen=True, kw_only=True)
class AddAccount(OfCity):
    """Create an account and print its generated password."""

    name: Name
    """Name to sign in with."""
    role: str = "operator"
    """operator, supervisor or administrator."""
    unit: Texts = field(default_factory=list)
    """Codes of the units it may see; the whole city when none is given."""

    def main(self) -> None:
        """Create it, and print the password."""
        from passerby.service.accounts import Accounts

        with audited(self.city, changing=True) as (city, database, audit):
            grants = tuple(chain(*self.unit)) or tuple(unit.code for unit in city.units.roots)
            for code in grants:
                city.units[code]
            password = Accounts(database).create(self.name, self.role, grants)
            details = {"name": self.name, "role": self.role}
            audit.append("account_created", account=BY, units=grants, details=details)
        print(f"{self.name} ({self.role}) has the password {password}")


@dataclass(frozen=True, kw_only=True)
class ChangeAccount(OfCity):
    """Change an account: a new password, other units, barred or admitted; its sessions end."""

    name: Name
    """Name of the account."""
    new_password: bool = False
    """Generate a one-time password and print it; its owner chooses another at sign-in."""
    unit: Texts = field(default_factory=list)
    """Codes of the units it may see from now on."""
    disable: bool = False
    """It can no longer sign in."""
    enable: bool = False
    """It can sign in again."""

    def main(self) -> None:
        """Change what is given, and print the account."""
        from passerby.service.accounts import Accounts
        from passerby.service.settings import Settings

        if self.disable and self.enable:
            raise InputError("--disable and --enable exclude each other; give one")
        with audited(self.city, changing=True) as (city, database, audit):
            accounts, units = Accounts(database), tuple(chain(*self.unit))
            for code in units:
                city.units[code]
            if units:
                accounts.set_grants(self.name, units)
            if self.disable or self.enable:
                accounts.set_disabled(self.name, self.disable)
            account = accounts.get(self.name)
            if account is None:
                raise InputError(f"there is no account '{self.name}'; list them to see all")
            if units or self.disable or self.enable:
                details = {"name": account.name, "role": account.role, "disabled": account.disabled}
                audit.append("account_changed", account=BY, units=account.grants, details=details)
            password, hours = None, Settings.read(city).code_hours
            if self.new_password:
                reset = {"name": account.name, "by": BY, "hours": hours}
                audit.append("password_reset", account=BY, units=account.grants, details=reset)
                password = accounts.set_password(self.name, code_hours=hours)
        state = "disabled" if account.disabled else "active"
        print(f"{account.name} ({account.role}) is {state}, units {', '.join(account.grants)}")
        if password:
            print(f"one-time password, for {hours:g} hours: {password}")


@dataclass(frozen=True, kw_only=True)
class ListAccounts(Result, OfCity):
    """List the accounts."""

    def main(self) -> None:
        """Print the accounts, one a line."""
        from passerby.service.accounts import Accounts

        with audited(self.city) as (_, database, _audit):
            accounts = Accounts(database).all()
        lines = [
            f"{one.name:<20} {one.role:<14} {'disabled' if one.disabled else 'active':<9} "
            f"{', '.join(one.grants)}"
            for one in accounts
        ]
        self.show([dataclasses.asdict(one) for one in accounts], "\n".join(lines))


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

    def main(self) -> None:
        """Open it, and say for whom."""
        from passerby.service.accounts import Accounts
        from passerby.service.cases import Cases
        from passerby.service.database import now

        with audited(self.city, changing=True) as (_, database, audit):
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


@dataclass(frozen=True, kw_only=True)
class ListCases(Result, OfCity):
    """List the cases, newest first."""

    def main(self) -> None:
        """Print the cases, two lines each."""
        from passerby.service.cases import Cases
        from passerby.times import format_time

        with audited(self.city) as (_, database, _audit):
            cases = Cases(database).all()
        lines = []
        for one in cases:
            state = "open" if one.is_open else "closed" if one.closed else "expired"
            lines.append(f"{one.id:<20} {state:<8} {one.owner:<16} {format_time(one.expires)}")
            lines.append(f"    {one.purpose}")
        self.show([dataclasses.asdict(one) for one in cases], "\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class VerifyAudit(Result, OfCity):
    """Recompute the audit's chain and compare it with its heads; status 1 when it is broken."""

    heads: Path | None = None
    """A file of heads that were sent elsewhere, such as a log of syslog, to compare as well."""

    def main(self) -> int:
        """Print whether all entries hold, and what this cannot find."""
        with audited(self.city) as (_, _database, audit):
            verdict = audit.verify(self.heads)
        words = f"all {verdict.entries} entries hold; the last digest is {verdict.head}"
        words = "\n".join([words, *(f"not covered: {one}" for one in verdict.uncovered)])
        if not verdict.intact and not self.json:
            print(
                f"broken at entry {verdict.broken_at}: {verdict.reason}; "
                f"{verdict.entries} entries before it hold",
                file=sys.stderr,
            )
        facts = {**dataclasses.asdict(verdict), "intact": verdict.intact}
        self.show(facts, words if verdict.intact else "")
        return 0 if verdict.intact else 1


@dataclass(frozen=True, kw_only=True)
class ResumeAudit(OfCity):
    """Let an audit that takes no entry go on, after somebody looked into what was lost.

    The first new entry names the loss; entries that were changed stay marked as such for good.
    """

    reason: str
    """What was found out, for the audit."""

    def main(self) -> None:
        """Resume, and say with which entry."""
        if len(self.reason.strip()) < 5:
            raise InputError("--reason is too short; write what was found out")
        with audited(self.city) as (_, _database, audit):
            entry = audit.resume(account=BY, reason=self.reason.strip())
        lost = entry.details["found"] or "nothing was missing"
        print(f"the audit goes on with entry {entry.number}, which says: {lost}")


@dataclass(frozen=True, kw_only=True)
class ShowAudit(Result, OfCity):
    """Print the audit's newest entries; with --json one object a line, with everything."""

    last: int = 20
    """How many."""

    def main(self) -> None:
        """Print the entries, one a line."""
        from passerby.times import format_time

        with audited(self.city) as (_, _database, audit):
            entries = audit.entries(limit=self.last)[::-1]
        for one in entries:
            when = format_time(one.time)
            self.show(
                dataclasses.asdict(one),
                f"{one.number:>6} {when} {one.account:<16} {one.action:<18} {one.case or ''}",
            )


@dataclass(frozen=True, kw_only=True)
class Change(OfCity):
    """Show the settings of a city's service, or change some; restart the service afterwards."""

    set: Annotated[Texts, tyro.conf.arg(metavar="NAME=VALUE")] = field(default_factory=list)
    """Settings to change, such as wide_needs_approval=true or time_zone="Europe/Berlin"."""

    def main(self) -> None:
        """Change what is given, and print all settings."""
        from passerby.service.settings import Settings, stored

        values = _assignments(list(chain(*self.set)))
        with audited(self.city, changing=bool(values)) as (city, _, audit):
            # together, so that a wrong value of an older version can be set anew
            current = Settings().changed({**stored(city), **values})
            if values:
                roots = tuple(unit.code for unit in city.units.roots)
                audit.append("settings_changed", account=BY, units=roots, details=values)
                current.write(city)
        for name, value in dataclasses.asdict(current).items():
            print(f"{name:<22} {value}")


def _assignments(texts: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"'{text[:80]}' sets nothing; write NAME=VALUE")
        if name in values:
            raise InputError(f"the setting {name[:80]} is given twice; give it once")
        try:
            values[name] = json.loads(value)
        except (ValueError, RecursionError):
            values[name] = value
    return values
