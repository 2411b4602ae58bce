"""A city as a backup: a folder or a tar file with a checksum of every file, and its restoration.

A backup is consistent although the service runs meanwhile, because of its order. The files beside
the catalogue come first: an audit head that is older than the audit is no fault, a newer one would
be one. Then come the catalogue, through SQLite's own backup, and a snapshot of the gallery. The
crops come last: the crop of a sighting is on the disk before the sighting is.

A backup to restore is hostile input. Only files of a fixed list of names come back, for their owner
alone, none larger than the manifest says. What points to somewhere else does not: no address of a
database, of a gallery's server or of a collector of audit heads, no session. So a drill beside the
live city cannot reach it.
"""

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

import passerby
from passerby.city import copying
from passerby.city.address import CATALOGUE, Address, has_city, write_address
from passerby.city.backup_files import (
    HEADS,
    MANIFEST,
    PLAIN,
    STORES,
    TEMPORARY,
    Hashing,
    Manifest,
    Progress,
    Put,
    check_name,
    files_of,
    read_manifest,
    skip,
    write,
    writing,
)
from passerby.city.city import GALLERY, ID, City
from passerby.city.crops import SCENE
from passerby.city.engines import open_engine
from passerby.city.gallery import EmbeddedGallery
from passerby.errors import InputError, one_line
from passerby.files import making_folder
from passerby.times import now

__all__ = ["Manifest", "back_up", "check", "read_manifest", "restore"]

POINTING = ("audit_syslog", "audit_url")  # settings of the service that name another machine


def back_up(city: City, target: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Write a backup of a city, also while it is in use.

    A catalogue in PostgreSQL is not in the backup; the tools of the database make its own.

    Args:
        city: The city. A gallery on a server is read over the network and stored as an embedded
            one.
        target: A new folder, or a new file whose name ends with ``.tar``.
        progress: Called with the size of each stored file.

    Raises:
        InputError: The target exists, or a crop is damaged or missing.
    """
    if target.exists():
        raise InputError(f"{target} exists already; name a new folder or a new .tar file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(target) as put, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        files: dict[str, tuple[int, str]] = {}

        def store(name: str, path: Path) -> None:
            with path.open("rb") as file:
                source = Hashing(file)
                put(name, os.fstat(file.fileno()).st_size, source)  # type: ignore[arg-type]
            files[name] = source.summary
            progress(source.size)

        left_out = _store_catalogue(city, Path(scratch), store)
        snapshot = _store_gallery(city, Path(scratch), store)
        for shelf in sorted(city.crops.folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shelf.glob("[0-9a-f]*.jpg")):  # crops and scenes; drafts have a dot
                _store_crop(path, f"crops/{shelf.name}/{path.name}", store, files)
        with closing(EmbeddedGallery(snapshot)) as gallery:
            _require_crops(city, gallery, files)
            manifest = Manifest(
                created=now(),
                version=passerby.__version__,
                sightings=gallery.count(),
                model=gallery.model_id,
                catalogue=CATALOGUE in files,
                files=dict(sorted(files.items())),
                left_out=left_out,
            )
        text = Path(scratch) / MANIFEST
        text.write_bytes(manifest.as_json())
        with text.open("rb") as file:
            put(MANIFEST, text.stat().st_size, file)
    return manifest


def _store_catalogue(city: City, scratch: Path, store: Callable[[str, Path], None]) -> list[str]:
    """Store the catalogue and the files beside it; returns the names of those left out."""
    there = {path.name for path in city.folder.iterdir() if path.is_file()}
    for name in HEADS:
        if name in there:
            store(name, city.folder / name)
    for name in STORES:
        if name not in there:
            continue
        copy = scratch / name
        with (
            closing(sqlite3.connect(city.folder / name)) as source,
            closing(sqlite3.connect(copy)) as file,
        ):
            source.backup(file)
        if name == CATALOGUE:
            _detach(copy)
        store(name, copy)
        copy.unlink()
    for name in PLAIN:
        if name in there:
            store(name, city.folder / name)
    known = {*HEADS, *STORES, *PLAIN}
    return sorted(
        name
        for name in there - known
        if not name.startswith(".") and not name.endswith(TEMPORARY)  # drafts begin with a dot
    )


def _detach(catalogue: Path) -> None:
    """Remove what points to other machines from a copied catalogue, and its sessions.

    Raises:
        InputError: The file is no catalogue, or holds what none of ours does.
    """
    engine = open_engine(Address(where=catalogue))
    try:
        with engine.execution_options(immediate=True).begin() as connection:
            connection.exec_driver_sql("PRAGMA trusted_schema=OFF")
            kinds = "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')"
            strange = [
                name
                for kind, name in connection.exec_driver_sql(kinds)
                if kind == "view" or name not in ("audit_no_update", "audit_no_delete")
            ]
            if strange:
                raise InputError(f"the catalogue holds '{strange[0]}', which Passerby never made")
            rows = connection.exec_driver_sql("SELECT key, value FROM settings")
            settings = {str(key): str(value) for key, value in rows}
            # a restored city uses the gallery of its own folder, and no queue of the original
            for key in (GALLERY, ID):
                if key in settings:
                    connection.exec_driver_sql("DELETE FROM settings WHERE key = ?", (key,))
            service = json.loads(settings.get("service", "{}"))
            if any(service.get(name) for name in POINTING):
                service |= dict.fromkeys(POINTING, "")
                values = (json.dumps(service), "service")
                connection.exec_driver_sql("UPDATE settings SET value = ? WHERE key = ?", values)
            tables = "SELECT name FROM sqlite_master WHERE name = 'sessions'"
            if connection.exec_driver_sql(tables).first():
                connection.exec_driver_sql("DELETE FROM sessions")
        with engine.connect() as connection:  # one file, with nothing beside it
            connection.connection.driver_connection.execute("PRAGMA journal_mode=DELETE")  # type: ignore[union-attr]
    except (sqlite3.Error, SQLAlchemyError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the catalogue cannot be used: {one_line(error)}") from None
    finally:
        engine.dispose()


def _store_gallery(city: City, scratch: Path, store: Callable[[str, Path], None]) -> Path:
    """Store a snapshot of the gallery; returns its folder."""
    snapshot = scratch / "gallery"
    city.gallery.snapshot(snapshot)
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and not path.name.endswith(TEMPORARY):
            store(str(path.relative_to(scratch)), path)
    return snapshot


def _require_crops(
    city: City, snapshot: EmbeddedGallery, files: dict[str, tuple[int, str]]
) -> None:
    """Refuse a backup without the crop of one of its sightings.

    The crop of a sighting that was deleted meanwhile is not missed.
    """
    for window in copying.windows(snapshot):
        named = {one.crop: one.id for one in snapshot.latest(snapshot.count(window), window)}
        lost = [crop for crop in named if crop and f"crops/{crop[:2]}/{crop}.jpg" not in files]
        lost = sorted(city.gallery.crops_used(lost)) if lost else []
        if lost:
            raise InputError(
                f"{len(lost)} crops are missing, first that of sighting '{named[lost[0]]}'; "
                "'passerby admin verify' names all; restore them from an older backup, or delete "
                "their sightings"
            )


def _store_crop(
    path: Path, name: str, store: Callable[[str, Path], None], files: dict[str, tuple[int, str]]
) -> None:
    try:
        store(name, path)
    except FileNotFoundError:  # deleted with its sighting meanwhile
        return
    if not name.endswith(SCENE) and files[name][1] != path.stem:
        raise InputError(
            f"the crop {path} is damaged: its bytes are not those of its name; "
            "restore it from an older backup, or delete it"
        )


def check(backup: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Read a backup in full and compare every file with the manifest.

    Raises:
        InputError: It is no backup, or a file is damaged, missing or not in the manifest.
    """
    return _verify(backup, read_manifest(backup), skip, progress)


def restore(
    backup: Path,
    folder: Path,
    *,
    database: str | None = None,
    progress: Progress = lambda _: None,
) -> Manifest:
    """Make a city's folder from a backup; it appears when every file is there and verified.

    The folder and its files are for their owner alone. The city is detached: its catalogue and its
    gallery are those of the folder, its sessions have ended.

    Args:
        backup: A folder or a tar file; nothing in it is believed.
        folder: A new folder.
        database: Address of the PostgreSQL database that holds the city's catalogue, of a backup
            that holds none. An address in the backup is never used.
        progress: Called with the size of each file.

    Raises:
        InputError: The folder exists, the backup is damaged, holds what no backup does, or does
            not fit; nothing is left in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds a city" if has_city(folder) else "is not empty"
        raise InputError(f"the folder {folder} {what}; name a new one to restore into")
    manifest = read_manifest(backup)
    if (CATALOGUE in manifest.files) == (database is not None):
        have = "has a catalogue of its own; leave --database out"
        lack = "holds no catalogue; say with --database ADDRESS which database has the city's"
        raise InputError(f"the backup {backup} {have if database else lack}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if manifest.size > free:
        raise InputError(
            f"the backup {backup} needs {manifest.size} bytes, there are {free} free; make room"
        )
    with making_folder(folder) as made:
        made.chmod(0o700)
        _verify(backup, manifest, lambda name, _, file: write(made / name, file), progress)
        if database is None:
            _detach(made / CATALOGUE)
        else:
            write_address(made, Address.of(made, database).where)  # type: ignore[arg-type]
    return manifest


def _verify(backup: Path, manifest: Manifest, put: Put, progress: Progress) -> Manifest:
    """Read every file of a backup, store it with ``put``, and compare it with the manifest."""
    for name, (size, digest) in manifest.files.items():
        check_name(backup, name, size, digest)
    left = dict(manifest.files)
    for name, size, file in files_of(backup):
        if name == MANIFEST:
            continue
        expected = left.pop(name, None)
        if expected is None:
            raise InputError(f"the backup {backup} holds '{name}', which its manifest does not")
        if size != expected[0]:
            raise InputError(f"'{name}' in the backup {backup} is damaged; use another backup")
        source = Hashing(file, most=size)
        put(name, size, source)  # type: ignore[arg-type]
        if source.summary != expected:
            raise InputError(f"'{name}' in the backup {backup} is damaged; use another backup")
        progress(source.size)
    if left:
        raise InputError(f"'{min(left)}' is missing from the backup {backup}; use another backup")
    return manifest
