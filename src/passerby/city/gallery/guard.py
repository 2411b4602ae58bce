"""Damage to the index of the embedded gallery: noticed when it is opened, mended where it can be.

SQLite keeps no checksums. So whenever nobody else is writing, the whole file is *sealed*: its CRC32
is written to ``index.seal`` with the number of the commit it holds. As long as that is the last
acknowledged commit, any other content is damage. Then every row is compared with its own checksum,
and the small tables with their digest in the seal: if all are sound, only what can be derived from
them was hit, and the file is written anew; otherwise the gallery must be restored.
"""

import logging
import os
import sqlite3
import struct
import zlib
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from passerby.city.gallery.index import Index
from passerby.city.gallery.lock import WriterLock
from passerby.city.gallery.port import DamagedError

LOG = logging.getLogger(__name__)
_SEAL = struct.Struct("<5Q")


@dataclass(frozen=True, slots=True)
class Seal:
    """What the index was when it was sealed.

    Attributes:
        commit: number of the last commit.
        size: bytes of the file; ``crc`` their CRC32.
        sightings: how many rows.
        digest: of all other tables.
    """

    commit: int
    size: int
    crc: int
    sightings: int
    digest: int

    def write(self, path: Path) -> None:
        """Replace the seal; not synced, as a torn one is only made again."""
        data = _SEAL.pack(*astuple(self))
        draft = path.with_suffix(f".{os.getpid()}.new")
        draft.write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Seal | None":
        """The seal, or None when there is none or it is itself damaged."""
        try:
            data = path.read_bytes()
        except OSError:
            return None
        body, crc = data[: _SEAL.size], data[_SEAL.size :]
        if len(data) != _SEAL.size + 4 or zlib.crc32(body) != int.from_bytes(crc, "little"):
            return None
        return cls(*_SEAL.unpack(body))


class Guard:
    """Seals an index and checks it against its seal."""

    def __init__(self, index: Index, lock: WriterLock, folder: Path) -> None:
        """Of the gallery in ``folder``."""
        self._index = index
        self._lock = lock
        self._path = folder / "index.seal"

    def check_commits(self) -> None:
        """Nothing that was acknowledged may have vanished.

        Raises:
            DamagedError: commits are missing, as when the write-ahead log was damaged.
        """
        known = self._lock.acknowledged()  # before the index is asked, which only grows
        found = self._index.commits()
        if found < known:
            raise DamagedError(
                f"the gallery index {self._index.path} ends {known - found} commits before the "
                f"last acknowledged one, its log {self._index.path.name}-wal is damaged; restore "
                "it from a backup"
            )

    def acknowledge(self) -> None:
        """Note what was committed, before callers are told of it."""
        try:
            self._lock.acknowledge(self._index.commits())
        except (OSError, sqlite3.Error):  # the seal must not be taken for that of this commit
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def check_seal(self) -> None:
        """Compare the file with its seal; without one that counts, seal it.

        Raises:
            DamagedError: rows or names of the index are damaged.
        """
        if not self._counts(Seal.read(self._path)):
            self.seal()
        elif self.broken():
            try:
                with self._lock.held_unmarked():
                    seal = Seal.read(self._path)
                    if seal and self.broken():  # nobody else has mended it meanwhile
                        self._mend(seal)
            except OSError as error:  # a read-only or full disk
                raise DamagedError(
                    f"the gallery index {self._index.path} does not match its checksum and cannot "
                    f"be mended: {error}"
                ) from None

    def _counts(self, seal: Seal | None) -> bool:
        """Whether nothing was committed since, not even by one who died before it was told."""
        return seal is not None and self._lock.idle() and self._lock.acknowledged() == seal.commit

    def broken(self) -> bool:
        """Whether the file is certainly not what was sealed."""
        seal = Seal.read(self._path)
        if seal is None or not self._counts(seal):
            return False
        differs = (seal.size, seal.crc) != self._crc()
        return differs and self._counts(seal)  # nobody has written while it was read

    def seal(self) -> None:
        """Seal the file, unless somebody else is at work or the disk cannot be written."""
        try:
            with self._lock.held_if_free() as died:
                if died is None:
                    return
                if died:
                    self._index.settle()
                    self.acknowledge()
                self._write_seal()
        except (OSError, sqlite3.OperationalError):  # a full or read-only disk, a busy reader
            return

    def _write_seal(self) -> None:
        if not self._index.checkpoint():
            return
        commit = self._index.commits()
        self._lock.acknowledge(commit)
        size, crc = self._crc()
        Seal(commit, size, crc, self._index.sightings(), self._index.digest()).write(self._path)

    def _crc(self) -> tuple[int, int]:
        """(size, CRC32) of the file."""
        size, crc = 0, 0
        for data in self._index.raw.chunks():
            size += len(data)
            crc = zlib.crc32(data, crc)
        return size, crc

    def _mend(self, seal: Seal) -> None:
        path = self._index.path
        try:
            sound = self._index.content() == (seal.sightings, seal.digest)
            if sound:
                self._index.rebuild()
                sound = self._index.check() == []
        except sqlite3.DatabaseError:
            sound = False
        if not sound:
            raise DamagedError(
                f"the gallery index {path} does not match its checksum; restore it from a backup"
            )
        LOG.warning("damaged parts of the gallery index %s were derived anew", path)
        self._write_seal()
