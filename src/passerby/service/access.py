"""What an account may see: every scope is narrowed here before the store is asked."""

from dataclasses import dataclass, replace

from passerby.city.sightings import Scope
from passerby.city.units import Unit, UnitTree
from passerby.service.refusals import nothing_there


@dataclass(frozen=True)
class Access:
    """The part of a city that an account was granted.

    Attributes:
        units: the city's tree.
        grants: granted codes that exist, none inside another.
        cameras: camera id -> leaf code, for the whole city.
    """

    units: UnitTree
    grants: tuple[str, ...]
    cameras: dict[str, str]

    @classmethod
    def of(cls, units: UnitTree, grants: tuple[str, ...], cameras: dict[str, str]) -> "Access":
        """Drop grants that no longer exist or lie inside another grant."""
        known = [code for code in sorted(set(grants)) if code in units]
        outer = tuple(
            code
            for code in known
            if not any(other != code and units.holds(other, code) for other in known)
        )
        return cls(units=units, grants=outer, cameras=cameras)

    def sees(self, code: str) -> bool:
        """Whether a unit lies inside a grant."""
        return code in self.units and any(self.units.holds(grant, code) for grant in self.grants)

    def knows(self, code: str) -> bool:
        """Whether the account may know that a unit exists: it sees it, or sees part of it."""
        return code in self.units and (
            self.sees(code) or any(self.units.holds(code, grant) for grant in self.grants)
        )

    def sees_camera(self, camera: str) -> bool:
        """Whether a camera stands in a granted unit."""
        return camera in self.cameras and self.sees(self.cameras[camera])

    def narrow_units(self, codes: tuple[str, ...]) -> tuple[str, ...]:
        """The granted part of the wanted units; without a wish, all that is granted.

        Raises:
            Refusal: 404 for a unit that does not exist or of which nothing is granted.
        """
        narrowed: set[str] = set()
        for code in codes or self.grants:
            if self.sees(code):
                narrowed.add(code)
                continue
            inside = [g for g in self.grants if code in self.units and self.units.holds(code, g)]
            if not inside:
                raise nothing_there("unit")
            narrowed.update(inside)
        if not narrowed:
            raise nothing_there("unit")  # an account whose grants are all gone sees nothing
        return tuple(sorted(narrowed))

    def narrow(self, scope: Scope) -> Scope:
        """The part of a scope that lies inside the grants; never wider, never unlimited.

        Raises:
            Refusal: 404 when a named unit or camera is not the account's to see.
        """
        units = self.narrow_units(scope.units)
        for camera in scope.cameras:
            if not self.sees_camera(camera):
                raise nothing_there("camera")
        return replace(scope, units=units)

    def cameras_in(self, scope: Scope) -> list[str]:
        """Ids of the cameras that a narrowed scope searches, sorted."""
        return sorted(
            camera
            for camera, leaf in self.cameras.items()
            if (not scope.cameras or camera in scope.cameras)
            and any(self.units.holds(unit, leaf) for unit in scope.units)
        )

    def visible_units(self) -> list[Unit]:
        """Units to show, in pre-order: the granted ones, and the way down to them."""
        return [unit for unit in self.units if self.knows(unit.code)]

    def covers(self, codes: tuple[str, ...]) -> bool:
        """Whether all of these units are granted."""
        return all(self.sees(code) for code in codes)

    def path(self, code: str) -> list[Unit]:
        """From the city down to a unit."""
        return [*self.units.ancestors(code), self.units[code]]
