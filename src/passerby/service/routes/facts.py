"""What is known of the units: the names of the facts, a unit's card, a layer of the map.

An account reads facts of granted units alone. A unit above them would hold sums over the rest of
the city, so that it has none here.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from passerby.city.facts import fact_names, unit_facts
from passerby.city.units import LEVELS
from passerby.errors import InputError
from passerby.service.access import not_found
from passerby.service.http import PROBLEMS, AnyCaller, Caller

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
