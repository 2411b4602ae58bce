"""Sightings: their facts and their crops."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from passerby.city import Scope, Sighting
from passerby.city.gallery import StoreError
from passerby.errors import InputError
from passerby.service.cases import require_open
from passerby.service.http import PROBLEMS, Searcher, Service, TheService
from passerby.service.refusals import nothing_there
from passerby.service.routes.cases import find_case
from passerby.service.sessions import Session

router = APIRouter(prefix="/api/sightings", tags=["sightings"], responses=PROBLEMS)
MORE = 5  # sightings looked at for each tracklet wanted


class SightingInfo(BaseModel):
    """The facts of a sighting; never its vector."""

    id: str
    camera: str
    unit: str = Field(description="code of the cell at capture time")
    time: str
    tracklet: str
    box: list[float] | None
    crop: str = Field(description="SHA-256 of the crop, or empty")
    quality: float

    @classmethod
    def of(cls, sighting: Sighting) -> "SightingInfo":
        """The facts alone."""
        return cls(**sighting.facts())


def find_sightings(service: Service, session: Session, ids: list[str]) -> list[Sighting]:
    """Sightings in the account's units.

    Raises:
        Refusal: 404 for one that does not exist or lies outside; which of the two is not told.
    """
    try:
        found = service.city.gallery.get(ids)
    except StoreError:
        raise
    except InputError:
        raise nothing_there("sighting") from None
    access = service.access(session.account)
    if len(found) != len(ids) or not all(access.sees(one.unit) for one in found):
        raise nothing_there("sighting")
    return found


class Browse(BaseModel):
    """A camera and a window, for a case."""

    case: Annotated[str, Field(description="an open case")]
    camera: str
    start: str | None = Field(default=None, description="ISO 8601 with an offset")
    end: str | None = Field(default=None, description="ISO 8601 with an offset; not included")
    limit: Annotated[int, Field(ge=1, le=200)] = 60


@router.get("", summary="Browse a camera")
def browse(
    session: Searcher, service: TheService, wanted: Annotated[Browse, Query()]
) -> list[SightingInfo]:
    """One sighting of each tracklet that a camera saw in a window, newest first."""
    case = require_open(find_case(service, session.account, wanted.case))
    window = Scope.parse(cameras=[wanted.camera], start=wanted.start, end=wanted.end)
    scope = service.access(session.account).narrow(window)
    seen = _by_tracklet(service.city.gallery.latest(MORE * wanted.limit, scope))[: wanted.limit]
    service.audit.append(
        "browsed",
        account=session.account.name,
        case=case.id,
        units=scope.units,
        details={"scope": scope.as_dict(), "sightings": [one.id for one in seen]},
    )
    return [SightingInfo.of(one) for one in seen]


def _by_tracklet(sightings: list[Sighting]) -> list[Sighting]:
    """The best sighting of each tracklet, in the order in which the tracklets come."""
    best: dict[str, Sighting] = {}
    for one in sightings:
        name = one.tracklet or one.id
        if name not in best or one.quality > best[name].quality:
            best[name] = one
    return list(best.values())


@router.get("/{identifier}", summary="A sighting")
def sighting(identifier: str, session: Searcher, service: TheService) -> SightingInfo:
    """The facts of one sighting."""
    return SightingInfo.of(find_sightings(service, session, [identifier])[0])


@router.get(
    "/{identifier}/crop",
    summary="A sighting's picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def crop(identifier: str, session: Searcher, service: TheService) -> Response:
    """The crop as JPEG; each view is gathered into the audit."""
    found = find_sightings(service, session, [identifier])[0]
    if not found.crop or found.crop not in service.city.crops:
        raise nothing_there("crop")
    service.views.note(session.account.name, found.unit, found.id)
    return FileResponse(service.city.crops.path(found.crop), media_type="image/jpeg")
