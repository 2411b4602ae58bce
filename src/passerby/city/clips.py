"""The clips of a city: what was ingested, from which camera and when.

The name of a clip follows from its content, its camera and its start, and the ids of its sightings
begin with the name. All times of a clip are those of the camera's own clock. The camera's history
says what to add to them (:attr:`passerby.city.cameras.Camera.clock`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from passerby.city.catalogue import ClipRow
from passerby.city.city import City
from passerby.errors import InputError
from passerby.files import sha256
from passerby.times import format_time, now

BEGUN, STORED, RETIMING, DELETING = "begun", "stored", "retiming", "deleting"
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ClipRecord:
    """A clip that was ingested. Times are milliseconds of the camera's clock.

    Attributes:
        name: Sixteen signs, see :func:`clip_name`; the ids of its sightings begin with it.
        content: SHA-256 of the file; empty where an older program ingested it.
        camera: Id of the camera; empty where an older program ingested it.
        start: Time of the first frame as it was given.
        source: The file as it was named.
        options: How it was read, the detector included.
        state: "begun" until its end was reached, then "stored"; "retiming" and "deleting" while
            that is going on, or after it was interrupted.
        target: The new start, while it is re-timed.
        first: Time of the first frame that was looked at; None while it is not known.
        last: Time of the last one.
        gaps: (from, to) of each gap in the recording.
        frames: Number of frames that were looked at.
        sightings: Number of sightings that were made of it.
        ingested: When it was last ingested, milliseconds since the epoch.
        file: Path, size and time of change (ns) of the file, where it may be played from; None for
            a segment that was deleted after its ingest.
    """

    name: str
    content: str = ""
    camera: str = ""
    start: int | None = None
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    state: str = BEGUN
    target: int | None = None
    first: int | None = None
    last: int | None = None
    gaps: tuple[Span, ...] = ()
    frames: int = 0
    sightings: int = 0
    ingested: int = 0
    file: Sequence[Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON."""
        times = {
            name: None if getattr(self, name) is None else format_time(getattr(self, name))
            for name in ("start", "target", "first", "last", "ingested")
        }
        gaps = [[format_time(a), format_time(b)] for a, b in self.gaps]
        return {**asdict(self), "options": dict(self.options), **times, "gaps": gaps}

    @property
    def spans(self) -> list[Span]:
        """[from, to) of what was recorded without a gap."""
        if self.first is None or self.last is None:
            return []
        edges = [self.first, *(edge for gap in self.gaps for edge in gap), self.last + 1]
        return list(zip(edges[::2], edges[1::2], strict=True))


def clip_name(content: str, camera: str, start: int) -> str:
    """Return the name of a clip: the same for the same content, camera and start."""
    return sha256(f"{content}|{camera}|{start}".encode())[:16]


# the table ---------------------------------------------------------------------------------------


def clips_of(city: City, camera: str | None = None) -> list[ClipRecord]:
    """Return the clips of a city or of one camera, in order of camera and start."""
    query = select(ClipRow).order_by(ClipRow.camera, ClipRow.first, ClipRow.name)
    if camera is not None:
        query = query.where(ClipRow.camera == city.camera(camera).id)
    with Session(city.engine) as session:
        return [_record(row) for row in session.scalars(query)]


def find_clip(city: City, name: str) -> ClipRecord:
    """Return the clip of a name, or of the start of a name.

    Raises:
        InputError: There is no such clip, or there are several.
    """
    with Session(city.engine) as session:
        rows = session.scalars(
            select(ClipRow).where(ClipRow.name.startswith(name, autoescape=True))
        )
        found = [_record(row) for row in rows] if name else []
    if len(found) != 1:
        what = f"are {len(found)} clips whose names begin with" if found else "is no clip"
        raise InputError(f"there {what} '{name}'; list them: passerby admin clip list CITY")
    return found[0]


def files_of(city: City, content: str) -> list[Sequence[Any]]:
    """Return the files of the clips with this content: path, size and time of change of each."""
    query = select(ClipRow.file).where(ClipRow.content == content, ClipRow.file.is_not(None))
    with Session(city.engine) as session:
        return [file for file in session.scalars(query) if file]


def write_clip(city: City, record: ClipRecord, *, instead_of: str | None = None) -> None:
    """Store a record, and delete the one of another name in the same transaction."""
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        gone = {record.name, instead_of or record.name}
        session.execute(delete(ClipRow).where(ClipRow.name.in_(gone)))
        values = {**vars(record), "options": dict(record.options)}
        session.add(ClipRow(**{**values, "gaps": [list(gap) for gap in record.gaps]}))


def drop_clip(city: City, name: str) -> None:
    """Delete a record."""
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        session.execute(delete(ClipRow).where(ClipRow.name == name))


def forget_before(city: City, time: int) -> None:
    """Delete the records of clips that ended before a time; one that goes on is cut off there."""
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        session.execute(delete(ClipRow).where(ClipRow.last < time))
        for row in session.scalars(select(ClipRow).where(ClipRow.first < time)):
            row.gaps = [[max(a, time), b] for a, b in row.gaps if b > time]
            row.first = time


def _record(row: ClipRow) -> ClipRecord:
    names = ClipRecord.__dataclass_fields__
    values = {name: getattr(row, name) for name in names}
    return ClipRecord(**{**values, "gaps": tuple((a, b) for a, b in row.gaps)})


# ingest ------------------------------------------------------------------------------------------


def claim(city: City, wanted: ClipRecord, *, defaults: Mapping[str, Any], again: bool) -> str:
    """Register a clip before it is read, and return what the operator should know.

    The same clip under the same name continues or repeats an ingest. It changes nothing.

    Args:
        city: The city.
        wanted: The clip.
        defaults: Options that an older program did not store.
        again: Also when the same content is there from another camera or at another start.

    Raises:
        InputError: The clip is there with other options, it is being changed, the same content
            is there and ``again`` is not set, or people were erased from it as it was read with
            other options.
    """
    _check_erased(city, wanted, defaults)
    with Session(city.engine) as session:
        same = or_(ClipRow.content == wanted.content, ClipRow.name == wanted.name)
        found = [_record(row) for row in session.scalars(select(ClipRow).where(same))]
    known = next((one for one in found if one.name == wanted.name), None)
    others = [one for one in found if one is not known and _is_there(city, one)]
    shown = [one for one in others if one.state != STORED or one.sightings]  # with people
    if shown and not again:
        raise InputError(
            f"'{wanted.source}' is in the city already, as {_in_words(shown[0])}; re-time or "
            f"delete that: passerby admin clip --help; or store it twice with --again"
        )
    if known is not None:
        _check_known(city, wanted, known, defaults)
    if known is None or (known.state, known.options, known.file) != (
        STORED, wanted.options, wanted.file
    ):  # fmt: skip
        write_clip(city, replace(wanted, state=BEGUN, ingested=now()))
    return f"the same clip is in the city as {_in_words(others[0])} too" if others else ""


def _check_known(
    city: City, wanted: ClipRecord, known: ClipRecord, defaults: Mapping[str, Any]
) -> None:
    """Refuse a clip that is being changed, or was read in another way.

    Other options find other tracklets under other ids, so the same people twice.
    """
    if known.state in (RETIMING, DELETING):
        raise InputError(
            f"the clip '{wanted.source}' is {known.state}; finish that first: "
            f"passerby admin clip {'retime' if known.state == RETIMING else 'delete'} CITY "
            f"{known.name}"
        )
    was = _other_options(wanted, {**defaults, **known.options})
    if was and _is_there(city, known):
        raise InputError(
            f"'{wanted.source}' is in the city already, read with {was}; use that again, or "
            f"delete it first: passerby admin clip delete CITY {known.name}"
        )


def _other_options(wanted: ClipRecord, before: Mapping[str, Any]) -> str:
    """The options that were others before, in words; empty when they are the same."""
    changed = sorted(name for name in wanted.options if before.get(name) != wanted.options[name])
    return ", ".join(f"{name} {before.get(name)}" for name in changed)


def _check_erased(city: City, wanted: ClipRecord, defaults: Mapping[str, Any]) -> None:
    """Refuse a way to read a clip that would show the people anew who were erased from it."""
    from passerby.city.erasing import read_as

    before = read_as(city, wanted.content)
    was = _other_options(wanted, {**defaults, **before}) if before is not None else ""
    if was:
        raise InputError(
            f"people were erased from the clip '{wanted.source}', which was read with {was}; with "
            "other options they would come back under other ids: use that again"
        )


def _is_there(city: City, record: ClipRecord) -> bool:
    """Whether a clip counts: it was read to its end, or has sightings."""
    from passerby.city.changes import sightings_of_clip

    if record.state == STORED and record.sightings == 0:
        return bool(record.frames)
    return next(sightings_of_clip(city, record), None) is not None


def _in_words(record: ClipRecord) -> str:
    start = "an unknown time" if record.start is None else format_time(record.start)
    return f"the clip {record.name} of camera '{record.camera}' from {start}"
