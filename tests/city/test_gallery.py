"""The embedded gallery: the contract, and what a folder of files must stand."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from passerby.city import Gallery, Scope, Sighting, open_gallery
from passerby.city.gallery import DamagedError, EmbeddedGallery, writing
from passerby.city.gallery.memory import chunks_in
from passerby.city.gallery.searching import nearest
from passerby.errors import InputError
from passerby.retrieval.screening import encode, unit_rows
from passerby.times import DAY_MS
from tests.city.gallery_contract import (
    D,
    GalleryContract,
    Opener,
    many,
    matrix,
    oracle,
    stored_form,
)
from tests.city.gallery_stage_contract import StageContract


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


@pytest.fixture
def gallery(folder: Path) -> Iterator[Gallery]:
    made = open_gallery(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    root = tmp_path_factory.mktemp("galleries")
    made: list[Gallery] = []

    def open_one(name: str) -> Gallery:
        made.append(open_gallery(root / name))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


class TestEmbedded(GalleryContract):
    pass


class TestEmbeddedStage(StageContract):
    pass


def test_retention_drops_whole_days(gallery: Gallery) -> None:
    few = many(60)
    gallery.add(few)
    days = sorted({one.time // 86_400_000 for one in few})
    gallery.drop_before((days[1] * 2 + 1) * 43_200_000)
    assert {one.time // 86_400_000 for one in gallery.latest(60)} == set(days[1:])


def bytes_of(folder: Path) -> bytes:
    """All files, read by another process: closing a file of SQLite's drops this one's locks."""
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    return subprocess.run(["cat", *files], check=True, stdout=subprocess.PIPE).stdout


def marks_of(sightings: list[Sighting]) -> list[bytes]:
    """What would betray sightings: vectors, codes, ids, crops, tracklets."""
    vectors = matrix(sightings).astype(np.float16)
    marks = [row.tobytes() for row in (*vectors, *encode(vectors).values)]
    names = [text for one in sightings for text in (one.id, one.crop, one.tracklet)]
    plates = [value.encode() for one in sightings for _, value in one.attributes]
    return [*marks, *(f'"{text}"'.encode() for text in names), *plates]


def marked(sightings: list[Sighting]) -> list[Sighting]:
    """Each with an attribute of its own."""
    return [replace(one, attributes=(("plate", f"AB-{one.id}"),)) for one in sightings]


def test_a_deletion_leaves_no_byte_behind(folder: Path, gallery: Gallery) -> None:
    few = marked(many(60))
    gallery.add(few)
    gone = [one for one in few if int(one.tracklet[1:]) % 2]
    marks = marks_of(gone)
    assert all(mark in bytes_of(folder) for mark in marks)
    gallery.delete([one.id for one in gone])
    content = bytes_of(folder)
    assert not [mark for mark in marks if mark in content]
    left = [one for one in few if one not in gone]
    ids = [one.id for one in left]
    assert gallery.get(ids) == left
    np.testing.assert_allclose(gallery.vectors(ids), matrix(left), atol=1e-3)
    gallery.delete(Scope())
    assert gallery.stats().first is None
    content = bytes_of(folder)
    assert not [mark for mark in marks_of(few) if mark in content]


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_no_history_leaves_a_byte_behind(folder: Path, seed: int) -> None:
    """Adds, replacements, deletions, retention, compaction, a switch, in any order."""
    chance = random.Random(seed)
    gallery = open_gallery(folder)
    living: dict[str, Sighting] = {}
    gone: dict[str, Sighting] = {}
    for step in range(40):
        size = chance.choice([1, 8, 60, 700])
        new = marked(many(size, first=1000 * step, seed=seed, dimension=32))
        gallery.add(new)
        living |= {one.id: one for one in new}
        drop = chance.sample(sorted(living), len(living) // chance.choice([3, 10, 40]))
        if step % 10 == 7:
            limit = sorted(one.time for one in living.values())[len(living) // 5]
            drop = [name for name, one in living.items() if one.time < limit]
            gallery.drop_before(limit)
        elif step % 10 == 9:
            gallery.compact()
        gallery.delete(drop)
        gone |= {name: living.pop(name) for name in drop}
    stage = gallery.stage("next")
    while part := stage.missing(500):
        rows = matrix(many(len(part), first=10**6, dimension=16))
        stage.put([one.id for one in part], rows)
        half = chance.sample([one.id for one in part], 20)
        gallery.delete(half)
        gone |= {name: living.pop(name) for name in half}
    assert stage.switch()
    content = bytes_of(folder)
    old = matrix(list(living.values())).astype(np.float16)  # of the network before
    marks = [row.tobytes() for row in (*old, *encode(old).values)]
    marks += marks_of(list(gone.values()))
    held = {one.tracklet for one in living.values()}
    assert not [m for m in marks if m in content and m[1:-1].decode("latin1") not in held]
    assert gallery.count() == len(living)
    assert gallery.verify() == []
    gallery.close()


def test_small_adds_do_not_leave_many_chunks(folder: Path, gallery: Gallery) -> None:
    few = many(900)
    for start in range(0, 900, 3):
        gallery.add(few[start : start + 3])
    assert isinstance(gallery, EmbeddedGallery)
    with gallery._store.read() as database:
        assert len(chunks_in(database, Scope())) < 120  # of 300 adds on three days
    gallery.compact()
    with gallery._store.read() as database:
        assert len(chunks_in(database, Scope())) <= 6
    assert gallery.get([one.id for one in few]) == few
    assert gallery.verify() == []


def test_a_flipped_bit_is_found_and_named(folder: Path) -> None:
    made = open_gallery(folder)
    few = many(60)
    made.add(few)
    made.close()
    victim = folder / "gallery.sqlite"
    content = bytearray(victim.read_bytes())
    at = content.index(matrix(few[7:8]).astype(np.float16).tobytes())
    content[at + 5] ^= 1
    victim.write_bytes(content)
    again = open_gallery(folder)
    with pytest.raises(DamagedError, match=victim.name):
        again.search(np.ones(D, np.float32), 60)
    assert any(victim.name in fault for fault in again.verify())
    again.close()


def test_a_broken_file_is_named(folder: Path) -> None:
    made = open_gallery(folder)
    made.add(many(60))
    made.close()
    (folder / "gallery.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError, match=r"gallery\.sqlite"):
        open_gallery(folder)


def change(folder: Path, sql: str) -> None:
    """Change the file of a closed gallery as no version of ours would."""
    with closing(apsw.Connection(str(folder / "gallery.sqlite"), vfs="cksmvfs")) as database:
        database.execute(sql)


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("UPDATE chunks SET crc = crc + 1 WHERE chunk = 2", "checksum"),
        ("UPDATE chunks SET rows = rows + 1 WHERE chunk = 2", "directory"),
        ("UPDATE chunks SET high = '98' WHERE chunk = 2", "directory"),
        ("UPDATE meta SET value = 17 WHERE name = 'dimension'", "dimension"),
        ("INSERT INTO contents VALUES (77, x'00')", "belong to no chunk"),
        ("DELETE FROM terms WHERE place >> 10 = 2", "missing from the index"),
        ("INSERT INTO terms VALUES (5, 99 << 10)", "loose"),
        ("DELETE FROM contents WHERE chunk = 2", "checksum"),
    ],
)
def test_what_does_not_fit_together_is_named(folder: Path, sql: str, fault: str) -> None:
    made = open_gallery(folder)
    made.add(many(60))
    made.close()
    change(folder, sql)
    again = open_gallery(folder)
    assert any(fault in text for text in again.verify())
    again.close()


def test_a_gallery_of_a_newer_version_is_refused(folder: Path) -> None:
    open_gallery(folder).close()
    change(folder, "UPDATE meta SET value = 99 WHERE name = 'format'")
    with pytest.raises(DamagedError, match="another version"):
        open_gallery(folder)


@pytest.mark.parametrize("limit", [0, 300_000, 10**9])
def test_answers_do_not_depend_on_memory(
    folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes are retained within the limit, and read again where it is too small."""
    monkeypatch.setattr("passerby.city.gallery.memory.SLAB_ROWS", 2048)
    few = many(4000, dimension=64)
    for start in range(0, 4000, 500):
        with closing(EmbeddedGallery(folder, memory=limit)) as gallery:
            gallery.add(few[start : start + 500])
    with closing(EmbeddedGallery(folder, memory=limit)) as gallery:
        for number, scope in enumerate([Scope(), Scope(units=("9901",)), Scope(quality=0.4)] * 2):
            query = matrix(few)[number].astype(np.float64)
            want = oracle([one for one in few if scope.holds(one)], query, stored_form)[:30]
            assert gallery.search(query, 30, scope)[0].ids == tuple(name for _, name in want)
            codes = sum(slab.code_bytes for slab in gallery._memory._slabs if slab.codes)
            assert codes <= limit


def test_a_text_that_cannot_be_stored_is_refused(gallery: Gallery) -> None:
    with pytest.raises(InputError, match="no Unicode"):
        gallery.add([replace(many(1)[0], tracklet="\ud800")])
    assert gallery.count() == 0


def test_two_ids_of_one_number_in_the_index(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "term", lambda field, text: len(text) % 2)
    few = many(60)
    assert gallery.add(few[:40]) == 40
    assert gallery.add(few) == 20
    assert gallery.add(few[:5], replace=True) == 0
    assert gallery.get([one.id for one in few]) == few
    assert [one.id for one in gallery.tracklets(["t3"])["t3"]] == ["s000009", "s000010", "s000011"]
    assert gallery.crops_used([few[3].crop, "nothing"]) == {few[3].crop}
    assert gallery.delete([few[3].id, few[30].id, "nobody"]) == 2
    assert gallery.count() == 58
    assert gallery.verify() == []


@pytest.mark.parametrize(
    "change", [{"quality": float("nan")}, {"time": 1 << 63}, {"time": 1.5}, {"crop": "\udfff"}]
)
def test_what_cannot_be_stored_is_refused(gallery: Gallery, change: dict[str, object]) -> None:
    few = many(3)
    with pytest.raises(InputError):
        gallery.add([few[0], replace(few[1], **change)])  # type: ignore[arg-type]
    assert gallery.count() == 0
    assert gallery.drop_before(10**30) == 0
    with pytest.raises(InputError, match="no sighting"):
        gallery.get(["\ud800"])


def test_an_interrupt_while_another_process_writes(
    folder: Path, gallery: EmbeddedGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = many(60)
    gallery.add(few[:20])

    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    with (
        closing(EmbeddedGallery(folder)) as other,
        other._store.write(),
        monkeypatch.context() as patch,
    ):
        patch.setattr("passerby.city.gallery.store._Patience.__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gallery.add(few[20:40])
    assert gallery.add(few[40:]) == 20
    assert gallery.count() == 40


def test_a_model_for_a_gallery_that_was_emptied_meanwhile(gallery: Gallery) -> None:
    gallery.add(many(30))
    stage = gallery.stage("next")
    gallery.delete(Scope())
    assert stage.switch()
    assert gallery.model_id is None
    assert gallery.add(many(5, model="other", dimension=8)) == 5


def test_a_search_that_began_before_a_switch(gallery: EmbeddedGallery) -> None:
    """It sees the old network to its end, and does the later ones no harm."""
    few = many(2000)
    gallery.add(few)
    stage = gallery.stage("next")
    new = dict(zip((one.id for one in few), matrix(many(2000, seed=3, dimension=24)), strict=True))
    while part := stage.missing(1000):
        stage.put([one.id for one in part], np.stack([new[one.id] for one in part]))
    query = unit_rows(matrix(few)[7])
    with gallery._store.read() as database:
        assert len(chunks_in(database, Scope())) > 3
        assert stage.switch()
        assert gallery.search(new[few[9].id], 3, model="next")[0].ids[0] == few[9].id
        old = nearest(database, gallery._memory, query, k=3, scope=Scope())
        assert old[0].ids[0] == few[7].id
    gallery.add(many(1500, first=5000, model="next", dimension=24))
    for one in few[:5]:
        assert gallery.search(new[one.id], 3, model="next")[0].ids[0] == one.id


def test_memory_forgets_what_is_gone(
    gallery: EmbeddedGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerby.city.gallery.memory.SLAB_ROWS", 4096)
    sizes = []
    for day in range(30):
        few = [
            replace(one, time=one.time % DAY_MS + day * DAY_MS)
            for one in many(600, first=600 * day)
        ]
        gallery.add(few)
        gallery.drop_before((day - 1) * DAY_MS)
        assert len(gallery.search(matrix(few)[0], 5)[0]) == 5
        sizes.append(gallery._memory.bytes)
    assert max(sizes[20:]) <= 2 * max(sizes[:10])


FORK = """
import os, sys
from passerby.city import open_gallery
from tests.city.gallery_contract import many, matrix
gallery = open_gallery(sys.argv[1])
few = many(60)
gallery.add(few[:20])
child = os.fork()
if child == 0:
    added = gallery.add(few[20:])
    os._exit(0 if added == 40 and gallery.count() == 60 else 1)
assert os.waitpid(child, 0)[1] == 0
assert gallery.count() == 60
gallery.close()
"""


def test_a_process_that_was_forked(folder: Path) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", FORK, str(folder)], check=True, env=environment)
    with closing(open_gallery(folder)) as gallery:
        assert gallery.count() == 60
        assert gallery.verify() == []
