"""A backup that somebody else made: one clear line, nothing outside, nothing that points."""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.city import City
from passerby.city.moving import back_up, check, restore
from passerby.cli import main
from passerby.errors import InputError
from tests.city.gallery_contract import many

Files = dict[str, bytes]


@pytest.fixture
def kept(city: City, tmp_path: Path) -> Path:
    """A good backup of a small city, as a folder."""
    rows = [replace(one, crop=city.crops.put(b"\xff\xd8\xff" + one.id.encode())) for one in many(6)]
    city.add_sightings(rows)
    (city.folder / "service.secret").write_bytes(b"0" * 32)
    back_up(city, tmp_path / "kept")
    return tmp_path / "kept"


def add(folder: Path, name: str, content: bytes) -> None:
    """Add a file and its line in the manifest."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    edit(folder, {name: [len(content), hashlib.sha256(content).hexdigest()]})


def edit(folder: Path, files: dict[str, Any], **others: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] |= files
    path.write_text(json.dumps(manifest | others))


def packed(folder: Path, change: Callable[[tarfile.TarInfo], Any] | None = None) -> Path:
    """The folder as a tar file, the manifest last; ``change`` may alter a member."""
    target = folder.with_suffix(".tar")
    with tarfile.open(target, "w") as tar:
        for path in sorted(folder.rglob("*"), key=lambda one: one.name == "manifest.json"):
            if path.is_file():
                info = tar.gettarinfo(path, str(path.relative_to(folder)))
                content = path.read_bytes()
                if change and change(info) is False:
                    continue
                tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return target


def refused(backup: Path, tmp_path: Path, match: str = "") -> None:
    """Refuse with an InputError (one line, status 2), and leave nothing."""
    before = {path for path in tmp_path.rglob("*") if "kept" not in str(path)}
    with pytest.raises(InputError, match=match):
        restore(backup, tmp_path / "again")
    after = {path for path in tmp_path.rglob("*") if "kept" not in str(path)}
    assert after == before
    assert main(["admin", "restore", str(backup), str(tmp_path / "again")]) == 2


@pytest.mark.parametrize(
    "name",
    ["evil.txt", "crops/../evil", "crops/aa/evil.jpg", "gallery/x.sqlite", "notes/a", "a\nb",
     "catalogue.sqlite-wal", "crops", ".hidden", "service.secret2"],
)  # fmt: skip
def test_only_names_of_a_fixed_list_come_back(kept: Path, tmp_path: Path, name: str) -> None:
    edit(kept, {name: [1, hashlib.sha256(b"x").hexdigest()]})
    refused(kept, tmp_path, "which no city has")
    refused(packed(kept), tmp_path, "which no city has")


@pytest.mark.parametrize("name", ["database.json", "database.password"])
def test_an_address_of_a_database_is_never_taken_from_a_backup(
    kept: Path, tmp_path: Path, name: str
) -> None:
    add(kept, name, b'{"address": "postgresql://x@203.0.113.9/city"}')
    refused(kept, tmp_path, "--database")
    (kept / "catalogue.sqlite").unlink()
    manifest = json.loads((kept / "manifest.json").read_text())
    del manifest["files"]["catalogue.sqlite"]
    (kept / "manifest.json").write_text(json.dumps(manifest))
    refused(kept, tmp_path, "no catalogue")


def test_another_database_is_named_by_the_flag_alone(kept: Path, tmp_path: Path) -> None:
    given = "postgresql://me@127.0.0.1:1/city"
    with pytest.raises(InputError, match="catalogue of its own"):
        restore(kept, tmp_path / "again", database=given)
    (kept / "catalogue.sqlite").unlink()
    manifest = json.loads((kept / "manifest.json").read_text())
    del manifest["files"]["catalogue.sqlite"]
    (kept / "manifest.json").write_text(json.dumps(manifest))
    restore(kept, tmp_path / "again", database=given)
    said = json.loads((tmp_path / "again" / "database.json").read_text())
    assert "127.0.0.1:1" in said["address"]


def test_what_points_elsewhere_stays_behind(kept: Path, tmp_path: Path) -> None:
    path = kept / "catalogue.sqlite"
    with closing(sqlite3.connect(path)) as file:
        url = json.dumps("milvus://203.0.113.9:19530/x")
        service = json.dumps({"audit_url": "https://203.0.113.9/", "wide_hours": 5})
        file.execute("INSERT OR REPLACE INTO settings VALUES ('gallery', ?)", (url,))
        file.execute("INSERT OR REPLACE INTO settings VALUES ('service', ?)", (service,))
        file.commit()
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for rest in kept.glob("catalogue.sqlite-*"):
        rest.unlink()
    content = path.read_bytes()
    edit(kept, {"catalogue.sqlite": [len(content), hashlib.sha256(content).hexdigest()]})
    restore(kept, tmp_path / "again")
    with City.open(tmp_path / "again") as restored:
        assert restored.setting("gallery") is None
        assert restored.setting("service") == {
            "audit_syslog": "", "audit_url": "", "wide_hours": 5,
        }  # fmt: skip
        assert restored.gallery.count() == 6


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER DELETE ON settings BEGIN DELETE FROM units; END",
        "DROP TABLE settings",
        "DROP TABLE sessions; CREATE VIEW sessions AS SELECT 1",
    ],
)
def test_a_catalogue_that_passerby_never_made(kept: Path, tmp_path: Path, statement: str) -> None:
    path = kept / "catalogue.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(statement)
    content = path.read_bytes()
    edit(kept, {"catalogue.sqlite": [len(content), hashlib.sha256(content).hexdigest()]})
    refused(kept, tmp_path, "catalogue")


def test_no_catalogue_at_all_but_bytes(kept: Path, tmp_path: Path) -> None:
    add(kept, "catalogue.sqlite", b"SQLite format 3\0" + b"\xff" * 5000)
    refused(kept, tmp_path, "catalogue")


TYPES = {
    "sym": tarfile.SYMTYPE,
    "lnk": tarfile.LNKTYPE,
    "chr": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
    "dir": tarfile.DIRTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
}


@pytest.mark.parametrize("kind", TYPES)
def test_a_tar_holds_plain_files_alone(kept: Path, tmp_path: Path, kind: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "service.secret":
            info.type, info.linkname = TYPES[kind], "/etc/passwd"

    backup = packed(kept, change)
    refused(backup, tmp_path)
    with pytest.raises(InputError):
        check(backup)


def test_a_tar_with_holes_writes_nothing(kept: Path, tmp_path: Path) -> None:
    """A GNU sparse member: 3 GB of holes in a few bytes, by the format's PAX headers."""
    size = 3 * 2**30
    with tarfile.open(tmp_path / "kept.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        manifest = json.loads((kept / "manifest.json").read_text())
        manifest["files"] = {"landscape.geojson": [size, "0" * 64]}
        text = json.dumps(manifest).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
        holes = tarfile.TarInfo("landscape.geojson")
        holes.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                             "GNU.sparse.name": "landscape.geojson",
                             "GNU.sparse.realsize": str(size)}  # fmt: skip
        holes.size = 512
        tar.addfile(holes, io.BytesIO(f"1\n{size}\n0\n".encode().ljust(512, b"\0")))
    with pytest.raises(InputError):
        check(tmp_path / "kept.tar")
    assert main(["admin", "restore", str(tmp_path / "kept.tar"), str(tmp_path / "again")]) == 2
    assert not (tmp_path / "again").exists()


def test_a_file_is_not_longer_than_the_manifest_says(kept: Path, tmp_path: Path) -> None:
    edit(kept, {"service.secret": [31, hashlib.sha256(b"0" * 31).hexdigest()]})
    refused(kept, tmp_path, "damaged")
    edit(kept, {"service.secret": [2**59, hashlib.sha256(b"0" * 32).hexdigest()]})
    refused(kept, tmp_path, "make room")


@pytest.mark.parametrize("name", ["service.secret", "manifest.json"])
def test_a_folder_with_links_is_refused(kept: Path, tmp_path: Path, name: str) -> None:
    (kept / name).rename(tmp_path / f"kept-{name}")
    (kept / name).symlink_to(tmp_path / f"kept-{name}")
    refused(kept, tmp_path)


def test_a_pipe_in_a_folder_does_not_wait(kept: Path, tmp_path: Path) -> None:
    (kept / "service.secret").unlink()
    os.mkfifo(kept / "service.secret")
    refused(kept, tmp_path, "no plain file")


def test_a_linked_folder_is_refused(kept: Path, tmp_path: Path) -> None:
    (kept / "crops").rename(tmp_path / "kept-crops")
    (kept / "crops").symlink_to(tmp_path / "kept-crops")
    refused(kept, tmp_path, "no plain file")


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"service.secret": [1]}},
        {"files": {"service.secret": ["1", "0" * 64]}},
        {"files": {"service.secret": [-1, "0" * 64]}},
        {"files": {"service.secret": [1, 5]}},
        {"files": {"service.secret": [10**30, "0" * 64]}},
        {"created": "now"},
        {"sightings": None},
        {"catalogue": 1},
        {"model": 5},
        {"left_out": "x"},
        {"more": 1},
        {"format": 99},
    ],
)
def test_manifests_of_other_shapes(kept: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    path = kept / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refused(kept, tmp_path)


@pytest.mark.parametrize("text", [b"", b"null", b"[" * 100_000, b"\xff", b'{"format": 1}'])
def test_manifests_that_are_none(kept: Path, tmp_path: Path, text: bytes) -> None:
    (kept / "manifest.json").write_bytes(text)
    refused(kept, tmp_path, "manifest")


def test_a_tar_with_any_bytes_changed_ends_in_one_line(kept: Path, tmp_path: Path) -> None:
    """Sixty files with a block of random bytes or a cut: restored as it was, or one clear line."""
    good = packed(kept).read_bytes()
    rng = np.random.default_rng(3)
    bad = tmp_path / "kept-bad.tar"
    for number in range(60):
        content = bytearray(good)
        at = int(rng.integers(len(good)))
        content[at : at + 40] = rng.bytes(40) if number % 3 else b"\xff" * 40
        bad.write_bytes(content[: at if number % 5 == 0 else None])
        try:
            check(bad)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("form", ["kept", "kept.tar"])
def test_everything_restored_is_for_its_owner_alone(city: City, tmp_path: Path, form: str) -> None:
    city.add_sightings([replace(one, crop=city.crops.put(b"\xff\xd8\xff1")) for one in many(3)])
    old = os.umask(0o000)
    try:
        back_up(city, tmp_path / form)
        restore(tmp_path / form, tmp_path / "again")
    finally:
        os.umask(old)
    for root in (tmp_path / form, tmp_path / "again"):
        for path in [root, *root.rglob("*")]:
            wanted = 0o700 if path.is_dir() else 0o600
            assert path.stat().st_mode & 0o777 == wanted, path


def test_a_backup_says_what_it_leaves_out(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (city.folder / "notes.txt").write_text("x")
    assert main(["admin", "backup", str(city.folder), str(tmp_path / "kept")]) == 0
    assert "not in it: notes.txt" in capsys.readouterr().out
    assert not (tmp_path / "kept" / "notes.txt").exists()


def test_a_backup_without_a_crop_fails(city: City, tmp_path: Path) -> None:
    city.add_sightings([replace(one, crop=city.crops.put(b"\xff\xd8\xff1")) for one in many(3)])
    next(city.crops.folder.rglob("*.jpg")).unlink()
    with pytest.raises(InputError, match="1 crops are missing, first that of sighting 's00000"):
        back_up(city, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    city.delete([one.id for one in many(3)])
    back_up(city, tmp_path / "kept")
