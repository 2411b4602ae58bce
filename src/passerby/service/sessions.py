"""Sessions and the limit on failed sign-ins.

A session is a row of the database; a signed cookie names it. So a session can be ended at any time.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import itsdangerous
import sqlalchemy as sa

from passerby.service.access import Refusal
from passerby.service.accounts import Account, Accounts
from passerby.service.database import SESSIONS, Database, now
from passerby.service.settings import Settings

COOKIE = "passerby_session"
SECRET_FILE = "service.secret"
_TOUCH_EVERY = 30_000  # ms; a page with many requests does not write the database at each
FAILURES_BY_ACCOUNT = 5  # failed sign-ins from one address to one account
FAILURES_BY_ADDRESS = 20  # failed sign-ins from one address to any account
FAILURE_WINDOW = 300.0  # seconds
_MOST_KEYS = 10_000


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
        row = {
            "digest": _digest(identifier),
            "account": account.name,
            "created": start,
            "seen": start,
        }
        with self.database.write() as connection:
            oldest = start - self._longest()
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
