"""One writer at a time, over threads and processes."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_WORK, _DONE = b"w", b"d"


class WriterLock:
    """A thread lock and an exclusive ``flock``; the kernel frees it when a process dies.

    The lock's file holds a mark while somebody writes, so that the next holder learns that the one
    before died at work. The mark need not be synced: after a power cut nobody is left alive whose
    view of the index could differ from the disk.
    """

    def __init__(self, path: Path) -> None:
        """Lock on the file ``path``, which is made when first needed."""
        self._path = path
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Wait for the lock and hold it; True when the last holder died at work."""
        with self._threads:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                died = os.pread(handle, 1, 0) == _AT_WORK
                os.pwrite(handle, _AT_WORK, 0)
                try:
                    yield died
                finally:
                    os.pwrite(handle, _DONE, 0)
            finally:
                os.close(handle)
