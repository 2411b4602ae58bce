"""``passerby admin camera``: add, move, rename, retire, set the clock; every change has a date."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from passerby.cli.common import BY, OfCity, Result, aligned, audited
from passerby.errors import InputError
from passerby.times import format_time, now, parse_time

if TYPE_CHECKING:
    from passerby.city import Camera, City
    from passerby.city.changes import Changed, Edit
    from passerby.service.audit import Audit
    from passerby.service.database import Database

    Changing = tuple[City, Database, Audit]

Id = Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class OfCamera(OfCity):
    """What every verb about one camera takes."""

    camera: Id
    """Id of the camera."""
    at: str | None = None
    """From when on, ISO 8601 with zone. Without it: from now on."""

    def when(self) -> int:
        """Return the date of the change in milliseconds."""
        return now() if self.at is None else parse_time(self.at, "the date of the change")


@dataclass(frozen=True, kw_only=True)
class View:
    """What a camera sees."""

    heading: float | None = None
    """Direction of view, degrees clockwise from north."""
    field_of_view: float | None = None
    """Horizontal angle of view, degrees."""
    height: float | None = None
    """Metres above the ground."""
    range: float | None = None
    """Metres up to which a person can be recognised."""

    def view(self) -> dict[str, Any]:
        """Return what was given."""
        names = ("heading", "field_of_view", "height", "range")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True, kw_only=True)
class Add(View, OfCity):
    """Add a camera, or bring back a retired one."""

    camera: Id
    """Id of the camera."""
    place: tuple[float, float]
    """Longitude and latitude, degrees (WGS 84)."""
    unit: str = ""
    """Code of its smallest unit. Without it: the one that holds the place."""
    name: str | None = None
    """Its name. Without it: its id."""
    name_zh: str | None = None
    """Its Chinese name. Without it: its name."""
    at: str | None = None
    """From when on it stands there, ISO 8601 with zone. Without it: since ever."""

    def main(self) -> None:
        """Add it, and say where it stands."""
        from passerby.city.cameras import ALWAYS, Camera
        from passerby.city.changes import add_camera

        name = self.name or self.camera
        since = ALWAYS if self.at is None else parse_time(self.at, "the date of the change")
        with audited(self.city) as (city, _, audit):
            wanted = Camera(
                id=self.camera,
                number=0,
                name=name,
                name_zh=self.name_zh or name,
                unit=self.unit,
                place=self.place,
                valid_from=since,
                **self.view(),
            )
            camera = add_camera(city, wanted)
            _record(audit, "camera_added", camera)
        print(f"camera {camera.id}, number {camera.number}, in unit {camera.unit}")


@dataclass(frozen=True, kw_only=True)
class Move(View, OfCamera):
    """Let a camera stand or look elsewhere from a date on; sightings follow, older ones stay."""

    place: tuple[float, float] | None = None
    """Longitude and latitude, degrees (WGS 84). Without it: where it stands."""
    unit: str = ""
    """Code of its smallest unit. Without it: the one that holds the place."""

    def main(self) -> None:
        """Move it, and say how many sightings have followed."""
        from passerby.city.cameras import changed
        from passerby.city.changes import unit_at

        if self.place is None and not self.unit and not self.view():
            raise InputError("nothing would change; give --place, --unit or what it sees")
        when = self.when()
        with audited(self.city) as open_city:
            city, new = open_city[0], self.view()
            if self.place is not None or self.unit:
                place = self.place or city.camera(self.camera, when).place
                unit = unit_at(city, self.camera, place, self.unit)
                new |= {"place": place, "unit": unit}
            _change(
                open_city,
                "camera_moved",
                self.camera,
                when,
                lambda one: changed(one, when, **new),
            )


@dataclass(frozen=True, kw_only=True)
class Rename(OfCamera):
    """Give a camera another name from a date on; its id stays."""

    name: str
    """The new name."""
    name_zh: str | None = None
    """The new Chinese name. Without it: the new name."""

    def main(self) -> None:
        """Rename it."""
        from passerby.city.cameras import changed

        when, names = self.when(), {"name": self.name, "name_zh": self.name_zh or self.name}
        with audited(self.city) as open_city:
            _change(
                open_city,
                "camera_renamed",
                self.camera,
                when,
                lambda one: changed(one, when, **names),
            )


@dataclass(frozen=True, kw_only=True)
class Retire(OfCamera):
    """Take a camera away from a date on; what it saw stays."""

    def main(self) -> None:
        """Retire it, and say how many sightings are later than that."""
        from passerby.city import Scope
        from passerby.city.cameras import retired

        when = self.when()
        with audited(self.city) as open_city:
            _change(open_city, "camera_retired", self.camera, when, lambda one: retired(one, when))
            later = open_city[0].gallery.count(Scope(cameras=(self.camera,), start=when))
        if later:
            print(
                f"passerby admin camera retire: {later} sightings are later than that; they stay",
                file=sys.stderr,
            )


@dataclass(frozen=True, kw_only=True)
class ListCameras(Result, OfCity):
    """List the cameras with their places and clocks."""

    history: bool = False
    """Each version with its dates, not the newest alone."""

    def main(self) -> None:
        """Print the cameras, one version a line."""
        with self.open() as city:
            versions = [
                one
                for history in city.history.values()
                for one in (history if self.history else history[-1:])
            ]
        head = ["id", "name", "unit", "longitude", "latitude", "clock", "from", "to"]
        rows = [head, *map(_row, versions)]
        facts = [{**one.properties(), "place": list(one.place)} for one in versions]
        self.show(facts, aligned(rows))


def _row(one: "Camera") -> list[str]:
    dates = one.properties()
    place = [f"{degrees:.6f}" for degrees in one.place]
    clock = f"{one.clock / 1000:+g} s" if one.clock else "0"
    return [
        one.id, one.name, one.unit, *place, clock,
        dates["valid_from"] or "ever", dates["valid_to"] or "",
    ]  # fmt: skip


def _change(changing: "Changing", action: str, name: str, when: int, edit: "Edit") -> None:
    """Change a camera, write it into the audit, and say what has followed."""
    from passerby.city.changes import change_camera

    city, _, audit = changing
    done = change_camera(city, name, edit)
    camera = city.camera(name)
    _record(audit, action, camera, at=format_time(when), **vars(done))
    print(f"camera {camera.id}: {followed(done)}")


def followed(done: "Changed") -> str:
    """How many stored sightings have followed a change, in words."""
    return f"{done.replaced} sightings have another unit, {done.retimed} another time"


def _record(audit: "Audit", action: str, camera: "Camera", **details: Any) -> None:
    facts = {**camera.properties(), "place": list(camera.place), **details}
    audit.append(action, account=BY, units=(camera.unit,), details=facts)
