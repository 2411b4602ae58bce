"""Approvals: a second person agrees to a wide search before it is made."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from passerby.city.sightings import Scope
from passerby.city.units import UnitTree
from passerby.errors import InputError
from passerby.service.database import APPROVALS, Database, now
from passerby.service.refusals import Refusal
from passerby.service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A wish to search widely, and what a supervisor said to it.

    Attributes:
        id: its number.
        case: the case it is for.
        account: who asks.
        units: where; ``start`` and ``end`` (ms or None) when.
        reason: why so wide.
        asked: ms since the epoch; likewise ``decided`` and ``until`` (when it lapses).
        status: "pending", "approved" or "refused".
        decided_by: the supervisor.
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

    def allows(self, scope: Scope, case: str, account: str, units: UnitTree) -> bool:
        """Whether a search lies inside what was approved, for this case, account and moment."""
        if self.status != "approved" or self.until is None or now() >= self.until:
            return False
        inside = all(any(units.holds(outer, code) for outer in self.units) for code in scope.units)
        early = self.start is None or (scope.start is not None and scope.start >= self.start)
        late = self.end is None or (scope.end is not None and scope.end <= self.end)
        return (self.case, self.account) == (case, account) and inside and early and late


def is_wide(scope: Scope, units: UnitTree, settings: Settings) -> bool:
    """Whether a narrowed scope is the whole city, or a window that is open or too long."""
    if scope.start is None or scope.end is None:
        return True
    long = scope.end - scope.start > settings.wide_hours * 3_600_000
    return long or any(units[code].parent is None for code in scope.units)


class Approvals:
    """The approvals of one city."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings

    def ask(self, scope: Scope, *, case: str, account: str, reason: str) -> Approval:
        """Ask for a wide search."""
        if len(reason.strip()) < 5:
            raise InputError("a wide search needs a reason; write it in words")
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
        """Approve or refuse; the account that asked cannot decide.

        Raises:
            Refusal: 403 for the same person, 409 when it was decided before.
        """
        approval = self._one(identifier)
        if approval.account == supervisor:
            raise Refusal(
                403,
                "second_person",
                "Nobody approves a search of their own.",
                "Ask another supervisor.",
            )
        time = now()
        values = {
            "status": "approved" if approve else "refused",
            "decided_by": supervisor,
            "decided": time,
            "until": time + int(self.settings.approval_hours * 3_600_000) if approve else None,
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
        """The approval of that number, or None."""
        return next(iter(self._select(APPROVALS.c.id == identifier)), None)

    def all(self) -> list[Approval]:
        """Every approval, newest first."""
        return self._select(sa.true())

    def check(self, scope: Scope, *, case: str, account: str, units: UnitTree) -> Approval | None:
        """The approval under which a search may be made; None where it needs none.

        Raises:
            Refusal: 403 ``approval_needed``.
        """
        if not self.settings.wide_needs_approval or not is_wide(scope, units, self.settings):
            return None
        mine = self._select((APPROVALS.c.case == case) & (APPROVALS.c.account == account))
        for approval in mine:
            if approval.allows(scope, case, account, units):
                return approval
        raise Refusal(
            403,
            "approval_needed",
            "A search this wide needs a supervisor's approval.",
            "Choose smaller units or a shorter window, or ask for approval.",
        )

    def _one(self, identifier: int) -> Approval:
        approval = self.get(identifier)
        if approval is None:
            raise InputError(f"there is no request number {identifier}")
        return approval

    def _select(self, condition: Any) -> list[Approval]:
        query = sa.select(APPROVALS).where(condition).order_by(APPROVALS.c.id.desc())
        with self.database.read() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        return [Approval(**{**row, "units": tuple(row["units"])}) for row in rows]
