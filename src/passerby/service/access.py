"""What the service refuses, and the part of the city that an account may see."""

from dataclasses import dataclass, replace

from passerby.city.sightings import Scope
from passerby.city.units import Unit, UnitTree
from passerby.errors import InputError


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """The answer to a request that the service does not carry out.

    Attributes:
        status: the HTTP status.
        code: a stable word that the page translates, such as ``approval_needed``.
        error: one sentence: what was wrong.
        what_to_do: one sentence: what the reader can do about it.
        retry_after: seconds until another try may succeed; None where waiting does not help.
    """

    def __init__(
        self, status: int, code: str, error: str, what_to_do: str, *, retry_after: int | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.code = code
        self.error = error
        self.what_to_do = what_to_do
        self.retry_after = retry_after


class CodedError(InputError):
    """Bad input that has a code of its own: the page translates it, the command line prints it.

    Attributes:
        code: a stable word, such as ``case_taken``.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def not_found(what: str) -> Refusal:
    """Refuse a thing that does not exist or lies outside the account's units.

    Both cases get the same answer. A different answer would tell the reader that a hidden thing
    exists.
    """
    return Refusal(
        404,
        "not_found",
        f"There is no such {what} among those you may see.",
        "Choose another, or ask an administrator for access.",
    )


@dataclass(frozen=True)
class Access:
    """The part of a city that an account was granted.

    Attributes:
        units: the city's tree of units.
        grants: codes of the granted units; each exists, and none lies inside another.
        cameras: camera id -> codes of the smallest units in which the camera stands or stood, for
            the whole city.
    """

    units: UnitTree
    grants: tuple[str, ...]
    cameras: dict[str, tuple[str, ...]]

    @classmethod
    def of(
        cls, units: UnitTree, grants: tuple[str, ...], cameras: dict[str, tuple[str, ...]]
    ) -> "Access":
        """Build the access of an account.

        Grants that no longer exist or lie inside another grant are dropped.
        """
        existing = [code for code in sorted(set(grants)) if code in units]
        outermost = tuple(
            code
            for code in existing
            if not any(other != code and units.holds(other, code) for other in existing)
        )
        return cls(units=units, grants=outermost, cameras=cameras)

    def sees(self, code: str) -> bool:
        """Return whether a unit lies inside a grant."""
        return code in self.units and any(self.units.holds(grant, code) for grant in self.grants)

    def covers(self, codes: tuple[str, ...]) -> bool:
        """Return whether all of these units lie inside the grants."""
        return all(self.sees(code) for code in codes)

    def sees_camera(self, camera: str) -> bool:
        """Return whether a camera stands in a granted unit, or has stood there."""
        return any(self.sees(unit) for unit in self.cameras.get(camera, ()))

    def visible_units(self) -> list[Unit]:
        """Return the granted units and the units above them, in pre-order."""
        return [unit for unit in self.units if self.sees(unit.code) or self._inside(unit.code)]

    def narrow_units(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the granted part of some units; without units, all that is granted.

        Raises:
            Refusal: 404 for a unit that does not exist or of which nothing is granted.
        """
        narrowed: set[str] = set()
        for code in codes or self.grants:
            granted = [code] if self.sees(code) else self._inside(code)
            if not granted:
                raise not_found("unit")
            narrowed.update(granted)
        if not narrowed:
            raise not_found("unit")  # an account whose grants are all gone sees nothing
        return tuple(sorted(narrowed))

    def narrow(self, scope: Scope) -> Scope:
        """Return the part of a scope that lies inside the grants; it always names a unit.

        Raises:
            Refusal: 404 for a unit or camera that the account may not see.
        """
        units = self.narrow_units(scope.units)
        for camera in scope.cameras:
            if not self.sees_camera(camera):
                raise not_found("camera")
        return replace(scope, units=units)

    def _inside(self, code: str) -> list[str]:
        """The grants that lie inside a unit."""
        return [g for g in self.grants if code in self.units and self.units.holds(code, g)]
