"""The tree of city units: city, district, street, area, cell, with codes and polygons.

Codes are materialised paths: a unit's code starts with its parent's code. A unit lies inside
another one when its code starts with the other's code, which every store can test. In memory the
same test uses pre-order numbers: ``u`` holds ``v`` when ``u.number <= v.number < u.end``.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from passerby.city import geojson
from passerby.errors import InputError, MissingExtraError

LEVELS = ("city", "district", "street", "area", "cell")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """One unit. ``number`` and ``end`` bound its sub-tree in pre-order."""

    code: str
    parent: str | None
    level: str
    name: str
    name_zh: str = ""
    geometry: dict[str, Any] = field(repr=False, compare=False)
    number: int = -1
    end: int = -1

    def properties(self) -> dict[str, Any]:
        """Code, parent, level and names, for a map; also the unit's columns in the catalogue."""
        names = ("code", "parent", "level", "name", "name_zh")
        return {name: getattr(self, name) for name in names}

    def area(self) -> float:
        """Area in square metres, on a plane that touches the earth in the unit's middle."""
        try:
            from shapely.geometry import shape
        except ImportError:
            raise MissingExtraError("shapely", "city") from None
        polygon = shape(self.geometry)
        scale = math.cos(math.radians(polygon.centroid.y)) if not polygon.is_empty else 0.0
        return float(polygon.area) * scale * geojson.METRES_PER_DEGREE**2


class UnitTree:
    """All units of a city; built with :meth:`from_geojson` or from a list of units."""

    def __init__(self, units: Iterable[Unit]) -> None:
        """Check the tree and number it in pre-order.

        Raises:
            InputError: There is no unit, a code is given twice, a parent is missing, the parents
                form a cycle, a level is out of order, or a code does not start with its parent's.
        """
        by_code: dict[str, Unit] = {}
        for unit in units:
            if unit.code in by_code:
                raise InputError(f"unit code '{unit.code}' is given twice; codes must be unique")
            by_code[unit.code] = unit
        if not by_code:
            raise InputError("there are no units; a city needs at least one")
        self._children: dict[str | None, list[str]] = {}
        for unit in by_code.values():
            _check(unit, by_code)
            self._children.setdefault(unit.parent, []).append(unit.code)
        self._units = self._numbered(by_code)
        _check_prefixes(self)

    @classmethod
    def from_geojson(cls, source: geojson.Source) -> "UnitTree":
        """Read polygons with the properties code, parent, level, name and name_zh."""
        return cls(_unit(feature) for feature in geojson.features(source, "units"))

    def _numbered(self, by_code: dict[str, Unit]) -> dict[str, Unit]:
        """Units in pre-order with their intervals."""
        order: dict[str, tuple[int, int]] = {}

        def visit(code: str) -> None:
            number = len(order)
            order[code] = (number, number)
            for child in sorted(self._children.get(code, ())):
                visit(child)
            order[code] = (number, len(order))

        for root in sorted(self._children.get(None, ())):
            visit(root)
        if len(order) < len(by_code):
            lost = sorted(set(by_code) - set(order))[0]
            raise InputError(f"unit '{lost}' hangs in a cycle of parents; a tree needs a root")
        return {
            code: replace(by_code[code], number=number, end=end)
            for code, (number, end) in order.items()
        }

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[Unit]:
        """Units in pre-order: parents before children, siblings by code."""
        return iter(self._units.values())

    def __contains__(self, code: object) -> bool:
        return code in self._units

    def __getitem__(self, code: str) -> Unit:
        """The unit of a code.

        Raises:
            InputError: There is no such unit.
        """
        try:
            return self._units[code]
        except KeyError:
            raise InputError(
                f"there is no unit '{code}' in this city; the top is "
                f"{', '.join(unit.code for unit in self.roots)}"
            ) from None

    @property
    def roots(self) -> list[Unit]:
        """Units without a parent, usually the city alone."""
        return self.children(None)

    def children(self, code: str | None) -> list[Unit]:
        """Direct children, by code."""
        return [self._units[child] for child in sorted(self._children.get(code, ()))]

    def ancestors(self, code: str) -> list[Unit]:
        """From the top down to the parent."""
        chain: list[Unit] = []
        parent = self[code].parent
        while parent is not None:
            chain.append(self._units[parent])
            parent = self._units[parent].parent
        return chain[::-1]

    def descendants(self, code: str) -> list[Unit]:
        """The unit itself and everything below it, in pre-order."""
        unit = self[code]
        return self._order[unit.number : unit.end]

    def leaves(self, code: str | None = None) -> list[Unit]:
        """Units without children, in all or below one unit."""
        among: Sequence[Unit] = self._order if code is None else self.descendants(code)
        return [unit for unit in among if unit.end == unit.number + 1]

    def holds(self, outer: str, inner: str) -> bool:
        """Whether ``inner`` is ``outer`` or lies below it."""
        unit = self[outer]
        return unit.number <= self[inner].number < unit.end

    def locate(self, lon: float, lat: float) -> Unit | None:
        """The leaf that holds a place, or None. On a border it is the leaf with the lower code."""
        shapely, tree, leaves = self._index
        found = tree.query(shapely.Point(lon, lat), predicate="intersects")
        return min((leaves[i] for i in found), key=lambda unit: unit.code, default=None)

    @cached_property
    def _order(self) -> list[Unit]:
        return list(self._units.values())

    @cached_property
    def _index(self) -> tuple[Any, Any, list[Unit]]:
        try:
            import shapely
        except ImportError:
            raise MissingExtraError("shapely", "city") from None
        from shapely.geometry import shape

        leaves = self.leaves()
        return shapely, shapely.STRtree([shape(unit.geometry) for unit in leaves]), leaves

    def to_geojson(self) -> dict[str, Any]:
        """The tree as a FeatureCollection, which :meth:`from_geojson` reads."""
        return geojson.collection(
            {"type": "Feature", "properties": unit.properties(), "geometry": unit.geometry}
            for unit in self
        )


def _unit(feature: dict[str, Any]) -> Unit:
    code = str(geojson.wanted(feature, "code", "a unit"))
    where = f"unit '{code}'"
    properties = feature["properties"]
    parent = properties.get("parent")
    name = str(properties.get("name") or code)
    return Unit(
        code=code,
        parent=None if parent in (None, "") else str(parent),
        level=str(geojson.wanted(feature, "level", where)),
        name=name,
        name_zh=str(properties.get("name_zh") or name),
        geometry=geojson.geometry(feature, ("Polygon", "MultiPolygon"), where),
    )


def _check(unit: Unit, by_code: dict[str, Unit]) -> None:
    if unit.level not in LEVELS:
        raise InputError(f"unit '{unit.code}' has the level '{unit.level}'; use {LEVELS}")
    if unit.parent is None:
        return
    parent = by_code.get(unit.parent)
    if parent is None:
        raise InputError(f"unit '{unit.code}' names the parent '{unit.parent}', which is missing")
    if not unit.code.startswith(parent.code) or unit.code == parent.code:
        raise InputError(
            f"unit '{unit.code}' lies in '{parent.code}', so its code must start with that"
        )
    if LEVELS.index(unit.level) <= LEVELS.index(parent.level):
        raise InputError(
            f"unit '{unit.code}' is a {unit.level} inside a {parent.level}; the order is "
            f"{' > '.join(LEVELS)}"
        )


def _check_prefixes(tree: UnitTree) -> None:
    """Refuse a code that is the start of a code outside its sub-tree: prefixes define scopes."""
    codes = sorted(unit.code for unit in tree)
    open_codes: list[str] = []
    for code in codes:
        while open_codes and not code.startswith(open_codes[-1]):
            open_codes.pop()
        if open_codes and not tree.holds(open_codes[-1], code):
            raise InputError(
                f"unit code '{code}' starts with '{open_codes[-1]}' but does not lie in it; "
                "give one of them another code"
            )
        open_codes.append(code)
