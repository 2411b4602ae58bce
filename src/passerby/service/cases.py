"""Cases, and approvals of wide searches.

A case says why an account searches, on what legal basis, and until when. An approval is the consent
of a second person to a search of the whole city or of a long window.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from passerby.city.sightings import Scope
from passerby.city.units import UnitTree
from passerby.errors import InputError
from passerby.service.access import CodedError, Refusal, not_found
from passerby.service.database import APPROVALS, CASES, Database, now
from passerby.service.settings import Settings
from passerby.times import format_time

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,63}")
LONGEST_DAYS = 366


def says_something(text: str, least: int = 5) -> bool:
    """Return whether a text is long enough to be a reason.

    A wide character, such as a Chinese one, is a word or a syllable; it counts like three letters.
    """
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text.strip())
    return len(text.strip()) + 2 * wide >= least


@dataclass(frozen=True, kw_only=True)
class Case:
    """One case; every search names one.

    Attributes:
        id: the file number that the office uses.
        purpose: what the searches are for.
        legal_basis: the law that allows them.
        owner: the account that opened the case.
        units: the owner's units at that time; they decide which supervisors see the case.
        opened: ms since the epoch; likewise ``expires`` and ``closed`` (None while it is not).
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
        """Whether searches can still be made for the case."""
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
            CodedError: a bad number, a number in use, an empty text, an expiry that is past or too
                far away.
        """
        if not _ID.fullmatch(identifier):
            raise CodedError(
                "case_number",
                f"'{identifier}' cannot be a case number; "
                "use 2 to 64 letters, digits, dots or dashes",
            )
        purpose, legal_basis = purpose.strip(), legal_basis.strip()
        if not says_something(purpose) or not says_something(legal_basis, least=3):
            raise CodedError(
                "case_words", "a case needs a purpose and a legal basis; write both in words"
            )
        opened = now()
        if not opened < expires <= opened + LONGEST_DAYS * 86_400_000:
            raise CodedError(
                "case_expiry",
                f"a case cannot expire at {format_time(expires)}; "
                f"choose a time within the next {LONGEST_DAYS} days",
            )
        case = Case(
            id=identifier,
            purpose=purpose,
            legal_basis=legal_basis,
            owner=owner,
            units=units,
            opened=opened,
            expires=expires,
        )
        try:
            with self.database.write() as connection:
                connection.execute(CASES.insert().values({**vars(case), "units": list(units)}))
        except sa.exc.IntegrityError:
            raise CodedError(
                "case_taken", f"the case number '{identifier}' is taken; choose another"
            ) from None
        return case

    def get(self, identifier: str) -> Case | None:
        """Return the case of that number, or None."""
        return next(iter(self._select(CASES.c.id == identifier)), None)

    def all(self) -> list[Case]:
        """Return every case, newest first."""
        return self._select(sa.true())

    def _select(self, condition: Any) -> list[Case]:
        query = sa.select(CASES).where(condition).order_by(CASES.c.opened.desc())
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Case(**{**row, "units": tuple(row["units"])}) for row in rows]

    def close(self, identifier: str) -> None:
        """Close a case; it can still be read, but no search can be made for it."""
        with self.database.write() as connection:
            connection.execute(
                CASES.update()
                .where(CASES.c.id == identifier, CASES.c.closed.is_(None))
                .values(closed=now())
            )


def require_open(case: Case | None) -> Case:
    """Return the case if searches may be made for it.

    Raises:
        Refusal: 404 for None, 403 for a case that is closed or has expired.
    """
    if case is None:
        raise not_found("case")
    if case.closed is not None:
        code, error = "case_closed", f"Case {case.id} is closed."
    elif not case.is_open:
        code, error = "case_expired", f"Case {case.id} expired at {format_time(case.expires)}."
    else:
        return case
    raise Refusal(403, code, error, "Choose or open another case.")


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A request for a wide search, and the decision of a supervisor.

    Attributes:
        id: number of the request.
        case: the case of the search.
        account: the account that made the request.
        units: codes of the units to search.
        start: start of the window in ms since the epoch; None for an open window.
        end: end of the window in ms, not included; None for an open window.
        reason: why the search has to be wide.
        asked: time of the request, ms since the epoch.
        status: "pending", "approved" or "refused".
        decided_by: the supervisor who decided.
        decided: time of the decision, ms.
        until: the approval is valid before this time, ms.
    """

    id: int
    case: str
    account: str
    units: tuple[str, ...]
    start: int | None
    end: int | None
    reason: str
    asked: int
    status: str
    decided_by: str | None = None
    decided: int | None = None
    until: int | None = None

    @property
    def scope(self) -> Scope:
        """The units and the window of the request."""
        return Scope(units=self.units, start=self.start, end=self.end)

    def allows(self, scope: Scope, case: str, account: str, units: UnitTree) -> bool:
        """Return whether a search of this case and account is approved at this moment."""
        if self.status != "approved" or self.until is None or now() >= self.until:
            return False
        inside = all(any(units.holds(outer, code) for outer in self.units) for code in scope.units)
        early = self.start is None or (scope.start is not None and scope.start >= self.start)
        late = self.end is None or (scope.end is not None and scope.end <= self.end)
        return (self.case, self.account) == (case, account) and inside and early and late


class Approvals:
    """The approvals of one city."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def request(self, scope: Scope, *, case: str, account: str, reason: str) -> Approval:
        """Store a request for a wide search.

        Raises:
            CodedError: no reason.
        """
        if not says_something(reason):
            raise CodedError("approval_words", "a wide search needs a reason; write it in words")
        values: dict[str, Any] = {
            "case": case,
            "account": account,
            "units": list(scope.units),
            "start": scope.start,
            "end": scope.end,
            "reason": reason.strip(),
            "asked": now(),
            "status": "pending",
        }
        with self.database.write() as connection:
            key = connection.execute(APPROVALS.insert().values(values)).inserted_primary_key
        assert key is not None
        return self._one(key[0])

    def decide(self, identifier: int, *, supervisor: str, approve: bool) -> Approval:
        """Approve or refuse a request.

        Raises:
            Refusal: 403 for the account that made the request, 409 for a second decision.
        """
        approval = self._one(identifier)
        if approval.account == supervisor:
            raise Refusal(
                403,
                "second_person",
                "Nobody approves a search of their own.",
                "Ask another supervisor.",
            )
        present = now()
        values = {
            "status": "approved" if approve else "refused",
            "decided_by": supervisor,
            "decided": present,
            "until": present + int(self.settings.approval_hours * 3_600_000) if approve else None,
        }
        pending = (APPROVALS.c.id == identifier) & (APPROVALS.c.status == "pending")
        with self.database.write() as connection:
            changed = connection.execute(APPROVALS.update().where(pending).values(values)).rowcount
        if not changed:
            raise Refusal(
                409, "decided", "This request was decided already.", "Reload the list of requests."
            )
        return self._one(identifier)

    def get(self, identifier: int) -> Approval | None:
        """Return the request of that number, or None."""
        return next(iter(self._select(APPROVALS.c.id == identifier)), None)

    def all(self) -> list[Approval]:
        """Return every request, newest first."""
        return self._select(sa.true())

    def of(self, case: str, account: str) -> list[Approval]:
        """Return the requests of an account for a case, newest first."""
        return self._select((APPROVALS.c.case == case) & (APPROVALS.c.account == account))

    def _one(self, identifier: int) -> Approval:
        approval = self.get(identifier)
        if approval is None:
            raise InputError(f"there is no request number {identifier}")
        return approval

    def _select(self, condition: Any) -> list[Approval]:
        query = sa.select(APPROVALS).where(condition).order_by(APPROVALS.c.id.desc())
        with self.database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Approval(**{**row, "units": tuple(row["units"])}) for row in rows]
