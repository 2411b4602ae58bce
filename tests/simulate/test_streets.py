from itertools import pairwise

import numpy as np
import pytest
import shapely

from passerby.simulate.geometry import (
    bearing,
    cut,
    direction,
    offset_polyline,
    to_degrees,
    to_metres,
)
from passerby.simulate.layout import plan
from passerby.simulate.streets import build_streets
from passerby.simulate.world import World


def relaxed_distances(world: World, source: int) -> np.ndarray:
    """Bellman-Ford from one node, edge by edge."""
    streets = world.streets
    distance = np.full(len(streets.nodes), np.inf)
    distance[source] = 0.0
    for _ in range(len(streets.nodes)):
        before = distance.copy()
        for (a, b), length in zip(streets.ends, streets.lengths, strict=True):
            distance[b] = min(distance[b], distance[a] + length)
            distance[a] = min(distance[a], distance[b] + length)
        if np.array_equal(before, distance):
            break
    return distance


def test_streets_form_one_planar_graph(world: World) -> None:
    streets = world.streets
    lines = [shapely.LineString(course) for course in streets.courses]
    assert np.isfinite(streets.distances).all()
    assert all(line.is_simple for line in lines)
    for edge, (a, b) in enumerate(streets.ends):
        np.testing.assert_array_equal(streets.courses[edge][0], streets.nodes[a])
        np.testing.assert_array_equal(streets.courses[edge][-1], streets.nodes[b])
    tree = shapely.STRtree(lines)
    crossings = [pair for pair in tree.query(lines, predicate="crosses").T if pair[0] < pair[1]]
    assert crossings == []


def test_every_crossing_leads_on(world: World) -> None:
    degree = np.bincount(world.streets.ends.ravel())
    assert degree.min() >= 2
    assert (degree >= 3).mean() > 0.9


def test_walks_are_shortest(world: World) -> None:
    streets = world.streets
    expected = relaxed_distances(world, 5)
    np.testing.assert_allclose(streets.distances[5], expected, rtol=1e-9)
    far = int(np.argmax(expected))
    path = streets.node_path(5, far)
    assert (path[0], path[-1]) == (5, far)
    steps = [streets.lengths[streets.edge_between[a, b]] for a, b in pairwise(path)]
    assert sum(steps) == pytest.approx(expected[far])


def test_a_street_keeps_one_kind_and_names_differ(world: World) -> None:
    streets = world.streets
    assert set(streets.kinds) >= {"primary", "secondary", "alley"}
    kind_of: dict[str, str] = {}
    for (name, name_zh), kind in zip(streets.names, streets.kinds, strict=True):
        assert kind_of.setdefault(name, kind) == kind
        assert any("\u4e00" <= letter <= "\u9fff" for letter in name_zh)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("extent", [700.0, 1500.0])
def test_any_seed_gives_a_city(seed: int, extent: float) -> None:
    rng = np.random.default_rng(seed)
    layout = plan(extent, rng)
    streets = build_streets(layout, rng)
    assert np.ptp(streets.nodes, axis=0).max() == pytest.approx(extent, rel=0.25)
    assert np.bincount(streets.ends.ravel()).min() >= 2
    assert layout.river.area > 0 and layout.park.is_valid
    assert 40.0 < np.median(streets.lengths) < 140.0


def test_frame_goes_there_and_back() -> None:
    metres = np.array([[0.0, 0.0], [1234.5, -987.6]])
    np.testing.assert_allclose(to_metres(to_degrees(metres)), metres, atol=0.01)


def test_bearings_are_clockwise_from_north() -> None:
    np.testing.assert_allclose(
        bearing(np.array([[0, 1], [1, 0], [0, -1], [-1, 0.0]])), [0, 90, 180, 270]
    )
    np.testing.assert_allclose(direction(90.0), [1, 0], atol=1e-12)


def test_cut_and_offset() -> None:
    corner = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    np.testing.assert_allclose(cut(corner, 5.0, 15.0), [[5, 0], [10, 0], [10, 5]])
    np.testing.assert_allclose(cut(corner, 15.0, 5.0), [[10, 5], [10, 0], [5, 0]])
    np.testing.assert_allclose(offset_polyline(corner, 2.0), [[0, -2], [12, -2], [12, 10]])
    np.testing.assert_allclose(offset_polyline(corner, -2.0), [[0, 2], [8, 2], [8, 10]])
