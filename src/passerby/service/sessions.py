"""Sessions: a signed cookie names a row of the database, which can be ended at any time."""

import contextlib
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import itsdangerous
import sqlalchemy as sa

from passerby.service.accounts import Account, Accounts
from passerby.service.database import SESSIONS, Database, now
from passerby.service.settings import Settings

COOKIE = "passerby_session"
SECRET_FILE = "service.secret"
_TOUCH_EVERY = 30_000  # ms; a busy page does not write the database at each request


@dataclass(frozen=True, kw_only=True)
class Session:
    """A signed-in account, and the token that its state-changing requests must carry."""

    id: str
    account: Account
    csrf: str
    expires: int


def read_secret(folder: Path) -> bytes:
    """The city's signing secret: 32 random bytes in a file that only its owner can read."""
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
        """Start a session; returns it and its cookie's value."""
        identifier, time = secrets.token_urlsafe(32), now()
        with self.database.write() as connection:
            oldest = time - self._longest()
            connection.execute(SESSIONS.delete().where(SESSIONS.c.created < oldest))
            connection.execute(
                SESSIONS.insert().values(
                    digest=_digest(identifier), account=account.name, created=time, seen=time
                )
            )
        return self._session(identifier, account, time, time), self._signer.sign(
            identifier
        ).decode()

    def find(self, cookie: str) -> Session | None:
        """The session of a cookie; None for one that is forged, ended, expired or barred."""
        try:
            identifier = self._signer.unsign(cookie).decode()
        except (itsdangerous.BadSignature, UnicodeDecodeError):
            return None
        time = now()
        mine = SESSIONS.c.digest == _digest(identifier)
        with self.database.read() as connection:
            row = connection.execute(sa.select(SESSIONS).where(mine)).first()
        if row is None or time >= self._end(row.created, row.seen):
            return None
        account = self.accounts.get(row.account)
        if account is None or account.disabled:
            return None
        if time - row.seen > _TOUCH_EVERY:
            with self.database.write() as connection:
                connection.execute(SESSIONS.update().where(mine).values(seen=time))
        return self._session(identifier, account, row.created, time)

    def end(self, session: Session) -> None:
        """Forget a session; its cookie is worth nothing from now on."""
        with self.database.write() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.digest == _digest(session.id)))

    def check_token(self, session: Session, token: str | None) -> bool:
        """Whether ``token`` is the session's CSRF token."""
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
