"""Reading a SQLite file beside SQLite, without harming its locks.

POSIX drops all of a process's locks on a file as soon as the process closes any descriptor of it;
another process would then take the log away under our connection. So a file's own descriptor is
opened once for all connections of the process, and closed after the last of them.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 22
_LOCK = threading.Lock()
_OPEN: dict[tuple[int, int], list[int]] = {}  # inode -> [descriptor, connections]


@dataclass(frozen=True, slots=True)
class RawFile:
    """The bytes of a file that SQLite has open in this process."""

    descriptor: int
    inode: tuple[int, int]

    def chunks(self) -> Iterator[bytes]:
        """The content as it is now."""
        at = 0
        while data := os.pread(self.descriptor, _CHUNK, at):
            at += len(data)
            yield data


def connected(
    path: Path, connect: Callable[[Path], sqlite3.Connection]
) -> tuple[sqlite3.Connection, RawFile]:
    """Connect to a file, made empty where there is none, and keep a descriptor of it."""
    with _LOCK:
        raw = _acquire(path)
        try:
            return connect(path), raw
        except BaseException:
            _release(raw)
            raise


def disconnect(database: sqlite3.Connection, raw: RawFile) -> None:
    """Close the connection, and the descriptor with the last one."""
    with _LOCK:
        database.close()
        _release(raw)


def _acquire(path: Path) -> RawFile:
    # opening does no harm; a second descriptor of a known inode must stay open, so ask first
    try:
        status = path.stat()
    except FileNotFoundError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        status = path.stat()
    inode = (status.st_dev, status.st_ino)
    if inode not in _OPEN:
        _OPEN[inode] = [os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0]
    _OPEN[inode][1] += 1
    return RawFile(_OPEN[inode][0], inode)


def _release(raw: RawFile) -> None:
    entry = _OPEN[raw.inode]
    entry[1] -= 1
    if entry[1] == 0:
        os.close(entry[0])
        del _OPEN[raw.inode]
