"""A city as a backup: a folder or a tar file with a checksum of every file, and its restoration.

A backup is consistent although the service runs meanwhile, because of its order. The files beside
the catalogue come first: an audit head that is older than the audit is no fault, a newer one would
be one. Then come the catalogue, through SQLite's own backup, and a snapshot of the gallery. The
crops come last: the crop of a sighting is on the disk before the sighting is.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import passerby
from passerby.city.address import CATALOGUE, PASSWORD_FILE, has_city
from passerby.city.city import GALLERY, City
from passerby.city.crops import SCENE
from passerby.city.gallery import EmbeddedGallery
from passerby.errors import InputError
from passerby.files import making_folder, replacing, sync
from passerby.times import now

MANIFEST = "manifest.json"
FORMAT = 1
PIECE = 1 << 20  # bytes read at once
# files of a city's folder that are no part of a backup: locks, drafts, SQLite's own files
_TEMPORARY = (".lock", ".new", ".tmp", ".part", "-wal", "-shm", "-journal")

Progress = Callable[[int], object]
"""Called with the size of each file."""
Put = Callable[[str, int, IO[bytes]], None]
"""Stores one file: its path in the city's folder, its size, its content."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        created: Milliseconds since the epoch, UTC.
        version: Of Passerby.
        sightings: Number of sightings in the gallery's snapshot.
        model: Id of the network of the gallery's vectors.
        catalogue: Whether the catalogue is in the backup; one in PostgreSQL is not.
        files: Size in bytes and SHA-256 by path in the city's folder.
    """

    created: int
    version: str
    sightings: int
    model: str | None
    catalogue: bool
    files: dict[str, tuple[int, str]]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())

    def as_json(self) -> bytes:
        """The manifest as it is stored."""
        body = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"format": FORMAT, **body}, indent=1).encode()

    @classmethod
    def parse(cls, text: bytes, backup: Path) -> "Manifest":
        """Read a stored manifest.

        Raises:
            InputError: It is no manifest of this version.
        """
        try:
            body: dict[str, Any] = json.loads(text)
            if body.pop("format") == FORMAT:
                files = {name: (size, digest) for name, (size, digest) in body.pop("files").items()}
                return cls(files=files, **body)
        except (ValueError, KeyError, TypeError):
            raise InputError(f"the manifest of the backup {backup} cannot be read") from None
        raise InputError(f"the backup {backup} is of another version of Passerby")


def back_up(city: City, target: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Write a backup of a city, also while it is in use.

    A catalogue in PostgreSQL is not in the backup; the tools of the database make its own.

    Args:
        city: The city. A gallery on a server is read over the network and stored as an embedded
            one.
        target: A new folder, or a new file whose name ends with ``.tar``.
        progress: Called with the size of each stored file.

    Raises:
        InputError: The target exists, or a crop is damaged.
    """
    if target.exists():
        raise InputError(f"{target} exists already; name a new folder or a new .tar file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with _writing(target) as put, tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        files: dict[str, tuple[int, str]] = {}

        def store(name: str, path: Path) -> None:
            with path.open("rb") as file:
                source = _Hashing(file)
                put(name, os.fstat(file.fileno()).st_size, source)  # type: ignore[arg-type]
            files[name] = source.summary
            progress(source.size)

        has_catalogue = _store_catalogue(city, Path(scratch), store)
        sightings, model = _store_gallery(city, Path(scratch), store)
        for shelf in sorted(city.crops.folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shelf.glob("[0-9a-f]*.jpg")):  # crops and scenes; drafts have a dot
                _store_crop(path, f"crops/{shelf.name}/{path.name}", store, files)
        manifest = Manifest(
            created=now(),
            version=passerby.__version__,
            sightings=sightings,
            model=model,
            catalogue=has_catalogue,
            files=dict(sorted(files.items())),
        )
        text = Path(scratch) / MANIFEST
        text.write_bytes(manifest.as_json())
        with text.open("rb") as file:
            put(MANIFEST, text.stat().st_size, file)
    return manifest


def _store_catalogue(city: City, scratch: Path, store: Callable[[str, Path], None]) -> bool:
    """Store the files beside the catalogue, then the catalogue; False when it is elsewhere."""
    files = [
        path
        for path in sorted(city.folder.iterdir())
        if path.is_file() and not path.name.startswith(".")  # drafts begin with a dot
    ]
    for path in files:
        own = path.name in (CATALOGUE, PASSWORD_FILE) or path.name.endswith(_TEMPORARY)
        if not own and path.suffix != ".sqlite":
            store(path.name, path)
    for path in files:
        if path.suffix != ".sqlite":
            continue
        copy = scratch / path.name
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as file:
            source.backup(file)
            if path.name == CATALOGUE:  # a restored city uses the gallery of its own folder
                file.execute("DELETE FROM settings WHERE key = ?", (GALLERY,))
                file.commit()
        store(path.name, copy)
        copy.unlink()
    return (city.folder / CATALOGUE).is_file()


def _store_gallery(
    city: City, scratch: Path, store: Callable[[str, Path], None]
) -> tuple[int, str | None]:
    """Store a snapshot of the gallery; returns its number of sightings and its model."""
    snapshot = scratch / "gallery"
    city.gallery.snapshot(snapshot)
    gallery = EmbeddedGallery(snapshot)
    try:
        sightings, model = gallery.count(), gallery.model_id
    finally:
        gallery.close()
    for path in sorted(snapshot.rglob("*")):
        if path.is_file() and not path.name.endswith(_TEMPORARY):
            store(str(path.relative_to(scratch)), path)
    shutil.rmtree(snapshot)
    return sightings, model


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
    return _verify(backup, _skip, progress)


def restore(backup: Path, folder: Path, *, progress: Progress = lambda _: None) -> Manifest:
    """Make a city's folder from a backup; it appears when every file is there and verified.

    Raises:
        InputError: The folder exists, or the backup is damaged; nothing is left in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds a city" if has_city(folder) else "is not empty"
        raise InputError(f"the folder {folder} {what}; name a new one to restore into")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with making_folder(folder) as made:
        return _verify(backup, lambda name, _, file: _write(made / name, file), progress)


def _verify(backup: Path, put: Put, progress: Progress) -> Manifest:
    """Read every file of a backup, store it with ``put``, and compare it with the manifest."""
    manifest = read_manifest(backup)
    left = dict(manifest.files)
    for name, file in _files_of(backup):
        if name == MANIFEST:
            continue
        expected = left.pop(name, None)
        if expected is None or Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"the backup {backup} holds '{name}', which its manifest does not")
        source = _Hashing(file)
        put(name, expected[0], source)  # type: ignore[arg-type]
        if source.summary != expected:
            raise InputError(f"'{name}' in the backup {backup} is damaged; use another backup")
        progress(source.size)
    if left:
        raise InputError(f"'{min(left)}' is missing from the backup {backup}; use another backup")
    return manifest


class _Hashing:
    """A file that is counted and hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._digest.update(piece)
        self.size += len(piece)
        return piece

    @property
    def summary(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 of what was read."""
        return self.size, self._digest.hexdigest()


@contextmanager
def _writing(target: Path) -> Iterator[Put]:
    """Store files in a folder or tar file that appears under its name when everything is there."""
    if target.suffix != ".tar":
        with making_folder(target) as made:
            yield lambda name, _, source: _write(made / name, source)
        return
    with replacing(target) as partial, tarfile.open(partial, "w") as tar:

        def put(name: str, size: int, source: IO[bytes]) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = size, now() // 1000, 0o600
            tar.addfile(info, source)

        yield put


def _write(path: Path, source: IO[bytes]) -> None:
    """Write a new file, durable when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, PIECE)
    sync(path)


def _skip(_name: str, _size: int, source: IO[bytes]) -> None:
    """Read a file and keep nothing of it."""
    while source.read(PIECE):
        pass


def read_manifest(backup: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        InputError: It is no backup.
    """
    try:
        if backup.is_dir():
            return Manifest.parse((backup / MANIFEST).read_bytes(), backup)
        with tarfile.open(backup, "r:") as tar:
            file = tar.extractfile(MANIFEST)
            assert file is not None
            return Manifest.parse(file.read(), backup)
    except (OSError, KeyError, tarfile.TarError, AssertionError) as error:
        raise InputError(f"{backup} is no backup of a city: {error}") from None


def _files_of(backup: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Every plain file of a backup, by its path in the city's folder."""
    if backup.is_dir():
        for path in sorted(backup.rglob("*")):
            if path.is_file():
                with path.open("rb") as file:
                    yield str(path.relative_to(backup)), file
        return
    try:
        with tarfile.open(backup, "r:") as tar:
            for member in tar:
                found = tar.extractfile(member) if member.isfile() else None
                if found is None:
                    raise InputError(f"the backup {backup} holds '{member.name}', no plain file")
                yield member.name, found
    except tarfile.TarError as error:
        raise InputError(f"the backup {backup} is damaged: {error}") from None
