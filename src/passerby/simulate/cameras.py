"""Cameras on poles: their projection and their places.

They stand at busy crossings and street sides, spread over the districts.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import shapely

from passerby.errors import InputError
from passerby.simulate.geometry import bearing, cut, direction, to_degrees, to_metres
from passerby.simulate.options import Difficulty
from passerby.simulate.sensor import Sensor, sample_sensor
from passerby.simulate.streets import StreetMap
from passerby.simulate.units import Unit

SETBACK = 5.5  # metres from the street's axis to the pole
HEAD = 1.9  # metres: heads up to this height stay in the picture at full range
TALL_ENOUGH = 50.0  # pixels: a detector finds no smaller people
TRIPS = 2_000  # sampled walks that tell busy streets from quiet ones


@dataclass(frozen=True, kw_only=True)
class CityCamera:
    """A camera on a pole: a pinhole that looks down onto the street.

    Attributes:
        id: such as "C07".
        place: (2,) metres east, north.
        heading: degrees clockwise from north.
        range: metres along the ground up to which people are detected.
        sensor: height, tilt, focal length, frame, and what the electronics do to the picture.
        unit: code of the grid cell it stands in.
    """

    number: int
    id: str
    place: np.ndarray
    heading: float
    range: float
    sensor: Sensor
    unit: str
    name: str
    name_zh: str

    @property
    def height(self) -> float:
        """Metres above the ground."""
        return self.sensor.height

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.sensor.frame

    @property
    def field_of_view(self) -> float:
        """Horizontal, degrees."""
        return float(2 * np.degrees(np.arctan2(self.frame[0] / 2, self.sensor.focal)))

    @property
    def near(self) -> float:
        """Metres along the ground at which feet leave the lower edge of the picture."""
        lower = self.sensor.tilt + np.arctan2(self.frame[1] / 2, self.sensor.focal)
        return float(self.height / np.tan(min(lower, np.radians(80.0))))

    def project(self, places: np.ndarray, heights: np.ndarray | float = 0.0) -> np.ndarray:
        """Places (..., 2) in metres and heights above ground -> (..., 2) pixels x, y."""
        offset = np.asarray(places) - self.place
        ahead = (offset * direction(self.heading)).sum(-1)
        right = (offset * direction(self.heading + 90.0)).sum(-1)
        down = self.height - np.asarray(heights, dtype=np.float64)
        sine, cosine = np.sin(self.sensor.tilt), np.cos(self.sensor.tilt)
        depth = np.maximum(ahead * cosine + down * sine, 0.1)
        below = down * cosine - ahead * sine
        x = self.frame[0] / 2 + self.sensor.focal * right / depth
        return np.stack([x, self.frame[1] / 2 + self.sensor.focal * below / depth], axis=-1)


@dataclass(frozen=True, kw_only=True)
class _Spot:
    """A place on a street and the course a camera there would look along.

    Attributes:
        course: polyline from the spot, watched from its start.
        flow: how busy it is, see ``_edge_flow``.
        toward: whether the camera stands down the street and looks back at the spot.
    """

    at: np.ndarray
    course: np.ndarray
    flow: float
    name: tuple[str, str]
    toward: bool


def place_cameras(
    streets: StreetMap,
    units: list[Unit],
    *,
    count: int,
    rng: np.random.Generator,
    difficulty: Difficulty,
) -> list[CityCamera]:
    """Choose ``count`` spots one after the other: busy, far from the chosen, every district once.

    Raises:
        InputError: when the city has fewer spots than cameras are asked for.
    """
    spots = _spots(streets, rng)
    if count > len(spots):
        raise InputError(
            f"{count} cameras do not fit into a city with {len(spots)} crossings and street sides; "
            "ask for fewer cameras or a larger extent"
        )
    places = np.array([spot.at for spot in spots])
    districts = [u for u in units if u.level == "district"]
    district = _within(places, [u.polygon.buffer(1e-5) for u in districts])
    chosen = _choose(places, np.array([spot.flow for spot in spots]), district, count)
    cells = [u for u in units if u.level == "cell"]
    order = sorted(chosen, key=lambda i: (int(district[i]), -places[i][1]))
    digits = max(2, len(str(count)))
    return [
        _mounted(spots[spot], cells, rng, difficulty, number=n, name=f"C{n:0{digits}d}")
        for n, spot in enumerate(order, 1)
    ]


def _edge_flow(streets: StreetMap, rng: np.random.Generator) -> np.ndarray:
    """(E,) share of sampled shortest walks that use each edge."""
    flow = np.zeros(len(streets.ends))
    for start, end in rng.integers(len(streets.nodes), size=(TRIPS, 2)).tolist():
        path = streets.node_path(start, end)
        for a, b in pairwise(path):
            flow[streets.edge_between[a, b]] += 1 / TRIPS
    return flow


def _spots(streets: StreetMap, rng: np.random.Generator) -> list[_Spot]:
    flow = _edge_flow(streets, rng)
    spots = []
    for node in range(len(streets.nodes)):
        edges = np.flatnonzero((streets.ends == node).any(1))
        if len(edges) >= 3:
            spots.append(_crossing(streets, node, edges, flow, toward=bool(rng.random() < 0.5)))
    for edge in np.flatnonzero(streets.lengths > 70.0).tolist():
        spots.append(_street_side(streets, edge, flow, back=bool(rng.random() < 0.5)))
    return spots


def _crossing(
    streets: StreetMap, node: int, edges: np.ndarray, flow: np.ndarray, *, toward: bool
) -> _Spot:
    """At a crossing, along its busiest street or, from down that street, toward the crossing."""
    busiest = int(edges[np.argmax(flow[edges])])
    other = next((e for e in edges if streets.names[e] != streets.names[busiest]), busiest)
    course = streets.courses[busiest]
    (a, a_zh), (b, b_zh) = streets.names[busiest], streets.names[other]
    return _Spot(
        at=streets.nodes[node],
        course=course if streets.ends[busiest, 0] == node else course[::-1],
        flow=float(flow[edges].sum() / 2 if toward else flow[busiest]),
        name=(f"{a} / {b}", f"{a_zh}与{b_zh}路口"),
        toward=toward,
    )


def _street_side(streets: StreetMap, edge: int, flow: np.ndarray, *, back: bool) -> _Spot:
    """Half-way along a street."""
    length = float(streets.lengths[edge])
    course = cut(streets.courses[edge], length / 2, 0.0 if back else length)
    name, name_zh = streets.names[edge]
    return _Spot(
        at=course[0],
        course=course,
        flow=0.8 * float(flow[edge]),
        name=(f"{name}, mid-block", f"{name_zh}中段"),
        toward=False,
    )


def _choose(places: np.ndarray, flow: np.ndarray, district: np.ndarray, count: int) -> list[int]:
    """Greedy: flow, damped near chosen spots; districts without a camera come first."""
    spacing = 0.6 * np.sqrt(np.prod(np.ptp(places, axis=0)) / count)
    distance = np.full(len(places), np.inf)
    chosen: list[int] = []
    waiting = set(district.tolist())
    while len(chosen) < count:
        score = (flow + 1e-4) * (1 - np.exp(-((distance / spacing) ** 2)))
        score[chosen] = -1.0
        if waiting:
            score = np.where(np.isin(district, list(waiting)), score, -1.0)
        best = int(np.argmax(score))
        chosen.append(best)
        waiting.discard(int(district[best]))
        distance = np.minimum(distance, np.hypot(*(places - places[best]).T))
    return chosen


def _within(places: np.ndarray, polygons: list[shapely.Polygon]) -> np.ndarray:
    """Index of the first polygon that holds each place; -1 where none does."""
    tree = shapely.STRtree(polygons)
    point, owner = tree.query(shapely.points(to_degrees(places)), predicate="within")
    found = np.full(len(places), len(polygons))
    np.minimum.at(found, point, owner)
    return np.where(found == len(polygons), -1, found)


def _mounted(
    spot: _Spot,
    cells: list[Unit],
    rng: np.random.Generator,
    difficulty: Difficulty,
    *,
    number: int,
    name: str,
) -> CityCamera:
    """Put a pole at the street's side where a grid cell holds it, and turn the camera."""
    length = float(np.hypot(*np.diff(spot.course, axis=0).T).sum())
    height, reach = round(float(rng.uniform(2.8, 6.0)), 2), float(rng.uniform(6.0, 14.0))
    sensor = _framed(sample_sensor(rng, height=height, reach=reach, difficulty=difficulty))
    ahead = cut(spot.course, 0.0, min(1.2 * reach, length))[-1]
    foot, target = (ahead, spot.at) if spot.toward else (spot.at, ahead)
    way = (target - foot) / max(np.hypot(*(target - foot)), 1e-6)
    right = np.array([way[1], -way[0]])
    sides = np.array([1.0, -1.0]) * rng.choice([-1.0, 1.0])
    shifts = [(back, side) for back in (0.0, 3.0, 8.0) for side in sides]
    options = np.array([foot + right * side * SETBACK + way * back for back, side in shifts])
    cell = _within(options, [u.polygon for u in cells])
    index = int(np.argmax(cell >= 0))
    place = to_metres(to_degrees(options[index]))  # as files will have it
    return CityCamera(
        number=number,
        id=name,
        place=place,
        heading=round(float(bearing(target - place) + rng.normal(0, 5.0)) % 360.0, 1),
        range=round(_range(sensor, reach), 1),
        sensor=sensor,
        unit=cells[int(cell[index])].code,
        name=spot.name[0],
        name_zh=spot.name[1],
    )


def _framed(sensor: Sensor) -> Sensor:
    """The sensor with the frame size whose field of view is nearest to 65 degrees."""
    frames = ((640, 360), (960, 540), (1280, 720), (1920, 1080))
    best = min(frames, key=lambda f: abs(np.arctan(f[0] / 2 / sensor.focal) - np.radians(32.5)))
    return replace(sensor, frame=best)


def _range(sensor: Sensor, reach: float) -> float:
    """Twice the usual distance, while heads stay in the frame and people are tall enough."""
    upper = sensor.tilt - np.arctan2(sensor.frame[1] / 2, sensor.focal)
    heads = (sensor.height - HEAD) / np.tan(upper) if upper > 0 else np.inf
    return float(np.clip(min(2.1 * reach, heads, sensor.focal * 1.7 / TALL_ENOUGH), 8.0, 30.0))
