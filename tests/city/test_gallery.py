"""The embedded gallery: the contract, and what a folder of files must stand."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from passerby.city import Gallery, Scope, Sighting, open_gallery
from passerby.city.gallery import DamagedError, EmbeddedGallery
from passerby.errors import InputError
from passerby.retrieval.screening import encode
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
    assert gallery.stats().days == len(days) - 1


def bytes_of(folder: Path) -> bytes:
    """All files, read by another process: closing a file of SQLite's drops this one's locks."""
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    return subprocess.run(["cat", *files], check=True, stdout=subprocess.PIPE).stdout


def marks_of(sightings: list[Sighting]) -> list[bytes]:
    """What would betray sightings: vectors, codes, ids, crops, tracklets."""
    vectors = matrix(sightings).astype(np.float16)
    marks = [row.tobytes() for row in (*vectors, *encode(vectors).values)]
    return marks + [
        f'"{text}"'.encode() for one in sightings for text in (one.id, one.crop, one.tracklet)
    ]


def test_a_deletion_leaves_no_byte_behind(folder: Path, gallery: Gallery) -> None:
    few = many(60)
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
    assert gallery.stats().days == 0
    content = bytes_of(folder)
    assert not [mark for mark in marks_of(few) if mark in content]


@pytest.mark.parametrize("seed", range(3))
def test_no_history_leaves_a_byte_behind(folder: Path, seed: int) -> None:
    """Adds, replacements, deletions, retention, compaction, a switch, in any order."""
    chance = random.Random(seed)
    gallery = open_gallery(folder)
    living: dict[str, Sighting] = {}
    gone: dict[str, Sighting] = {}
    for step in range(40):
        new = many(chance.choice([1, 8, 60, 700]), first=1000 * step, seed=seed, dimension=32)
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
    with gallery._reading() as (_, directory):
        assert len(directory.chunks) < 120  # of 300 adds on three days
    gallery.compact()
    with gallery._reading() as (_, directory):
        assert len(directory.chunks) <= 6
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
def test_answers_do_not_depend_on_memory(folder: Path, limit: int) -> None:
    """Codes are kept within the limit, and read again where it is too small."""
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
    with pytest.raises(InputError, match="half a character"):
        gallery.add([replace(many(1)[0], tracklet="\ud800")])
    assert gallery.count() == 0
