"""A city: units, cameras, sightings in a durable gallery, scoped search, trajectories."""

from passerby.city.calibration import Calibration
from passerby.city.cameras import Camera
from passerby.city.city import City
from passerby.city.gallery import Gallery, open_gallery
from passerby.city.search import Found, Match, find
from passerby.city.sightings import Scope, Sighting
from passerby.city.streets import StreetGraph
from passerby.city.units import Unit, UnitTree

__all__ = [
    "Calibration",
    "Camera",
    "City",
    "Found",
    "Gallery",
    "Match",
    "Scope",
    "Sighting",
    "StreetGraph",
    "Unit",
    "UnitTree",
    "find",
    "open_gallery",
]
