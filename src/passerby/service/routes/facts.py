"""What is known of the units: the names of the facts, a unit's card, a layer of the map.

An account reads facts of granted units alone. A unit above them would hold sums over the rest of
the city, so that it has none here.
"""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from passerby.city import Scope
from passerby.city.conditions import Chosen, choose_units
from passerby.city.facts import fact_names, unit_facts
from passerby.city.units import LEVELS
from passerby.errors import InputError
from passerby.service.access import Refusal, not_found
from passerby.service.http import PROBLEMS, AnyCaller, Caller, Searcher
from passerby.service.inputs import Moment, Names

router = APIRouter(prefix="/api", tags=["map"], responses=PROBLEMS)


class UnitFact(BaseModel):
    """A fact of a unit."""

    unit: str
    name: str
    value: float | str
    measure: str = Field(description="unit of measure; empty where it is not known")
    date: str = Field(description="first/last for a derived value of several dates")
    source: str
    derived: bool = Field(description="whether it is rolled up from the units below")
    units: int = Field(description="number of units whose values are in it")
    missing: int = Field(description="number of units below without a value")


class NamedFact(BaseModel):
    """What all facts of a name share."""

    name: str
    measure: str
    rule: str = Field(description="none, sum, mean or area: how units above get a value")
    numeric: bool = Field(description="whether all its values in the granted units are numbers")
    levels: list[str] = Field(description="levels of the granted units that have a value")


@router.get("/facts", summary="Names of facts")
def names(caller: AnyCaller) -> list[NamedFact]:
    """The facts that granted units have, by name."""
    known = fact_names(caller.service.city)
    found = []
    for name, facts in _granted(caller).items():
        levels = {caller.service.city.units[fact["unit"]].level for fact in facts}
        found.append(
            NamedFact(
                name=name,
                measure=known[name].measure,
                rule=known[name].rule,
                numeric=not any(isinstance(fact["value"], str) for fact in facts),
                levels=[level for level in LEVELS if level in levels],
            )
        )
    return found


@router.get("/facts/values", summary="A layer of the map")
def values(
    caller: AnyCaller,
    name: Annotated[str, Query(max_length=128)],
    level: Annotated[str, Query(description=", ".join(LEVELS))],
) -> list[UnitFact]:
    """The newest value of a fact for each granted unit of a level that has one."""
    if level not in LEVELS:
        raise InputError(f"there is no level '{level}'; there are {', '.join(LEVELS)}")
    tree = caller.service.city.units
    if name not in fact_names(caller.service.city):
        raise not_found("fact")
    every = _granted(caller, name).get(name)
    if every is None:
        raise not_found("fact")
    return [UnitFact(**fact) for fact in every if tree[fact["unit"]].level == level]


class ChosenUnits(BaseModel):
    """The units that meet a condition, shown before a search runs."""

    units: list[str] = Field(description="codes of all of them")
    scope: list[str] = Field(description="codes of those that lie in no other of them")
    missing: int = Field(description="units that lack a fact of the condition")
    summary: str
    sightings: int = Field(description="in these units and the window")


@router.get("/units/chosen", summary="Units that meet a condition")
def chosen(
    caller: Searcher,
    where: Annotated[str, Query(max_length=2000, description="level = street and rain > 2")],
    unit: Annotated[Names | None, Query(description="codes; all that is granted if none")] = None,
    start: Annotated[Moment | None, Query(description="ISO 8601 with an offset")] = None,
    end: Annotated[Moment | None, Query(description="ISO 8601; not included")] = None,
) -> ChosenUnits:
    """The granted units that meet a condition on their facts."""
    scope = caller.access.narrow(Scope.parse(units=unit or (), start=start, end=end))
    found = choose_units(caller.service.city, where, scope.units)
    narrowed = replace(scope, units=found.outermost)
    return ChosenUnits(
        units=[one.code for one in found.units],
        scope=list(found.outermost),
        missing=found.missing,
        summary=found.summary(),
        sightings=caller.service.city.count(narrowed) if found.outermost else 0,
    )


def require_units(caller: Caller, where: str, among: tuple[str, ...]) -> Chosen:
    """Return the units among granted ones that meet a condition.

    Raises:
        InputError: the condition cannot be read.
        Refusal: 422, no unit meets it.
    """
    found = choose_units(caller.service.city, where, among)
    if not found.outermost:
        raise Refusal(
            422,
            "no_unit",
            f"No unit that you may see meets the condition: {found.summary()}.",
            "Change the condition, or choose units by name.",
        )
    return found


@router.get("/units/{code}/facts", summary="The facts of a unit")
def of_unit(code: str, caller: AnyCaller) -> list[UnitFact]:
    """The newest facts of a granted unit by name, own and derived ones."""
    if not caller.access.sees(code):
        raise not_found("unit")
    found = unit_facts(caller.service.city, within=code)
    return [UnitFact(**facts[code].as_dict()) for facts in found.values() if code in facts]


def _granted(caller: Caller, name: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """The newest facts of the granted units by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for grant in caller.access.grants:
        every = unit_facts(caller.service.city, None if name is None else [name], within=grant)
        for one, facts in every.items():
            found.setdefault(one, []).extend(fact.as_dict() for fact in facts.values())
    return dict(sorted(found.items()))
