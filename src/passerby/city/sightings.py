"""A sighting, and the scope of a query."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.times import format_time, parse_time

FloatArray = NDArray[np.float32]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One person in one picture of one camera.

    Attributes:
        id: unique in the city; adding the same id again changes nothing.
        camera: id of the camera.
        time: milliseconds since the epoch, UTC.
        vector: (D,) float32 unit vector; None where it was not read.
        model: id of the network that made the vector.
        unit: code of the leaf unit at capture time; the city fills it in from the camera.
        tracklet: the name shared by the frames of one person in one camera without a gap.
        box: x0, y0, x1, y1 in pixels of the camera's picture.
        crop: SHA-256 of the crop's file, or empty.
        quality: 0..1, how good the crop is for re-identification.
        attributes: (name, value) pairs such as ("upper", "red"), each name once, in order of name.

    Raises:
        InputError: an attribute without a name, or named twice.
    """

    id: str
    camera: str
    time: int
    vector: FloatArray | None = field(default=None, repr=False, compare=False)
    model: str = ""
    unit: str = ""
    tracklet: str = ""
    box: tuple[float, float, float, float] | None = None
    crop: str = ""
    quality: float = 1.0
    attributes: Pairs = ()

    def __post_init__(self) -> None:
        if self.attributes:
            object.__setattr__(self, "attributes", ordered_attributes(self.attributes, self.id))

    def facts(self) -> dict[str, Any]:
        """Return everything but the vector, as JSON that may leave the city."""
        return {
            "id": self.id,
            "camera": self.camera,
            "unit": self.unit,
            "time": format_time(self.time),
            "tracklet": self.tracklet,
            "box": list(self.box) if self.box else None,
            "crop": self.crop,
            "quality": round(self.quality, 4),
            **({"attributes": dict(self.attributes)} if self.attributes else {}),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Sighting":
        """The sighting, without its vector, that :meth:`facts` wrote."""
        return cls(
            id=facts["id"],
            camera=facts["camera"],
            unit=facts["unit"],
            time=parse_time(facts["time"]),
            tracklet=facts["tracklet"],
            box=tuple(facts["box"]) if facts["box"] else None,
            crop=facts["crop"],
            quality=facts["quality"],
            attributes=tuple(facts.get("attributes", {}).items()),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """A condition on sightings: units at any level, cameras, [start, end), quality, attributes.

    An empty tuple, and None as a bound, set no limit. Several units mean any of them, several
    values of one attribute likewise; conditions of different kinds must all hold.

    Attributes:
        units: codes; a sighting in a unit inside one of them is in the scope.
        cameras: ids.
        start: milliseconds, included.
        end: milliseconds, not included.
        quality: the least quality.
        attributes: (name, value) pairs; a sighting without the name is outside.

    Raises:
        InputError: the window ends before it starts.
    """

    units: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None
    quality: float | None = None
    attributes: Pairs = ()

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InputError(
                f"the window ends ({format_time(self.end)}) before it starts "
                f"({format_time(self.start)}); swap the two"
            )

    @classmethod
    def parse(
        cls,
        *,
        units: Iterable[str] = (),
        cameras: Iterable[str] = (),
        start: str | int | datetime | None = None,
        end: str | int | datetime | None = None,
        quality: float | None = None,
        attributes: Iterable[tuple[str, str]] = (),
    ) -> "Scope":
        """Make a scope from ISO 8601 texts; a time without a zone is an InputError.

        Example:
            >>> scope = Scope.parse(units=["9901"], start="2026-05-01T08:00:00+08:00")
            >>> scope.units, scope.start
            (('9901',), 1777593600000)
        """
        return cls(
            units=tuple(units),
            cameras=tuple(cameras),
            start=None if start is None else parse_time(start, "the start of the window"),
            end=None if end is None else parse_time(end, "the end of the window"),
            quality=quality,
            attributes=tuple((str(name), str(value)) for name, value in attributes),
        )

    @property
    def values(self) -> dict[str, frozenset[str]]:
        """The wanted values of each attribute."""
        wanted: dict[str, set[str]] = {}
        for name, value in self.attributes:
            wanted.setdefault(name, set()).add(value)
        return {name: frozenset(values) for name, values in wanted.items()}

    def holds(self, one: Sighting) -> bool:
        """Return whether a sighting lies in the scope."""
        return (
            (not self.units or one.unit.startswith(self.units))
            and (not self.cameras or one.camera in self.cameras)
            and (self.start is None or one.time >= self.start)
            and (self.end is None or one.time < self.end)
            and (self.quality is None or one.quality >= self.quality)
            and (not self.attributes or has(one.attributes, self.values))
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the scope as JSON, for answers and for the audit."""
        return {
            "units": list(self.units),
            "cameras": list(self.cameras),
            "start": None if self.start is None else format_time(self.start),
            "end": None if self.end is None else format_time(self.end),
            **({} if self.quality is None else {"quality": self.quality}),
            **({"attributes": [list(pair) for pair in self.attributes]} if self.attributes else {}),
        }


def ordered_attributes(attributes: Iterable[tuple[Any, Any]], sighting: str) -> Pairs:
    """Return (name, value) pairs as texts in order of name.

    Raises:
        InputError: a pair without a name, or a name twice; the message names the sighting.
    """
    ordered = tuple(sorted((str(name), str(value)) for name, value in attributes))
    names = [name for name, _ in ordered]
    if "" in names or len(set(names)) < len(names):
        raise InputError(
            f"the attributes of sighting '{sighting}' must have names, each of its own"
        )
    return ordered


def has(attributes: Pairs, wanted: Mapping[str, frozenset[str]]) -> bool:
    """Return whether the attributes have every wanted name with one of its wanted values."""
    given = dict(attributes)
    return all(given.get(name) in values for name, values in wanted.items())
