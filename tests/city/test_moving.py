"""Copies of galleries, and backups of whole cities, proven by bringing them back."""

import json
import os
import sqlite3
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.city import City, Gallery, Sighting, copying, open_gallery
from passerby.city.copying import copy
from passerby.city.gallery.records import checksum
from passerby.city.moving import back_up, check, read_manifest, restore
from passerby.cli import main
from passerby.errors import InputError
from passerby.service.audit import Audit
from passerby.service.database import Database
from tests.city.gallery_contract import many


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Gallery]:
    gallery = open_gallery(tmp_path / "source")
    yield gallery
    gallery.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Gallery]:
    gallery = open_gallery(tmp_path / "target")
    yield gallery
    gallery.close()


def content(gallery: Gallery) -> dict[str, int]:
    """Checksum by id of everything."""
    found = gallery.latest(10**6)
    rows = gallery.vectors([one.id for one in found])
    return {one.id: checksum(one, row) for one, row in zip(found, rows, strict=True)}


def test_a_copy_is_equal(source: Gallery, target: Gallery) -> None:
    source.add(many(300))
    done = copy(source, target)
    assert (done.sightings, done.stored) == (300, 300)
    assert content(target) == content(source)
    again = copy(source, target)
    assert (again.sightings, again.stored, again.checksum) == (300, 0, done.checksum)


def test_an_empty_copy(source: Gallery, target: Gallery) -> None:
    assert copy(source, target).sightings == 0
    assert target.model_id is None


def test_an_interrupted_copy_goes_on(
    source: Gallery, target: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying.windows, "__defaults__", (50,))
    source.add(many(300))
    finished = 0

    def interrupt(rows: int) -> None:
        nonlocal finished
        finished += rows
        if finished > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, target, progress=interrupt)
    assert 100 < target.count() < 300
    source.add(many(20, first=300))
    assert copy(source, target).stored == 320 - finished
    assert content(target) == content(source)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 400), together=st.booleans())
def test_windows_hold_every_sighting_once(
    tmp_path_factory: pytest.TempPathFactory, rows: int, together: bool
) -> None:
    gallery = open_gallery(tmp_path_factory.mktemp("windows") / "g")
    sightings = many(120)
    if together:
        sightings = [replace(one, time=sightings[0].time) for one in sightings]
    gallery.add(sightings)
    parts = [
        [one.id for one in sightings if window.holds(one)]
        for window in copying.windows(gallery, rows)
    ]
    assert sorted(name for part in parts for name in part) == [one.id for one in sightings]
    assert together or all(len(part) <= max(rows, 1) for part in parts)
    gallery.close()


def test_another_target_is_refused(source: Gallery, target: Gallery) -> None:
    source.add(many(60))
    stranger = replace(many(1)[0], id="stranger")
    target.add([stranger])
    with pytest.raises(InputError, match="'stranger', which the source does not"):
        copy(source, target)
    target.delete(["stranger"])
    target.add([replace(many(1)[0], quality=0.99)])
    with pytest.raises(InputError, match="another sighting 's000000'"):
        copy(source, target)
    target.delete(["s000000"])
    late = replace(stranger, time=stranger.time + 10**10)
    target.add([late])
    with pytest.raises(InputError, match="61 sightings, the source 60"):
        copy(source, target)


def test_another_model_is_refused(source: Gallery, target: Gallery) -> None:
    source.add(many(6))
    target.add(many(6, model="other"))
    with pytest.raises(InputError, match="model 'other'"):
        copy(source, target)


# backups ---------------------------------------------------------------------------------------


def jpeg(number: int) -> bytes:
    return b"\xff\xd8\xff" + number.to_bytes(4, "big") * 100


def with_crops(city: City, sightings: list[Sighting]) -> list[Sighting]:
    return [replace(one, crop=city.crops.put(jpeg(int(one.id[1:])))) for one in sightings]


@pytest.fixture
def busy(city: City) -> City:
    """A city with sightings, crops, settings and a chain of audit entries."""
    city.add_sightings(with_crops(city, many(200)))
    city.set_setting("retention_days", 30)
    (city.folder / "landscape.geojson").write_text("{}")
    (city.folder / "database.password").write_text("secret")
    with closing(Database.of(city)) as database:
        audit = Audit(database, city.folder)
        for number in range(5):
            audit.append("search", account="ann", units=("99",), details={"number": number})
    return city


def equal_but_later(restored: City, before: dict[str, int], crops: int) -> None:
    held = content(restored.gallery)
    assert before.items() <= held.items()
    assert restored.gallery.verify() == []
    for one in restored.gallery.get(list(before)):
        assert restored.crops.path(one.crop).read_bytes() == jpeg(int(one.id[1:]))
    assert len(list(restored.crops.folder.rglob("*.jpg"))) >= crops


@pytest.mark.parametrize("name", ["kept", "kept.tar"])
def test_a_backup_of_a_busy_city_comes_back(busy: City, tmp_path: Path, name: str) -> None:
    before = content(busy.gallery)
    stop = threading.Event()

    def write() -> None:
        with City.open(busy.folder) as other, closing(Database.of(other)) as database:
            audit, first = Audit(database, other.folder), 1000
            while not stop.is_set():
                other.add_sightings(with_crops(other, many(5, first=first)))
                audit.append("ingest", account="bob", units=("99",))
                first += 5

    writer = threading.Thread(target=write)
    writer.start()
    try:
        manifest = back_up(busy, tmp_path / name)
    finally:
        stop.set()
        writer.join()
    assert manifest.catalogue
    assert check(tmp_path / name) == manifest == read_manifest(tmp_path / name)
    assert restore(tmp_path / name, tmp_path / "again") == manifest
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    assert not (tmp_path / "again" / "database.password").exists()
    assert (tmp_path / "again" / "landscape.geojson").read_text() == "{}"
    with City.open(tmp_path / "again") as restored:
        equal_but_later(restored, before, crops=200)
        assert restored.gallery.count() == manifest.sightings
        assert restored.setting("retention_days") == 30
        assert list(restored.units) == list(busy.units)
        assert restored.cameras == busy.cameras
        with closing(Database.of(restored)) as database:
            audit = Audit(database, restored.folder)
            verdict = audit.verify()
            assert verdict.intact
            assert verdict.entries >= 5
            audit.append("export", account="ann")
            assert audit.verify().intact
        assert restored.add_sightings(many(2, first=5000)) == 2


def test_a_backup_uses_its_own_gallery(busy: City, tmp_path: Path) -> None:
    busy.set_setting("gallery", "milvus://nobody.example/none")
    back_up(busy, tmp_path / "kept")  # the gallery is open already
    restore(tmp_path / "kept", tmp_path / "again")
    with City.open(tmp_path / "again") as restored:
        assert restored.setting("gallery") is None
        assert restored.gallery.count() == 200
        assert restored.id != busy.id == City.open(busy.folder).id, (
            "it takes no job of the original"
        )


def test_damage_is_found_and_named(busy: City, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    back_up(busy, kept)
    crop = sorted(kept.rglob("*.jpg"))[3]
    name = str(crop.relative_to(kept))
    good = crop.read_bytes()
    crop.write_bytes(good[:-1] + b"\x01")
    with pytest.raises(InputError, match=f"'{name}' in the backup .* is damaged"):
        restore(kept, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    crop.unlink()
    with pytest.raises(InputError, match=f"'{name}' is missing"):
        check(kept)
    crop.write_bytes(good)
    (kept / "more.txt").write_text("x")
    with pytest.raises(InputError, match=r"'more\.txt', which its manifest does not"):
        check(kept)
    (kept / "more.txt").unlink()
    assert len(check(kept).files) > 200
    (kept / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="manifest"):
        check(kept)


def test_a_tar_that_was_cut_or_made_by_others_is_refused(busy: City, tmp_path: Path) -> None:
    kept = tmp_path / "kept.tar"
    back_up(busy, kept)
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="no backup"):
        restore(kept, tmp_path / "again")
    changed = bytearray(content)
    changed[content.index(jpeg(7)) + 9] ^= 1
    kept.write_bytes(changed)
    with pytest.raises(InputError, match="damaged"):
        restore(kept, tmp_path / "again")
    evil = {"format": 1, "created": 0, "version": "", "sightings": 0, "model": None}
    evil |= {"catalogue": True, "files": {"../evil": [4, "0" * 64]}}
    (tmp_path / "manifest.json").write_text(json.dumps(evil))
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "manifest.json", "manifest.json")
        tar.add(tmp_path / "manifest.json", "../evil")
    with pytest.raises(InputError, match="evil"):
        restore(tmp_path / "evil.tar", tmp_path / "again")
    assert not (tmp_path / "evil").exists()


def test_a_damaged_crop_is_named_while_it_is_kept(busy: City, tmp_path: Path) -> None:
    victim = sorted(busy.crops.folder.rglob("*.jpg"))[0]
    victim.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=victim.name):
        back_up(busy, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_the_verbs(busy: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: Any) -> tuple[int, str]:
        status = main(["admin", *map(str, words)])
        return status, capsys.readouterr().out

    city, other = busy.folder, tmp_path / "other"
    status, out = run("gallery", "copy", city, other, "--json")
    assert status == 0
    assert (json.loads(out)["sightings"], json.loads(out)["stored"]) == (200, 200)
    status, out = run("gallery", "copy", city, other)
    assert (status, "0 of them new" in out) == (0, True)
    assert run("gallery", "copy", tmp_path / "nothing", other)[0] == 2
    assert run("backup", city, tmp_path / "kept.tar")[0] == 0
    assert run("backup", city, tmp_path / "kept.tar")[0] == 2
    assert run("restore", tmp_path / "kept.tar")[0] == 0
    assert run("restore", tmp_path / "kept.tar", tmp_path / "again")[0] == 0
    assert run("restore", tmp_path / "kept.tar", tmp_path / "again")[0] == 2
    assert run("restore", city)[0] == 2
    status, out = run("gallery", "use", city, "folder")
    assert (status, "200 sightings of toy" in out) == (0, True)


def test_a_database_elsewhere_is_left_out(busy: City, tmp_path: Path) -> None:
    """As for a catalogue in PostgreSQL: the folder holds its address only."""
    catalogue = busy.folder / "catalogue.sqlite"
    catalogue.rename(tmp_path / "away.sqlite")
    for rest in busy.folder.glob("catalogue.sqlite-*"):
        os.unlink(rest)
    manifest = back_up(busy, tmp_path / "kept")
    assert not manifest.catalogue
    assert not (tmp_path / "kept" / "catalogue.sqlite").exists()


def test_the_copied_catalogue_is_whole(busy: City, tmp_path: Path) -> None:
    back_up(busy, tmp_path / "kept")
    with closing(sqlite3.connect(tmp_path / "kept" / "catalogue.sqlite")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("SELECT count(*) FROM audit").fetchone() == (5,)
