from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.city import Camera, StreetGraph
from passerby.city.streets import Street, metres


def camera(name: str, lon: float, lat: float) -> Camera:
    return Camera(id=name, number=1, name=name, name_zh=name, unit="99", place=(lon, lat))


def street(*line: tuple[float, float]) -> Street:
    return Street(name="", name_zh="", kind="street", line=line)


@pytest.fixture(scope="module")
def grid(map_files: dict[str, Any]) -> StreetGraph:
    return StreetGraph.from_geojson(map_files["streets"])


def test_one_degree_of_latitude() -> None:
    assert metres(np.array([0.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(111_195, rel=1e-4)


def test_city_blocks(grid: StreetGraph) -> None:
    a, b = camera("a", 0.001, 0.001), camera("b", 0.007, 0.005)
    assert grid.distance(a, b) == pytest.approx(0.010 * 111_195, rel=1e-3)
    assert grid.distance(b, a) == pytest.approx(grid.distance(a, b))
    assert grid.distance(a, a) == 0
    path = grid.path(a, b)
    assert path[0] == a.place
    assert path[-1] == b.place
    legs = metres(np.array(path[:-1]), np.array(path[1:]))
    assert legs.sum() == pytest.approx(grid.distance(a, b))


def test_a_camera_between_two_corners(grid: StreetGraph) -> None:
    a, b = camera("a", 0.0013, 0.0012), camera("b", 0.0024, 0.0010)
    # 0.0002 degrees to the street, then 0.0011 along it
    assert grid.distance(a, b) == pytest.approx(0.0013 * 111_195, rel=1e-3)


def test_the_cut_off_and_islands(grid: StreetGraph) -> None:
    a, b = camera("a", 0.001, 0.001), camera("b", 0.007, 0.007)
    assert grid.distance(a, b, limit=500) == np.inf
    assert grid.path(a, b, limit=500) == [a.place, b.place]
    islands = StreetGraph([street((0, 0), (0.001, 0)), street((0.01, 0), (0.011, 0))])
    assert islands.distance(camera("a", 0, 0), camera("b", 0.011, 0)) == np.inf


def test_without_streets_the_straight_line_counts() -> None:
    a, b = camera("a", 0, 0), camera("b", 0.003, 0.004)
    bare = StreetGraph([])
    assert bare.distance(a, b) == pytest.approx(0.005 * 111_195, rel=1e-3)
    assert bare.path(a, b) == [a.place, b.place]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_distances_equal_networkx(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.02, (12, 2))
    pairs = {tuple(sorted(pair)) for pair in rng.integers(0, 12, (20, 2)) if pair[0] != pair[1]}
    graph = StreetGraph([street(*(tuple(corners[i]) for i in pair)) for pair in pairs])
    oracle = networkx.Graph()
    for i, j in pairs:
        oracle.add_edge(i, j, weight=float(metres(corners[i], corners[j])))
    nodes = sorted(oracle.nodes)
    cameras = [camera(str(i), *corners[i]) for i in nodes]
    got = graph.distances(cameras)
    for row, i in enumerate(nodes):
        lengths = networkx.single_source_dijkstra_path_length(oracle, i)
        want = [lengths.get(j, np.inf) for j in nodes]
        np.testing.assert_allclose(got[row], want, rtol=1e-6, atol=1e-4)
        for column, other in enumerate(cameras):
            one = graph.distance(cameras[row], other)
            assert one == pytest.approx(got[row, column], rel=1e-9, abs=1e-6)
