from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.simulate.observation import SHORTEST, _visible
from passerby.simulate.options import SimulationOptions
from passerby.simulate.world import World, build_world


def in_view(world: World, camera: int, place: np.ndarray) -> np.ndarray:
    """Whether places (S, 2) lie in a camera's view, from angles and distances."""
    pole = world.cameras[camera]
    offset = place - pole.place
    far = np.hypot(*offset.T)
    angle = np.degrees(np.arctan2(offset[:, 0], offset[:, 1])) - pole.heading
    angle = np.abs((angle + 180.0) % 360.0 - 180.0)
    return (far > pole.near) & (far < pole.range) & (angle < pole.field_of_view / 2)


def test_passages_agree_with_sampling(world: World) -> None:
    """Every tenth of a second of everyone's day against the passages, both ways."""
    passages, walks = world.passages, world.walks
    time = np.arange(0.0, world.options.hours * 3600.0, 0.1)
    for person in range(0, len(world.population), 6):
        who = np.full(len(time), person)
        place, outdoors = walks.position(who, time), walks.outdoors(who, time)
        for camera in range(len(world.cameras)):
            seen = in_view(world, camera, place) & outdoors
            inside = np.zeros(len(time), dtype=bool)
            own = (passages.person == person) & (passages.camera == camera)
            for enter, leave in zip(passages.enter[own], passages.leave[own], strict=True):
                inside |= (time >= enter) & (time <= leave)
            # glimpses too short for a passage and gaps joined into one differ, for about a second
            changes = np.flatnonzero(np.diff(np.concatenate([[0], seen != inside, [0]])))
            runs = changes.reshape(-1, 2)
            assert all((b - a) * 0.1 <= SHORTEST + 0.2 for a, b in runs)


def test_passages_are_ordered_and_long_enough(world: World) -> None:
    passages = world.passages
    assert len(passages) > 50
    assert (np.diff(passages.enter) >= 0).all()
    assert (passages.leave - passages.enter >= SHORTEST).all()


@cache
def small_world() -> World:
    """A city for hypothesis, which should not print a fixture."""
    return build_world(SimulationOptions(people=4, cameras=4, hours=0.2, extent=700.0))


coordinates = st.floats(-40.0, 40.0).map(lambda x: round(x, 3))
points = st.tuples(coordinates, coordinates)


@settings(deadline=None)  # the first example builds the city
@given(a=points, b=points, camera=st.integers(0, 3))
def test_visible_shares_against_points(
    a: tuple[float, float], b: tuple[float, float], camera: int
) -> None:
    world = small_world()
    pole = world.cameras[camera]
    start, end = pole.place + np.array([a]), pole.place + np.array([b])
    _, enter, leave = _visible(start, end, pole)
    share = np.linspace(0.0, 1.0, 801)
    inside = np.zeros(len(share), dtype=bool)
    for first, last in zip(enter, leave, strict=True):
        inside |= (share >= first) & (share <= last)
    truth = in_view(world, camera, start + share[:, None] * (end - start))
    # only samples at the very border may differ
    assert (inside != truth).sum() <= 8
