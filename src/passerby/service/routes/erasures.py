"""Erasing for an administrator: a person asked, or a court ordered."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field

from passerby.city import Scope
from passerby.city.erasing import erasures
from passerby.service.access import CodedError, not_found
from passerby.service.cases import require_open, says_something
from passerby.service.erasing import Choice, choose, erase_sightings, held_of
from passerby.service.http import PROBLEMS, Answer, Caller, Time, allowed
from passerby.service.inputs import Moment, Name, Names, Wanted
from passerby.service.retention import in_words

router = APIRouter(prefix="/api/erasures", tags=["erasures"], responses=PROBLEMS)
Eraser = Annotated[Caller, Depends(allowed("erase"))]
Reason = Literal["request", "order", "mistake", "purpose"]


class NewErasure(Wanted):
    """Which sightings go, and why; all that one of the fields names."""

    case: Annotated[Name, Field(description="the open case for which they go")]
    sightings: Names = Field(default=[], description="ids")
    confirmed_in: Name | None = Field(default=None, description="a case: what it confirmed")
    tracklets: Names = Field(default=[], description="ids; every sighting of each")
    camera: Name | None = Field(default=None, description="everything that it saw")
    start: Moment | None = Field(default=None, description="of the camera's window")
    end: Moment | None = Field(default=None, description="of the camera's window; not included")
    reason: Reason
    purpose: Annotated[str, Field(description="the reason in words", max_length=2000)]
    despite_evidence: Annotated[str, Field(max_length=2000)] = Field(
        default="", description="why evidence of open cases goes nevertheless"
    )
    count_only: bool = Field(default=False, description="say how many; nothing goes")


class ErasureInfo(Answer):
    """What went, or would go."""

    sightings: int
    evidence: str = Field(description="open cases with how many of them each has confirmed")
    crops: int = 0
    scenes: int = Field(default=0, description="pictures of whole scenes that showed them")
    searches: int = Field(default=0, description="stored searches that name them no longer")
    entries: int = Field(default=0, description="entries of the audit that name their ids still")
    copies: str = Field(default="", description="older copies of the catalogue in the folder")


class PastErasure(Answer):
    """An erasure; who was erased is not known any more."""

    erased: Time
    reason: str
    sightings: int


@router.get("", summary="Past erasures")
def past(caller: Eraser) -> list[PastErasure]:
    """When, why and how many, newest first; nothing says whom."""
    _whole_city(caller)
    return [
        PastErasure.model_validate({"erased": when, "reason": reason, "sightings": count})
        for when, reason, count in erasures(caller.service.city)
    ]


@router.post("", summary="Erase sightings")
def erase(wanted: NewErasure, caller: Eraser) -> ErasureInfo:
    """Erase sightings with crops and scenes for good; no ingest brings them back.

    What an open case has confirmed is evidence and stays, unless ``despite_evidence`` says why not.
    """
    service = caller.service
    case = service.cases.get(wanted.case)
    if case is None or not caller.access.covers(case.units):
        raise not_found("case")
    require_open(case)
    if wanted.confirmed_in is not None:
        other = service.cases.get(wanted.confirmed_in)
        if other is None or not caller.access.covers(other.units):
            raise not_found("case")
    found = choose(service.city, service.database, _choice(wanted, caller))
    if not all(caller.access.sees(one.unit) for one in found):
        raise not_found("sighting")
    held = in_words(held_of(service.database, found))
    if wanted.count_only:
        return ErasureInfo(sightings=len(found), evidence=held)
    if not says_something(wanted.purpose):
        raise CodedError("erasure_words", "an erasure needs a reason; write it in words")
    done = erase_sightings(
        service.city,
        service.database,
        service.audit,
        found,
        account=caller.account.name,
        reason=wanted.reason,
        purpose=wanted.purpose.strip(),
        case=case.id,
        despite=wanted.despite_evidence.strip(),
    )
    return ErasureInfo.model_validate({**done, "evidence": held})


def _choice(wanted: NewErasure, caller: Caller) -> Choice:
    """The sightings that a request means."""
    scope = None
    if wanted.camera is not None:
        if not caller.access.sees_camera(wanted.camera):
            raise not_found("camera")
        scope = Scope.parse(cameras=[wanted.camera], start=wanted.start, end=wanted.end)
    elif wanted.start is not None or wanted.end is not None:
        raise CodedError("window_needs_camera", "a window needs a camera; name it")
    return Choice(
        sightings=wanted.sightings,
        confirmed_in=wanted.confirmed_in,
        tracklets=wanted.tracklets,
        scope=scope,
    )


def _whole_city(caller: Caller) -> None:
    """Refuse an account of a part of the city: an erasure does not say where it was.

    Raises:
        Refusal: 404.
    """
    if not caller.access.covers(tuple(one.code for one in caller.service.city.units.roots)):
        raise not_found("list")
