"""The street map as a planar walking graph, with names, and shortest walks on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np
import shapely
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components, dijkstra

from passerby.simulate import data_file
from passerby.simulate.geometry import lengths_along
from passerby.simulate.layout import Layout

SHORT = 13.0  # metres: nodes nearer than this along a street become one crossing
DANGLE = 45.0  # metres: dead ends shorter than this are dropped
STRAIGHT_ON = 35.0  # degrees: a street keeps its name through a crossing up to this turn
RANK = {"primary": 0, "secondary": 1, "alley": 2, "path": 3}
NAMES = data_file("names")  # in English and Chinese


@dataclass(frozen=True, kw_only=True)
class StreetMap:
    """A walking graph: V nodes, E edges with their course, kind and name.

    Attributes:
        nodes: (V, 2) metres east, north.
        ends: (E, 2) node indices of each edge.
        courses: E polylines (P, 2) in metres from the first to the second node of the edge.
        kinds: E of "primary", "secondary", "alley", "path".
        names: E names, English and Chinese.
    """

    nodes: np.ndarray
    ends: np.ndarray
    courses: list[np.ndarray]
    kinds: list[str]
    names: list[tuple[str, str]]

    @cached_property
    def lengths(self) -> np.ndarray:
        """(E,) metres."""
        return np.array([lengths_along(course)[-1] for course in self.courses])

    @cached_property
    def _walks(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances (V, V) in metres and predecessors (V, V) of the shortest walks."""
        size = (len(self.nodes),) * 2
        graph = coo_matrix((self.lengths, self.ends.T), shape=size).tocsr()
        distances, before = dijkstra(graph, directed=False, return_predecessors=True)
        return distances, before

    @property
    def distances(self) -> np.ndarray:
        """(V, V) metres of the shortest walk between any two nodes."""
        return self._walks[0]

    @cached_property
    def edge_between(self) -> dict[tuple[int, int], int]:
        """Index of the edge between each two neighbouring nodes."""
        pairs = {}
        for edge, (a, b) in enumerate(self.ends.tolist()):
            pairs[a, b] = pairs[b, a] = edge
        return pairs

    def node_path(self, start: int, end: int) -> list[int]:
        """Node indices of the shortest walk from ``start`` to ``end``, both included."""
        row = self._walks[1][start]
        path = [end]
        while path[-1] != start:
            path.append(int(row[path[-1]]))
        return path[::-1]

    def course_between(self, a: int, b: int) -> np.ndarray:
        """The polyline of the edge between two neighbouring nodes, from ``a`` to ``b``."""
        edge = self.edge_between[a, b]
        course = self.courses[edge]
        return course if self.ends[edge, 0] == a else course[::-1]


def build_streets(layout: Layout, rng: np.random.Generator) -> StreetMap:
    """Node the lines of a plan, clean the crossings, and give every street its name.

    Args:
        layout: the plan; its lines may cross anywhere.
        rng: draws the names.
    """
    lines = layout.lines
    nodes, ends, courses = _contracted(_noded(lines))
    keep = _sound_edges(len(nodes), ends, courses)
    ends, courses = ends[keep], [courses[i] for i in keep]
    used, index = np.unique(ends, return_inverse=True)
    nodes, ends = nodes[used], np.reshape(index, (-1, 2))
    kinds = _kinds(courses, lines)
    nodes = shapely.get_coordinates(layout.warp(shapely.points(nodes)))
    courses = [shapely.get_coordinates(layout.warp(shapely.LineString(c))) for c in courses]
    for course, (a, b) in zip(courses, ends, strict=True):
        course[[0, -1]] = nodes[[a, b]]  # to the last bit, as ends must meet exactly
    names = _names(nodes, ends, courses, kinds, rng)
    return StreetMap(nodes=nodes, ends=ends, courses=courses, kinds=kinds, names=names)


def _noded(lines: list[tuple[shapely.LineString, str]]) -> list[np.ndarray]:
    union = shapely.unary_union([line for line, _ in lines], grid_size=0.01)
    merged = shapely.line_merge(union)
    return [np.array(part.coords) for part in shapely.get_parts(merged)]


def _contracted(courses: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Number the end points as nodes and make one node of those a short street apart."""
    points = np.array([p for course in courses for p in (course[0], course[-1])])
    points, index = np.unique(np.round(points, 2), axis=0, return_inverse=True)
    ends = index.reshape(-1, 2)
    short = np.array([lengths_along(course)[-1] < SHORT for course in courses])
    links = coo_matrix((np.ones(short.sum()), ends[short].T), shape=(len(points),) * 2)
    _, group = connected_components(links, directed=False)
    members = np.bincount(group)[:, None]
    nodes = np.stack([np.bincount(group, points[:, i]) for i in (0, 1)], axis=1) / members
    joined = group[ends]
    moved = []
    for course, (a, b) in zip(courses, joined, strict=True):
        moved.append(np.concatenate([nodes[a : a + 1], course[1:-1], nodes[b : b + 1]]))
    return nodes, joined, moved


def _sound_edges(nodes: int, ends: np.ndarray, courses: list[np.ndarray]) -> np.ndarray:
    """Edges to keep: no loops, no doubles, no short dead ends, all in one connected graph."""
    lengths = np.array([lengths_along(course)[-1] for course in courses])
    shortest: dict[tuple[int, int], int] = {}
    for edge in np.argsort(lengths, kind="stable"):
        a, b = sorted(ends[edge].tolist())
        if a != b:
            shortest.setdefault((a, b), int(edge))
    keep = np.array(sorted(shortest.values()))
    while True:
        degree = np.bincount(ends[keep].ravel(), minlength=nodes)
        dead = (degree[ends[keep]].min(1) == 1) & (lengths[keep] < DANGLE)
        if not dead.any():
            break
        keep = keep[~dead]
    graph = coo_matrix((np.ones(len(keep)), ends[keep].T), shape=(nodes, nodes))
    part = connected_components(graph, directed=False)[1][ends[keep, 0]]
    return np.asarray(keep[part == np.bincount(part).argmax()])


def _kinds(courses: list[np.ndarray], lines: list[tuple[shapely.LineString, str]]) -> list[str]:
    """The kind of the line under each edge; the larger street where two coincide."""
    middles = [shapely.LineString(c).interpolate(0.5, normalized=True) for c in courses]
    tree = shapely.STRtree([line for line, _ in lines])
    kinds = []
    for middle in middles:
        near = tree.query(middle, predicate="dwithin", distance=2.0)
        if len(near) == 0:
            near = tree.query_nearest(middle)
        kinds.append(min((lines[i][1] for i in near), key=RANK.__getitem__))
    return kinds


def _names(
    nodes: np.ndarray,
    ends: np.ndarray,
    courses: list[np.ndarray],
    kinds: list[str],
    rng: np.random.Generator,
) -> list[tuple[str, str]]:
    """One name for each stroke: edges of one kind that go straight on through a crossing.

    Thomson and Richardson, *The good continuation principle of perceptual organization applied to
    the generalization of road networks*, 1999.
    """
    pairs = []
    for node in range(len(nodes)):
        pairs += _straight_on(node, ends, courses, kinds)
    links = coo_matrix(
        (np.ones(len(pairs)), np.array(pairs, dtype=np.int64).reshape(-1, 2).T),
        shape=(len(ends), len(ends)),
    )
    _, stroke = connected_components(links, directed=False)
    kind_of = {int(s): kinds[i] for i, s in enumerate(stroke)}
    names = _street_names([kind_of[s] for s in sorted(kind_of)], rng)
    return [names[s] for s in stroke]


def _straight_on(
    node: int, ends: np.ndarray, courses: list[np.ndarray], kinds: list[str]
) -> list[tuple[int, int]]:
    """Pairs of edges at a node that continue each other, best pairs first, each edge once."""
    edges, ways = [], []
    for edge in np.flatnonzero((ends == node).any(1)):
        course = courses[edge] if ends[edge, 0] == node else courses[edge][::-1]
        way = course[1] - course[0]
        edges.append(int(edge))
        ways.append(np.degrees(np.arctan2(way[1], way[0])))
    options = []
    for i, first in enumerate(edges):
        for j in range(i):
            turn = abs((ways[i] - ways[j]) % 360.0 - 180.0)
            if kinds[first] == kinds[edges[j]] and turn < STRAIGHT_ON:
                options.append((turn, first, edges[j]))
    pairs, used = [], set()
    for _, a, b in sorted(options):
        if a not in used and b not in used:
            pairs.append((a, b))
            used |= {a, b}
    return pairs


def _street_names(kinds: list[str], rng: np.random.Generator) -> list[tuple[str, str]]:
    """One name for each street, in English and Chinese, no name twice.

    Args:
        kinds: the kind of each street.
        rng: draws the order of the names.
    """
    streams = {kind: _endless(_shuffled_roots(rng), kind) for kind in sorted(set(kinds))}
    taken: set[str] = set()
    names = []
    for kind in kinds:
        name = next(n for n in streams[kind] if n[0] not in taken)
        taken.add(name[0])
        names.append(name)
    return names


def _shuffled_roots(rng: np.random.Generator) -> list[tuple[str, str]]:
    roots = NAMES["roots"]
    return [(roots[i][0], roots[i][1]) for i in rng.permutation(len(roots))]


def _endless(roots: list[tuple[str, str]], kind: str) -> Iterator[tuple[str, str]]:
    """Every root with the first ending of the kind, then with the second, then numbered."""
    endings = NAMES["endings"][kind]
    for english, chinese in endings:
        for root in roots:
            yield f"{root[0]} {english}", f"{root[1]}{chinese}"
    for number in count(2):
        for root in roots:
            yield f"{root[0]} {endings[0][0]} {number}", f"{root[1]}{number}号{endings[0][1]}"


def community_names(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Names for sub-districts and communities, numbered when they run out."""
    roots = _shuffled_roots(rng)
    yield from roots
    for turn in count(2):
        for english, chinese in roots:
            yield f"{english} {turn}", f"{chinese}{turn}"
