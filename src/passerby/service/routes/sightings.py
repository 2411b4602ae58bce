"""Sightings: their facts and their crops."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from passerby.city import Scope, Sighting
from passerby.city.gallery import UnknownSightingError
from passerby.service.access import not_found
from passerby.service.cases import require_open
from passerby.service.http import PROBLEMS, Answer, Caller, Searcher, Time, rounded

router = APIRouter(prefix="/api/sightings", tags=["sightings"], responses=PROBLEMS)
PER_TRACKLET = 5  # sightings read for each tracklet wanted


class SightingInfo(Answer):
    """The facts of a sighting; never its vector."""

    id: str
    camera: str
    unit: str = Field(description="code of the cell at capture time")
    time: Time
    tracklet: str
    box: list[float] | None
    crop: str = Field(description="SHA-256 of the crop, or empty")
    quality: Annotated[float, rounded(4)]


class Browse(BaseModel):
    """A camera and a window, for a case."""

    case: Annotated[str, Field(description="an open case")]
    camera: str
    start: str | None = Field(default=None, description="ISO 8601 with an offset")
    end: str | None = Field(default=None, description="ISO 8601 with an offset; not included")
    limit: Annotated[int, Field(ge=1, le=200)] = 60


def find_sightings(caller: Caller, ids: list[str]) -> list[Sighting]:
    """Return sightings in the account's units.

    Raises:
        Refusal: 404 for a sighting that does not exist or lies outside; the answer is the same.
    """
    try:
        found = caller.service.city.gallery.get(ids)
    except UnknownSightingError:
        raise not_found("sighting") from None
    if len(found) != len(ids) or not all(caller.access.sees(one.unit) for one in found):
        raise not_found("sighting")
    return found


@router.get("", summary="Browse a camera")
def browse(caller: Searcher, wanted: Annotated[Browse, Query()]) -> list[SightingInfo]:
    """One sighting of each tracklet that a camera saw in a window, newest first."""
    case = require_open(caller.find_case(wanted.case))
    window = Scope.parse(cameras=[wanted.camera], start=wanted.start, end=wanted.end)
    scope = caller.access.narrow(window)
    newest = caller.service.city.gallery.latest(PER_TRACKLET * wanted.limit, scope)
    seen = _best_of_tracklets(newest)[: wanted.limit]
    details = {"scope": scope.as_dict(), "sightings": [one.id for one in seen]}
    caller.record("browsed", details, case=case.id, units=scope.units)
    return [SightingInfo.model_validate(one) for one in seen]


def _best_of_tracklets(sightings: list[Sighting]) -> list[Sighting]:
    """The best sighting of each tracklet, in the order in which the tracklets come."""
    best: dict[str, Sighting] = {}
    for one in sightings:
        name = one.tracklet or one.id
        if name not in best or one.quality > best[name].quality:
            best[name] = one
    return list(best.values())


@router.get("/{identifier}", summary="A sighting")
def sighting(identifier: str, caller: Searcher) -> SightingInfo:
    """The facts of one sighting."""
    return SightingInfo.model_validate(find_sightings(caller, [identifier])[0])


@router.get(
    "/{identifier}/crop",
    summary="A sighting's picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def crop(identifier: str, caller: Searcher) -> Response:
    """The crop as JPEG; the audit records the view."""
    found = find_sightings(caller, [identifier])[0]
    crops = caller.service.city.crops
    if not found.crop or found.crop not in crops:
        raise not_found("crop")
    caller.service.views.add(caller.account.name, found.unit, found.id)
    return FileResponse(crops.path(found.crop), media_type="image/jpeg")
