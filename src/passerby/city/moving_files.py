"""A backup on the disk: its manifest, and its files in a folder or in one tar file."""

import hashlib
import json
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from passerby.city.disk import sync
from passerby.errors import InputError

MANIFEST = "manifest.json"
FORMAT = 1
PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One file of a backup."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        created: ms since the epoch, UTC.
        version: of Passerby.
        sightings: in the gallery's snapshot.
        model: of the gallery's vectors.
        catalogue: whether the catalogue is in it; a PostgreSQL one is not.
        files: by path in the city's folder.
    """

    created: int
    version: str
    sightings: int
    model: str | None
    catalogue: bool
    files: dict[str, Kept]

    @property
    def size(self) -> int:
        """Size of all files."""
        return sum(one.size for one in self.files.values())

    def as_json(self) -> bytes:
        """The manifest as it is stored."""
        body = {name: getattr(self, name) for name in self.__slots__ if name != "files"}
        files = {name: [one.size, one.sha256] for name, one in sorted(self.files.items())}
        return json.dumps({"format": FORMAT, **body, "files": files}, indent=1).encode()

    @classmethod
    def parse(cls, text: bytes, where: Path) -> "Manifest":
        """Read a stored manifest.

        Raises:
            InputError: it is none of this version.
        """
        try:
            body: dict[str, Any] = json.loads(text)
            if body.pop("format") != FORMAT:
                raise InputError(f"the backup {where} is of another version of Passerby")
            files = {name: Kept(size=a, sha256=b) for name, (a, b) in body.pop("files").items()}
            return cls(files=files, **body)
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the manifest of the backup {where} cannot be read") from None


class Sink(Protocol):
    """Where a backup goes."""

    def put(self, name: str, size: int, source: IO[bytes]) -> None:
        """Store one file."""
        ...


class FolderSink:
    """A backup as a folder."""

    def __init__(self, folder: Path) -> None:
        """Write into ``folder``."""
        self.folder = folder

    def put(self, name: str, size: int, source: IO[bytes]) -> None:
        """Store one file, durably."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(source, file, PIECE)
            file.flush()
            os.fsync(file.fileno())


class TarSink:
    """A backup as one tar file."""

    def __init__(self, file: IO[bytes]) -> None:
        """Write into an open file."""
        self.tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)

    def put(self, name: str, size: int, source: IO[bytes]) -> None:
        """Store one file."""
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = size, int(time.time()), 0o600
        self.tar.addfile(info, source)


class Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        """Read from ``file``."""
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Some bytes."""
        piece = self._file.read(size)
        self.digest.update(piece)
        self.size += len(piece)
        return piece


@contextmanager
def opened_sink(target: Path) -> Iterator[Sink]:
    """A sink whose content appears under the target's name when everything is there."""
    draft = target.with_name(f"{target.name}.part")
    if draft.is_dir():
        shutil.rmtree(draft)
    if target.suffix == ".tar":
        with draft.open("wb") as file:
            sink = TarSink(file)
            yield sink
            sink.tar.close()
            file.flush()
            os.fsync(file.fileno())
    else:
        draft.mkdir()
        yield FolderSink(draft)
    draft.rename(target)
    sync(target.parent)


def read_manifest(backup: Path) -> Manifest:
    """What a backup says of itself.

    Raises:
        InputError: it is no backup.
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


def files_of(backup: Path) -> Iterator[tuple[str, IO[bytes]]]:
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
