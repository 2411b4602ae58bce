"""Clips for an administrator: what a camera recorded, re-timed or taken back.

A clip belongs to the units in which its camera stood while it was recorded. An administrator sees
and changes those whose units are all granted.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from passerby.city import City
from passerby.city.cameras import nearest_version
from passerby.city.changes import Changed, delete_clip, retime_clip
from passerby.city.clips import ClipRecord, clips_of, find_clip
from passerby.errors import InputError
from passerby.service.access import not_found
from passerby.service.http import PROBLEMS, Answer, Caller, Time, allowed
from passerby.service.inputs import Moment, Name, Wanted
from passerby.times import format_time, parse_time

router = APIRouter(prefix="/api/clips", tags=["clips"], responses=PROBLEMS)
Administrator = Annotated[Caller, Depends(allowed("cameras"))]


class Clip(Answer):
    """A clip that was ingested; its times are those of the camera's own clock."""

    name: str = Field(description="the ids of its sightings begin with it")
    camera: str
    source: str = Field(description="name of the file, without its folder")
    start: Time | None = Field(description="of its first frame; null where it is not known")
    first: Time | None = Field(description="of the first frame that was looked at")
    last: Time | None
    gaps: list[tuple[Time, Time]] = Field(description="from and to of each gap")
    frames: int = Field(description="that were looked at")
    sightings: int = Field(description="that were made of it")
    state: str = Field(description="begun, stored, retiming or deleting")
    target: Time | None = Field(description="the new start, while it is re-timed")
    ingested: Time


class ClipTime(Wanted):
    """When a clip begins."""

    start: Moment | None = Field(
        default=None,
        description="time of its first frame by the camera's clock, ISO 8601 with an offset; "
        "without it a re-timing that was interrupted is finished",
    )
    any_time: bool = Field(default=False, description="also before 2000 or in the future")


class RetimedClip(Answer):
    """A clip after its re-timing; it has another name."""

    clip: Clip
    retimed: int = Field(description="sightings with another time")
    replaced: int = Field(description="sightings with another unit")


class DeletedClip(Answer):
    """How much was deleted."""

    deleted: int = Field(description="sightings")
    crops: int


class Listing(Wanted):
    """Which clips to list."""

    camera: Annotated[Name, Field(description="id of a camera in the granted units")]
    after: Name | None = Field(default=None, description="name of the last clip that was listed")
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@router.get("", summary="Clips of a camera")
def clips(caller: Administrator, wanted: Annotated[Listing, Query()]) -> list[Clip]:
    """The clips of a camera in the granted units, newest first."""
    city = caller.service.city
    if not caller.access.sees_camera(wanted.camera):
        raise not_found("camera")
    found = [
        one for one in clips_of(city, wanted.camera) if caller.access.covers(_units(city, one))
    ]
    found.sort(key=lambda one: (one.start is not None, one.start or 0, one.name), reverse=True)
    names = [one.name for one in found]
    if wanted.after is not None and wanted.after not in names:
        raise not_found("clip")
    first = 0 if wanted.after is None else names.index(wanted.after) + 1
    return [_shown(one) for one in found[first : first + wanted.limit]]


@router.patch("/{identifier}", summary="Re-time a clip")
def retime(identifier: str, wanted: ClipTime, caller: Administrator) -> RetimedClip:
    """Give a clip another start; its sightings get other times and ids."""
    city, old = caller.service.city, _find(caller, identifier)
    start = None if wanted.start is None else parse_time(wanted.start, "the start of the clip")
    target = old.target if start is None else start
    units = _units(city, old)
    if target is not None and old.start is not None:
        units += _units(city, old, target - old.start)
        if not caller.access.covers(units):
            raise not_found("unit")
    new, done = retime_clip(city, old.name, start, any_time=wanted.any_time)
    _record(caller, "clip_retimed", old, units, done, now=new.name, start=_text(new.start))
    return RetimedClip(clip=_shown(new), retimed=done.retimed, replaced=done.replaced)


@router.delete("/{identifier}", summary="Delete a clip")
def delete(identifier: str, caller: Administrator) -> DeletedClip:
    """Delete a clip's sightings, the crops that no other sighting has, and its entry."""
    city, old = caller.service.city, _find(caller, identifier)
    units = _units(city, old)
    done = delete_clip(city, old.name)
    _record(caller, "clip_deleted", old, units, done, start=_text(old.start))
    return DeletedClip(deleted=done.deleted, crops=done.crops)


def _find(caller: Caller, identifier: str) -> ClipRecord:
    """The clip of a whole name, where all its units are granted.

    Raises:
        Refusal: 404.
    """
    city = caller.service.city
    try:
        found = find_clip(city, identifier)
    except InputError:
        raise not_found("clip") from None
    if found.name != identifier or not caller.access.covers(_units(city, found)):
        raise not_found("clip")
    return found


def _units(city: City, clip: ClipRecord, shift: int = 0) -> tuple[str, ...]:
    """The units in which its camera stood during a clip, or all of them where that is not known.

    Args:
        city: The city.
        clip: The clip.
        shift: Milliseconds by which it would be re-timed.
    """
    history = city.history.get(clip.camera, ())
    begin = clip.start if clip.first is None else clip.first
    if not history or begin is None:  # of an older program: an account of the whole city alone
        return tuple(unit.code for unit in city.units.roots)
    shown = (begin + shift, (begin if clip.last is None else clip.last) + shift)
    first, last = (time + nearest_version(history, time).clock for time in shown)
    ends = {nearest_version(history, time).unit for time in (first, last)}
    return tuple(sorted(ends | {one.unit for one in history if one.meets(first, last + 1)}))


def _shown(clip: ClipRecord) -> Clip:
    """A clip as the page shows it; the folder of its file stays on the machine."""
    name = clip.source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return Clip.model_validate({**vars(clip), "source": name, "gaps": list(clip.gaps)})


def _text(time: int | None) -> str | None:
    return None if time is None else format_time(time)


def _record(
    caller: Caller,
    action: str,
    clip: ClipRecord,
    units: tuple[str, ...],
    done: Changed,
    **more: object,
) -> None:
    details = {"clip": clip.name, "camera": clip.camera, **more, **vars(done)}
    caller.record(action, details, units=tuple(sorted(set(units))))
