"""How wide a look at the city is, and the approval that a wide one needs.

What counts is what is reached, not how it is named: all districts are the city, and so are all
cameras, one after another. So a look is measured together with what the same case has looked at
before. A share of sightings is not measured: at a quiet hour one camera holds most of them.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from passerby.city import City, Scope
from passerby.service.access import Refusal
from passerby.service.cases import Approval, Approvals
from passerby.service.database import LOOKS, Database, now
from passerby.service.settings import Settings

HOUR = 3_600_000
Window = tuple[int, int]


class Width:
    """Measures every look of a city's cases: searches, browsing, feedback, paths, exports."""

    def __init__(
        self, city: City, database: Database, settings: Settings, approvals: Approvals
    ) -> None:
        self.city = city
        self.database = database
        self.settings = settings
        self.approvals = approvals

    def allow(self, scope: Scope, *, case: str, account: str) -> Approval | None:
        """Let a look pass that is narrow or approved, and count a narrow one.

        Args:
            scope: what is looked at, narrowed to the account's units.
            case: number of the case.
            account: who looks.

        Returns:
            The approval; None for a look that needs none.

        Raises:
            Refusal: 403 ``approval_needed``; it says what makes the look wide.
        """
        if not self.settings.wide_needs_approval:
            return None
        cameras = self.city.cameras_in(scope)
        with self.database.write() as connection:  # of two looks at once, one sees the other
            reason = self._reason(cameras, scope, self._earlier(connection, case))
            if not reason:
                connection.execute(LOOKS.insert().values(_row(cameras, scope, case, account)))
                return None
        for approval in self.approvals.of(case, account):
            if approval.allows(scope, case, account, self.city.units):
                return approval
        raise Refusal(
            403,
            "approval_needed",
            f"A search this wide needs a supervisor's approval: {reason}.",
            "Choose smaller units or a shorter window, or ask for approval.",
        )

    def _earlier(self, connection: sa.Connection, case: str) -> list[Any]:
        """What the case looked at lately; older rows are deleted."""
        oldest = now() - int(self.settings.approval_hours * HOUR)
        connection.execute(LOOKS.delete().where(LOOKS.c.time < oldest))
        return list(connection.execute(sa.select(LOOKS).where(LOOKS.c.case == case)))

    def _reason(self, cameras: list[str], scope: Scope, earlier: list[Any]) -> str:
        """Why a look is wide, together with the earlier ones; empty for a narrow one."""
        if scope.start is None or scope.end is None:
            return "its window is open"
        windows: dict[str, list[Window]] = {name: [(scope.start, scope.end)] for name in cameras}
        for row in earlier:
            for name in row.cameras:
                windows.setdefault(name, []).append((row.start, row.end))
        most = self.settings.wide_share * len(self.city.cameras)
        if len(windows) > most:
            return _with(
                earlier,
                f"it reaches {len(windows)} of {len(self.city.cameras)} cameras, "
                f"without approval at most {int(most)}",
            )
        longest = max((_length(windows[name]) for name in cameras), default=0)
        if longest > self.settings.wide_hours * HOUR:
            return _with(
                earlier,
                f"it covers {longest / HOUR:.1f} hours of a camera, "
                f"without approval at most {self.settings.wide_hours:g}",
            )
        return ""


def _with(earlier: list[Any], text: str) -> str:
    return f"{text}, what the case looked at before included" if earlier else text


def _row(cameras: list[str], scope: Scope, case: str, account: str) -> dict[str, Any]:
    return {
        "case": case,
        "account": account,
        "time": now(),
        "cameras": cameras,
        "start": scope.start,
        "end": scope.end,
    }


def _length(windows: Iterable[Window]) -> int:
    """Milliseconds that some windows cover together."""
    covered, end = 0, None
    for first, last in sorted(windows):
        covered += max(0, last - (first if end is None else max(first, end)))
        end = last if end is None else max(end, last)
    return covered
