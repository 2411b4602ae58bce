"""Sessions of signed-in accounts, and the limits on attempts to sign in.

A session is a row of the database that a signed cookie names, so it can be ended at any time.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from passerby.errors import MissingExtraError
from passerby.service.access import Refusal
from passerby.service.accounts import Account, Accounts
from passerby.service.database import SESSIONS, Database, now
from passerby.service.settings import Settings

try:
    import itsdangerous
except ImportError as error:  # pragma: no cover - depends on the installation
    raise MissingExtraError("itsdangerous", "service") from error

COOKIE = "passerby_session"
SECRET_FILE = "service.secret"
FAILURES_BY_ACCOUNT = 5  # attempts from one address to one account
FAILURES_BY_ADDRESS = 20  # attempts from one address to any account
FAILURES_TO_ACCOUNT = 20  # attempts to one account from all addresses that it never used
FAILURE_WINDOW = 300.0  # seconds
_MOST_KEYS = 10_000  # addresses and accounts with failures in memory
_TOUCH_EVERY = 30_000  # ms; a page with many requests does not write the database at each


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
    """Counts attempts to sign in in a sliding window, in the memory of this process.

    An attempt counts from its start, so that many at once are no way around the limits; a sign-in
    that succeeds takes its own back. There are three limits: of one address to one account, of one
    address to all, and of all addresses to one account. The last one would let anyone lock an
    operator out by typing that operator's name. So it does not hold for an address from which the
    account has signed in before.
    """

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], deque[float]] = {}
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, address: str, account: str) -> None:
        """Count an attempt; refuse it after too many.

        Raises:
            Refusal: 429, with the seconds to wait.
        """
        limits = {(address, account): FAILURES_BY_ACCOUNT, (address, ""): FAILURES_BY_ADDRESS}
        with self._lock:
            if (address, account) not in self._known:
                limits["", account] = FAILURES_TO_ACCOUNT
            for key, most in limits.items():
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
            if len(self._times) > _MOST_KEYS:
                self._times = {key: own for key, own in self._times.items() if self._recent(key)}
            for key in limits:
                own = self._times.setdefault(key, deque(maxlen=FAILURES_BY_ADDRESS))
                own.append(time.monotonic())

    def succeed(self, address: str, account: str) -> None:
        """Take an attempt back that succeeded, with the account's earlier ones from there."""
        with self._lock:
            self._times.pop((address, account), None)
            for key in ((address, ""), ("", account)):
                if self._times.get(key):
                    self._times[key].pop()
            self._known[address, account] = None
            while len(self._known) > _MOST_KEYS:
                self._known.popitem(last=False)

    def _recent(self, key: tuple[str, str]) -> deque[float]:
        times = self._times.get(key, deque())
        while times and times[0] < time.monotonic() - FAILURE_WINDOW:
            times.popleft()
        return times
