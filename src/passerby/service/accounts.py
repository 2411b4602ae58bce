"""Accounts: a name, a role, a password, and the units that the account may see."""

import re
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from passerby.errors import InputError, MissingExtraError
from passerby.service.access import CodedError
from passerby.service.database import ACCOUNTS, GRANTS, SESSIONS, Database, now

try:
    import argon2
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError("argon2-cffi", "service") from error

# Role -> what it may do. An account that manages accounts cannot search. An account that searches
# cannot approve its own search: see Approvals.decide.
ROLES: dict[str, frozenset[str]] = {
    "operator": frozenset({"search", "cases", "export"}),
    "supervisor": frozenset({"search", "cases", "export", "approve", "audit"}),
    "administrator": frozenset({"accounts", "audit", "cameras", "erase", "health"}),
}
SHORTEST_PASSWORD = 12
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,63}")
_USED = "used"  # in place of the hash of a one-time code that was used; no password has it
_HASHER = argon2.PasswordHasher()  # argon2id, the library's current costs


@dataclass(frozen=True, kw_only=True)
class Account:
    """One account.

    Attributes:
        name: what the person types to sign in.
        role: a key of ``ROLES``.
        grants: codes of the units that the account may see, each with all units below it.
        created: ms since the epoch, UTC.
        disabled: whether the account cannot sign in any more.
        must_change: whether the account can do nothing but choose a password of its own, because
            somebody else knows the present one.
    """

    name: str
    role: str
    grants: tuple[str, ...]
    created: int
    disabled: bool = False
    must_change: bool = False

    @property
    def rights(self) -> list[str]:
        """What the account's role allows, sorted."""
        return sorted(ROLES[self.role])

    def may(self, what: str) -> bool:
        """Return whether the account's role allows ``what``, such as "search"."""
        return what in ROLES[self.role]


class Accounts:
    """The accounts of one city."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(
        self,
        name: str,
        role: str,
        grants: tuple[str, ...],
        password: str | None = None,
        *,
        code_hours: float | None = None,
    ) -> str:
        """Add an account and return its password; a password is generated where none is given.

        With ``code_hours`` the password is a one-time code that is valid that long.

        Raises:
            InputError: a bad name, a name in use, an unknown role, no unit, or a short password.
        """
        if not _NAME.fullmatch(name):
            raise CodedError(
                "account_name",
                f"'{name}' cannot be an account's name; "
                "use 2 to 64 small letters, digits, dots, dashes, beginning with a letter",
            )
        if role not in ROLES:
            raise InputError(f"there is no role '{role}'; there are: {', '.join(ROLES)}")
        if not grants:
            raise CodedError(
                "no_unit", f"account '{name}' has no unit; give at least one unit's code"
            )
        password = generate_password() if password is None else check_password(password)
        row = {"name": name, "role": role, "password": _HASHER.hash(password), "created": now()}
        row |= _code(code_hours)
        try:
            with self.database.write() as connection:
                connection.execute(ACCOUNTS.insert().values({**row, "disabled": False}))
                connection.execute(GRANTS.insert(), _grant_rows(name, grants))
        except sa.exc.IntegrityError:
            raise CodedError(
                "account_taken", f"there is already an account '{name}'; choose another name"
            ) from None
        return password

    def get(self, name: str) -> Account | None:
        """Return the account of that name, or None."""
        return next(iter(self._select(ACCOUNTS.c.name == name)), None)

    def all(self) -> list[Account]:
        """Return every account, in order of name."""
        return self._select(sa.true())

    def _select(self, condition: Any) -> list[Account]:
        query = sa.select(ACCOUNTS, GRANTS.c.unit).join(GRANTS, isouter=True).where(condition)
        rows: dict[str, tuple[Any, list[str]]] = {}
        with self.database.read() as connection:
            for row in connection.execute(query.order_by(ACCOUNTS.c.name, GRANTS.c.unit)):
                rows.setdefault(row.name, (row, []))[1].extend([row.unit] if row.unit else [])
        return [
            Account(
                name=row.name,
                role=row.role,
                grants=tuple(units),
                created=row.created,
                disabled=row.disabled,
                must_change=row.must_change,
            )
            for row, units in rows.values()
        ]

    def verify(self, name: str, password: str) -> Account | None:
        """Return the account; None for a wrong password, an unknown or a disabled account.

        A one-time code is used up by this; one that has lapsed is wrong.
        """
        columns = sa.select(ACCOUNTS.c.password, ACCOUNTS.c.code_until)
        known = (ACCOUNTS.c.name == name) & ACCOUNTS.c.disabled.is_(False)
        with self.database.read() as connection:
            row = connection.execute(columns.where(known)).first()
        if row is None or row.password == _USED:
            # A hash takes as long as a verification: the time does not tell which names exist.
            _HASHER.hash(password)
            return None
        try:
            _HASHER.verify(row.password, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return None
        if row.code_until is not None and not self._use_code(name, row):
            return None
        return self.get(name)

    def _use_code(self, name: str, row: Any) -> bool:
        """Use up a one-time code; False where it has lapsed or another sign-in was faster."""
        same = (ACCOUNTS.c.name == name) & (ACCOUNTS.c.password == row.password)
        values = {"password": _USED, "code_until": None}
        with self.database.write() as connection:
            used = connection.execute(ACCOUNTS.update().where(same).values(values)).rowcount
        return bool(used) and now() < row.code_until

    def set_password(
        self, name: str, password: str | None = None, *, code_hours: float | None = None
    ) -> str:
        """Give an account a new password and end its sessions; returns the password.

        Args:
            name: the account.
            password: generated where none is given.
            code_hours: the password is a one-time code that is valid that long, and the account
                can do nothing until its owner has chosen another. Without it the owner chose it.
        """
        password = generate_password() if password is None else check_password(password)
        values = {"password": _HASHER.hash(password), "must_change": False, "code_until": None}
        self._update(name, values | _code(code_hours))
        return password

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable an account and end its sessions, or enable it again."""
        self._update(name, {"disabled": disabled})

    def set_grants(self, name: str, grants: tuple[str, ...]) -> None:
        """Replace the units that an account may see; its sessions end."""
        if not grants:
            raise CodedError("no_unit", f"account '{name}' would have no unit; disable it instead")
        self._update(name, {})
        with self.database.write() as connection:
            connection.execute(GRANTS.delete().where(GRANTS.c.account == name))
            connection.execute(GRANTS.insert(), _grant_rows(name, grants))

    def _update(self, name: str, values: dict[str, Any]) -> None:
        if self.get(name) is None:
            raise InputError(
                f"there is no account '{name}'; 'passerby admin account list' shows all"
            )
        with self.database.write() as connection:
            if values:
                connection.execute(ACCOUNTS.update().where(ACCOUNTS.c.name == name).values(values))
            connection.execute(SESSIONS.delete().where(SESSIONS.c.account == name))


def _code(hours: float | None) -> dict[str, Any]:
    """The columns of an account whose password is a one-time code for so many hours."""
    if hours is None:
        return {}
    return {"must_change": True, "code_until": now() + int(hours * 3_600_000)}


def _grant_rows(name: str, units: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"account": name, "unit": unit} for unit in sorted(set(units))]


def check_password(password: str) -> str:
    """Return the password; refuse one that is too short, or nearly one character alone."""
    if len(password) < SHORTEST_PASSWORD:
        raise CodedError(
            "password_short",
            f"the password is too short; use at least {SHORTEST_PASSWORD} characters",
        )
    if len(set(password)) < 5:
        raise CodedError(
            "password_plain", "the password has too few different characters; use another"
        )
    return password


def generate_password() -> str:
    """Return a password of 100 random bits, in groups that a person can copy from a terminal."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    letters = [secrets.choice(alphabet) for _ in range(20)]
    return "-".join("".join(letters[i : i + 5]) for i in range(0, 20, 5))
