"""Changes of what is stored: cameras and their sightings, clips taken back.

Each change of a camera is one transaction of the catalogue. It also stores that the sightings of
the camera have to follow. They are brought into line afterwards, and :func:`settle` does what an
interrupted change has left. Doing a change twice is the same as doing it once.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from passerby.city import catalogue
from passerby.city.cameras import Camera, History, leaf_of, nearest_version
from passerby.city.city import CAMERAS, City
from passerby.city.clips import (
    DELETING,
    RETIMING,
    STORED,
    ClipRecord,
    clip_name,
    drop_clip,
    find_clip,
    write_clip,
)
from passerby.city.sightings import Scope, Sighting
from passerby.errors import InputError
from passerby.times import DAY_MS, format_time

PENDING = "cameras.pending"  # setting: camera -> what its sightings still have to follow
CLOCK = "clock"  # attribute of a sighting: milliseconds that were added to its camera's time
PAGE = 2_000  # sightings read at once


@dataclass(frozen=True, kw_only=True)
class Changed:
    """How many sightings a change has touched."""

    replaced: int = 0
    """With another unit."""
    retimed: int = 0
    """With another time."""
    deleted: int = 0
    crops: int = 0
    """Crop files that were deleted."""

    def __add__(self, other: "Changed") -> "Changed":
        return Changed(**{name: value + vars(other)[name] for name, value in vars(self).items()})


# cameras -----------------------------------------------------------------------------------------

Edit = Callable[[History], History]


def add_camera(city: City, camera: Camera) -> Camera:
    """Add a camera, or bring back a retired one with a new version; return it with its number.

    Raises:
        InputError: There is such a camera at that time, or no such unit.
    """
    if not re.fullmatch(r"[\w.:-]{1,64}", camera.id):
        raise InputError(
            f"'{camera.id}' cannot be a camera's id; give 1 to 64 letters, digits, dots or dashes"
        )
    unit = unit_at(city, camera.id, camera.place, camera.unit)
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        known = catalogue.read_cameras(session)
        before = known.get(camera.id, ())
        if any(one.valid_to is None or one.valid_to > camera.valid_from for one in before):
            raise InputError(
                f"there is a camera '{camera.id}' already; move it, or retire it and give a later "
                "date"
            )
        numbers = [versions[0].number for versions in known.values()]
        number = before[0].number if before else max(numbers, default=0) + 1
        added = replace(camera, unit=unit, number=number)
        history = tuple(sorted((*before, added), key=lambda one: one.valid_from))
        _store(session, history)
    city.refresh()
    return added


def unit_at(city: City, name: str, place: tuple[float, float], unit: str = "") -> str:
    """Return the smallest unit of a camera: the named one, that of its place, or the only one.

    Raises:
        InputError: There is no such place or unit, or the place is outside of several units.
    """
    longitude, latitude = place
    if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
        raise InputError(f"there is no place {longitude}, {latitude}; give longitude, latitude")
    leaves = city.units.leaves()
    if not unit and len(leaves) == 1:
        return leaves[0].code
    return leaf_of(unit, place, city.units, f"camera '{name}'")


def change_camera(city: City, name: str, edit: Edit, *, apply_clock: bool = False) -> Changed:
    """Change the history of a camera, and let its stored sightings follow.

    Sightings get the unit in which the camera stood at their time, where the unit that they have
    is one of this camera's. Their times follow the camera's clock only with ``apply_clock``.

    Args:
        city: The city.
        name: Id of the camera.
        edit: Returns the new history.
        apply_clock: Whether the times of stored sightings follow.

    Raises:
        InputError: There is no such camera, or ``edit`` refuses.
    """
    city.refresh()
    city.camera(name)
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        before = catalogue.read_cameras(session)[name]
        after = edit(before)
        if after:
            _store(session, after)
        else:
            raise InputError(f"this would leave nothing of camera '{name}'; give a later date")
        pending = catalogue.read_setting(session, PENDING, {})
        own = pending.setdefault(name, {"units": [], "clock": False})
        own["units"] = sorted({*own["units"], *(one.unit for one in (*before, *after))})
        own["clock"] = own["clock"] or apply_clock
        catalogue.write_setting(session, PENDING, pending)
    return settle(city)


def _store(session: Session, history: History) -> None:
    catalogue.write_camera(session, history)
    changes = int(catalogue.read_setting(session, CAMERAS, 0))
    catalogue.write_setting(session, CAMERAS, changes + 1)


def settle(city: City) -> Changed:
    """Bring the sightings of changed cameras into line; does nothing where they are."""
    city.refresh()
    done = Changed()
    for name, what in city.setting(PENDING, {}).items():
        done += _follow(city, name, frozenset(what["units"]), what["clock"])
        writing = city.engine.execution_options(immediate=True)
        with Session(writing) as session, session.begin():
            pending = catalogue.read_setting(session, PENDING, {})
            if pending.get(name) == what:  # no other change has come meanwhile
                del pending[name]
            catalogue.write_setting(session, PENDING, pending)
    return done


def _follow(city: City, name: str, units: frozenset[str], clock: bool) -> Changed:
    """Give the sightings of a camera the units and, with ``clock``, the times of its history."""
    done = Changed()
    for page in pages_of(city, Scope(cameras=(name,))):
        moved = [_in_line(city, one, units, clock) for one in page]
        pairs = [(old, new) for old, new in zip(page, moved, strict=True) if old != new]
        _rewrite(city, pairs)
        done += Changed(
            replaced=sum(old.unit != new.unit for old, new in pairs),
            retimed=sum(old.time != new.time for old, new in pairs),
        )
    return done


def _in_line(city: City, one: Sighting, units: frozenset[str], clock: bool) -> Sighting:
    """A sighting as the history of its camera wants it."""
    if clock:
        one = with_clock(city, one, clock_time(one))
    unit = city.camera(one.camera, one.time).unit
    return replace(one, unit=unit) if one.unit in units else one


def clock_time(one: Sighting) -> int:
    """The time of a sighting by its camera's own clock."""
    return one.time - int(dict(one.attributes).get(CLOCK, 0))


def with_clock(city: City, one: Sighting, time: int) -> Sighting:
    """A sighting whose camera's clock showed ``time``: what was added is an attribute of it."""
    added = nearest_version(city.history[one.camera], time).clock
    others = tuple(pair for pair in one.attributes if pair[0] != CLOCK)
    attributes = (*others, (CLOCK, str(added))) if added else others
    return replace(one, time=time + added, attributes=attributes)


# reading and writing -----------------------------------------------------------------------------


def pages_of(city: City, scope: Scope) -> Iterator[list[Sighting]]:
    """The sightings of a scope, newest first, some at a time; what is added meanwhile may miss."""
    end, size, seen = scope.end, PAGE, frozenset[str]()
    while page := city.gallery.latest(size, replace(scope, end=end)):
        new = [one for one in page if one.id not in seen]
        if new:
            yield new
        if len(page) < size:
            return
        # the page may end between sightings of one moment: the next one begins with all of them
        last = page[-1].time
        size = 2 * size if last + 1 == end else PAGE
        seen, end = frozenset(one.id for one in page if one.time == last), last + 1


def _rewrite(city: City, pairs: list[tuple[Sighting, Sighting]]) -> None:
    """Store sightings in place of others; with other ids, the old ones are deleted afterwards."""
    if not pairs:
        return
    gone = [old.id for old, new in pairs if old.id != new.id]
    vectors = city.gallery.vectors([old.id for old, _ in pairs])
    city.gallery.add(
        [replace(new, vector=vector) for (_, new), vector in zip(pairs, vectors, strict=True)],
        replace=True,
    )
    if gone:
        city.gallery.delete(gone)


def _delete(city: City, found: list[Sighting]) -> Changed:
    deleted = city.gallery.delete([one.id for one in found])
    crops = {one.crop for one in found if one.crop}
    unused = crops - city.gallery.crops_used(sorted(crops))
    return Changed(deleted=deleted, crops=sum(city.crops.remove(name) for name in unused))


# clips -------------------------------------------------------------------------------------------


def sightings_of_clip(city: City, record: ClipRecord) -> Iterator[Sighting]:
    """The stored sightings of a clip, in pages of the gallery, newest first."""
    for page in _pages_of_clip(city, record):
        yield from page


def _pages_of_clip(city: City, record: ClipRecord) -> Iterator[list[Sighting]]:
    cameras = (record.camera,) if record.camera else ()
    scope = Scope(cameras=cameras)
    if record.first is not None and record.last is not None and record.state == STORED:
        # room for every clock that the camera may have had
        room = 2 * DAY_MS + max((abs(one.clock) for one in city.history[record.camera]), default=0)
        scope = replace(scope, start=record.first - room, end=record.last + room)
    for page in pages_of(city, scope):
        own = [one for one in page if one.id.startswith(f"{record.name}-")]
        if own:
            yield own


def delete_clip(city: City, name: str) -> Changed:
    """Delete the sightings of a clip, their crops and its record; goes on where it was cut off.

    Raises:
        InputError: There is no such clip, or it is being re-timed.
    """
    record = find_clip(city, name)
    if record.state == RETIMING:
        raise InputError(
            f"the clip {record.name} is being re-timed; finish that first: "
            f"passerby admin clip retime CITY {record.name}"
        )
    resumed = record.state == DELETING
    write_clip(city, replace(record, state=DELETING))
    done = Changed()
    for page in list(_pages_of_clip(city, record)):
        done += _delete(city, page)
    if resumed:  # it may have been cut off between a sighting and its crop
        city.crops.remove_unused(city.gallery.crops_used)
    drop_clip(city, record.name)
    return done


def retime_clip(
    city: City, name: str, start: int | None = None, *, any_time: bool = False
) -> tuple[ClipRecord, Changed]:
    """Give a clip another start, so that a later ingest with that start adds nothing.

    Its sightings get other times, other ids and the unit in which the camera stood then.

    Args:
        city: The city.
        name: Of the clip, or the start of it.
        start: Time of its first frame by the camera's clock; None goes on with what was cut off.
        any_time: Also to a time before 2000 or in the future.

    Returns:
        The clip's new record, and how many sightings were changed.

    Raises:
        InputError: There is no such clip, it is unknown when or where it was recorded, it is being
            deleted, it is there at the new start too, or its camera was not there then.
    """
    record = find_clip(city, name)
    if record.state == DELETING:
        raise InputError(
            f"the clip {record.name} is being deleted; finish that first: "
            f"passerby admin clip delete CITY {record.name}"
        )
    going_on = record.state == RETIMING
    if going_on and start not in (None, record.target):
        raise InputError(
            f"the clip {record.name} is being re-timed to {format_time(record.target or 0)}; "
            "finish that first: give no start"
        )
    target = record.target if going_on else start
    if target is None:
        raise InputError(f"the clip {record.name} is not being re-timed; give its new --start")
    new = _at(record, target)
    if new.name == record.name:
        return record, Changed()
    if not going_on:
        _check_new_start(city, record, new, any_time=any_time)
    write_clip(city, replace(record, state=RETIMING, target=target))
    shift, done = target - (record.start or 0), Changed()
    for page in list(_pages_of_clip(city, replace(record, state=RETIMING))):
        pairs = [(one, _renamed(city, one, record.name, new.name, shift)) for one in page]
        _rewrite(city, pairs)
        done += Changed(retimed=len(pairs), replaced=sum(a.unit != b.unit for a, b in pairs))
    write_clip(city, new, instead_of=record.name)
    return new, done


def _at(record: ClipRecord, start: int) -> ClipRecord:
    """The record of the same clip with another start."""
    if not record.content or record.start is None:
        raise InputError(
            f"the clip {record.name} was ingested by an older version, which did not store what it "
            "is; delete it and ingest it anew"
        )
    shift = start - record.start
    return replace(
        record,
        name=clip_name(record.content, record.camera, start),
        start=start,
        state=STORED,
        target=None,
        first=None if record.first is None else record.first + shift,
        last=None if record.last is None else record.last + shift,
        gaps=tuple((a + shift, b + shift) for a, b in record.gaps),
    )


def _check_new_start(city: City, record: ClipRecord, new: ClipRecord, *, any_time: bool) -> None:
    shown = (new.start or 0, new.last or new.start or 0)
    begin, end = (one + city.camera(new.camera, one).clock for one in shown)
    if not any_time:
        city.check_times(begin, end, f"the clip {record.name} would be of")
    for time in (begin, end):
        city.camera_at(new.camera, time)
    if record.state != STORED:
        raise InputError(
            f"the clip {record.name} was not read to its end; ingest it again first, or delete it"
        )
    try:
        find_clip(city, new.name)
    except InputError:
        return
    raise InputError(
        f"the same clip is there at {format_time(new.start or 0)} too, as {new.name}; delete one "
        "of them"
    )


def _renamed(city: City, one: Sighting, old: str, new: str, shift: int) -> Sighting:
    """A sighting of a clip under the clip's new name, at its new time."""
    units = {version.unit for version in city.history[one.camera]}
    moved = with_clock(city, one, clock_time(one) + shift)
    names: dict[str, Any] = {
        "id": new + one.id.removeprefix(old),
        "tracklet": new + one.tracklet.removeprefix(old),
    }
    if one.unit in units:
        names["unit"] = city.camera(moved.camera, moved.time).unit
    return replace(moved, **names)
