"""A real Milvus server: killed and started again, damaged rows, partitions, copies to and fro."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from passerby.city import Scope, open_gallery
from passerby.city.copying import copy
from passerby.city.gallery import AwayError
from passerby.city.gallery.milvus import MilvusGallery
from passerby.city.gallery.milvus_rows import expression, rows
from passerby.city.gallery.records import Batch
from passerby.errors import InputError
from tests.city.gallery_contract import many, matrix
from tests.city.milvus_fixtures import milvus
from tests.city.milvus_server import MilvusServer

__all__ = ["milvus"]
OPTIONS = "partitions=4&shards=1&patience=300"


@pytest.fixture
def gallery(milvus: MilvusServer, request: pytest.FixtureRequest) -> Iterator[MilvusGallery]:
    made = MilvusGallery(milvus.address(request.node.name, OPTIONS))
    yield made
    made.drop()
    made.close()


@pytest.mark.slow
def test_there_and_back(gallery: MilvusGallery, tmp_path: Path) -> None:
    """Embedded -> Milvus -> embedded: the same sightings, vectors to the last bit."""
    first, last = open_gallery(tmp_path / "first"), open_gallery(tmp_path / "last")
    first.add(many(300))
    sent = copy(first, gallery)
    assert (sent.sightings, sent.stored) == (300, 300)
    assert copy(first, gallery).stored == 0
    assert gallery.verify() == []
    back = copy(gallery, last)
    assert (back.sightings, back.checksum) == (300, sent.checksum)
    assert copy(first, last).stored == 0
    query = matrix(many(3, seed=4))
    for mine, theirs in zip(first.search(query, 40), gallery.search(query, 40), strict=True):
        assert mine.ids == theirs.ids
        np.testing.assert_array_equal(mine.distances, theirs.distances)
    first.close()
    last.close()


def test_a_changed_row_is_named(gallery: MilvusGallery) -> None:
    gallery.add(many(20))
    spec = gallery.collection()
    assert spec.dimension
    changed = rows(Batch.of(many(20)[3:4]), spec.district)
    changed[0]["camera"] = "C99"
    gallery.link.ask("upsert", spec.name, data=changed)
    assert ["'s000003'" in fault for fault in gallery.verify()] == [True]


def test_partitions_hold_their_districts(gallery: MilvusGallery) -> None:
    """What a newer server is asked, with the partition key, finds the same as without.

    Written by a plain insert, as this server's upsert ignores the key (see ``Link.prunes``).
    """
    sightings = many(400)
    gallery.add(sightings[:1])
    spec = gallery.collection()
    assert spec.dimension
    assert not gallery.link.prunes
    gallery.link.ask("insert", spec.name, data=rows(Batch.of(sightings[1:]), spec.district))
    gallery.delete([sightings[0].id])
    for units in (("9901",), ("990102", "9902"), ("99020101",), ("98",), ("99",)):
        scope = Scope(units=units)
        pruned, whole = (expression(scope, length) for length in (spec.district, 0))
        want = sum(scope.holds(one) for one in sightings[1:])
        assert spec.count(pruned) == want == spec.count(whole)
    assert any(len(gallery.link.ask("list_partitions", spec.name)) == count for count in (4, 5))


@pytest.mark.slow
def test_more_rows_than_one_answer_holds(
    gallery: MilvusGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    from passerby.city.gallery import milvus_rows

    monkeypatch.setattr(milvus_rows, "MOST", 64)
    monkeypatch.setattr(milvus_rows, "SAMPLE", 16)
    sightings = many(500)
    gallery.add(sightings)
    spec = gallery.collection()
    assert spec.dimension
    pages = list(spec.pages("", ["id"]))
    assert all(len(page) < 64 for page in pages)
    assert sorted(row["id"] for page in pages for row in page) == [one.id for one in sightings]
    assert len(gallery.latest(1000)) == 500
    stats, times = gallery.stats(), [one.time for one in sightings]
    assert (stats.first, stats.last) == (min(times), max(times))


@pytest.mark.slow
def test_killed_in_mid_load_and_started_again(milvus: MilvusServer, gallery: MilvusGallery) -> None:
    """Nothing acknowledged is lost, nothing is there twice, and who waits is told why."""
    acknowledged: list[str] = []
    faults: list[BaseException] = []
    stop = threading.Event()

    def load() -> None:
        first = 0
        try:
            while not stop.is_set():
                part = many(20, first=first)
                assert gallery.add(part) == 20
                acknowledged.extend(one.id for one in part)
                first += 20
        except BaseException as fault:
            faults.append(fault)

    gallery.add(many(1, first=10**6))
    hasty = MilvusGallery(milvus.address("hasty", "patience=1"))
    writer = threading.Thread(target=load)
    writer.start()
    while len(acknowledged) < 100:
        time.sleep(0.01)
    milvus.kill()
    health = hasty.health()
    assert not health.readable
    assert "does not answer" in health.problems[0]
    with pytest.raises(AwayError, match="does not answer"):
        hasty.add(many(1))
    before = len(acknowledged)
    milvus.start()
    while len(acknowledged) < before + 100 and not faults:
        time.sleep(0.01)
    stop.set()
    writer.join()
    hasty.close()
    assert not faults
    kept = {one.id for one in gallery.latest(10**6)}
    assert set(acknowledged) <= kept
    assert gallery.count() == len(kept)
    assert gallery.verify() == []


def test_a_name_that_is_not_ours(milvus: MilvusServer, gallery: MilvusGallery) -> None:
    gallery.link.client.create_collection("foreign", dimension=4)
    stranger = MilvusGallery(milvus.address("foreign"))
    with pytest.raises(InputError, match="'foreign' was not made by this version"):
        stranger.count()
    stranger.close()
