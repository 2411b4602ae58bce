"""A city as a backup: one folder or one tar file with a checksum of everything, and back.

While the service runs: the notes beside the catalogue first (an older note of the audit's last
entry is no fault, a newer one would be), then the catalogue through SQLite's own backup, then a
snapshot of the gallery, then the crops, which are in place before a sighting names them.
"""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import passerby
from passerby.city.city import GALLERY, City
from passerby.city.folder import CATALOGUE, PASSWORD_FILE, has_city
from passerby.city.gallery import EmbeddedGallery
from passerby.city.moving_files import (
    MANIFEST,
    PIECE,
    FolderSink,
    Hashing,
    Kept,
    Manifest,
    Sink,
    files_of,
    opened_sink,
    read_manifest,
)
from passerby.errors import InputError

# what lies in a city's folder but is not a backup's business: locks, drafts, SQLite's own files
_PASSING = (".lock", ".new", ".tmp", ".part", "-wal", "-shm", "-journal")

Progress = Callable[[int], object]


def back_up(city: City, target: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Write a backup of a city, also while it is in use.

    A catalogue in a PostgreSQL database is not in it: that is dumped by the database's own tools.

    Args:
        city: whose folder, gallery and crops are kept; a gallery on a server comes over the network
            and is kept as an embedded one.
        target: a new folder, or a new file whose name ends with ``.tar``.
        progress: called with the size of each stored file.

    Raises:
        InputError: the target exists, or a crop is damaged.
    """
    if target.exists():
        raise InputError(f"{target} exists already; name a new folder or a new .tar file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened_sink(target) as sink, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        files: dict[str, Kept] = {}

        def keep(name: str, path: Path) -> None:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                source = Hashing(file)
                sink.put(name, size, source)  # type: ignore[arg-type]
            files[name] = Kept(size=source.size, sha256=source.digest.hexdigest())
            progress(source.size)

        has_catalogue = _keep_catalogue(city, Path(scratch), keep)
        sightings, model = _keep_gallery(city, Path(scratch), keep)
        for shelf in sorted(city.crops.folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shelf.glob("*.jpg")):
                _keep_crop(path, f"crops/{shelf.name}/{path.name}", keep, files)
        manifest = Manifest(
            created=int(time.time() * 1000),
            version=passerby.__version__,
            sightings=sightings,
            model=model,
            catalogue=has_catalogue,
            files=files,
        )
        text = Path(scratch) / MANIFEST
        text.write_bytes(manifest.as_json())
        with text.open("rb") as file:
            sink.put(MANIFEST, len(manifest.as_json()), file)
    return manifest


def _keep_catalogue(city: City, scratch: Path, keep: Callable[[str, Path], None]) -> bool:
    """The files beside the catalogue, then the catalogue; False when that is elsewhere."""
    for path in sorted(city.folder.iterdir()):
        own = path.name in (CATALOGUE, PASSWORD_FILE) or path.name.endswith(_PASSING)
        if path.is_file() and not own and path.suffix != ".sqlite":
            keep(path.name, path)
    for path in sorted(city.folder.glob("*.sqlite")):
        copy = scratch / path.name
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as file:
            source.backup(file)
            if path.name == CATALOGUE:  # what comes back uses the gallery that comes back with it
                file.execute("DELETE FROM settings WHERE key = ?", (GALLERY,))
                file.commit()
        keep(path.name, copy)
        copy.unlink()
    return (city.folder / CATALOGUE).is_file()


def _keep_gallery(
    city: City, scratch: Path, keep: Callable[[str, Path], None]
) -> tuple[int, str | None]:
    """(sightings, model) of the snapshot that was kept."""
    snapshot = scratch / "gallery"
    city.gallery.snapshot(snapshot)
    gallery = EmbeddedGallery(snapshot)
    try:
        sightings, model = gallery.count(), gallery.model_id
    finally:
        gallery.close()
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and not path.name.endswith(_PASSING):
            keep(str(path.relative_to(scratch)), path)
    shutil.rmtree(snapshot)
    return sightings, model


def _keep_crop(
    path: Path, name: str, keep: Callable[[str, Path], None], files: dict[str, Kept]
) -> None:
    try:
        keep(name, path)
    except FileNotFoundError:  # deleted with its sighting meanwhile
        return
    if files[name].sha256 != path.stem:
        raise InputError(
            f"the crop {path} is damaged: its bytes are not those of its name; "
            "restore it from an older backup, or delete it"
        )


def check(backup: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Read a backup in full and compare every file with the manifest.

    Raises:
        InputError: it is no backup, or a file is damaged, missing or too many; the text names it.
    """
    return _through(backup, None, progress)


def restore(backup: Path, folder: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Make a city's folder from a backup; it appears when every file is there and verified.

    Raises:
        InputError: the folder exists, or the backup is damaged; nothing is left in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds a city" if has_city(folder) else "is not empty"
        raise InputError(f"the folder {folder} {what}; name a new one to restore into")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        manifest = _through(backup, FolderSink(draft), progress)
        draft.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


def _through(backup: Path, sink: Sink | None, progress: Progress) -> Manifest:
    """Read every file of a backup, store it in the sink if there is one, and verify it."""
    manifest = read_manifest(backup)
    left = dict(manifest.files)
    for name, file in files_of(backup):
        if name == MANIFEST:
            continue
        known = left.pop(name, None)
        if known is None or Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"the backup {backup} holds '{name}', which its manifest does not")
        source = Hashing(file)
        if sink is None:
            while source.read(PIECE):
                pass
        else:
            sink.put(name, known.size, source)  # type: ignore[arg-type]
        if (source.size, source.digest.hexdigest()) != (known.size, known.sha256):
            raise InputError(f"'{name}' in the backup {backup} is damaged; use another backup")
        progress(known.size)
    if left:
        raise InputError(f"'{min(left)}' is missing from the backup {backup}; use another backup")
    return manifest
