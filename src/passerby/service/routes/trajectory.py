"""Where the person of a search went."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from passerby.city import Trajectory
from passerby.service.http import PROBLEMS, Searcher, TheService
from passerby.service.routes.search import find_search
from passerby.service.routes.sightings import SightingInfo

router = APIRouter(prefix="/api/searches", tags=["trajectory"], responses=PROBLEMS)


class VisitInfo(BaseModel):
    """The person before one camera."""

    camera: str
    unit: str
    place: tuple[float, float] = Field(description="longitude, latitude")
    arrive: str
    leave: str
    confidence: float = Field(description="0..1, the chance that the person passed here")
    sightings: list[SightingInfo]


class LegInfo(BaseModel):
    """Between two visits; the path is the shortest way, not what was seen."""

    origin: str
    target: str
    distance_m: float | None = Field(description="shortest way; null where there is none")
    seconds: float
    speed: float | None = Field(description="m/s along the shortest way")
    known: bool = Field(description="false: a gap, nobody knows where the person was")
    reason: str
    path: list[tuple[float, float]]


class PathInfo(BaseModel):
    """One possible path."""

    visits: list[VisitInfo]
    legs: list[LegInfo] = Field(description="legs[i] leads from visits[i] to visits[i + 1]")


class TrajectoryInfo(PathInfo):
    """The best path and others; no visits means that nobody likely is the person."""

    search: str
    revision: int
    alternatives: list[PathInfo]


def path_info(trajectory: Trajectory) -> dict[str, Any]:
    """Visits and legs as JSON; an endless distance is null."""
    answer = trajectory.as_dict()
    for path in (answer, *answer["alternatives"]):
        for leg in path["legs"]:
            if leg["distance_m"] == float("inf"):
                leg["distance_m"] = None
    return answer


@router.get("/{identifier}/trajectory", summary="The person's path")
def trajectory(identifier: str, session: Searcher, service: TheService) -> TrajectoryInfo:
    """The best path through the search's scope, with up to two alternatives.

    Confirmed sightings are on every path, rejected ones on none.
    """
    search = find_search(service, session, identifier)
    found = path_info(service.searches.trace(search))
    ids = [one["id"] for visit in found["visits"] for one in visit["sightings"]]
    service.audit.append(
        "traced",
        account=session.account.name,
        case=search.case,
        units=search.scope.units,
        details={"search": search.id, "sightings": ids},
    )
    return TrajectoryInfo(
        search=search.id,
        revision=search.revision,
        visits=found["visits"],
        legs=found["legs"],
        alternatives=found["alternatives"],
    )
