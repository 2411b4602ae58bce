"""The contract of a gallery. Every store must pass it; today there is one."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.city import Gallery, Scope, Sighting, open_gallery
from passerby.city.gallery import DamagedError
from passerby.city.times import DAY_MS
from passerby.errors import InputError

START = 1_777_593_600_000
Maker = Callable[..., list[Sighting]]


def cell_of(camera: str) -> str:
    number = int(camera[1:]) - 1
    return "99" + "".join(f"{1 + (number >> shift & 1):02d}" for shift in (3, 2, 1, 0))


def placed(sightings: list[Sighting]) -> list[Sighting]:
    return [replace(one, unit=cell_of(one.camera)) for one in sightings]


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    made = open_gallery(tmp_path / "gallery")
    yield made
    made.close()


@pytest.fixture
def few(sightings_of: Maker) -> list[Sighting]:
    return placed(sightings_of(60))


def exact(sightings: list[Sighting], query: np.ndarray) -> list[tuple[float, str]]:
    """The slow oracle: cosine distances to the half-precision vectors, one by one, sorted."""
    pairs = []
    for one in sightings:
        assert one.vector is not None
        row = one.vector.astype(np.float16).astype(np.float64)
        cosine = float(row @ query) / float(np.linalg.norm(row) * np.linalg.norm(query))
        pairs.append((max(1 - cosine, 0.0), one.id))
    return sorted(pairs)


def test_an_empty_gallery(gallery: Gallery) -> None:
    assert gallery.model_id is None
    assert gallery.count() == 0
    assert gallery.stats().sightings == 0
    assert [hits.ids for hits in gallery.search(np.ones((2, 16), np.float32), 5)] == [(), ()]
    assert gallery.add([]) == 0
    assert gallery.delete(Scope()) == 0
    assert gallery.verify() == []


def test_what_was_added_comes_back(gallery: Gallery, few: list[Sighting]) -> None:
    assert gallery.add(few) == 60
    assert gallery.count() == 60
    assert (gallery.model_id, gallery.dimension) == ("toy", 16)
    ids = [one.id for one in few][::-1]
    assert gallery.get(ids) == few[::-1]
    vectors = np.stack([one.vector for one in few[::-1] if one.vector is not None])
    np.testing.assert_allclose(gallery.vectors(ids), vectors, atol=1e-3)
    groups = gallery.tracklets(["t3", "nobody"])
    assert [one.id for one in groups["t3"]] == ["s000009", "s000010", "s000011"]
    assert list(groups) == ["t3"]


def test_adding_twice_changes_nothing(gallery: Gallery, few: list[Sighting]) -> None:
    assert gallery.add(few[:40]) == 40
    changed = [replace(one, quality=0.1) for one in few]
    assert gallery.add(changed) == 20
    assert gallery.get([few[0].id])[0].quality == 0.5
    assert gallery.add([few[0], few[0]]) == 0


def test_replacing(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    moved = replace(few[0], time=few[0].time + DAY_MS, vector=few[1].vector, quality=0.1)
    assert gallery.add([moved], replace=True) == 0
    assert gallery.count() == 60
    assert gallery.get([moved.id]) == [moved]
    assert few[1].vector is not None
    hits = gallery.search(few[1].vector, 2)[0]
    assert hits.ids == (few[0].id, few[1].id)


def test_search_equals_the_oracle(gallery: Gallery, sightings_of: Maker) -> None:
    many = placed(sightings_of(700))
    gallery.add(many)
    queries = np.random.default_rng(5).standard_normal((3, 16)).astype(np.float32)
    for query, hits in zip(queries, gallery.search(queries, 25), strict=True):
        want = exact(many, query.astype(np.float64))[:25]
        assert hits.ids == tuple(name for _, name in want)
        np.testing.assert_allclose(hits.distances, [d for d, _ in want], atol=1e-6)


def test_ties_go_by_id(gallery: Gallery, few: list[Sighting]) -> None:
    same = [replace(one, vector=few[0].vector) for one in few]
    gallery.add(same[::-1])
    assert few[0].vector is not None
    hits = gallery.search(few[0].vector, 7)[0]
    assert hits.ids == tuple(one.id for one in few[:7])
    assert np.all(hits.distances == hits.distances[0])


scopes = st.builds(
    lambda units, cameras, start, length: Scope(
        units=tuple(units),
        cameras=tuple(cameras),
        start=None if start is None else START + start * 60_000,
        end=None if length is None else START + ((start or 0) + length) * 60_000,
    ),
    units=st.lists(
        st.sampled_from(["99", "9901", "9902", "990102", "99020101", "9902020202", "98"]),
        max_size=3,
    ),
    cameras=st.lists(st.sampled_from([f"C{i:02d}" for i in range(1, 18)]), max_size=4),
    start=st.none() | st.integers(-100, 3 * 1440),
    length=st.none() | st.integers(0, 3 * 1440),
)


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, sightings_of: Maker
) -> Iterator[tuple[Gallery, list[Sighting]]]:
    """Adds in several calls, replacements, deletions: the gallery has a history."""
    made = open_gallery(tmp_path_factory.mktemp("filled"))
    many = placed(sightings_of(900))
    made.add(many[:500])
    made.add(many[500:])
    made.add([replace(one, quality=0.25) for one in many[:30]], replace=True)
    made.delete([one.id for one in many[100:150]])
    yield made, many[:100] + many[150:]
    made.close()


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scope=scopes, k=st.integers(1, 60), seed=st.integers(0, 1000))
def test_scoped_search_equals_the_full_search_filtered(
    filled: tuple[Gallery, list[Sighting]], scope: Scope, k: int, seed: int
) -> None:
    gallery, living = filled
    query = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    everything = gallery.search(query, len(living))[0]
    inside = {one.id for one in living if scope.holds(one)}
    keep = [i for i, name in enumerate(everything.ids) if name in inside][:k]
    hits = gallery.search(query, k, scope)[0]
    assert hits.ids == tuple(everything.ids[i] for i in keep)
    np.testing.assert_array_equal(hits.distances, everything.distances[keep])
    assert gallery.count(scope) == len(inside)
    assert sum(one.sightings for one in gallery.coverage(scope)) == len(inside)


def test_the_window_is_half_open(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    moment = few[7].time
    assert gallery.count(Scope(start=moment, end=moment)) == 0
    assert gallery.count(Scope(start=moment, end=moment + 1)) == 1
    assert gallery.count(Scope(end=moment)) + gallery.count(Scope(start=moment)) == 60


def test_the_latest(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    newest = sorted(few, key=lambda one: (-one.time, one.id))
    assert gallery.latest(20) == newest[:20]
    scope = Scope(units=("9901",), end=START + 2 * DAY_MS)
    assert gallery.latest(7, scope) == [one for one in newest if scope.holds(one)][:7]
    assert gallery.latest(1000) == newest


def test_coverage_names_first_and_last(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    for one in gallery.coverage():
        times = [s.time for s in few if s.camera == one.camera]
        assert (one.sightings, one.first, one.last) == (len(times), min(times), max(times))


def test_models_do_not_mix(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    with pytest.raises(InputError, match="model 'toy'"):
        gallery.add([replace(few[0], id="new", model="other")])
    with pytest.raises(InputError, match="model 'toy'"):
        gallery.search(np.ones(16, np.float32), 1, model="other")
    with pytest.raises(InputError, match="16 dimensions"):
        gallery.search(np.ones(8, np.float32), 1)
    with pytest.raises(InputError, match="models 'toy' and 'other'"):
        gallery.add([few[0], replace(few[1], model="other")])
    assert gallery.count() == 60


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (None, "no vector"),
        (np.zeros(16, np.float32), "zero or not finite"),
        (np.full(16, np.nan, np.float32), "zero or not finite"),
        (np.ones(8, np.float32), "dimensions"),
        (np.ones((1, 16), np.float32), "no vector"),
    ],
)
def test_bad_vectors_are_refused_and_nothing_is_stored(
    gallery: Gallery, few: list[Sighting], vector: np.ndarray | None, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        gallery.add([few[0], replace(few[1], vector=vector)])
    assert gallery.count() == 0


def test_unknown_ids_and_foolish_questions(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    with pytest.raises(InputError, match="no sighting"):
        gallery.get(["nobody"])
    with pytest.raises(InputError, match="no sighting"):
        gallery.vectors(["nobody"])
    with pytest.raises(InputError, match="at least one"):
        gallery.search(np.ones(16, np.float32), 0)
    with pytest.raises(InputError, match="zero or not finite"):
        gallery.search(np.zeros(16, np.float32), 1)
    assert gallery.delete(["nobody"]) == 0


def test_deleting(gallery: Gallery, few: list[Sighting]) -> None:
    gallery.add(few)
    assert gallery.delete([few[0].id, few[0].id, "nobody"]) == 1
    scope = Scope(cameras=(few[30].camera,))
    inside = [one for one in few[1:] if scope.holds(one)]
    assert gallery.delete(scope) == len(inside)
    left = [one for one in few[1:] if not scope.holds(one)]
    assert gallery.count() == len(left)
    assert few[0].vector is not None
    assert set(gallery.search(few[0].vector, 60)[0].ids) == {one.id for one in left}
    assert gallery.add([few[0]]) == 1  # a deleted id may be used again


def test_retention_drops_whole_days_and_the_rest_row_by_row(
    gallery: Gallery, few: list[Sighting]
) -> None:
    gallery.add(few)
    limit = START + DAY_MS + DAY_MS // 2
    old = [one for one in few if one.time < limit]
    assert gallery.drop_before(limit) == len(old)
    assert gallery.count() == 60 - len(old)
    assert gallery.stats().days == 2
    gallery.add(old)  # a dropped day may come back
    assert gallery.count() == 60
    assert gallery.verify() == []


def test_compaction_keeps_the_living_and_removes_the_bytes(
    tmp_path: Path, gallery: Gallery, few: list[Sighting]
) -> None:
    gallery.add(few)
    gone = few[::2]
    marks = [one.vector.astype(np.float16).tobytes() for one in gone if one.vector is not None]
    marks += [one.id.encode() for one in gone]

    def traces() -> int:
        files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        return sum(mark in content for mark in marks for content in files)

    assert traces() >= len(marks)
    gallery.delete([one.id for one in gone])
    assert gallery.compact() > 0
    assert traces() == 0
    assert gallery.stats().dead == 0
    ids = [one.id for one in few[1::2]]
    assert gallery.get(ids) == few[1::2]
    vectors = np.stack([one.vector for one in few[1::2] if one.vector is not None])
    np.testing.assert_allclose(gallery.vectors(ids), vectors, atol=1e-3)
    for row, name in zip(vectors, ids, strict=True):
        assert gallery.search(row, 1)[0].ids == (name,)
    gallery.delete(Scope())
    gallery.compact()
    assert gallery.stats().days == 0


def test_a_snapshot_opens_like_the_original(
    tmp_path: Path, gallery: Gallery, few: list[Sighting]
) -> None:
    gallery.add(few[:40])
    gallery.snapshot(tmp_path / "copy")
    gallery.add(few[40:])
    copy = open_gallery(tmp_path / "copy")
    assert copy.count() == 40
    assert copy.verify() == []
    assert copy.add(few) == 20
    assert gallery.verify() == []
    copy.close()
    with pytest.raises(InputError, match="not empty"):
        gallery.snapshot(tmp_path / "copy")


def test_a_flipped_byte_is_found_and_named(tmp_path: Path, few: list[Sighting]) -> None:
    made = open_gallery(tmp_path / "g")
    made.add(few)
    made.close()
    victim = sorted((tmp_path / "g" / "vectors").glob("*.f16"))[1]
    content = bytearray(victim.read_bytes())
    content[5] ^= 1
    victim.write_bytes(content)
    again = open_gallery(tmp_path / "g")
    with pytest.raises(DamagedError, match=victim.name):
        again.search(np.ones(16, np.float32), 1)
    assert [victim.name in fault for fault in again.verify()] == [True]
    again.close()


def test_a_broken_index_is_named(tmp_path: Path, few: list[Sighting]) -> None:
    made = open_gallery(tmp_path / "g")
    made.add(few)
    made.close()
    path = tmp_path / "g" / "index.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError, match=r"index\.sqlite"):
        open_gallery(tmp_path / "g")


def test_threads_search_beside_a_writer(gallery: Gallery, sightings_of: Maker) -> None:
    """Whatever the writer does meanwhile, an answer holds k different living sightings."""
    many = placed(sightings_of(400))
    gallery.add(many[:200])
    stop = threading.Event()
    faults: list[BaseException] = []

    def search() -> None:
        query = np.random.default_rng(threading.get_ident()).standard_normal(16)
        try:
            while not stop.is_set():
                hits = gallery.search(query.astype(np.float32), 20)[0]
                assert len(set(hits.ids)) == 20
                assert list(hits.distances) == sorted(hits.distances)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(200, 400, 20):
        gallery.add(many[start : start + 20])
        gallery.delete([one.id for one in many[start - 200 : start - 190]])
        gallery.compact()
    stop.set()
    for thread in threads:
        thread.join()
    assert not faults
    assert gallery.count() == 300
