"""Sightings that are erased, and the tombstones that keep them from coming back.

A tombstone is a SHA-256 of what a sighting is known by, with a date and a reason's code. Nobody can
read from it who was where; who brings the same sighting again finds it. A sighting is known by its
id, by the bytes of its crop (the same picture under another name or time), and by its tracklet when
nothing of that is left. The picture of a whole scene is known by its bytes. A clip is known by its
content, with the options it was read with, because other options give other ids and crops.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, String, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from passerby.city.catalogue import Base, ClipRow
from passerby.city.city import City
from passerby.city.gallery import Gallery
from passerby.city.gallery.records import Batch
from passerby.city.sightings import Scope, Sighting
from passerby.errors import InputError
from passerby.times import now

Kind = Literal["sighting", "crop", "tracklet", "scene", "clip"]
REASONS = ("request", "order", "mistake", "purpose")
"""A person asked; a court or an authority ordered; stored by mistake; no longer needed."""
AT_ONCE = 500  # hashes looked up in one query
CLIP_NAME = 16  # signs of a clip's name, with which the ids of its sightings begin


class TombstoneRow(Base):
    """A tombstone; ``options`` of a clip are how it was read."""

    __tablename__ = "tombstones"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(16))
    erased: Mapped[int] = mapped_column(BigInteger)
    options: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What an erasure has deleted."""

    sightings: int = 0
    crops: int = 0
    scenes: int = 0
    """Pictures of whole scenes that showed the erased, also those of other people's crops."""


def tombstone(kind: Kind, name: str) -> str:
    """The hash of a thing by its kind and name."""
    return hashlib.sha256(f"{kind}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()


def erased(city: City, kind: Kind, names: Iterable[str]) -> set[str]:
    """Those of the names that were erased, of things of one kind."""
    hashes = {tombstone(kind, name): name for name in names if name}
    keys, found = list(hashes), set[str]()
    with Session(city.engine) as session:
        if session.scalars(select(TombstoneRow.hash).limit(1)).first() is None:
            return found
        for first in range(0, len(keys), AT_ONCE):
            part = TombstoneRow.hash.in_(keys[first : first + AT_ONCE])
            found.update(
                hashes[key] for key in session.scalars(select(TombstoneRow.hash).where(part))
            )
    return found


def erased_places(
    city: City, ids: Sequence[str], crops: Sequence[str], tracklets: Sequence[str]
) -> set[int]:
    """Places of those of N sightings that were erased: by id, by crop, or by tracklet."""
    columns: tuple[tuple[Kind, Sequence[str]], ...] = (
        ("sighting", ids), ("crop", crops), ("tracklet", tracklets),
    )  # fmt: skip
    places = set[int]()
    for kind, names in columns:
        gone = erased(city, kind, set(names))
        places.update(place for place, name in enumerate(names) if name in gone)
    return places


def without_erased(city: City, given: Batch | list[Sighting]) -> tuple[Batch | list[Sighting], int]:
    """Leave out what was erased; return the rest, and how many were left out."""
    if isinstance(given, Batch):
        names = tuple(given.columns[name] for name in ("id", "crop", "tracklet"))
    else:
        names = tuple([getattr(one, name) for one in given] for name in ("id", "crop", "tracklet"))
    gone = erased_places(city, *names)
    if not gone:
        return given, 0
    kept = [place for place in range(len(names[0])) if place not in gone]
    if isinstance(given, Batch):
        return given.take(kept), len(gone)
    return [given[place] for place in kept], len(gone)


def left_out(count: int) -> list[str]:
    """The notice that sightings were left out because they were erased; none for none."""
    what = f"{count} sightings were erased from this city and are not stored again"
    return [what] if count else []


# erasing -----------------------------------------------------------------------------------------


def erase(city: City, found: Sequence[Sighting], reason: str) -> Erased:
    """Erase stored sightings with their crops and scenes; the tombstones are durable first.

    Where this is interrupted, :func:`remaining` finds what is left.

    Args:
        city: The city.
        found: The sightings, as the gallery has them.
        reason: One of ``REASONS``.

    Raises:
        InputError: There is no such reason.
    """
    if reason not in REASONS:
        raise InputError(f"there is no reason '{reason}'; choose one of {', '.join(REASONS)}")
    scenes = {digest for one in found if (digest := _scene(city, one))}
    shared = _of_scenes(city, found, scenes)
    _bury(city, found, scenes, reason)
    deleted = city.gallery.delete([one.id for one in found])
    crops = {one.crop for one in found if one.crop}
    unused = crops - city.gallery.crops_used(sorted(crops))
    # not before: a crop that another sighting has too stays, and may be ingested again
    _write(city, [_row("crop", name, reason) for name in sorted(unused)])
    gone = sum(city.crops.remove_scene(name) for name in sorted(shared | unused))
    return Erased(
        sightings=deleted, crops=sum(city.crops.remove(name) for name in unused), scenes=gone
    )


def remaining(city: City) -> list[Sighting]:
    """Sightings that were erased and are stored: of an interrupted erasure, or an older copy."""
    from passerby.city.changes import pages_of

    found = []
    for page in pages_of(city, Scope()):
        names = ([getattr(one, key) for one in page] for key in ("id", "crop", "tracklet"))
        found += [page[place] for place in sorted(erased_places(city, *names))]
    return found


def take_over(city: City, other: City) -> int:
    """Add the tombstones of another city to those of this one; return how many there are."""
    with Session(other.engine) as session:
        rows = [dict(row) for row in session.execute(select(TombstoneRow.__table__)).mappings()]
    _write(city, rows)
    return len(rows)


def erasures(city: City) -> list[tuple[int, str, int]]:
    """Each erasure, newest first: when (milliseconds), the reason, how many sightings."""
    query = (
        select(TombstoneRow.erased, TombstoneRow.reason, func.count())
        .where(TombstoneRow.kind == "sighting")
        .group_by(TombstoneRow.erased, TombstoneRow.reason)
        .order_by(TombstoneRow.erased.desc())
    )
    with Session(city.engine) as session:
        return [(when, reason, count) for when, reason, count in session.execute(query)]


def read_as(city: City, content: str) -> Mapping[str, Any] | None:
    """How a clip was read from which people were erased, by its content; None for any other."""
    with Session(city.engine) as session:
        row = session.get(TombstoneRow, tombstone("clip", content))
        return None if row is None else row.options or {}


def drop_before(gallery: Gallery, time: int, held: Collection[str]) -> int:
    """Delete every sighting older than ``time``, but those that are held; return how many went."""
    moments = sorted({one.time for one in gallery.get(sorted(held)) if one.time < time})
    if not moments:
        return gallery.drop_before(time)
    gone, start = 0, None
    for moment in moments:  # what is held stays where it is: it is never away, not even for a while
        gone += gallery.delete(Scope(start=start, end=moment))
        same = Scope(start=moment, end=moment + 1)
        together = gallery.latest(gallery.count(same), same)
        gone += gallery.delete([one.id for one in together if one.id not in held])
        start = moment + 1
    return gone + gallery.delete(Scope(start=start, end=time))


def _scene(city: City, one: Sighting) -> str:
    """SHA-256 of the scene of a sighting; empty without one."""
    known = city.crops.context(one.crop) if one.crop in city.crops else None
    return known.scene if known else ""


def _of_scenes(city: City, found: Iterable[Sighting], scenes: set[str]) -> set[str]:
    """Crops whose scene is one of these: those of other people in the same frames."""
    crops = set[str]()
    for camera, time in {(one.camera, one.time) for one in found} if scenes else ():
        scope = Scope(cameras=(camera,), start=time, end=time + 1)
        together = city.gallery.latest(max(city.gallery.count(scope), 1), scope)
        crops.update(one.crop for one in together if _scene(city, one) in scenes)
    return crops


def _bury(city: City, found: Sequence[Sighting], scenes: set[str], reason: str) -> None:
    """Store the tombstones of some sightings."""
    things: list[tuple[Kind, str]] = [("sighting", one.id) for one in found]
    things += [("scene", one) for one in sorted(scenes)]
    own = {one.id for one in found}
    names = sorted({one.tracklet for one in found if one.tracklet})
    for name, members in city.gallery.tracklets(names).items() if names else ():
        if own.issuperset(one.id for one in members):
            things.append(("tracklet", name))
    rows = [_row(kind, name, reason) for kind, name in things]
    with Session(city.engine) as session:
        clips = {one.id[:CLIP_NAME] for one in found}
        for row in session.scalars(select(ClipRow).where(ClipRow.name.in_(sorted(clips)))):
            if row.content:
                rows.append(_row("clip", row.content, reason, row.options))
    _write(city, rows)


def _row(kind: Kind, name: str, reason: str, options: Any = None) -> dict[str, Any]:
    same = {"hash": tombstone(kind, name), "kind": kind, "options": options}
    return {**same, "reason": reason, "erased": now()}


def _write(city: City, rows: Iterable[dict[str, Any]]) -> None:
    """Store tombstones; those that are there stay as they are."""
    unique = list({row["hash"]: row for row in rows}.values())
    writing = city.engine.execution_options(immediate=True)
    with Session(writing) as session, session.begin():
        dialect = sqlite if city.engine.dialect.name == "sqlite" else postgresql
        for first in range(0, len(unique), AT_ONCE):
            part = dialect.insert(TombstoneRow).on_conflict_do_nothing()
            session.execute(part, unique[first : first + AT_ONCE])
