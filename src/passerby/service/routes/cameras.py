"""Cameras for an administrator: add, move, rename, retire, set the clock; each with a date.

Everybody reads cameras with ``GET /api/cameras``. An administrator changes those of the granted
units, and only to places inside them.
"""

from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from passerby.city import Calibration, Camera, Scope
from passerby.city.cameras import ALWAYS, changed, retired
from passerby.city.changes import Changed, Edit, add_camera, change_camera, unit_at
from passerby.city.clocks import LEAST_PEOPLE, MOST_TRACKLETS, MOST_WITHIN, estimate_clocks
from passerby.errors import InputError
from passerby.service.access import Refusal, not_found
from passerby.service.http import PROBLEMS, Answer, Caller, allowed
from passerby.service.inputs import Moment, Name, Wanted
from passerby.service.routes.map import Feature, camera_feature
from passerby.times import format_time, now, parse_time

router = APIRouter(prefix="/api/cameras", tags=["cameras"], responses=PROBLEMS)
Administrator = Annotated[Caller, Depends(allowed("cameras"))]
Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Date = Annotated[Moment | None, Field(description="ISO 8601 with an offset")]
_estimating = Lock()  # it reads many vectors: one estimate at a time


class View(Wanted):
    """Where a camera stands, how it is called and what it sees; what is left out stays."""

    place: tuple[Degrees, Degrees] | None = Field(default=None, description="longitude, latitude")
    unit: Name | None = Field(default=None, description="smallest unit; by the place without one")
    name: Text | None = None
    name_zh: Text | None = None
    heading: Number | None = Field(default=None, description="degrees clockwise from north")
    field_of_view: Number | None = Field(default=None, gt=0, le=360, description="degrees")
    height: Number | None = Field(default=None, description="metres above the ground")
    range: Number | None = Field(default=None, gt=0, description="metres")

    def given(self) -> dict[str, Any]:
        """Return what was given, but place and unit."""
        values = View.model_dump(self, exclude_none=True)
        own = {name: values[name] for name in View.model_fields if name in values}
        return {name: own[name] for name in own if name not in ("place", "unit")}


class NewCamera(View):
    """A camera to add."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    place: tuple[Degrees, Degrees]
    at: Date = Field(default=None, description="since when it stands there; since ever without it")


class CameraChange(View):
    """What to change from a date on."""

    clock: Number | None = Field(
        default=None, ge=-1e10, le=1e10, description="seconds to add to the camera's clock"
    )
    at: Date = Field(default=None, description="from when on; a clock: since ever, else: now")
    apply_clock: bool = Field(default=False, description="also re-time the stored sightings")


class Retirement(Wanted):
    """When a camera was taken away."""

    at: Date = Field(default=None, description="now without it")


class ChangedCamera(Answer):
    """A camera after its change, and how many stored sightings have followed."""

    camera: Feature
    replaced: int = Field(description="sightings with another unit")
    retimed: int = Field(description="sightings with another time")


class ClockWindow(Wanted):
    """Whose people tell the clocks: all of the granted units without bounds."""

    start: Date = None
    end: Date = Field(default=None, description="ISO 8601 with an offset; not included")
    within: float = Field(
        default=900.0,
        gt=0,
        le=MOST_WITHIN,
        description="largest offset that is looked for, seconds",
    )


class CameraClock(Answer):
    """What the people say about one camera's clock."""

    camera: str
    offset: float = Field(description="seconds to add to the camera's own clock")
    low: float = Field(description="lower bound of the 95 % interval")
    high: float
    people: int = Field(description="seen here and by another camera, who fit the estimate")
    pairs: int
    there: int = Field(description="walks that began here")
    back: int = Field(description="walks that ended here")
    reason: str = Field(
        description="empty for a proposal; else nobody, alone, few, one_way, wide or no_better"
    )
    refusal: str = Field(description="the reason in words, or empty")
    differs: bool = Field(description="whether it is a proposal other than no offset")


class Clocks(Answer):
    """Proposals for clocks; nothing was changed."""

    cameras: list[CameraClock]
    least: int = Field(description="people that an answer needs")
    calibrated: bool = Field(description="whether who is one person was told by a calibration")
    cut: bool = Field(description="whether only the newest of the window's people were looked at")


@router.post("", summary="Add a camera", status_code=201)
def add(new: NewCamera, caller: Administrator) -> ChangedCamera:
    """Add a camera in a granted unit, or bring back a retired one."""
    city = caller.service.city
    unit = _granted(caller, unit_at(city, new.id, new.place, new.unit or ""))
    facts = {"name": new.id, "name_zh": new.name or new.id, **new.given()}
    since = ALWAYS if new.at is None else parse_time(new.at, "the date")
    camera = Camera(
        id=new.id, number=0, unit=unit, place=new.place, valid_from=since, **facts
    )  # fmt: skip
    add_camera(city, camera)
    return _answer(caller, "camera_added", new.id, since, done=Changed())


@router.patch("/{identifier}", summary="Change a camera")
def change(identifier: str, wanted: CameraChange, caller: Administrator) -> ChangedCamera:
    """Change a camera from a date on; what it saw before keeps place and unit."""
    city = caller.service.city
    new = wanted.given()
    clock_alone = wanted.clock is not None and not new and wanted.place is None
    first = city.history[identifier][0].valid_from if identifier in city.history else ALWAYS
    when = first if clock_alone and wanted.at is None else _date(wanted.at)
    before = _find(caller, identifier, when)
    if wanted.place is not None or wanted.unit is not None:
        place = wanted.place or before.place
        unit = _granted(caller, unit_at(city, identifier, place, wanted.unit or ""))
        new |= {"place": place, "unit": unit}
    if wanted.clock is not None:
        new["clock"] = round(1000 * wanted.clock)
    if not new and not wanted.apply_clock:
        raise InputError("nothing would change; give a place, a name or a clock")
    edit: Edit = (lambda one: changed(one, when, **new)) if new else (lambda one: one)
    done = change_camera(city, identifier, edit, apply_clock=wanted.apply_clock)
    moved, named = "place" in new, "name" in new or "name_zh" in new
    action = "camera_moved" if moved else "camera_renamed" if named else "camera_changed"
    if "clock" in new or wanted.apply_clock:
        action = "camera_clock_set"
    return _answer(caller, action, identifier, when, done=done, units=(before.unit,))


@router.post("/{identifier}/retirement", summary="Retire a camera")
def retire(identifier: str, wanted: Retirement, caller: Administrator) -> ChangedCamera:
    """Take a camera away from a date on; what it saw stays."""
    when = _date(wanted.at)
    _find(caller, identifier, when)
    done = change_camera(caller.service.city, identifier, lambda one: retired(one, when))
    return _answer(caller, "camera_retired", identifier, when, done=done)


@router.post("/clocks", summary="Estimate clocks")
def estimate(wanted: ClockWindow, caller: Administrator) -> Clocks:
    """Propose offsets of clocks from people who pass several cameras; nothing is changed."""
    service = caller.service
    scope = caller.access.narrow(Scope.parse(start=wanted.start, end=wanted.end))
    curve = Calibration.from_card(service.networks.now().card.calibration)
    if not _estimating.acquire(blocking=False):
        remedy = "Try again in a minute."
        raise Refusal(503, "estimating", "Clocks are being estimated.", remedy, retry_after=60)
    try:
        found = estimate_clocks(service.city, scope, calibration=curve, within=wanted.within)
    finally:
        _estimating.release()
    proposed = [one.camera for one in found if not one.reason]
    details = {"start": wanted.start, "end": wanted.end, "within": wanted.within}
    caller.record("clocks_estimated", {**details, "proposed": proposed}, units=scope.units)
    return Clocks(
        cameras=[CameraClock.model_validate(one) for one in found],
        least=LEAST_PEOPLE,
        calibrated=curve.measured,
        cut=sum(one.tracklets for one in found) >= MOST_TRACKLETS,
    )


def _date(text: str | None) -> int:
    return now() if text is None else parse_time(text, "the date")


def _find(caller: Caller, identifier: str, when: int) -> Camera:
    """The camera at a date, where it stands in a granted unit at that date.

    Raises:
        Refusal: 404.
    """
    city = caller.service.city
    if identifier not in city.history:
        raise not_found("camera")
    camera = city.camera(identifier, when)
    if not caller.access.sees(camera.unit):
        raise not_found("camera")
    return camera


def _granted(caller: Caller, unit: str) -> str:
    if not caller.access.sees(unit):
        raise not_found("unit")
    return unit


def _answer(
    caller: Caller,
    action: str,
    identifier: str,
    when: int,
    *,
    done: Changed,
    units: tuple[str, ...] = (),
) -> ChangedCamera:
    """Record the change in the audit, and return the camera as the caller may see it."""
    history = caller.service.city.history[identifier]
    newest = history[-1]
    date = None if when == ALWAYS else format_time(when)
    details = {**newest.properties(), "place": list(newest.place), "at": date, **vars(done)}
    caller.record(action, details, units=tuple(sorted({*units, newest.unit})))
    feature = camera_feature(history, caller.access)
    if feature is None:
        raise not_found("camera")
    return ChangedCamera(camera=feature, replaced=done.replaced, retimed=done.retimed)
