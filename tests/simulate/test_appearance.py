"""People drawn at random: reproducible, serialisable, varied."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from passerby.simulate.appearance import change_outer, open_umbrella, sample_appearance
from passerby.simulate.wardrobe import CUTS, PALETTES, SKIRTS


def crowd(count: int = 300):
    return [sample_appearance(np.random.default_rng([9, k])) for k in range(count)]


def test_same_seed_gives_the_same_person():
    first = sample_appearance(np.random.default_rng(4))
    assert first == sample_appearance(np.random.default_rng(4))
    assert first != sample_appearance(np.random.default_rng(5))


def test_a_person_is_plain_values():
    person = sample_appearance(np.random.default_rng(1))
    assert json.loads(json.dumps(asdict(person)))["inner"]["kind"] in CUTS


def test_a_crowd_is_varied():
    people = crowd()
    assert len(set(people)) == len(people)
    assert 0.35 < np.mean([p.female > 0.5 for p in people]) < 0.6
    statures = np.array([p.stature for p in people])
    assert statures.min() > 1.0
    assert statures.max() < 2.05
    assert np.ptp(statures) > 0.5
    assert min(p.age for p in people) < 12
    assert max(p.age for p in people) > 75
    for name in ("hair", "headgear"):
        assert len({getattr(p, name) for p in people}) >= 6
    assert len({p.inner.kind for p in people} | {p.lower.kind for p in people if p.lower}) > 20
    assert 0.2 < np.mean([bool(p.carried) for p in people]) < 0.8


def test_clothes_of_the_street_are_mostly_muted():
    people = crowd()
    chroma = [max(g.colour) - min(g.colour) for p in people for g in (p.inner, p.lower) if g]
    assert np.mean(np.array(chroma) < 0.3) > 0.55
    assert np.mean(np.array(chroma) > 0.4) > 0.05


def test_colours_are_inside_srgb():
    for person in crowd(100):
        for garment in (person.inner, person.outer, person.lower, person.shoes):
            if garment is not None:
                assert all(0 <= c <= 1 for c in garment.colour + garment.second + garment.third)


def test_dresses_and_trousers_exclude_each_other():
    for person in crowd():
        assert (CUTS[person.inner.kind].layer == "dress") == (person.lower is None)
        if person.lower is not None and person.lower.kind in SKIRTS:
            assert person.female > 0.5 or person.age < 13


def test_outer_garment_comes_off_and_goes_on_again():
    rng = np.random.default_rng(0)
    dressed = next(p for p in crowd() if p.outer is not None)
    bare = change_outer(dressed, rng)
    assert bare.outer is None
    assert bare.inner == dressed.inner
    assert change_outer(bare, rng).outer == dressed.outer


def test_open_umbrella():
    person = sample_appearance(np.random.default_rng(3))
    wet = open_umbrella(person, np.random.default_rng(0))
    assert person.umbrella is None
    assert wet.umbrella is not None
    assert wet.inner == person.inner


def test_look_alike_shares_clothes_but_is_another_person():
    shared = []
    for k in range(40):
        person = sample_appearance(np.random.default_rng([1, k]))
        double = sample_appearance(np.random.default_rng([2, k]), look_alike=person)
        assert double != person
        assert (double.age < 13) == (person.age < 13)
        same = [getattr(double, n) == getattr(person, n) for n in ("inner", "outer", "lower")]
        shared.append(sum(same))
        assert (double.skin, double.stature) != (person.skin, person.stature)
    assert min(shared) >= 1
    assert np.mean(shared) > 1.8


@pytest.mark.parametrize("name", sorted(PALETTES))
def test_palettes_are_colours_with_weights(name):
    for colour, weight in PALETTES[name]:
        assert all(0 <= c <= 1 for c in colour)
        assert weight > 0
