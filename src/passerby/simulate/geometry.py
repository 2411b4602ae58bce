"""Plane geometry of the simulated city: a local frame in metres, polylines, directions.

Inside the simulation every place is (east, north) in metres around the city's centre; files carry
WGS 84 longitude and latitude.
"""

import numpy as np

EARTH_RADIUS = 6_371_008.8  # mean radius of WGS 84 in metres
DECIMALS = 7  # of a degree: about 1 cm, the accuracy RFC 7946 recommends not to exceed by much


# the city's centre lies in the open South China Sea: the city is invented
CENTRE = np.array([113.3, 20.5])  # longitude and latitude
# (2,) metres for one degree of longitude and of latitude in an equirectangular frame around the
# centre: exact enough (< 1 mm) over a few kilometres
METRES_PER_DEGREE = (np.pi / 180 * EARTH_RADIUS) * np.array([np.cos(np.radians(CENTRE[1])), 1.0])


def to_degrees(metres: np.ndarray) -> np.ndarray:
    """(..., 2) metres east, north -> (..., 2) lon, lat, rounded to 7 decimals."""
    degrees = np.asarray(metres, dtype=np.float64) / METRES_PER_DEGREE + CENTRE
    return np.asarray(np.round(degrees, DECIMALS))


def to_metres(degrees: np.ndarray) -> np.ndarray:
    """(..., 2) lon, lat -> (..., 2) metres east, north."""
    return np.asarray((np.asarray(degrees, dtype=np.float64) - CENTRE) * METRES_PER_DEGREE)


def lengths_along(points: np.ndarray) -> np.ndarray:
    """(P, 2) polyline -> (P,) metres from its start to each vertex."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])


def cut(points: np.ndarray, start: float, end: float) -> np.ndarray:
    """The part of a polyline between two distances in metres; reversed if start > end."""
    if start > end:
        return cut(points, end, start)[::-1]
    along = lengths_along(points)
    inside = (along > start) & (along < end)
    ends = [[np.interp(s, along, points[:, axis]) for axis in (0, 1)] for s in (start, end)]
    return np.concatenate([ends[:1], points[inside], ends[1:]])


def offset_polyline(points: np.ndarray, distance: float) -> np.ndarray:
    """Shift a polyline (P, 2) to its right by ``distance`` metres (left when negative).

    Corners are mitred; the mitre is kept below 1.8 times the distance, so sharp turns stay near.
    """
    steps = np.diff(points, axis=0)
    steps = steps / np.maximum(np.hypot(*steps.T), 1e-9)[:, None]
    before = np.concatenate([steps[:1], steps])
    after = np.concatenate([steps, steps[-1:]])
    middle = before + after
    middle = middle / np.maximum(np.hypot(*middle.T), 0.2)[:, None]
    cosine = np.maximum((middle * after).sum(1), 1 / 1.8)
    right = np.stack([middle[:, 1], -middle[:, 0]], axis=1)
    return np.asarray(points + right * (distance / cosine)[:, None])


def bearing(vector: np.ndarray) -> np.ndarray:
    """(..., 2) east, north -> degrees clockwise from north in 0..360."""
    return np.asarray(np.degrees(np.arctan2(vector[..., 0], vector[..., 1])) % 360.0)


def direction(degrees: np.ndarray | float) -> np.ndarray:
    """Degrees clockwise from north -> (..., 2) unit vector east, north."""
    radians = np.radians(degrees)
    return np.stack([np.sin(radians), np.cos(radians)], axis=-1)
