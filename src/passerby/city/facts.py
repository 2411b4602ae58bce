"""Facts of units: census, land use, weather; each with value, measure, date and source.

A fact belongs to one unit and one date. Its name has one unit of measure and one rule in the whole
city. The rule says what a unit without an own value has: nothing (``none``, the default), or a
value from the units below it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from passerby.city.units import Unit, UnitTree
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.city.city import City

RULES = {
    "none": "not rolled up",
    "sum": "added up",
    "mean": "mean of the units below that have a value",
    "area": "mean weighted by area of the units below that have a value",
}

ASPECTS = ("value", "measure", "date", "source")  # of a fact, as a file has them


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One fact of one unit.

    Attributes:
        unit: Code of the unit.
        name: What it tells, such as "population".
        value: A number or a text.
        measure: Unit of measure, such as "people"; empty where it is not known.
        date: "2020", "2020-11", "2020-11-01" or a time; empty where it is not known. A derived
            fact of several dates has the first and the last: "2019/2020".
        source: Who published it, or the file it came from.
        derived: Whether it is rolled up from the units below.
        units: Number of units whose values are in it.
        missing: Number of units below without a value; a derived fact is then one of a part.
    """

    unit: str
    name: str
    value: float | str
    measure: str = ""
    date: str = ""
    source: str = ""
    derived: bool = False
    units: int = 1
    missing: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The attributes, for JSON; a whole number without a fraction."""
        whole = isinstance(self.value, float) and self.value.is_integer()
        return {**asdict(self), "value": int(self.value) if whole else self.value}


@dataclass(frozen=True, kw_only=True, slots=True)
class FactName:
    """What all facts of a name share.

    Attributes:
        name: The name.
        measure: Unit of measure.
        rule: One of ``RULES``.
        numbers: Number of stored numbers.
        texts: Number of stored texts.
        units: Number of units with a stored value.
    """

    name: str
    measure: str = ""
    rule: str = "none"
    numbers: int = 0
    texts: int = 0
    units: int = 0

    def accept(self, fact: Fact) -> "FactName":
        """This name after one more fact, whose measure becomes that of the name.

        Raises:
            InputError: The fact has another measure, or is a text though the name has a rule.
        """
        if fact.measure and self.measure and fact.measure != self.measure:
            raise InputError(
                f"the fact '{self.name}' of the unit '{fact.unit}' is in '{fact.measure}', those "
                f"of this city are in '{self.measure}'; convert it, or give it another name"
            )
        if self.rule != "none" and isinstance(fact.value, str):
            raise InputError(
                f"the fact '{self.name}' of the unit '{fact.unit}' is the text '{fact.value}', but "
                f"the name is rolled up ({RULES[self.rule]}) and needs numbers"
            )
        return self if self.measure else replace(self, measure=fact.measure)


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """How many facts a change has added, replaced, and found as they were."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0


def roll_up(
    tree: UnitTree, facts: Iterable[Fact], rule: str, within: str | None = None
) -> dict[str, Fact]:
    """The newest value of one name for each unit that has one, its own or a derived one.

    A unit's own value is never replaced by one from below. A derived value counts each unit that
    has a value once, whatever lies between, so that it is the same however deep the tree is.

    Args:
        tree: The units.
        facts: All facts of the name.
        rule: One of ``RULES``.
        within: Only this unit and those in it.
    """
    among = list(tree) if within is None else tree.descendants(within)
    known = newest(facts)
    if rule == "none":
        return known
    found: dict[str, _Sum] = {}
    for unit in reversed(among):  # children before their parents
        own = known.get(unit.code)
        if own is not None:
            found[unit.code] = _Sum.of(own, _weight(unit, rule))
            continue
        below = [found.get(child.code) for child in tree.children(unit.code)]
        if any(below):
            found[unit.code] = _Sum.over(below)
    return {
        unit.code: found[unit.code].fact(unit.code, rule) for unit in tree if unit.code in found
    }


def newest(facts: Iterable[Fact]) -> dict[str, Fact]:
    """The fact of the latest date for each unit; one without a date counts as the oldest."""
    found: dict[str, Fact] = {}
    for fact in facts:
        if fact.unit not in found or found[fact.unit].date <= fact.date:
            found[fact.unit] = fact
    return found


@dataclass(frozen=True, slots=True)
class _Sum:
    """Values that are added up: the units' own ones with their weights."""

    example: Fact
    total: float
    weight: float
    units: int
    missing: int
    dates: frozenset[str]
    sources: frozenset[str]
    own: bool = False

    @classmethod
    def of(cls, fact: Fact, weight: float) -> "_Sum":
        if isinstance(fact.value, str):
            raise InputError(
                f"the fact '{fact.name}' of the unit '{fact.unit}' is the text '{fact.value}', "
                "which cannot be rolled up; correct it, or set the rule to none"
            )
        dates, sources = frozenset({fact.date}), frozenset({fact.source})
        return cls(fact, fact.value * weight, weight, 1, 0, dates, sources, own=True)

    @classmethod
    def over(cls, given: "list[_Sum | None]") -> "_Sum":
        below = [one for one in given if one is not None]
        return cls(
            below[0].example,
            math.fsum(one.total for one in below),
            math.fsum(one.weight for one in below),
            sum(one.units for one in below),
            sum(1 if one is None else one.missing for one in given),
            frozenset().union(*(one.dates for one in below)),
            frozenset().union(*(one.sources for one in below)),
        )

    def fact(self, unit: str, rule: str) -> Fact:
        if self.own:
            return self.example
        bounds = sorted({min(self.dates), max(self.dates)})
        return replace(
            self.example,
            unit=unit,
            value=self.total if rule == "sum" else self.total / self.weight,
            date="/".join(bound or ".." for bound in bounds) if any(bounds) else "",
            source="; ".join(sorted(filter(None, self.sources))),
            derived=True,
            units=self.units,
            missing=self.missing,
        )


def _weight(unit: Unit, rule: str) -> float:
    return max(unit.area(), 1e-9) if rule == "area" else 1.0


def features_with_facts(tree: UnitTree, facts: Iterable[Fact]) -> dict[str, Any]:
    """The units as a FeatureCollection with their facts as properties, which is read again."""
    by_unit: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for fact in facts:
        known = {name: fact.as_dict()[name] for name in ASPECTS}
        given = {name: value for name, value in known.items() if value != ""}
        by_unit.setdefault(fact.unit, {}).setdefault(fact.name, []).append(given)
    collection = tree.to_geojson()
    for feature in collection["features"]:
        for name, values in by_unit.get(feature["properties"]["code"], {}).items():
            feature["properties"][name] = values[0] if len(values) == 1 else values
    return collection


# the city's facts --------------------------------------------------------------------------------


def fact_names(city: "City") -> dict[str, FactName]:
    """The names of a city's facts with their measures and rules, by name."""
    from sqlalchemy.orm import Session

    from passerby.city import catalogue

    with Session(city.engine) as session:
        return catalogue.read_fact_names(session)


def stored_facts(
    city: "City", names: Iterable[str] | None = None, within: str | None = None
) -> list[Fact]:
    """The facts as they were given, by name, unit and date.

    Args:
        city: The city.
        names: Only facts of these names.
        within: Only facts of this unit and of those in it.

    Raises:
        InputError: There is no fact of such a name.
    """
    from sqlalchemy.orm import Session

    from passerby.city import catalogue

    with Session(city.engine) as session:
        known = catalogue.read_fact_names(session)
        wanted = None if names is None else [known_name(known, name).name for name in names]
        return catalogue.read_facts(session, wanted, within)


def known_name(known: Mapping[str, FactName], name: str) -> FactName:
    """The facts of a name.

    Raises:
        InputError: There are none; the error says which names there are.
    """
    if name in known:
        return known[name]
    some = ", ".join(sorted(known)[:12]) or "none yet"
    raise InputError(
        f"there is no fact '{name}' in this city; there are {len(known)}: {some}"
        f"{' ...' if len(known) > 12 else ''}"
    )


def unit_facts(
    city: "City", names: Iterable[str] | None = None, within: str | None = None
) -> dict[str, dict[str, Fact]]:
    """The newest facts by name and unit, own and derived ones.

    Args:
        city: The city.
        names: Only facts of these names.
        within: Only facts of this unit and of those in it.

    Raises:
        InputError: There is no fact of such a name.
    """
    wanted = None if names is None else list(names)
    by_name: dict[str, list[Fact]] = {}
    for fact in stored_facts(city, wanted, within):
        by_name.setdefault(fact.name, []).append(fact)
    known = fact_names(city)
    return {
        name: roll_up(city.units, facts, known[name].rule, within)
        for name, facts in by_name.items()
    }


def add_facts(city: "City", facts: Iterable[Fact]) -> Added:
    """Store facts in one transaction; one of the same unit, name and date is replaced.

    Raises:
        InputError: A unit is unknown, a measure is not that of the name, or a text is given for a
            name that is rolled up. Nothing is stored then.
    """
    from sqlalchemy.orm import Session

    from passerby.city import catalogue

    given = list(facts)
    for fact in given:
        city.units[fact.unit]
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        return catalogue.write_facts(session, given)


def set_rule(
    city: "City", name: str, *, rule: str | None = None, measure: str | None = None
) -> FactName:
    """Say how the facts of a name are rolled up, and in which unit of measure they are.

    Raises:
        InputError: There is no such name or rule, or the name has texts.
    """
    from sqlalchemy.orm import Session

    from passerby.city import catalogue

    if rule is not None and rule not in RULES:
        raise InputError(f"there is no rule '{rule}'; there are {', '.join(RULES)}")
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        known = known_name(catalogue.read_fact_names(session), name)
        new = replace(
            known,
            rule=known.rule if rule is None else rule,
            measure=known.measure if measure is None else measure.strip(),
        )
        if new.rule != "none" and known.texts:
            raise InputError(
                f"the fact '{name}' has {known.texts} texts, which cannot be rolled up; correct "
                "them first, or leave its rule at none"
            )
        catalogue.write_fact_name(session, new)
    return new


def remove_facts(city: "City", name: str) -> int:
    """Delete all facts of a name with its rule; returns how many went.

    Raises:
        InputError: There is no such name.
    """
    from sqlalchemy.orm import Session

    from passerby.city import catalogue

    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        known_name(catalogue.read_fact_names(session), name)
        return catalogue.delete_facts(session, name)
