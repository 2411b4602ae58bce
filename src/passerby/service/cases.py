"""Cases: why somebody searches, on what legal ground, and until when."""

import re
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from passerby.errors import InputError
from passerby.service.database import CASES, Database, now
from passerby.service.refusals import Refusal, nothing_there
from passerby.times import format_time

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
LONGEST_DAYS = 366


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case; every search names one.

    Attributes:
        id: the file number, as the office uses it.
        purpose: what for.
        legal_basis: on what ground.
        owner: the account that opened it.
        units: the owner's units at that time; they decide which supervisors see the case.
        opened: ms since the epoch; likewise ``expires`` and ``closed``.
    """

    id: str
    purpose: str
    legal_basis: str
    owner: str
    units: tuple[str, ...]
    opened: int
    expires: int
    closed: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can still be searched for."""
        return self.closed is None and now() < self.expires


class Cases:
    """The cases of one city."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open(
        self,
        identifier: str,
        *,
        purpose: str,
        legal_basis: str,
        owner: str,
        units: tuple[str, ...],
        expires: int,
    ) -> Case:
        """Open a case.

        Raises:
            InputError: a bad or used number, an empty text, an expiry that is past or too far.
        """
        if not _ID.fullmatch(identifier):
            raise InputError(
                f"'{identifier}' cannot be a case number; "
                "use 2 to 64 letters, digits, dots or dashes"
            )
        purpose, legal_basis = purpose.strip(), legal_basis.strip()
        if len(purpose) < 5 or len(legal_basis) < 3:
            raise InputError("a case needs a purpose and a legal basis; write both in words")
        opened = now()
        if not opened < expires <= opened + LONGEST_DAYS * 86_400_000:
            raise InputError(
                f"a case cannot expire at {format_time(expires)}; "
                f"choose a time within the next {LONGEST_DAYS} days"
            )
        row = {
            "id": identifier,
            "purpose": purpose,
            "legal_basis": legal_basis,
            "owner": owner,
            "units": list(units),
            "opened": opened,
            "expires": expires,
        }
        try:
            with self.database.write() as connection:
                connection.execute(CASES.insert().values(row))
        except sa.exc.IntegrityError:
            raise InputError(f"the case number '{identifier}' is taken; choose another") from None
        return _case({**row, "closed": None})

    def get(self, identifier: str) -> Case | None:
        """The case of that number, or None."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(CASES).where(CASES.c.id == identifier)).first()
        return None if row is None else _case(dict(row._mapping))

    def all(self) -> list[Case]:
        """Every case, newest first."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(CASES).order_by(CASES.c.opened.desc())).all()
        return [_case(dict(row._mapping)) for row in rows]

    def close(self, identifier: str) -> None:
        """Close a case; it can be read but no longer searched for."""
        with self.database.write() as connection:
            connection.execute(
                CASES.update()
                .where(CASES.c.id == identifier, CASES.c.closed.is_(None))
                .values(closed=now())
            )


def require_open(case: Case | None) -> Case:
    """The case, where it may be searched for.

    Raises:
        Refusal: 404 for none, 403 for one that is closed or has expired.
    """
    if case is None:
        raise nothing_there("case")
    if case.closed is not None:
        raise Refusal(
            403, "case_closed", f"Case {case.id} is closed.", "Choose or open another case."
        )
    if not case.is_open:
        raise Refusal(
            403,
            "case_expired",
            f"Case {case.id} expired at {format_time(case.expires)}.",
            "Choose or open another case.",
        )
    return case


def _case(row: dict[str, Any]) -> Case:
    return Case(**{**row, "units": tuple(row["units"])})
