import json
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.city import City, Found, Scope, Sighting, find, open_gallery
from passerby.city.search import person_vector
from passerby.errors import InputError
from passerby.retrieval import k_reciprocal_distances

Maker = Callable[..., list[Sighting]]
START = 1_777_593_600_000
DAY = 86_400_000


def people(sightings_of: Maker, count: int = 240) -> list[Sighting]:
    """Every six sightings show one person: the same vector with noise."""
    rng = np.random.default_rng(1)
    faces = rng.standard_normal((count // 6 + 1, 16))
    out = []
    for number, one in enumerate(sightings_of(count)):
        vector = faces[number // 6] + 0.5 * rng.standard_normal(16)
        out.append(replace(one, vector=(vector / np.linalg.norm(vector)).astype(np.float32)))
    return out


def test_find_the_person_again(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    assert many[0].vector is not None
    found = find(city, many[0].vector, Scope(), k=6)
    assert found.searched == 240
    assert found.reranked
    assert not found.calibrated
    assert len({match.sighting.id for match in found.matches} & {f"s{i:06d}" for i in range(6)}) > 3
    assert all(0 <= match.score <= 1 for match in found.matches)
    facts = found.as_dict()["matches"][0]
    assert facts["rank"] == 1
    assert facts["unit"] == city.camera(facts["camera"]).unit
    assert "vector" not in facts


def test_an_answer_goes_through_json_and_back(city: City, sightings_of: Maker) -> None:
    many = [replace(one, attributes=(("upper", "red"),)) for one in people(sightings_of)]
    city.add_sightings(many)
    found = find(city, np.asarray(many[0].vector), Scope(start=START), k=6, per="visit")
    record = json.loads(json.dumps(found.as_dict()))
    again = Found.from_dict(record)
    assert again.as_dict() == found.as_dict()
    assert again.scope == found.scope
    assert [match.ids for match in again.matches] == [match.ids for match in found.matches]
    assert [one.sighting for one in again.matches] == [
        replace(one.sighting, model="", quality=round(one.sighting.quality, 4))
        for one in found.matches
    ]


def test_an_answer_names_the_cameras_of_the_scope(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    seen = sorted({one.camera for one in many})
    found = find(city, np.asarray(many[0].vector), Scope(), k=6)
    assert found.cameras == tuple(sorted(city.cameras))
    assert found.silent == tuple(sorted(set(city.cameras) - set(seen)))
    never = find(city, np.asarray(many[0].vector), Scope(cameras=(seen[0],), end=START), k=6)
    assert (never.cameras, never.silent, never.searched) == ((seen[0],), (seen[0],), 0)


def test_the_order_is_that_of_reranking(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    query = np.asarray(many[7].vector)
    nearest = city.gallery.search(query, 200)[0]
    distances = k_reciprocal_distances(person_vector(query), city.gallery.vectors(nearest.ids))
    order = np.argsort(np.asarray(distances)[0], kind="stable")[:10]
    found = find(city, query, Scope(), k=10)
    assert [m.sighting.id for m in found.matches] == [nearest.ids[i] for i in order]
    plain = find(city, query, Scope(), k=10, rerank=False)
    assert [m.sighting.id for m in plain.matches] == list(nearest.ids[:10])
    scores = [match.score for match in plain.matches]
    assert scores == sorted(scores, reverse=True)


def test_grouping_by_tracklet(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings([*many, replace(many[0], id="alone", tracklet="")])
    query = np.asarray(many[0].vector)
    found = find(city, query, Scope(), k=500, per="tracklet")
    names = [match.sighting.tracklet for match in found.matches if match.sighting.tracklet]
    assert len(names) == len(set(names)) == 80
    assert sum(1 + len(match.members) for match in found.matches) == 241
    for match in found.matches:
        members = city.gallery.get(match.members)
        assert all(one.tracklet == match.sighting.tracklet for one in members)
    # long tracklets must not use the places of others up
    assert len(find(city, query, Scope(), k=75, per="tracklet").matches) == 75


def test_grouping_by_visit(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    query = np.asarray(many[0].vector)
    found = find(city, query, Scope(), k=500, per="visit")
    assert sum(1 + len(match.members) for match in found.matches) == 240
    best = [m.sighting.id for m in find(city, query, Scope(), k=240).matches]
    whose: dict[str, int] = {}
    for number, match in enumerate(found.matches):
        group = city.gallery.get(match.ids)
        assert [best.index(one.id) for one in group] == sorted(best.index(one.id) for one in group)
        assert len({one.camera for one in group}) == 1
        whose |= {one.id: number for one in group}
    firsts = [best.index(match.sighting.id) for match in found.matches]
    assert firsts == sorted(firsts)
    # the slow definition: two sightings of a camera within two minutes, or of one tracklet, belong
    # together, and so on from one to the next
    for one in many:
        for other in many:
            near = one.camera == other.camera and abs(one.time - other.time) <= 120_000
            if near or one.tracklet == other.tracklet:
                assert whose[one.id] == whose[other.id]
    for number in range(len(found.matches)):
        members = [one for one in many if whose[one.id] == number]
        times = sorted(one.time for one in members)
        assert all(after - before <= 120_000 for before, after in pairwise(times))


def test_the_number_of_candidates_can_be_set(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    query = np.asarray(many[7].vector)
    nearest = city.gallery.search(query, 30)[0]
    found = find(city, query, Scope(), k=30, candidates=30)
    assert {m.sighting.id for m in found.matches} == set(nearest.ids)
    grouped = find(city, query, Scope(), k=30, candidates=30, per="tracklet").matches
    assert sum(1 + len(m.members) for m in grouped) == 30
    with pytest.raises(InputError, match="30 matches"):
        find(city, query, Scope(), k=30, candidates=20)


def test_sightings_that_are_deleted_meanwhile(city: City, sightings_of: Maker) -> None:
    """Another process deletes while this one searches; the answer is whole all the same."""
    many = people(sightings_of)
    city.add_sightings(many)
    query = np.asarray(many[0].vector)
    stop = threading.Event()

    def churn() -> None:
        other = open_gallery(city.folder / "gallery")
        while not stop.is_set():
            other.delete([one.id for one in many[:60]])
            other.add([replace(one, unit=city.camera(one.camera).unit) for one in many[:60]])
        other.close()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(30):
            assert len(find(city, query, Scope(), k=20, per="tracklet").matches) == 20
    finally:
        stop.set()
        thread.join()


scopes = st.builds(
    lambda unit, cameras, start, length: Scope(
        units=(unit,), cameras=tuple(cameras), start=START + start, end=START + start + length
    ),
    unit=st.sampled_from(["99", "9902", "990101", "99010201", "9902010102"]),
    cameras=st.lists(st.sampled_from([f"C{i:02d}" for i in range(1, 17)]), max_size=5),
    start=st.integers(0, 3 * DAY),
    length=st.integers(0, 3 * DAY),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scope=scopes, which=st.integers(0, 239))
def test_scoped_equals_filtered(city: City, sightings_of: Maker, scope: Scope, which: int) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    query = np.asarray(many[which].vector)
    everything = find(city, query, Scope(), k=240, rerank=False).matches
    inside = [match for match in everything if scope.holds(match.sighting)]
    found = find(city, query, scope, k=240, rerank=False)
    assert found.matches == tuple(inside)
    assert found.searched == len(inside)
    reranked = find(city, query, scope, k=240)
    assert {m.sighting.id for m in reranked.matches} == {m.sighting.id for m in inside}


def test_several_pictures_are_one_person(city: City, sightings_of: Maker) -> None:
    many = people(sightings_of)
    city.add_sightings(many)
    rows = np.stack([one.vector for one in many[:3] if one.vector is not None])
    mean = rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))
    one, other = (find(city, query, Scope(), k=20) for query in (rows, mean))
    assert [m.sighting.id for m in one.matches] == [m.sighting.id for m in other.matches]


def test_an_empty_scope_is_an_answer(city: City, sightings_of: Maker) -> None:
    city.add_sightings(people(sightings_of))
    found = find(city, np.ones(16, np.float32), Scope(end=START))
    assert found.matches == ()
    assert found.searched == 0


def test_errors_are_clear(city: City, sightings_of: Maker) -> None:
    query = np.ones(16, np.float32)
    with pytest.raises(InputError, match="empty"):
        find(city, query, Scope())
    city.add_sightings(people(sightings_of))
    with pytest.raises(InputError, match="no unit '9903'"):
        find(city, query, Scope(units=("9903",)))
    with pytest.raises(InputError, match="no camera 'C99'"):
        find(city, query, Scope(cameras=("C99",)))
    with pytest.raises(InputError, match="model 'toy'"):
        find(city, query, Scope(), model="other")
    with pytest.raises(InputError, match="16 dimensions"):
        find(city, np.ones(4, np.float32), Scope())
    with pytest.raises(InputError, match="at least one"):
        find(city, query, Scope(), k=0)
    with pytest.raises(InputError, match="no query vector"):
        find(city, np.zeros((0, 16), np.float32), Scope())
    with pytest.raises(InputError, match="cancel out"):
        find(city, np.stack([query, -query]), Scope())
