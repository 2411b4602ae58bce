"""Bytes that must be on the disk before the caller goes on."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Make the content of a file durable, or the names in a folder, new and removed ones."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_all(handle: int, data: memoryview) -> None:
    """Write to an open file until every byte is written."""
    while data:
        data = data[os.write(handle, data) :]
