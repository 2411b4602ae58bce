"""A city: units, cameras, sightings in a durable gallery, scoped search, trajectories."""

from passerby.city.cameras import Camera
from passerby.city.city import City
from passerby.city.gallery import Gallery, open_gallery
from passerby.city.networks import SecondStage
from passerby.city.report import Leg, Trajectory, Visit
from passerby.city.search import Found, Match, find
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import StreetGraph
from passerby.city.trajectory import TraceOptions, reorder, trace
from passerby.city.units import Unit, UnitTree
from passerby.metrics import Calibration

__all__ = [
    "Calibration",
    "Camera",
    "City",
    "Found",
    "Gallery",
    "Leg",
    "Match",
    "Scope",
    "SecondStage",
    "Sighting",
    "StreetGraph",
    "TraceOptions",
    "Trajectory",
    "Unit",
    "UnitTree",
    "Visit",
    "find",
    "open_gallery",
    "reorder",
    "trace",
]
