"""Sightings: their facts, their crops, their scenes, and the seconds around them."""

from collections.abc import Callable
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import Field

from passerby.city import City, Scope, Sighting
from passerby.city.changes import pages_of
from passerby.city.gallery import UnknownSightingError
from passerby.errors import InputError
from passerby.ingest.excerpts import cut_excerpt, find_clip
from passerby.service.access import Refusal, not_found
from passerby.service.http import PROBLEMS, Answer, Caller, Searcher, Time, rounded
from passerby.service.inputs import Moment, Name, Wanted

router = APIRouter(prefix="/api/sightings", tags=["sightings"], responses=PROBLEMS)
OpenCase = Annotated[Name, Query(description="number of an open case of the account")]
_cutting = BoundedSemaphore(2)  # excerpts that are cut at the same time
PATIENCE = 20.0  # seconds for which a request waits for its turn


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


class SeenInfo(SightingInfo):
    """A passer-by."""

    last: Time = Field(description="of the newest sighting of the tracklet in the window")


class ContextInfo(Answer):
    """Where a sighting was cut from its clip."""

    frame: int = Field(description="number of the frame in its clip, from 0")
    position: float | None = Field(description="seconds in the clip; none where that is not sure")
    height: int = Field(description="of the whole picture, in pixels; the box belongs to it")
    width: int
    scene: bool = Field(description="a picture of the scene is kept: GET .../scene")
    clip: bool = Field(description="the clip is still there and may be played: GET .../clip")


class SightingDetails(SightingInfo):
    """The facts of a sighting, and what is kept of its surroundings."""

    context: ContextInfo | None = Field(description="none for a sighting that is of no clip")


class Browse(Wanted):
    """A camera and a window, for a case."""

    case: Annotated[Name, Field(description="an open case")]
    camera: Name
    start: Moment | None = Field(default=None, description="ISO 8601 with an offset")
    end: Moment | None = Field(default=None, description="ISO 8601 with an offset; not included")
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


def guard_view(
    caller: Caller,
    identifier: str,
    case: str,
    action: str,
    *,
    there: Callable[[Sighting], bool] = lambda _: True,
) -> Sighting:
    """Return a sighting that may be shown; the audit's entry of the view is durable by then.

    Every route that sends a picture, a scene or a clip of a sighting calls this before it sends.

    Args:
        caller: who looks.
        identifier: id of the sighting.
        case: number of an open case of the caller.
        action: the word for the audit, such as "crops_viewed".
        there: whether what is to be shown exists.

    Raises:
        Refusal: 404 for a case or sighting that the account may not see, or nothing to show; 403
            for a case that is closed or has expired.
    """
    opened = caller.require_case(case)
    found = find_sightings(caller, [identifier])[0]
    if not there(found):
        raise not_found("picture")
    caller.record(action, {"sightings": [found.id]}, case=opened.id, units=(found.unit,))
    return found


@router.get("", summary="Browse a camera")
def browse(caller: Searcher, wanted: Annotated[Browse, Query()]) -> list[SeenInfo]:
    """The best sighting of each tracklet that a camera saw in a window, newest first.

    Where there are more than ``limit``, ask again with ``end`` set to the last one's ``last``.
    Tracklets that end in the same moment come together, so an answer may be a little longer.
    """
    case = caller.require_case(wanted.case)
    window = Scope.parse(cameras=[wanted.camera], start=wanted.start, end=wanted.end)
    scope = caller.access.narrow(window)
    approval = caller.service.width.allow(scope, case=case.id, account=caller.account.name)
    seen = _best_of_tracklets(caller.service.city, scope, wanted.limit)
    details = {
        "scope": scope.as_dict(),
        "sightings": [one.id for one, _ in seen],
        "approval": approval.id if approval else None,
    }
    caller.record("browsed", details, case=case.id, units=scope.units)
    facts = [(SightingInfo.model_validate(one).model_dump(), last) for one, last in seen]
    return [SeenInfo(**fact, last=last) for fact, last in facts]  # type: ignore[arg-type]


def _best_of_tracklets(city: City, scope: Scope, limit: int) -> list[tuple[Sighting, int]]:
    """The best sighting of each of the newest tracklets, and the time of its newest one.

    A tracklet may have hundreds of sightings: so many are read that there are enough tracklets.
    """
    best: dict[str, tuple[Sighting, int]] = {}
    for page in pages_of(city, scope):
        for one in page:
            name = one.tracklet or one.id
            known, last = best.get(name, (one, one.time))
            best[name] = (one if one.quality > known.quality else known, last)
        times = [last for _, last in best.values()]
        if len(times) > limit and times[limit] < times[limit - 1]:
            break  # the next page holds none that ends in the last moment
    kept = list(best.values())
    return [one for one in kept if len(kept) <= limit or one[1] >= kept[limit - 1][1]]


@router.get("/{identifier}", summary="A sighting")
def sighting(identifier: str, case: OpenCase, caller: Searcher) -> SightingDetails:
    """The facts of one sighting, for an open case, and whether its scene and clip can be shown."""
    found = guard_view(caller, identifier, case, "sighting_viewed")
    facts = SightingInfo.model_validate(found).model_dump()
    return SightingDetails(**facts, context=_context(caller, found))


def _context(caller: Caller, found: Sighting) -> ContextInfo | None:
    """What is kept of the surroundings of a sighting."""
    crops = caller.service.city.crops
    known = crops.context(found.crop) if found.crop in crops else None
    if known is None:
        return None
    return ContextInfo(
        frame=known.frame,
        position=known.position,
        height=known.size[0],
        width=known.size[1],
        scene=crops.scene_path(found.crop) is not None,
        clip=_clip(caller, found) is not None,
    )


def _clip(caller: Caller, found: Sighting) -> tuple[Path, float] | None:
    """The file of a sighting's clip and the place in it; None where it cannot be played."""
    city = caller.service.city
    if not caller.service.settings.play_clips or found.crop not in city.crops:
        return None
    known = city.crops.context(found.crop)
    path = find_clip(city, known.clip) if known and known.position is not None else None
    return (path, known.position) if path and known and known.position is not None else None


@router.get(
    "/{identifier}/crop",
    summary="A sighting's picture",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def crop(identifier: str, case: OpenCase, caller: Searcher) -> Response:
    """The crop as JPEG, for an open case; the audit's entry is durable before the first byte."""
    crops = caller.service.city.crops
    found = guard_view(
        caller, identifier, case, "crops_viewed", there=lambda one: one.crop in crops
    )
    return FileResponse(crops.path(found.crop), media_type="image/jpeg")


@router.get(
    "/{identifier}/scene",
    summary="The whole scene of a sighting",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def scene(identifier: str, case: OpenCase, caller: Searcher) -> Response:
    """A small picture of the frame as JPEG, without the box, for an open case; audited."""
    crops = caller.service.city.crops
    found = guard_view(
        caller,
        identifier,
        case,
        "scenes_viewed",
        there=lambda one: bool(crops.scene_path(one.crop)),
    )
    path = crops.scene_path(found.crop)
    if path is None:  # deleted with its crop meanwhile
        raise not_found("picture")
    return FileResponse(path, media_type="image/jpeg")


@router.get(
    "/{identifier}/clip",
    summary="Ten seconds of the clip around a sighting",
    response_class=Response,
    responses={200: {"content": {"video/mp4": {}, "video/webm": {}}}},
)
def clip(identifier: str, case: OpenCase, caller: Searcher) -> Response:
    """The seconds around a sighting as a small video, for an open case; audited.

    The clip is the file that was ingested, where it still lies unchanged. An administrator can
    switch this off (setting ``play_clips``).
    """
    found = guard_view(
        caller, identifier, case, "clips_played", there=lambda one: _clip(caller, one) is not None
    )
    known = _clip(caller, found)
    if known is None:  # moved away meanwhile
        raise not_found("clip")
    if not _cutting.acquire(timeout=PATIENCE):
        raise Refusal(
            503, "busy", "Too many clips are being cut.", "Try again in a minute.", retry_after=60
        )
    try:
        video, kind = cut_excerpt(*known)
    except InputError:  # its message names a path of the machine
        raise not_found("clip") from None
    finally:
        _cutting.release()
    return Response(video, media_type=kind, headers={"Cache-Control": "no-store"})
