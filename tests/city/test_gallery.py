"""The embedded gallery: the contract, and what a folder of files must stand."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from passerby.city import Gallery, Scope, open_gallery
from passerby.city.gallery import DamagedError
from tests.city.gallery_contract import D, GalleryContract, Opener, many, matrix
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


def test_after_compaction_deleted_bytes_are_gone(folder: Path, gallery: Gallery) -> None:
    few = many(60)
    gallery.add(few)
    gone = few[::2]
    marks = [row.astype(np.float16).tobytes() for row in matrix(gone)]
    marks += [one.id.encode() for one in gone] + [one.crop.encode() for one in gone]

    def traces() -> int:
        files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        return sum(mark in content for mark in marks for content in files)

    assert traces() >= len(marks)
    gallery.delete([one.id for one in gone])
    assert gallery.compact() > 0
    assert traces() == 0
    assert gallery.stats().dead == 0
    ids = [one.id for one in few[1::2]]
    assert gallery.get(ids) == few[1::2]
    np.testing.assert_allclose(gallery.vectors(ids), matrix(few[1::2]), atol=1e-3)
    for row, name in zip(matrix(few[1::2]), ids, strict=True):
        assert gallery.search(row, 1)[0].ids == (name,)
    gallery.delete(Scope())
    gallery.compact()
    assert gallery.stats().days == 0


def test_a_flipped_byte_of_a_segment_is_found_and_named(folder: Path) -> None:
    made = open_gallery(folder)
    made.add(many(60))
    made.close()
    victim = sorted((folder / "vectors").glob("*.f16"))[1]
    content = bytearray(victim.read_bytes())
    content[5] ^= 1
    victim.write_bytes(content)
    again = open_gallery(folder)
    with pytest.raises(DamagedError, match=victim.name):
        again.search(np.ones(D, np.float32), 1)
    assert [victim.name in fault for fault in again.verify()] == [True]
    again.close()


def test_a_broken_index_is_named(folder: Path) -> None:
    made = open_gallery(folder)
    made.add(many(60))
    made.close()
    (folder / "index.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError, match=r"index\.sqlite"):
        open_gallery(folder)


def test_a_gallery_of_the_first_format_is_brought_up_to_date(folder: Path) -> None:
    few = [replace(one, attributes=()) for one in many(60)]
    made = open_gallery(folder)
    made.add(few)
    made.close()
    (folder / "index.seal").unlink()
    (folder / "writer.lock").unlink()
    for path in (folder / "vectors").glob("*.columns"):
        path.unlink()
    with closing(sqlite3.connect(folder / "index.sqlite")) as old:  # what it was like
        old.executescript(
            """
            ALTER TABLE sightings DROP COLUMN labels;
            ALTER TABLE sightings DROP COLUMN crc;
            ALTER TABLE cameras RENAME COLUMN code TO id;
            DROP TABLE labels;
            DROP TABLE stages;
            DROP TABLE stage_blocks;
            DELETE FROM facts WHERE name = 'commit';
            UPDATE facts SET value = 1 WHERE name = 'format';
            """
        )
    again = open_gallery(folder)
    assert again.verify() == []
    assert again.get([one.id for one in few]) == few
    assert again.add(many(3, first=60)) == 3
    again.close()
    assert open_gallery(folder).count() == 63


def test_an_index_of_a_newer_version_is_refused(folder: Path) -> None:
    open_gallery(folder).close()
    with closing(sqlite3.connect(folder / "index.sqlite")) as newer:
        newer.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
        newer.commit()
    with pytest.raises(DamagedError, match="another version"):
        open_gallery(folder)
