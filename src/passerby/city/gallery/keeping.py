"""Vectors of small adds, kept in the index until their segment file is synced.

A small add waits for the disk once: its vectors are appended to the segment file unsynced, and
also go into the table ``kept``, in the transaction that commits the rows. Everyone reads the file.
Only when the machine has lost power in between may the disk lack what the file had; whoever opens
the gallery next writes it again from the table.
"""

import os
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from passerby.city.disk import sync
from passerby.city.gallery.index import Index
from passerby.city.gallery.port import DamagedError
from passerby.city.gallery.segments import Block, HalfArray, segment_path

SMALL = 64  # rows of an add that is kept; a larger one syncs the segment file at once
MOST = 1024  # rows kept, then the segment files are synced
_BOOT = Path("/proc/sys/kernel/random/boot_id")


@lru_cache(maxsize=1)
def boot() -> str | None:
    """Which start of the machine this is; None where the system does not say."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return None


def fits(index: Index, rows: int) -> bool:
    """Whether so many rows may be kept instead of synced."""
    return boot() is not None and rows <= SMALL and index.kept_rows() + rows <= MOST


def keep(index: Index, day: int, generation: int, blocks: list[Block], vectors: HalfArray) -> None:
    """Keep appended vectors; within the transaction that commits their rows."""
    at = 0
    for block in blocks:
        data = vectors[at : at + block.rows].astype("<f2").tobytes()
        index.keep(day, generation, block, data)
        at += block.rows
    index.set_fact("boot", boot() or "")


def kept_files(index: Index, folder: Path) -> list[Path]:
    """The segment files whose vectors are kept; the caller syncs, then forgets them."""
    return [segment_path(folder, day, generation) for day, generation in index.kept_files()]


def sync_files(paths: Iterable[Path]) -> None:
    """Make segment files durable."""
    for path in paths:
        sync(path)


def settle(index: Index, folder: Path) -> None:
    """Sync all files whose vectors are kept, and forget them. Needs the writer lock."""
    sync_files(kept_files(index, folder))
    with index.writing():
        index.forget_kept()


def lost(index: Index) -> bool:
    """Whether vectors are kept since before the machine was last started."""
    return index.kept_rows() > 0 and index.fact("boot") != boot()


def recover(index: Index, folder: Path) -> None:
    """Write kept vectors again where the disk lacks them. Only with the writer lock held.

    Raises:
        DamagedError: neither the file nor the index has them sound.
    """
    buckets = index.buckets()
    touched = set()
    for day, generation, block, data in index.kept():
        if buckets.get(day, (None, 0))[0] != generation:
            continue
        path = segment_path(folder, day, generation)
        stride = len(data) // block.rows
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            found = os.pread(handle, len(data), block.first * stride)
            if found != data and zlib.crc32(found) != block.crc:
                if zlib.crc32(data) != block.crc:
                    raise DamagedError(
                        f"rows {block.first} to {block.first + block.rows - 1} of {path} are lost; "
                        "restore the gallery from a backup"
                    )
                os.pwrite(handle, data, block.first * stride)
        finally:
            os.close(handle)
        touched.add(path)
    sync_files(sorted(touched))
    sync(folder)
    with index.writing():
        index.forget_kept()
