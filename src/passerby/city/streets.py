"""The walking graph: shortest ways between cameras along the streets.

Every vertex of a street line is a node. Lines that share a coordinate meet there. A camera is tied
to the nearest point of the nearest street segment. Distances are great-circle metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city import geojson
from passerby.city.cameras import Camera
from passerby.city.geojson import EARTH_RADIUS, METRES_PER_DEGREE

Place = tuple[float, float]


def metres(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distance (haversine) between (..., 2) arrays of (lon, lat) degrees."""
    a, b = np.radians(a), np.radians(b)
    half = (b - a) / 2
    chord = (
        np.sin(half[..., 1]) ** 2
        + np.cos(a[..., 1]) * np.cos(b[..., 1]) * np.sin(half[..., 0]) ** 2
    )
    distance: NDArray[np.float64] = 2 * EARTH_RADIUS * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))
    return distance


def metres_to_path(places: Sequence[Place], path: Sequence[Place]) -> NDArray[np.float64]:
    """(N,) metres from N places to the nearest point of a path, each in a flat projection."""
    points = np.array(path, dtype=np.float64).reshape(-1, 2)
    out = np.full(len(places), np.inf)
    for row, place in enumerate(places):
        scale = np.array([np.cos(np.radians(place[1])), 1.0]) * METRES_PER_DEGREE
        flat = (points - np.array(place)) * scale
        step = np.diff(flat, axis=0) if len(flat) > 1 else np.zeros((1, 2))
        length = np.maximum((step**2).sum(axis=1), 1e-12)
        share = np.clip(-(flat[: len(step)] * step).sum(axis=1) / length, 0, 1)
        nearest = flat[: len(step)] + share[:, None] * step
        out[row] = np.sqrt((nearest**2).sum(axis=1)).min(initial=np.inf)
    return out


@dataclass(frozen=True, kw_only=True, slots=True)
class Street:
    """One street line as (lon, lat) points."""

    name: str
    name_zh: str
    kind: str
    line: tuple[Place, ...]

    def properties(self) -> dict[str, Any]:
        """Names and kind, for a map; also the street's columns in the catalogue."""
        return {"name": self.name, "name_zh": self.name_zh, "kind": self.kind}

    def to_geojson(self) -> dict[str, Any]:
        """The street as a GeoJSON feature, which :func:`streets_from_geojson` reads."""
        line = [list(place) for place in self.line]
        return geojson.feature(self.properties(), "LineString", line)


def streets_from_geojson(source: geojson.Source) -> list[Street]:
    """Read LineStrings (a MultiLineString becomes several streets)."""
    streets = []
    for position, feature in enumerate(geojson.features(source, "streets"), start=1):
        where = f"street {position}"
        shape = geojson.geometry(feature, ("LineString", "MultiLineString"), where)
        properties = feature.get("properties") or {}
        name = str(properties.get("name") or "")
        lines = [shape["coordinates"]] if shape["type"] == "LineString" else shape["coordinates"]
        streets += [
            Street(
                name=name,
                name_zh=str(properties.get("name_zh") or name),
                kind=str(properties.get("kind") or "street"),
                line=tuple(geojson.positions(line)),
            )
            for line in lines
        ]
    return streets


@dataclass(frozen=True, slots=True)
class _Tie:
    """Where a camera meets the graph: a point on the segment between two nodes."""

    ends: tuple[int, int]
    along: tuple[float, float]  # metres from the point to each end
    aside: float  # metres from the camera to the point
    point: Place


class StreetGraph:
    """Walking distances and ways between places along streets.

    Without streets the way is the straight line, which is a lower bound of every walk.
    """

    def __init__(self, streets: list[Street]) -> None:
        """Build the graph from street lines."""
        self.streets = streets
        index: dict[tuple[int, int], int] = {}
        places: list[Place] = []
        segments: set[tuple[int, int]] = set()
        for street in streets:
            previous = -1
            for place in street.line:
                key = (round(place[0] * 1e7), round(place[1] * 1e7))
                node = index.setdefault(key, len(places))
                if node == len(places):
                    places.append(place)
                if previous not in (-1, node):
                    segments.add((min(previous, node), max(previous, node)))
                previous = node
        self.nodes = np.array(places, dtype=np.float64).reshape(-1, 2)
        self.segments = np.array(sorted(segments), dtype=np.int64).reshape(-1, 2)
        self._lengths = metres(self.nodes[self.segments[:, 0]], self.nodes[self.segments[:, 1]])
        self._ties: dict[Place, _Tie] = {}
        self._trees: dict[Place, tuple[float, NDArray[np.float64], NDArray[np.int64]]] = {}

    @classmethod
    def from_geojson(cls, source: geojson.Source) -> "StreetGraph":
        """Read street lines and build the graph."""
        return cls(streets_from_geojson(source))

    def distance(self, a: Camera, b: Camera, *, limit: float = 20_000.0) -> float:
        """Walking metres between two cameras; infinity when it is more than ``limit``."""
        return float(self.distances([a, b], limit=limit)[0, 1])

    def distances(self, cameras: list[Camera], *, limit: float = 20_000.0) -> NDArray[np.float64]:
        """(N, N) walking metres between cameras, infinity beyond ``limit``."""
        places = np.array([camera.place for camera in cameras]).reshape(-1, 2)
        if len(self.segments) == 0:
            straight = metres(places[:, None], places[None, :])
            return np.where(straight <= limit, straight, np.inf)
        ties = [self._tie(camera.place) for camera in cameras]
        ends = np.array([tie.ends for tie in ties])
        along = np.array([tie.along for tie in ties])
        aside = np.array([tie.aside for tie in ties])
        out = np.zeros((len(cameras), len(cameras)))
        for row, (camera, tie) in enumerate(zip(cameras, ties, strict=True)):
            far = self._tree(camera.place, limit)[1]
            way = (far[ends] + along).min(axis=1)
            same = (ends == tie.ends).all(axis=1)
            way = np.where(same, np.abs(along[:, 0] - tie.along[0]), way)
            out[row] = way + aside + tie.aside
            out[row, (places == places[row]).all(axis=1)] = 0.0
        return np.where(out <= limit, out, np.inf)

    def path(self, a: Camera, b: Camera, *, limit: float = 20_000.0) -> list[Place]:
        """The shortest way as (lon, lat) points from camera to camera, for drawing.

        A way longer than ``limit`` is the straight line.
        """
        if len(self.segments) == 0 or not np.isfinite(self.distance(a, b, limit=limit)):
            return [a.place, b.place]
        start, end = self._tie(a.place), self._tie(b.place)
        _, far, before = self._tree(a.place, limit)
        metres_by_end = far[list(end.ends)] + end.along
        middle: list[Place] = []
        direct = abs(start.along[0] - end.along[0]) if start.ends == end.ends else np.inf
        if metres_by_end.min() < direct:
            node = end.ends[int(metres_by_end.argmin())]
            while node >= 0:
                middle.append((float(self.nodes[node, 0]), float(self.nodes[node, 1])))
                node = int(before[node])
        points = [a.place, start.point, *reversed(middle), end.point, b.place]
        return [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]

    def _tree(self, a: Place, limit: float) -> tuple[float, NDArray[np.float64], NDArray[np.int64]]:
        """The limit, metres from the tie point of ``a`` to every node, and predecessors; cached.

        A node has the predecessor -1 when the way to it begins at the tie point.
        """
        known = self._trees.get(a)
        if known is not None and known[0] >= limit:
            return known
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import dijkstra

        tie = self._tie(a)
        n = len(self.nodes)
        # the tie point is one more node; a zero weight would mean "no edge" to scipy
        rows = np.concatenate([self.segments[:, 0], [n, n]])
        columns = np.concatenate([self.segments[:, 1], tie.ends])
        weights = np.concatenate([self._lengths, np.maximum(tie.along, 1e-6)])
        graph = csr_matrix((weights, (rows, columns)), shape=(n + 1, n + 1))
        far, before = dijkstra(
            graph, directed=False, indices=np.array(n), limit=limit, return_predecessors=True
        )
        steps = np.where(before == n, -1, before).reshape(-1)[:n].astype(np.int64)
        self._trees[a] = (limit, far.reshape(-1)[:n], steps)
        return self._trees[a]

    def _tie(self, place: Place) -> _Tie:
        known = self._ties.get(place)
        if known is None:
            known = self._ties[place] = self._nearest(place)
        return known

    def _nearest(self, place: Place) -> _Tie:
        """The nearest point on any segment, in a local flat projection."""
        here = np.array(place)
        scale = np.array([np.cos(np.radians(here[1])), 1.0])
        first = (self.nodes[self.segments[:, 0]] - here) * scale
        second = (self.nodes[self.segments[:, 1]] - here) * scale
        step = second - first
        length = np.maximum((step**2).sum(axis=1), 1e-30)
        share = np.clip(-(first * step).sum(axis=1) / length, 0, 1)
        gaps = ((first + share[:, None] * step) ** 2).sum(axis=1)
        best = int(np.argmin(gaps))
        ends = (int(self.segments[best, 0]), int(self.segments[best, 1]))
        a, b = self.nodes[ends[0]], self.nodes[ends[1]]
        point = a + share[best] * (b - a)
        return _Tie(
            ends=ends,
            along=(float(metres(point, a)), float(metres(point, b))),
            aside=float(metres(here, point)),
            point=(float(point[0]), float(point[1])),
        )

    def to_geojson(self) -> dict[str, Any]:
        """All streets as a FeatureCollection."""
        return geojson.collection(street.to_geojson() for street in self.streets)
