"""Accounts, their sessions, and the limit on failed sign-ins.

An account has a name, a role, a password, and the units that it may see. A session is a row of the
database that a signed cookie names, so a session can be ended at any time.
"""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from passerby.errors import InputError, MissingExtraError
from passerby.service.access import Refusal
from passerby.service.database import ACCOUNTS, GRANTS, SESSIONS, Database, now
from passerby.service.settings import Settings

try:
    import argon2
    import itsdangerous
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError("argon2-cffi", "service") from error

# Role -> what it may do. An account that manages accounts cannot search. An account that searches
# cannot approve its own search: see Approvals.decide.
ROLES: dict[str, frozenset[str]] = {
    "operator": frozenset({"search", "cases", "export"}),
    "supervisor": frozenset({"search", "cases", "export", "approve", "audit"}),
    "administrator": frozenset({"accounts", "audit", "cameras", "health"}),
}
SHORTEST_PASSWORD = 12
COOKIE = "passerby_session"
SECRET_FILE = "service.secret"
FAILURES_BY_ACCOUNT = 5  # failed sign-ins from one address to one account
FAILURES_BY_ADDRESS = 20  # failed sign-ins from one address to any account
FAILURE_WINDOW = 300.0  # seconds
_MOST_KEYS = 10_000  # addresses and accounts with failures in memory
_TOUCH_EVERY = 30_000  # ms; a page with many requests does not write the database at each
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,63}")
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
    """

    name: str
    role: str
    grants: tuple[str, ...]
    created: int
    disabled: bool = False

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
        self, name: str, role: str, grants: tuple[str, ...], password: str | None = None
    ) -> str:
        """Add an account and return its password; a password is generated where none is given.

        Raises:
            InputError: a bad name, a name in use, an unknown role, no unit, or a short password.
        """
        if not _NAME.fullmatch(name):
            raise InputError(
                f"'{name}' cannot be an account's name; "
                "use 2 to 64 small letters, digits, dots, dashes, beginning with a letter"
            )
        if role not in ROLES:
            raise InputError(f"there is no role '{role}'; there are: {', '.join(ROLES)}")
        if not grants:
            raise InputError(f"account '{name}' has no unit; give at least one unit's code")
        password = generate_password() if password is None else check_password(password)
        row = {"name": name, "role": role, "password": _HASHER.hash(password), "created": now()}
        try:
            with self.database.write() as connection:
                connection.execute(ACCOUNTS.insert().values({**row, "disabled": False}))
                connection.execute(GRANTS.insert(), _grant_rows(name, grants))
        except sa.exc.IntegrityError:
            raise InputError(f"there is already an account '{name}'; choose another name") from None
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
            )
            for row, units in rows.values()
        ]

    def verify(self, name: str, password: str) -> Account | None:
        """Return the account; None for a wrong password, an unknown or a disabled account."""
        with self.database.read() as connection:
            stored = connection.scalar(
                sa.select(ACCOUNTS.c.password).where(
                    ACCOUNTS.c.name == name, ACCOUNTS.c.disabled.is_(False)
                )
            )
        if stored is None:
            # A hash takes as long as a verification: the time does not tell which names exist.
            _HASHER.hash(password)
            return None
        try:
            _HASHER.verify(stored, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return None
        return self.get(name)

    def set_password(self, name: str, password: str | None = None) -> str:
        """Give an account a new password and end its sessions; returns the password."""
        password = generate_password() if password is None else check_password(password)
        self._update(name, {"password": _HASHER.hash(password)})
        return password

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable an account and end its sessions, or enable it again."""
        self._update(name, {"disabled": disabled})

    def set_grants(self, name: str, grants: tuple[str, ...]) -> None:
        """Replace the units that an account may see; its sessions end."""
        if not grants:
            raise InputError(f"account '{name}' would have no unit; disable it instead")
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


def _grant_rows(name: str, units: tuple[str, ...]) -> list[dict[str, str]]:
    return [{"account": name, "unit": unit} for unit in sorted(set(units))]


def check_password(password: str) -> str:
    """Return the password; refuse one that is too short."""
    if len(password) < SHORTEST_PASSWORD:
        raise InputError(f"the password is too short; use at least {SHORTEST_PASSWORD} characters")
    return password


def generate_password() -> str:
    """Return a password of 100 random bits, in groups that a person can copy from a terminal."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    letters = [secrets.choice(alphabet) for _ in range(20)]
    return "-".join("".join(letters[i : i + 5]) for i in range(0, 20, 5))


@dataclass(frozen=True, kw_only=True)
class Session:
    """A signed-in account.

    Attributes:
        id: the identifier that the cookie carries.
        account: who signed in.
        csrf: the token that every request that changes something must carry.
        expires: ms since the epoch.
    """

    id: str
    account: Account
    csrf: str
    expires: int


def read_secret(folder: Path) -> bytes:
    """Return the city's signing secret: 32 random bytes in a file that only its owner can read."""
    path = folder / SECRET_FILE
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()


class Sessions:
    """Begin, look up and end sessions."""

    def __init__(
        self, database: Database, accounts: Accounts, secret: bytes, settings: Settings
    ) -> None:
        self.database = database
        self.accounts = accounts
        self.settings = settings
        self._secret = secret
        self._signer = itsdangerous.Signer(secret, salt="session", digest_method=hashlib.sha256)

    def begin(self, account: Account) -> tuple[Session, str]:
        """Start a session; return it and the value of its cookie."""
        identifier, start = secrets.token_urlsafe(32), now()
        digest, oldest = _digest(identifier), start - self._longest()
        row = {"digest": digest, "account": account.name, "created": start, "seen": start}
        with self.database.write() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.created < oldest))
            connection.execute(SESSIONS.insert().values(row))
        cookie = self._signer.sign(identifier).decode()
        return self._session(identifier, account, start, start), cookie

    def find(self, cookie: str) -> Session | None:
        """Return the session of a cookie.

        None for a forged cookie, a session that has ended or expired, and a disabled account.
        """
        try:
            identifier = self._signer.unsign(cookie).decode()
        except (itsdangerous.BadSignature, UnicodeDecodeError):
            return None
        present = now()
        own = SESSIONS.c.digest == _digest(identifier)
        with self.database.read() as connection:
            row = connection.execute(sa.select(SESSIONS).where(own)).first()
        if row is None or present >= self._end(row.created, row.seen):
            return None
        account = self.accounts.get(row.account)
        if account is None or account.disabled:
            return None
        if present - row.seen > _TOUCH_EVERY:
            with self.database.write() as connection:
                connection.execute(SESSIONS.update().where(own).values(seen=present))
        return self._session(identifier, account, row.created, present)

    def end(self, session: Session) -> None:
        """End a session; its cookie is no longer valid."""
        with self.database.write() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.digest == _digest(session.id)))

    def check_token(self, session: Session, token: str | None) -> bool:
        """Return whether ``token`` is the session's CSRF token."""
        return token is not None and hmac.compare_digest(session.csrf.encode(), token.encode())

    def _session(self, identifier: str, account: Account, created: int, seen: int) -> Session:
        token = hmac.new(self._secret, f"csrf:{identifier}".encode(), hashlib.sha256).hexdigest()
        expires = self._end(created, seen)
        return Session(id=identifier, account=account, csrf=token, expires=expires)

    def _longest(self) -> int:
        return int(self.settings.session_hours * 3_600_000)

    def _end(self, created: int, seen: int) -> int:
        return min(created + self._longest(), seen + int(self.settings.idle_minutes * 60_000))


def _digest(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()


class FailedSignIns:
    """Counts failed sign-ins in a sliding window, in the memory of this process.

    The key is the address with the account, not the account alone. With the account alone, anyone
    could lock an operator out by typing that operator's name.
    """

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, address: str, account: str) -> None:
        """Refuse another attempt after too many recent failures.

        Raises:
            Refusal: 429, with the seconds to wait.
        """
        limits = (((address, account), FAILURES_BY_ACCOUNT), ((address, ""), FAILURES_BY_ADDRESS))
        with self._lock:
            for key, most in limits:
                times = self._recent(key)
                if len(times) >= most:
                    wait = int(times[-most] + FAILURE_WINDOW - time.monotonic()) + 1
                    raise Refusal(
                        429,
                        "too_many_attempts",
                        "Too many failed attempts to sign in.",
                        f"Wait {wait} seconds, then try again.",
                        retry_after=wait,
                    )

    def add(self, address: str, account: str) -> None:
        """Count one failure."""
        with self._lock:
            if len(self._times) > _MOST_KEYS:
                self._times = {
                    key: times for key, times in self._times.items() if self._recent(key)
                }
            for key in ((address, account), (address, "")):
                own = self._times.setdefault(key, deque(maxlen=FAILURES_BY_ADDRESS))
                own.append(time.monotonic())

    def clear(self, address: str, account: str) -> None:
        """Forget the failures of this account from this address, after a sign-in that succeeded."""
        with self._lock:
            self._times.pop((address, account), None)

    def _recent(self, key: tuple[str, str]) -> deque[float]:
        times = self._times.get(key, deque())
        while times and times[0] < time.monotonic() - FAILURE_WINDOW:
            times.popleft()
        return times
