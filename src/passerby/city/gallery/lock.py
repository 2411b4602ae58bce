"""One writer at a time, over threads and processes."""

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_WORK, _DONE = b"w", b"d"
_NUMBER = struct.Struct("<Q")


class WriterLock:
    """A thread lock and an exclusive ``flock``; the kernel frees it when a process dies.

    The lock's file holds a mark while somebody writes, so that the next holder learns that the one
    before died at work, and the number of the last acknowledged commit, so that a commit that has
    vanished is noticed. Neither need be synced: after a power cut nobody is left alive whose view
    of the index could differ from the disk, and a number that is too low does no harm.
    """

    def __init__(self, path: Path) -> None:
        """Lock on the file ``path``, which is made when first needed."""
        self._path = path
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Wait for the lock and hold it; True when the last holder died at work."""
        with self._threads, self._opened() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            with self._marked(handle) as died:
                yield died

    @contextmanager
    def held_unmarked(self) -> Iterator[None]:
        """Wait for the lock and hold it, to look whether all is well; the mark stays as it is."""
        with self._threads, self._opened() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    @contextmanager
    def held_if_free(self) -> Iterator[bool | None]:
        """As :meth:`held`, but None instead of waiting when somebody else holds it."""
        if not self._threads.acquire(blocking=False):
            yield None
            return
        try:
            with self._opened() as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield None
                    return
                with self._marked(handle) as died:
                    yield died
        finally:
            self._threads.release()

    def wait(self) -> None:
        """Wait until nobody writes; all who wait go on together, and another may begin at once."""
        with self._opened() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _marked(self, handle: int) -> Iterator[bool]:
        died = os.pread(handle, 1, 0) not in (b"", _DONE)
        os.pwrite(handle, _AT_WORK, 0)
        try:
            yield died
        finally:
            os.pwrite(handle, _DONE, 0)

    def acknowledge(self, commit: int) -> None:
        """Note the number of a commit that callers are about to be told of; needs the lock."""
        number = _NUMBER.pack(commit)
        with self._opened() as handle:
            os.pwrite(handle, number + zlib.crc32(number).to_bytes(4, "little"), 1)

    def acknowledged(self) -> int:
        """The number of the last acknowledged commit; 0 where it is not known."""
        try:
            content = self._path.read_bytes()[1:13]
        except FileNotFoundError:
            return 0
        number, crc = content[:8], content[8:]
        if len(crc) < 4 or zlib.crc32(number) != int.from_bytes(crc, "little"):
            return 0
        return int(_NUMBER.unpack(number)[0])

    def idle(self) -> bool:
        """Whether the last holder finished its work."""
        try:
            with self._path.open("rb") as file:
                return file.read(1) in (b"", _DONE)
        except FileNotFoundError:
            return True
