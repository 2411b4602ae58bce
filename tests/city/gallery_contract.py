"""The contract of a gallery: every store passes it.

A store's test module subclasses :class:`GalleryContract` and gives a module-scoped fixture
``opened`` that opens a gallery by name: the same name is the same gallery, opened once more as
another process would; another name is another gallery, empty at first.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passerby.city import Gallery, Scope, Sighting, open_gallery
from passerby.errors import InputError
from passerby.times import DAY_MS

START = 1_777_593_600_000
D = 16
Opener = Callable[[str], Gallery]
_NAMES = (f"contract{number}" for number in count())


def cell_of(camera: str) -> str:
    number = int(camera[1:]) - 1
    return "99" + "".join(f"{1 + (number >> shift & 1):02d}" for shift in (3, 2, 1, 0))


def many(
    amount: int, *, first: int = 0, model: str = "toy", dimension: int = D, seed: int = 0
) -> list[Sighting]:
    """Random sightings over three days and 16 cells, in tracklets of three, with attributes."""
    rng = np.random.default_rng([seed, first])
    vectors = rng.standard_normal((amount, dimension)).astype(np.float32)
    times = START + rng.integers(0, 3 * 24 * 60, amount) * 60_000
    cameras = rng.integers(1, 17, amount)
    colours = rng.integers(0, 4, amount)
    return [
        Sighting(
            id=f"s{first + i:06d}",
            camera=f"C{cameras[i // 3 * 3]:02d}",
            unit=cell_of(f"C{cameras[i // 3 * 3]:02d}"),
            time=int(times[i // 3 * 3]) + (i % 3) * 1000,
            vector=vectors[i] / np.linalg.norm(vectors[i]),
            model=model,
            tracklet=f"t{(first + i) // 3}",
            box=(1.0, 2.0, 3.0, 4.0),
            crop=f"{first + i:064x}",
            quality=(i % 10) / 10,
            attributes=(
                *((("upper", ("red", "green", "blue")[colours[i]]),) if colours[i] < 3 else ()),
                *((("bag", "yes"),) if i % 4 == 0 else ()),
            ),
        )
        for i in range(amount)
    ]


def matrix(sightings: list[Sighting]) -> np.ndarray:
    return np.stack([one.vector for one in sightings if one.vector is not None])


def stored_form(vector: np.ndarray) -> np.ndarray:
    """What an exact store of half-precision vectors compares with."""
    row: np.ndarray = vector.astype(np.float16).astype(np.float64)
    return row


def oracle(
    sightings: list[Sighting], query: np.ndarray, form: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[float, str]]:
    """Cosine distances one by one, sorted, ties by id."""
    pairs = []
    for one in sightings:
        assert one.vector is not None
        row = form(one.vector)
        cosine = float(row @ query) / float(np.linalg.norm(row) * np.linalg.norm(query))
        pairs.append((max(1 - cosine, 0.0), one.id))
    return sorted(pairs)


scopes = st.builds(
    lambda units, cameras, start, length, quality, attributes: Scope(
        units=tuple(units),
        cameras=tuple(cameras),
        start=None if start is None else START + start * 60_000,
        end=None if length is None else START + ((start or 0) + length) * 60_000,
        quality=quality,
        attributes=tuple(attributes),
    ),
    units=st.lists(
        st.sampled_from(["99", "9901", "9902", "990102", "99020101", "9902020202", "98"]),
        max_size=3,
    ),
    cameras=st.lists(st.sampled_from([f"C{i:02d}" for i in range(1, 18)]), max_size=4),
    start=st.none() | st.integers(-100, 3 * 1440),
    length=st.none() | st.integers(0, 3 * 1440),
    quality=st.none() | st.sampled_from([0.0, 0.3, 0.55, 0.9, 1.0]),
    attributes=st.lists(
        st.sampled_from([("upper", "red"), ("upper", "blue"), ("bag", "yes"), ("hat", "no")]),
        max_size=2,
        unique=True,
    ),
)


class GalleryContract:
    """Subclass it in a module that has the fixture ``opened``."""

    examples = 80
    """How many random scopes; fewer where every question goes over a network."""
    form = staticmethod(stored_form)
    """A float32 vector as the store keeps it."""

    @pytest.fixture
    def name(self) -> str:
        return next(_NAMES)

    @pytest.fixture
    def gallery(self, opened: Opener, name: str) -> Gallery:
        return opened(name)

    @pytest.fixture
    def few(self) -> list[Sighting]:
        return many(60)

    def test_an_empty_gallery(self, gallery: Gallery) -> None:
        assert gallery.model_id is None
        assert gallery.dimension is None
        assert gallery.count() == 0
        assert gallery.stats().sightings == 0
        assert [hits.ids for hits in gallery.search(np.ones((2, D), np.float32), 5)] == [(), ()]
        assert gallery.add([]) == 0
        assert gallery.delete(Scope()) == 0
        assert gallery.latest(3) == []
        assert gallery.verify() == []
        assert gallery.compact() >= 0

    def test_what_was_added_comes_back(self, gallery: Gallery, few: list[Sighting]) -> None:
        assert gallery.add(few) == 60
        assert gallery.count() == 60
        assert (gallery.model_id, gallery.dimension) == ("toy", D)
        ids = [one.id for one in few][::-1]
        assert gallery.get(ids) == few[::-1]
        assert gallery.get([]) == []
        np.testing.assert_allclose(gallery.vectors(ids), matrix(few[::-1]), atol=1e-3)
        groups = gallery.tracklets(["t3", "nobody"])
        assert [one.id for one in groups["t3"]] == ["s000009", "s000010", "s000011"]
        assert list(groups) == ["t3"]
        assert gallery.crops_used([few[4].crop, "nothing"]) == {few[4].crop}

    def test_it_is_there_for_others_at_once(
        self, opened: Opener, gallery: Gallery, name: str, few: list[Sighting]
    ) -> None:
        other = opened(name)
        gallery.add(few[:30])
        assert other.count() == 30
        assert other.model_id == "toy"
        assert other.search(matrix(few)[7], 1)[0].ids == (few[7].id,)
        other.add(few[30:])
        gallery.delete([few[7].id])
        assert few[7].id not in other.search(matrix(few)[7], 60)[0].ids
        gallery.compact()
        assert len(other.search(matrix(few)[7], 60)[0]) == 59
        assert gallery.count() == other.count() == 59

    def test_adding_twice_changes_nothing(self, gallery: Gallery, few: list[Sighting]) -> None:
        assert gallery.add(few[:40]) == 40
        changed = [replace(one, quality=0.95) for one in few]
        assert gallery.add(changed) == 20
        assert gallery.get([few[0].id])[0].quality == 0.0
        assert gallery.add([few[0], few[0]]) == 0
        assert gallery.add([replace(few[0], id="new"), replace(few[1], id="new")]) == 1
        assert gallery.get(["new"])[0].tracklet == few[0].tracklet

    def test_replacing(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        moved = replace(few[0], time=few[0].time + DAY_MS, vector=few[1].vector, quality=0.1)
        assert gallery.add([moved], replace=True) == 0
        assert gallery.count() == 60
        assert gallery.get([moved.id]) == [moved]
        assert gallery.search(matrix(few)[1], 2)[0].ids == (few[0].id, few[1].id)

    def test_search_equals_the_oracle(self, gallery: Gallery) -> None:
        sightings = many(700)
        gallery.add(sightings)
        queries = np.random.default_rng(5).standard_normal((3, D)).astype(np.float32)
        for query, hits in zip(queries, gallery.search(queries, 25), strict=True):
            want = oracle(sightings, query.astype(np.float64), self.form)[:25]
            assert hits.ids == tuple(name for _, name in want)
            np.testing.assert_allclose(hits.distances, [d for d, _ in want], atol=1e-6)

    def test_ties_go_by_id(self, gallery: Gallery, few: list[Sighting]) -> None:
        same = [replace(one, vector=few[0].vector) for one in few]
        gallery.add(same[::-1])
        hits = gallery.search(matrix(few)[0], 7)[0]
        assert hits.ids == tuple(one.id for one in few[:7])
        assert np.all(hits.distances == hits.distances[0])

    @pytest.fixture(scope="class")
    @classmethod
    def filled(cls, opened: Opener) -> tuple[Gallery, list[Sighting]]:
        """Adds in several calls, replacements, deletions: the gallery has a history."""
        made = opened(next(_NAMES))
        sightings = many(900)
        made.add(sightings[:500])
        made.add(sightings[500:])
        made.add(sightings[:30], replace=True)
        made.delete([one.id for one in sightings[100:150]])
        return made, sightings[:100] + sightings[150:]

    def test_scoped_search_equals_the_full_search_filtered(
        self, filled: tuple[Gallery, list[Sighting]]
    ) -> None:
        gallery, living = filled

        @settings(
            max_examples=self.examples,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(scope=scopes, k=st.integers(1, 60), seed=st.integers(0, 1000))
        def check(scope: Scope, k: int, seed: int) -> None:
            query = np.random.default_rng(seed).standard_normal(D).astype(np.float32)
            everything = gallery.search(query, len(living))[0]
            inside = {one.id for one in living if scope.holds(one)}
            keep = [i for i, name in enumerate(everything.ids) if name in inside][:k]
            hits = gallery.search(query, k, scope)[0]
            assert hits.ids == tuple(everything.ids[i] for i in keep)
            np.testing.assert_array_equal(hits.distances, everything.distances[keep])
            assert gallery.count(scope) == len(inside)
            assert sum(one.sightings for one in gallery.coverage(scope)) == len(inside)

        check()

    def test_the_window_is_half_open(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        moment = few[7].time
        assert gallery.count(Scope(start=moment, end=moment)) == 0
        assert gallery.count(Scope(start=moment, end=moment + 1)) == 1
        assert gallery.count(Scope(end=moment)) + gallery.count(Scope(start=moment)) == 60

    def test_the_latest(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        newest = sorted(few, key=lambda one: (-one.time, one.id))
        assert gallery.latest(20) == newest[:20]
        scope = Scope(units=("9901",), end=START + 2 * DAY_MS)
        assert gallery.latest(7, scope) == [one for one in newest if scope.holds(one)][:7]
        assert gallery.latest(1000) == newest

    def test_coverage_names_first_and_last(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        covered = gallery.coverage()
        assert [one.camera for one in covered] == sorted({one.camera for one in few})
        for one in covered:
            times = [s.time for s in few if s.camera == one.camera]
            assert (one.sightings, one.first, one.last) == (len(times), min(times), max(times))

    def test_figures(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        stats = gallery.stats()
        assert (stats.sightings, stats.model_id, stats.dimension) == (60, "toy", D)
        assert (stats.first, stats.last) == (min(s.time for s in few), max(s.time for s in few))
        assert gallery.health().readable
        assert gallery.health().writable
        assert gallery.health().problems == ()

    def test_models_do_not_mix(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        with pytest.raises(InputError, match="model 'toy'"):
            gallery.add([replace(few[0], id="new", model="other")])
        with pytest.raises(InputError, match="model 'toy'"):
            gallery.search(np.ones(D, np.float32), 1, model="other")
        with pytest.raises(InputError, match="model 'toy'"):
            gallery.vectors([few[0].id], model="other")
        with pytest.raises(InputError, match=f"{D} dimensions"):
            gallery.search(np.ones(8, np.float32), 1)
        with pytest.raises(InputError, match="models 'toy' and 'other'"):
            gallery.add([few[0], replace(few[1], model="other")])
        assert gallery.count() == 60

    @pytest.mark.parametrize(
        ("vector", "text"),
        [
            (None, "no vector"),
            (np.zeros(D, np.float32), "zero or not finite"),
            (np.full(D, np.nan, np.float32), "zero or not finite"),
            (np.ones(8, np.float32), "dimensions"),
            (np.ones((1, D), np.float32), "no vector"),
        ],
    )
    def test_bad_vectors_are_refused_and_nothing_is_stored(
        self, gallery: Gallery, few: list[Sighting], vector: np.ndarray | None, text: str
    ) -> None:
        with pytest.raises(InputError, match=text):
            gallery.add([few[0], replace(few[1], vector=vector)])
        assert gallery.count() == 0

    def test_unknown_ids_and_foolish_questions(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        with pytest.raises(InputError, match="no sighting"):
            gallery.get(["nobody"])
        with pytest.raises(InputError, match="no sighting"):
            gallery.vectors(["nobody"])
        with pytest.raises(InputError, match="at least one"):
            gallery.search(np.ones(D, np.float32), 0)
        with pytest.raises(InputError, match="zero or not finite"):
            gallery.search(np.zeros(D, np.float32), 1)
        assert gallery.delete(["nobody"]) == 0

    def test_deleting(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        assert gallery.delete([few[0].id, few[0].id, "nobody"]) == 1
        scope = Scope(cameras=(few[30].camera,), quality=0.2)
        inside = [one for one in few[1:] if scope.holds(one)]
        assert gallery.delete(scope) == len(inside) > 0
        left = [one for one in few[1:] if not scope.holds(one)]
        assert gallery.count() == len(left)
        assert set(gallery.search(matrix(few)[0], 60)[0].ids) == {one.id for one in left}
        assert gallery.add([few[0]]) == 1  # a deleted id may be used again
        gallery.compact()
        assert gallery.count() == len(left) + 1
        assert gallery.verify() == []

    def test_an_emptied_gallery_takes_another_model(
        self, gallery: Gallery, few: list[Sighting]
    ) -> None:
        gallery.add(few)
        gallery.delete(Scope())
        gallery.compact()
        assert gallery.model_id is None
        assert gallery.add(many(5, model="other", dimension=8)) == 5
        assert gallery.dimension == 8

    def test_retention(self, gallery: Gallery, few: list[Sighting]) -> None:
        gallery.add(few)
        limit = START + DAY_MS + DAY_MS // 2
        old = [one for one in few if one.time < limit]
        assert gallery.drop_before(limit) == len(old)
        assert gallery.count() == 60 - len(old)
        assert gallery.count(Scope(end=limit)) == 0
        gallery.add(old)  # a dropped day may come back
        assert gallery.count() == 60
        assert gallery.verify() == []

    def test_a_snapshot_is_an_embedded_gallery(
        self, tmp_path: Path, gallery: Gallery, few: list[Sighting]
    ) -> None:
        gallery.add(few[:40])
        gallery.snapshot(tmp_path / "copy")
        gallery.add(few[40:])
        copy = open_gallery(tmp_path / "copy")
        assert copy.count() == 40
        assert copy.verify() == []
        ids = [one.id for one in few[:40]]
        assert copy.get(ids) == few[:40]
        np.testing.assert_allclose(copy.vectors(ids), matrix(few[:40]), atol=1e-3)
        assert copy.add(few) == 20
        copy.close()
        with pytest.raises(InputError, match="not empty"):
            gallery.snapshot(tmp_path / "copy")

    def test_threads_search_beside_a_writer(self, gallery: Gallery) -> None:
        """Whatever the writer does meanwhile, an answer holds k different living sightings."""
        sightings = many(400)
        gallery.add(sightings[:200])
        stop = threading.Event()
        faults: list[BaseException] = []

        def search() -> None:
            query = np.random.default_rng(threading.get_ident()).standard_normal(D)
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
            gallery.add(sightings[start : start + 20])
            gallery.delete([one.id for one in sightings[start - 200 : start - 190]])
            gallery.compact()
        stop.set()
        for thread in threads:
            thread.join()
        assert not faults
        assert gallery.count() == 300
