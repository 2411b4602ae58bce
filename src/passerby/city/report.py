"""The result of a trace: visits in order of time, and the legs between them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from typing import Any
from xml.etree import ElementTree

from passerby.city import geojson
from passerby.city.city import City
from passerby.city.paths import FloatArray64
from passerby.city.recorded import Recording, recorded
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import metres_to_path
from passerby.city.tracks import Track
from passerby.times import format_time

SAME_VISIT_MS = 120_000  # seen again at the same camera within this: one visit
LONGEST_STOP_S = 180.0  # where the person was on a leg that took longer is not known
SLOWEST = 0.6  # m/s
SURE = 0.9  # chance that both ends of a known leg are the person; chosen on simulated cities
GPX = "http://www.topografix.com/GPX/1/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """The person before one camera.

    Attributes:
        camera: id of the camera.
        unit: code of the camera's smallest unit.
        place: (longitude, latitude) of the camera.
        arrive: first seen, milliseconds.
        leave: last seen, milliseconds.
        confidence: 0..1, the chance that the person passed here, given all paths considered.
        sightings: what was seen, by time.
    """

    camera: str
    unit: str
    place: tuple[float, float]
    arrive: int
    leave: int
    confidence: float
    sightings: tuple[Sighting, ...]

    def as_dict(self) -> dict[str, Any]:
        """The visit as JSON."""
        return {
            "camera": self.camera,
            "unit": self.unit,
            "place": list(self.place),
            "arrive": format_time(self.arrive),
            "leave": format_time(self.leave),
            "confidence": round(self.confidence, 4),
            "sightings": [one.facts() for one in self.sightings],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """Between two visits.

    Attributes:
        origin: camera that was left.
        target: camera that was reached.
        distance_m: shortest walking way in metres; infinite where no way joins the two.
        seconds: from the last sighting there to the first here.
        speed: m/s along the shortest way; None when there is no time or no way between.
        path: the shortest way as (lon, lat), for drawing.
        known: True when the time fits a walk along the shortest way and both visits are likely
            right together (``SURE``); False marks a gap in which the person's whereabouts are
            unknown: never draw it as fact.
        chance: 0..1, that both visits are right: the product of their confidences.
        unrecorded: ids of the cameras on the way that did not record meanwhile.
    """

    origin: str
    target: str
    distance_m: float
    seconds: float
    speed: float | None
    path: tuple[tuple[float, float], ...]
    known: bool
    chance: float = 1.0
    unrecorded: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The figures in words, such as "410 m in 320 s = 1.3 m/s"."""
        away = (
            f"; not recording on the way: {', '.join(self.unrecorded)}" if self.unrecorded else ""
        )
        if self.origin == self.target:
            return f"seen again at {self.origin} after {self.seconds:.0f} s{away}"
        pace = "" if self.speed is None else f" = {self.speed:.1f} m/s"
        gap = "" if self.known else "; the way between is unknown"
        return f"{self.distance_m:.0f} m in {self.seconds:.0f} s{pace}{gap}{away}"

    def as_dict(self) -> dict[str, Any]:
        """The leg as JSON; a distance that is not finite is None."""
        return {
            "origin": self.origin,
            "target": self.target,
            "distance_m": round(self.distance_m, 1) if isfinite(self.distance_m) else None,
            "seconds": round(self.seconds, 1),
            "speed": None if self.speed is None else round(self.speed, 2),
            "known": self.known,
            "chance": round(self.chance, 4),
            "reason": self.reason,
            "unrecorded": list(self.unrecorded),
            "path": [list(place) for place in self.path],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Trajectory:
    """Visits in order of time and the legs between them; alternatives are further paths.

    Attributes:
        visits: in order of time; empty when nobody in the scope is likely the person.
        legs: ``legs[i]`` leads from ``visits[i]`` to ``visits[i + 1]``.
        scope: where and when was searched.
        alternatives: other paths, best first, without alternatives of their own.
        recorded: camera -> the part of the window that it recorded, see
            :mod:`passerby.city.recorded`.
    """

    visits: tuple[Visit, ...]
    legs: tuple[Leg, ...]
    scope: Scope
    alternatives: tuple["Trajectory", ...] = ()
    recorded: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """All sightings on the path, by visit."""
        return tuple(one for visit in self.visits for one in visit.sightings)

    def as_dict(self) -> dict[str, Any]:
        """The trajectory as JSON."""
        paths = [
            {
                "visits": [visit.as_dict() for visit in path.visits],
                "legs": [leg.as_dict() for leg in path.legs],
            }
            for path in (self, *self.alternatives)
        ]
        return {
            "scope": self.scope.as_dict(),
            "recorded": dict(self.recorded),
            **paths[0],
            "alternatives": paths[1:],
        }

    def to_geojson(self) -> dict[str, Any]:
        """A Point for each visit and a LineString for each leg, with times and ``known``."""
        features = []
        for order, visit in enumerate(self.visits, start=1):
            facts = {**visit.as_dict(), "sightings": len(visit.sightings), "order": order}
            features.append(geojson.feature(facts, "Point", list(visit.place)))
        for leg in self.legs:
            facts = leg.as_dict()
            path = facts.pop("path")
            features.append(geojson.feature(facts, "LineString", path))
        return geojson.collection(features)

    def to_gpx(self) -> str:
        """A GPX 1.1 file: a waypoint for each visit, and a route through all of them."""
        root = ElementTree.Element("gpx", version="1.1", creator="passerby", xmlns=GPX)
        route = ElementTree.Element("rte")
        for parent, tag in ((root, "wpt"), (route, "rtept")):
            for visit in self.visits:
                lon, lat = visit.place
                point = ElementTree.SubElement(parent, tag, lat=f"{lat:.7f}", lon=f"{lon:.7f}")
                ElementTree.SubElement(point, "time").text = format_time(visit.arrive)
                ElementTree.SubElement(point, "name").text = visit.camera
                ElementTree.SubElement(
                    point, "desc"
                ).text = f"until {format_time(visit.leave)}, confidence {visit.confidence:.2f}"
        root.append(route)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def trajectory_of(
    city: City, scope: Scope, tracks: list[Track], chances: FloatArray64
) -> Trajectory:
    """Visits and legs of the tracks of a path, in order of time."""
    visits: list[Visit] = []
    for track, chance in zip(tracks, chances, strict=True):
        last = visits[-1] if visits else None
        if last and last.camera == track.camera and track.arrive - last.leave <= SAME_VISIT_MS:
            visits[-1] = replace(
                last,
                leave=max(last.leave, track.leave),
                confidence=max(last.confidence, float(chance)),
                sightings=last.sightings + track.sightings,
            )
            continue
        camera = city.camera(track.camera, track.arrive)
        visits.append(
            Visit(
                camera=camera.id,
                unit=camera.unit,
                place=camera.place,
                arrive=track.arrive,
                leave=track.leave,
                confidence=float(chance),
                sightings=track.sightings,
            )
        )
    recordings = recorded(city, scope)
    legs = tuple(leg_between(city, a, b, recordings) for a, b in pairwise(visits))
    shares = {name: one.share for name, one in recordings.items()}
    return Trajectory(visits=tuple(visits), legs=legs, scope=scope, recorded=shares)


def leg_between(
    city: City, a: Visit, b: Visit, recordings: Mapping[str, Recording] | None = None
) -> Leg:
    """The leg from one visit to the next; with recordings, it says which cameras were away."""
    start, end = city.camera(a.camera, a.leave), city.camera(b.camera, b.arrive)
    distance = city.streets.distance(start, end)
    seconds = (b.arrive - a.leave) / 1000.0
    walk = distance / SLOWEST
    reachable = distance < float("inf")
    path = tuple(city.streets.path(start, end))
    chance = a.confidence * b.confidence
    return Leg(
        origin=start.id,
        target=end.id,
        distance_m=distance,
        seconds=seconds,
        speed=distance / seconds if seconds > 0 and reachable and start != end else None,
        path=path,
        known=reachable and seconds <= walk + LONGEST_STOP_S and chance >= SURE,
        unrecorded=_unrecorded(city, a, b, path, recordings or {}),
        chance=chance,
    )


def _unrecorded(
    city: City,
    a: Visit,
    b: Visit,
    path: tuple[tuple[float, float], ...],
    recordings: Mapping[str, Recording],
) -> tuple[str, ...]:
    """The cameras that see the way between two visits and recorded nothing of that time."""
    away = [
        name
        for name, one in recordings.items()
        if name not in (a.camera, b.camera) and one.during(a.leave, b.arrive) is False
    ]
    views = [city.camera(name, a.leave) for name in away]
    far = metres_to_path([view.place for view in views], path)
    return tuple(view.id for view, metres in zip(views, far, strict=True) if metres <= view.range)
