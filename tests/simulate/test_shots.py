import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.simulate.observation import observe, overlap
from passerby.simulate.shots import (
    BYSTANDS,
    TESTS,
    TRAINS,
    Shots,
    choose_queries,
    roles,
    take_shots,
)
from passerby.simulate.world import World

STATURE = 1.7


@pytest.fixture(scope="module")
def shots(world: World) -> Shots:
    detected = np.ones(len(world.passages), dtype=bool)
    stature = np.full(len(world.population), STATURE)
    return take_shots(world, detected, stature, np.random.default_rng(0))


def test_shots_lie_in_their_passage(world: World, shots: Shots) -> None:
    passages = world.passages
    assert (shots.seen.time >= passages.enter[shots.passage]).all()
    assert (shots.seen.time <= passages.leave[shots.passage]).all()
    count = np.bincount(shots.passage, minlength=len(passages))
    assert count.min() >= 1 and count.max() <= world.options.crops_per_passage
    assert set(np.unique(shots.passage)) == set(range(len(passages)))


def test_undetected_passages_give_no_shots(world: World) -> None:
    none = np.zeros(len(world.passages), dtype=bool)
    none[3] = True
    shots = take_shots(world, none, np.full(60, STATURE), np.random.default_rng(0))
    assert set(shots.passage.tolist()) == {3}


def test_heading_is_relative_to_the_camera(world: World) -> None:
    """Walk straight at, away from and across the first camera."""
    from dataclasses import replace

    from passerby.simulate.geometry import direction

    pole = world.cameras[0]
    ahead, right = direction(pole.heading), direction(pole.heading + 90.0)
    spot = pole.place + 12.0 * ahead
    for way, heading in ((-ahead, 0.0), (right, np.pi / 2), (ahead, np.pi), (-right, 1.5 * np.pi)):
        walks = replace(
            world.walks,
            first=np.array([0, 2]),
            time=np.array([0.0, 10.0]),
            place=np.stack([spot - 5 * way, spot + 5 * way]),
            indoors=np.array([False, True]),
        )
        one = np.zeros(1, dtype=int)
        seen = observe(
            walks, [pole], person=one, camera=one, time=np.array([5.0]), stature=np.array([STATURE])
        )
        turn = (seen.heading[0] - heading + np.pi) % (2 * np.pi) - np.pi
        assert turn == pytest.approx(0.0, abs=1e-6)
        assert seen.azimuth[0] == pytest.approx(0.0, abs=1e-9)
        assert seen.distance[0] == pytest.approx(np.hypot(12.0, pole.height - 0.9))
        assert np.tan(seen.elevation[0]) == pytest.approx((pole.height - 0.9) / 12.0)


def test_boxes_stand_in_the_frame(world: World, shots: Shots) -> None:
    frames = np.array([c.frame for c in world.cameras])[shots.seen.camera]
    assert (shots.box >= 0).all()
    assert (shots.box[:, 2:] <= frames).all()
    tall = shots.seen.box[:, 3] - shots.seen.box[:, 1]
    focal = np.array([c.sensor.focal for c in world.cameras])[shots.seen.camera]
    np.testing.assert_allclose(tall, focal * STATURE / shots.seen.distance, rtol=0.35)
    assert ((shots.quality >= 0) & (shots.quality <= 1)).all()


def test_others_are_all_who_stand_near(world: World, shots: Shots) -> None:
    """Against a loop over everyone's passages."""
    passages = world.passages
    stature = np.full(len(world.population), STATURE)
    for shot in range(0, len(shots), 7):
        now = (passages.enter <= shots.seen.time[shot]) & (passages.leave >= shots.seen.time[shot])
        now &= passages.camera == shots.seen.camera[shot]
        now[shots.passage[shot]] = False
        expected = set()
        for other in np.flatnonzero(now):
            seen = observe(
                world.walks,
                world.cameras,
                person=passages.person[[other]],
                camera=shots.seen.camera[[shot]],
                time=shots.seen.time[[shot]],
                stature=stature,
            )
            if overlap(shots.box[shot], seen.box[0]) > 0.3 * np.prod(
                shots.box[shot, 2:] - shots.box[shot, :2]
            ):
                expected.add(int(passages.person[other]))
        found = set(shots.other_seen.person[shots.other_of == shot].tolist())
        assert expected <= found or len(found) == 3
        assert shots.seen.person[shot] not in found


def test_hidden_people_have_less_quality(shots: Shots) -> None:
    alone = np.ones(len(shots), dtype=bool)
    alone[shots.other_of] = False
    front = shots.other_seen.distance < shots.seen.distance[shots.other_of]
    hidden = overlap(shots.box[shots.other_of], shots.other_seen.box)
    size = shots.box[shots.other_of][:, 2:] - shots.box[shots.other_of][:, :2]
    worst = shots.other_of[front & (hidden > 0.6 * size.prod(1))]
    assert (shots.quality[worst] < 0.45).all()
    assert shots.quality[alone].mean() > 0.3


pairs = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), max_size=40)


@given(crops=pairs, seed=st.integers(0, 5))
def test_every_query_has_a_match_elsewhere(crops: list[tuple[int, int]], seed: int) -> None:
    identity, camera = np.array(crops, dtype=int).reshape(-1, 2).T
    query = choose_queries(identity, camera, np.random.default_rng(seed))
    chosen = list(zip(identity[query], camera[query], strict=True))
    assert len(set(chosen)) == len(chosen)  # one for each identity and camera
    for person, place in chosen:
        match = ~query & (identity == person) & (camera != place)
        assert match.any()


@given(crops=pairs)
def test_cameras_with_several_crops_all_get_a_query(crops: list[tuple[int, int]]) -> None:
    crops = crops + crops  # at least two of each
    identity, camera = np.array(crops, dtype=int).reshape(-1, 2).T
    query = choose_queries(identity, camera, np.random.default_rng(0))
    expected = {(p, c) for p, c in crops if any(q == p and d != c for q, d in crops)}
    assert set(zip(identity[query].tolist(), camera[query].tolist(), strict=True)) == expected


def test_shares_and_companies() -> None:
    party = np.repeat(np.arange(300), np.tile([1, 2, 3], 100))
    role = roles(party, 0.1, 0.6, np.random.default_rng(0))
    shares = np.bincount(role, minlength=3) / len(role)
    np.testing.assert_allclose(shares[[TRAINS, TESTS, BYSTANDS]], [0.54, 0.36, 0.1], atol=0.02)
    for company in range(300):
        assert len(set(role[party == company].tolist())) == 1
