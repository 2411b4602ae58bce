"""Units of the city at five levels: city, district, street, area, grid cell.

Districts, streets (sub-districts) and areas are groups of whole street blocks, so that their
borders follow streets; cells are squares of a longitude-latitude grid cut to their area. Every
level tiles the one above exactly: all polygons are built from the same noded faces, on a grid of
1e-7 degrees, and share their vertices bit by bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import shapely
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra
from shapely import Polygon
from shapely.geometry.polygon import orient

from passerby.simulate.geometry import METRES_PER_DEGREE, to_degrees
from passerby.simulate.streets import NAMES, StreetMap, community_names

LEVELS = ("city", "district", "street", "area", "cell")
CELL = 90.0  # metres, side of a grid cell
STREET_AREA, AREA_AREA = 0.24e6, 0.075e6  # square metres of a usual sub-district and area
MOST = 99  # children of a unit, as two digits number them


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit; its code starts with its parent's code.

    Attributes:
        polygon: WGS 84 degrees, outer ring counter-clockwise.
    """

    code: str
    level: str
    name: str
    name_zh: str
    polygon: Polygon

    @property
    def parent(self) -> str | None:
        """Code of the unit above; None for the city."""
        return self.code[:-2] or None if len(self.code) > 2 else None


@dataclass
class _Blocks:
    """Street blocks and which of them share a street."""

    shapes: np.ndarray
    centres: np.ndarray
    areas: np.ndarray
    links: csr_matrix


def build_units(streets: StreetMap, river: Polygon, rng: np.random.Generator) -> list[Unit]:
    """Group the blocks into units and cut the grid; parents come before their children.

    Args:
        streets: the street map, in metres.
        river: blocks in it are joined to a bank late, so that districts end at the water.
        rng: draws the first seeds of the groups and the names.
    """
    blocks = _blocks(streets, river)
    groups = _area_groups(blocks, rng)
    areas = [area for district in groups for street in district for area in street]
    cells = iter(_cells([blocks.shapes[area] for area in areas]))
    return _named_tree([[len(street) for street in district] for district in groups], cells, rng)


def _blocks(streets: StreetMap, river: Polygon) -> _Blocks:
    lines = [shapely.LineString(course) for course in streets.courses]
    shapes = np.array(list(shapely.polygonize(lines).geoms))
    sides: dict[frozenset[tuple[float, float]], list[int]] = {}
    for index, shape in enumerate(shapes):
        ring = shapely.get_coordinates(shape).tolist()
        for a, b in pairwise(ring):
            sides.setdefault(frozenset([tuple(a), tuple(b)]), []).append(index)
    pairs = np.array([p for p in sides.values() if len(p) == 2 and p[0] != p[1]])
    centres = shapely.get_coordinates(shapely.centroid(shapes))
    wet = shapely.contains(river, shapely.point_on_surface(shapes))
    lengths = np.hypot(*(centres[pairs[:, 0]] - centres[pairs[:, 1]]).T)
    lengths = lengths * np.where(wet[pairs].any(1), 4.0, 1.0)
    first = np.unique(np.sort(pairs, axis=1), axis=0, return_index=True)[1]
    size = (len(shapes),) * 2
    links = coo_matrix((lengths[first], pairs[first].T), shape=size).tocsr()
    return _Blocks(shapes, centres, shapely.area(shapes), links)


def _partition(
    blocks: _Blocks, members: np.ndarray, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """The most even of a few splits of connected ``members`` into connected groups."""
    if count < 2:
        return [members]
    if len(members) <= count:
        return [members[i : i + 1] for i in range(len(members))]
    splits = [_grown(blocks, members, count, rng) for _ in range(8)]
    return max(splits, key=lambda groups: min(blocks.areas[g].sum() for g in groups))


def _grown(
    blocks: _Blocks, members: np.ndarray, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Split by seeds that grow over neighbouring blocks: Lloyd's algorithm on a graph.

    Each block goes to the seed nearest by the way through blocks; then seeds move to the middle of
    their group, a few times.
    """
    links = blocks.links[members][:, members]
    centres, areas = blocks.centres[members], blocks.areas[members]
    seeds = [int(rng.integers(len(members)))]
    while len(seeds) < count:
        nearest = dijkstra(links, directed=False, indices=seeds, min_only=True)
        seeds.append(int(np.argmax(np.where(np.isfinite(nearest), nearest, -1.0))))
    for _ in range(12):
        _, _, owner = dijkstra(
            links, directed=False, indices=seeds, min_only=True, return_predecessors=True
        )
        groups = [np.flatnonzero(owner == seed) for seed in seeds]
        moved = []
        for group in groups:
            middle = np.average(centres[group], axis=0, weights=areas[group])
            moved.append(int(group[np.argmin(np.hypot(*(centres[group] - middle).T))]))
        if moved == seeds:
            break
        seeds = moved
    return [members[group] for group in groups]


def _area_groups(blocks: _Blocks, rng: np.random.Generator) -> list[list[list[np.ndarray]]]:
    """Blocks of each area of each street of each district."""

    def split(members: np.ndarray, size: float) -> list[np.ndarray]:
        count = int(np.clip(round(blocks.areas[members].sum() / size), 2, MOST))
        return _partition(blocks, members, count, rng)

    total = blocks.areas.sum() / 1e6
    count = int(np.clip(round(2.5 * np.sqrt(total)), 2, len(NAMES["districts"])))
    districts = _partition(blocks, np.arange(len(blocks.shapes)), count, rng)
    return [
        [split(street, AREA_AREA) for street in split(district, STREET_AREA)]
        for district in districts
    ]


def _cells(areas: list[np.ndarray]) -> list[list[Polygon]]:
    """Cut every area by the grid; ``areas`` are arrays of blocks in metres.

    Returns:
        For each area its cells, in degrees, north to south and west to east.
    """
    shapes = [shapely.transform(shapely.coverage_union_all(a), to_degrees) for a in areas]
    step = CELL / METRES_PER_DEGREE
    bounds = shapely.total_bounds(shapes)
    lines = [shape.boundary for shape in shapes]
    for axis in (0, 1):
        first, last = np.floor(bounds[axis] / step[axis]), np.ceil(bounds[axis + 2] / step[axis])
        for at in np.arange(first, last + 1) * step[axis]:
            ends = np.array([bounds[:2], bounds[2:]])
            ends[:, axis] = at
            lines.append(shapely.LineString(ends))
    noded = shapely.unary_union(lines, grid_size=1e-7)
    faces = np.array(list(shapely.polygonize([noded]).geoms))
    inside = shapely.point_on_surface(faces)
    tree = shapely.STRtree(shapes)
    point, owner = tree.query(inside, predicate="within")
    smallest = 0.3 * float(np.prod(step))
    return [_merged(list(faces[point[owner == i]]), smallest) for i in range(len(shapes))]


def _merged(faces: list[Polygon], smallest: float) -> list[Polygon]:
    """Join pieces smaller than ``smallest`` to the neighbour they share most border with."""
    faces = sorted(faces, key=lambda f: f.area)
    while len(faces) > 1 and (faces[0].area < smallest or len(faces) > MOST):
        piece = faces.pop(0)
        borders = [piece.intersection(other).length for other in faces]
        index = int(np.argmax(borders))
        faces.append(shapely.coverage_union_all([piece, faces.pop(index)]))
        faces.sort(key=lambda f: f.area)
    step = np.sqrt(smallest / 0.3)
    return sorted(faces, key=lambda f: (-round(f.centroid.y / step), f.centroid.x))


def _named_tree(
    areas: list[list[int]], cells: Iterator[list[Polygon]], rng: np.random.Generator
) -> list[Unit]:
    """Codes and names from the top; polygons of parents as unions of their children.

    Args:
        areas: number of areas of each street of each district.
        cells: cells of each area.
        rng: draws the names.
    """
    names = community_names(rng)
    units = []
    for d, streets in enumerate(areas, 1):
        district = []
        for s, count in enumerate(streets, 1):
            code = f"99{d:02d}{s:02d}"
            own = [_area_units(f"{code}{a:02d}", next(cells), names) for a in range(1, count + 1)]
            english, chinese = next(names)
            polygons = [area[0].polygon for area in own]
            street = _unit(code, (f"{english} Subdistrict", f"{chinese}街道"), polygons)
            district += [street, *(unit for area in own for unit in area)]
        polygons = [u.polygon for u in district if u.level == "street"]
        units += [_unit(f"99{d:02d}", NAMES["districts"][d - 1], polygons), *district]
    polygons = [u.polygon for u in units if u.level == "district"]
    return [_unit("99", NAMES["city"], polygons), *units]


def _area_units(
    code: str, cells: list[Polygon], community: Iterator[tuple[str, str]]
) -> list[Unit]:
    english, chinese = next(community)
    area = _unit(code, (f"{english} Community", f"{chinese}社区"), cells)
    own = [
        _unit(f"{code}{c:02d}", (f"{english} {c:02d}", f"{chinese}{c:02d}格"), [cell])
        for c, cell in enumerate(cells, 1)
    ]
    return [area, *own]


def _unit(code: str, names: Sequence[str], polygons: list[Polygon]) -> Unit:
    """A unit with its English and Chinese name, the union of ``polygons``."""
    whole = polygons[0] if len(polygons) == 1 else shapely.coverage_union_all(polygons)
    return Unit(
        code=code,
        level=LEVELS[len(code) // 2 - 1],
        name=names[0],
        name_zh=names[1],
        polygon=orient(whole, 1.0),
    )
