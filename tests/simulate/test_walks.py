import numpy as np
import pytest

from passerby.simulate.geometry import lengths_along
from passerby.simulate.walks import FASTEST, SLOWEST, shortest_course
from passerby.simulate.world import World, build_world


def test_moments_are_in_order_and_fill_the_day(world: World) -> None:
    walks, day = world.walks, world.options.hours * 3600.0
    for person in range(len(world.population)):
        time = walks.time[walks.first[person] : walks.first[person + 1]]
        assert (np.diff(time) >= 0).all()
        assert (time[0], time[-1]) == (0.0, day)


def test_people_walk_at_walking_pace(world: World) -> None:
    walks = world.walks
    out = ~walks.indoors[:-1] & (np.diff(walks.person) == 0)
    length = np.hypot(*np.diff(walks.place, axis=0).T)[out]
    seconds = np.diff(walks.time)[out]
    pace = length[length > 15.0] / seconds[length > 15.0]
    # beside the axis, an outer curve is a little longer than the street and an inner one shorter
    assert np.percentile(pace, 1) > SLOWEST * 0.9
    assert np.percentile(pace, 99) < FASTEST * 1.1
    assert (world.population.pace >= SLOWEST).all() and (world.population.pace <= FASTEST).all()


def test_nobody_leaves_the_streets(world: World) -> None:
    import shapely

    streets = shapely.union_all([shapely.LineString(c) for c in world.streets.courses])
    far = shapely.distance(shapely.points(world.walks.place), streets)
    assert far.max() < 10.0


def test_company_stays_together(world: World) -> None:
    population, walks = world.population, world.walks
    followers = np.flatnonzero(population.rank > 0)
    assert len(followers) > 3
    time = np.linspace(600.0, 3000.0, 40)
    for person in followers:
        leader = population.party[person]
        apart = walks.position(np.full(40, person), time) - walks.position(
            np.full(40, leader), time
        )
        assert np.median(np.hypot(*apart.T)) < 4.0


def test_shortest_course_against_all_ways(world: World) -> None:
    streets = world.streets
    rng = np.random.default_rng(0)
    for _ in range(30):
        start, goal = (
            np.array([rng.integers(len(streets.ends)), rng.uniform(0.1, 0.9)]) for _ in range(2)
        )
        course = shortest_course(streets, start, goal)
        a, b = int(start[0]), int(goal[0])
        if a == b:
            continue
        ways = []
        for i, out in enumerate((start[1], 1 - start[1])):
            for j, back in enumerate((goal[1], 1 - goal[1])):
                between = streets.distances[streets.ends[a, i], streets.ends[b, j]]
                ways.append(out * streets.lengths[a] + between + back * streets.lengths[b])
        assert lengths_along(course)[-1] == pytest.approx(min(ways))


def test_positions_are_linear_in_time(world: World) -> None:
    walks = world.walks
    k = int(walks.first[7]) + 4
    middle = (walks.time[k] + walks.time[k + 1]) / 2
    place = walks.position(np.array([7]), np.array([middle]))[0]
    np.testing.assert_allclose(place, (walks.place[k] + walks.place[k + 1]) / 2, atol=1e-6)
    assert walks.outdoors(np.array([7]), np.array([middle]))[0] == ~walks.indoors[k]


def test_same_seed_same_day(world: World) -> None:
    again = build_world(world.options)
    np.testing.assert_array_equal(again.walks.time, world.walks.time)
    np.testing.assert_array_equal(again.walks.place, world.walks.place)
    np.testing.assert_array_equal(again.passages.enter, world.passages.enter)
    assert [u.code for u in again.units] == [u.code for u in world.units]
