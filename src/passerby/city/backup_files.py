"""A backup's files: which there are, how they are written, and how those of others are read."""

import hashlib
import json
import os
import re
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from passerby.city.address import ADDRESS_FILE, CATALOGUE, PASSWORD_FILE
from passerby.city.city import LANDSCAPE
from passerby.errors import InputError, one_line
from passerby.files import making_folder, replacing, sync
from passerby.times import now

MANIFEST = "manifest.json"
FORMAT = 1
PIECE = 1 << 20  # bytes read at once
MOST_OF_A_CROP = 1 << 26  # bytes
# The files of a city's folder that a backup holds, in the order in which they are stored: an audit
# head may be older than the catalogue, and the audit's key may not be.
HEADS = ("audit.head", "audit.heads")
PLAIN = (LANDSCAPE, "service.secret", "service.key", "acknowledged")
STORES = (CATALOGUE, "jobs.sqlite")  # SQLite files
ELSEWHERE = (ADDRESS_FILE, PASSWORD_FILE)  # belong to the machine, not to the city
_CROP = re.compile(r"crops/([0-9a-f]{2})/(\1[0-9a-f]{62})(\.scene)?\.jpg")
_GALLERY = re.compile(r"gallery/(gallery\.sqlite|acknowledged)")
TEMPORARY = (".lock", ".new", ".tmp", ".part", "-wal", "-shm", "-journal")

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
        left_out: Files of the city's folder that are not in the backup.
    """

    created: int
    version: str
    sightings: int
    model: str | None
    catalogue: bool
    files: dict[str, tuple[int, str]]
    left_out: list[str] = field(default_factory=list)

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
                manifest = cls(files=files, **body)
                manifest._check()
                return manifest
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise InputError(f"the manifest of the backup {backup} cannot be read") from None
        raise InputError(f"the backup {backup} is of another version of Passerby")

    def _check(self) -> None:
        """Refuse values of other types with a ValueError."""
        numbers = [self.created, self.sightings, *(size for size, _ in self.files.values())]
        texts = [self.version, *self.left_out, *(digest for _, digest in self.files.values())]
        if not all(type(one) is int and 0 <= one < 2**60 for one in numbers):
            raise ValueError("a number")
        if not all(isinstance(one, str) for one in texts) or type(self.catalogue) is not bool:
            raise ValueError("a text")
        if not isinstance(self.left_out, list) or not isinstance(self.model, str | None):
            raise ValueError("a list")


def check_name(backup: Path, name: str, size: int, digest: str) -> None:
    """Refuse a file that no city's folder has, or that says where another machine is.

    Raises:
        InputError: It is such a file, or a crop of another name than its content.
    """
    if name in ELSEWHERE:
        raise InputError(
            f"the backup {backup} holds '{name}', which would make the restored city use another "
            "machine's database; take it out of the backup and its manifest, and name the "
            "database with --database ADDRESS if the city needs it"
        )
    crop = _CROP.fullmatch(name)
    if not crop and name not in (*HEADS, *PLAIN, *STORES) and not _GALLERY.fullmatch(name):
        raise InputError(f"the backup {backup} holds '{name}', which no city has")
    if crop and (size > MOST_OF_A_CROP or (not crop[3] and crop[2] != digest)):
        raise InputError(f"'{name}' in the backup {backup} is damaged; use another backup")


class Hashing:
    """A file that is counted and hashed while it is read; no byte beyond ``most`` is."""

    def __init__(self, file: IO[bytes], *, most: int | None = None) -> None:
        self._file, self._digest, self.size, self._most = file, hashlib.sha256(), 0, most

    def read(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes."""
        if self._most is not None:
            left = self._most - self.size
            size = left if size < 0 else min(size, left)
        piece = self._file.read(size)
        self._digest.update(piece)
        self.size += len(piece)
        return piece

    @property
    def summary(self) -> tuple[int, str]:
        """Size in bytes and SHA-256 of what was read."""
        return self.size, self._digest.hexdigest()


@contextmanager
def writing(target: Path) -> Iterator[Put]:
    """Store files in a folder or tar file that appears under its name when everything is there."""
    if target.suffix != ".tar":
        with making_folder(target) as made:
            made.chmod(0o700)
            yield lambda name, _, source: write(made / name, source)
        return
    with replacing(target, mode=0o600) as partial, tarfile.open(partial, "w") as tar:

        def put(name: str, size: int, source: IO[bytes]) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = size, now() // 1000, 0o600
            tar.addfile(info, source)

        yield put


def write(path: Path, source: IO[bytes]) -> None:
    """Write a new file for its owner alone, durable when it returns."""
    for folder in reversed(path.parents):
        folder.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        shutil.copyfileobj(source, file, PIECE)
    sync(path)


def skip(_name: str, _size: int, source: IO[bytes]) -> None:
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
            with _plain(backup / MANIFEST) as file:
                return Manifest.parse(file.read(), backup)
        with tarfile.open(backup, "r:") as tar:
            member = tar.getmember(MANIFEST)
            found = _extract(tar, member)
            if found is None:
                raise InputError(f"the backup {backup} holds '{MANIFEST}', no plain file")
            return Manifest.parse(found.read(), backup)
    except (*_BROKEN, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{backup} is no backup of a city: {one_line(error)}") from None


# what a tar file that was not written by us makes the reader raise
_BROKEN = (OSError, tarfile.TarError, ValueError, OverflowError, EOFError, MemoryError)


def files_of(backup: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Every file of a backup: its path in the city's folder, its size, its content.

    Raises:
        InputError: It holds a link, a device or a file with holes, or is damaged.
    """
    if backup.is_dir():
        for parent, folders, names in os.walk(backup):
            folders.sort()
            for name in sorted([*folders, *names]):
                path = Path(parent) / name
                if name in folders and not path.is_symlink():
                    continue
                inside = str(path.relative_to(backup))
                if not stat.S_ISREG(path.lstat().st_mode):
                    raise InputError(f"the backup {backup} holds '{inside}', no plain file")
                with _plain(path) as file:
                    yield inside, os.fstat(file.fileno()).st_size, file
        return
    try:
        with tarfile.open(backup, "r:") as tar:
            for member in tar:
                found = _extract(tar, member)
                if found is None:
                    raise InputError(
                        f"the backup {backup} holds '{member.name[:200]}', no plain file"
                    )
                yield member.name, member.size, found
    except _BROKEN as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the backup {backup} is damaged: {one_line(error)}") from None


def _plain(path: Path) -> IO[bytes]:
    """Open a file that is no link; a pipe in its place does not make the program wait."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """The content of a plain file; None for a link, a device, or a file with holes.

    A file with holes takes a few bytes in the tar file and any number on the disk.
    """
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    return tar.extractfile(member) if plain else None
