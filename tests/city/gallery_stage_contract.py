"""The contract of changing a gallery's model; every store passes it, see gallery_contract."""

import threading
from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from passerby.city import Gallery, Sighting
from passerby.city.gallery import Stage
from passerby.errors import InputError
from tests.city.gallery_contract import D, Opener, many, matrix, oracle, stored_form

_NAMES = (f"stage{number}" for number in count())
NEW = 24  # dimensions of the new model


def again(sightings: list[Sighting], dimension: int = NEW) -> dict[str, np.ndarray]:
    """The same sightings by the new model."""
    rows = matrix(many(len(sightings), seed=9, dimension=dimension))
    return {one.id: row for one, row in zip(sightings, rows, strict=True)}


def fill(stage: Stage, vectors: dict[str, np.ndarray], limit: int = 17) -> None:
    while part := stage.missing(limit):
        ids = [one.id for one in part]
        assert stage.put(ids, np.stack([vectors[name] for name in ids])) == len(ids)


class StageContract:
    """Subclass it in a module that has the fixture ``opened``."""

    form = staticmethod(stored_form)

    @pytest.fixture
    def name(self) -> str:
        return next(_NAMES)

    @pytest.fixture
    def gallery(self, opened: Opener, name: str) -> Gallery:
        return opened(name)

    def test_a_new_model(self, opened: Opener, name: str, gallery: Gallery) -> None:
        few = many(60)
        gallery.add(few)
        other = opened(name)
        assert other.count() == 60
        vectors = again(few)
        stage = gallery.stage("new")
        assert stage.model_id == "new"
        assert not stage.switch()
        fill(stage, vectors)
        # until the switch nothing has changed
        assert gallery.search(matrix(few)[3], 1, model="toy")[0].ids == (few[3].id,)
        assert stage.switch()
        for one in (gallery, other):
            assert (one.model_id, one.dimension) == ("new", NEW)
            assert one.count() == 60
            query = vectors[few[3].id]
            sightings = [replace(s, vector=vectors[s.id]) for s in few]
            want = oracle(sightings, query.astype(np.float64), self.form)[:9]
            assert one.search(query, 9, model="new")[0].ids == tuple(n for _, n in want)
            with pytest.raises(InputError, match="model 'new'"):
                one.search(query, 9, model="toy")
            assert one.get([few[5].id]) == [replace(few[5], model="new")]
            assert one.verify() == []
        with pytest.raises(InputError, match="model 'new'"):
            other.add(many(3, first=60))
        late = many(3, first=60, model="new", dimension=NEW)
        assert other.add(late) == 3
        assert gallery.count() == 63

    def test_adds_deletes_and_compaction_meanwhile(self, gallery: Gallery) -> None:
        few = many(90)
        gallery.add(few[:60])
        vectors = again(few)
        stage = gallery.stage("new")
        first = [one.id for one in stage.missing(30)]
        stage.put(first, np.stack([vectors[name] for name in first]))
        gallery.add(few[60:])
        gone = {one.id for one in few[:60:4]}
        gallery.delete(sorted(gone))
        gallery.compact()
        assert {one.id for one in stage.missing(1000)} == {one.id for one in few} - gone - set(
            first
        )
        gallery.add([few[0]])  # comes back after its deletion
        gallery.delete([stage.missing(1)[0].id])
        gone = (gone - {few[0].id}) | ({one.id for one in few} - gone - self.ids(gallery, few))
        fill(stage, vectors, limit=11)
        last = max((one for one in few if one.id not in gone), key=lambda one: (one.time, one.id))
        gallery.delete([last.id])
        assert stage.switch()
        left = [replace(s, vector=vectors[s.id]) for s in few if s.id not in gone | {last.id}]
        assert gallery.count() == len(left)
        query = vectors[left[0].id]
        want = oracle(left, query.astype(np.float64), self.form)
        assert gallery.search(query, 100)[0].ids == tuple(name for _, name in want)
        gallery.compact()
        assert gallery.verify() == []

    def ids(self, gallery: Gallery, few: list[Sighting]) -> set[str]:
        return {one.id for one in gallery.latest(1000)}

    def test_it_goes_on_where_it_stopped(self, opened: Opener, name: str, gallery: Gallery) -> None:
        few = many(40)
        gallery.add(few)
        vectors = again(few)
        stage = gallery.stage("new")
        ids = [one.id for one in stage.missing(25)]
        stage.put(ids, np.stack([vectors[name] for name in ids]))
        resumed = opened(name).stage("new")
        assert len(resumed.missing(1000)) == 15
        resumed.put(ids, np.stack([vectors[name] for name in ids]))  # known already
        fill(resumed, vectors)
        assert resumed.switch()

    def test_giving_up(self, gallery: Gallery) -> None:
        few = many(30)
        with pytest.raises(InputError, match="empty"):
            gallery.stage("new")
        gallery.add(few)
        with pytest.raises(InputError, match="already"):
            gallery.stage("toy")
        stage = gallery.stage("new")
        fill(stage, again(few))
        with pytest.raises(InputError, match="anew with 'new'"):
            gallery.stage("third")
        stage.drop()
        with pytest.raises(InputError, match="any more"):
            stage.missing(1)
        third = gallery.stage("third")
        assert len(third.missing(100)) == 30
        assert gallery.search(matrix(few)[3], 1, model="toy")[0].ids == (few[3].id,)
        third.drop()

    def test_bad_vectors(self, gallery: Gallery) -> None:
        few = many(30)
        gallery.add(few)
        stage = gallery.stage("new")
        ids = [one.id for one in stage.missing(10)]
        rows = np.stack([again(few)[name] for name in ids])
        with pytest.raises(InputError, match="zero or not finite"):
            stage.put(ids, rows * 0)
        with pytest.raises(InputError, match="order"):
            stage.put(ids[1:], rows[1:])
        assert stage.put(ids, rows) == 10
        more = [one.id for one in stage.missing(10)]
        with pytest.raises(InputError, match="dimensions"):
            stage.put(more, np.ones((10, D), np.float32))
        assert len(stage.missing(100)) == 20

    def test_searches_beside_the_switch(self, gallery: Gallery) -> None:
        """A search sees the one model or the other, never both, never nothing."""
        few = many(60)
        gallery.add(few)
        vectors = again(few, D)  # the same dimension: only the model's id tells them apart
        stop = threading.Event()
        faults: list[BaseException] = []
        queries = {"toy": matrix(few)[3], "new": vectors[few[3].id]}

        def search() -> None:
            try:
                while not stop.is_set():
                    model = gallery.model_id
                    assert model in queries
                    try:
                        hits = gallery.search(queries[model], 1, model=model)[0]
                    except InputError as error:
                        assert "vectors of the model" in str(error)
                        continue
                    assert hits.ids == (few[3].id,)
                    assert hits.distances[0] < 1e-3
            except BaseException as fault:
                faults.append(fault)

        thread = threading.Thread(target=search)
        thread.start()
        stage = gallery.stage("new")
        fill(stage, vectors)
        assert stage.switch()
        stop.set()
        thread.join()
        assert not faults
