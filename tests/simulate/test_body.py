"""Bodies and poses: human measures, feet on the ground, arms against legs."""

from dataclasses import replace

import numpy as np
import pytest

from passerby.simulate.appearance import open_umbrella, sample_appearance
from passerby.simulate.body import POSES, measure, strike


def people(count: int = 60):
    return [sample_appearance(np.random.default_rng([3, k])) for k in range(count)]


def test_measures_are_human():
    for person in people():
        body, h = measure(person), person.stature
        assert 0.42 * h < body.hip_height < 0.58 * h
        assert abs(body.ankle + body.shin + body.thigh - body.hip_height) < 1e-9
        assert 0.17 < body.head_height < 0.26
        top = body.hip_height + body.trunk_length + body.head_height
        assert 0.93 * h < top < 1.02 * h
        assert 0.15 * h < 2 * (body.shoulder_half + body.arm[1, 1]) < 0.36 * h
        assert (body.trunk[:, 1:] > 0).all()


def test_build_changes_girth_and_not_height():
    person = people(1)[0]
    thin, heavy = measure(replace(person, build=-1.0)), measure(replace(person, build=2.0))
    waist = 0.32
    assert heavy.trunk_at(waist)[0] > 1.2 * thin.trunk_at(waist)[0]
    assert heavy.trunk_at(waist)[1] > 1.4 * thin.trunk_at(waist)[1]
    assert heavy.hip_height == thin.hip_height


def test_children_have_larger_heads_for_their_height():
    adult = replace(people(1)[0], age=30.0, stature=1.75)
    child = replace(adult, age=6.0, stature=1.15)
    share = [measure(p).head_height / p.stature for p in (adult, child)]
    assert share[1] > 1.25 * share[0]


@pytest.mark.parametrize("pose", POSES)
def test_poses_stand_on_the_ground(pose):
    for k, person in enumerate(people(8)):
        body = measure(person)
        posed = strike(person, body, pose, k / 8)
        joints = np.array([[limb.root, limb.middle, limb.end] for limb in posed.legs + posed.arms])
        assert np.isfinite(joints).all()
        ankles = [limb.end[1] for limb in posed.legs]
        assert -0.02 < min(ankles) - body.ankle < 0.12 * person.stature
        assert posed.trunk_point(1.0)[1] > posed.trunk_point(0.0)[1] > max(ankles)


def test_bones_keep_their_length():
    person = people(1)[0]
    body = measure(person)
    posed = strike(person, body, "walk", 0.3)
    for leg in posed.legs:
        assert abs(np.linalg.norm(leg.middle - leg.root) - body.thigh) < 0.01 * body.thigh
        assert abs(np.linalg.norm(leg.end - leg.middle) - body.shin) < 0.01 * body.shin
    for arm in posed.arms:
        assert abs(np.linalg.norm(arm.middle - arm.root) - body.upper_arm) < 0.01 * body.upper_arm


def test_walk_is_periodic_and_arms_swing_against_legs():
    person = replace(people(1)[0], carried=(), umbrella=None)
    body = measure(person)
    start, end = strike(person, body, "walk", 0.0), strike(person, body, "walk", 1.0)
    assert np.allclose(start.legs[0].end, end.legs[0].end)
    right_ahead = start.legs[1].end[2] - start.legs[0].end[2]
    right_hand_ahead = start.arms[1].end[2] - start.arms[0].end[2]
    assert right_ahead > 0.2
    assert right_hand_ahead < -0.1
    half = strike(person, body, "walk", 0.5)
    assert half.legs[0].end[2] - half.legs[1].end[2] > 0.2


def test_the_hand_with_the_umbrella_is_raised():
    person = replace(people(1)[0], carried=())
    wet = open_umbrella(person, np.random.default_rng(1))
    posed = strike(wet, measure(wet), "walk", 0.2)
    index = (wet.umbrella.side + 1) // 2
    assert posed.arms[index].end[1] > posed.arms[1 - index].end[1] + 0.1
