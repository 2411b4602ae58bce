"""Segment files: append-only fp16 vectors, one file per UTC day and generation.

A file is a bare (N, D) little-endian float16 matrix. How many rows count, and the CRC32 of each
block, stand in the index; bytes beyond are a torn tail that the next writer cuts off.
"""

import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.city.disk import sync, write_all
from passerby.city.gallery.port import DamagedError
from passerby.city.times import day_name

HalfArray = NDArray[np.float16]
BLOCK_ROWS = 4096  # a block is read whole to check it: 4 MiB at 512 dimensions


def segment_path(folder: Path, day: int, generation: int) -> Path:
    """Path of a day's segment file."""
    return folder / f"{day_name(day)}.{generation}.f16"


@dataclass(frozen=True, slots=True)
class Block:
    """Rows written together, with the CRC32 of their bytes."""

    first: int
    rows: int
    crc: int


def append(path: Path, committed: int, vectors: HalfArray, *, durable: bool = True) -> list[Block]:
    """Append rows after the ``committed`` ones. Only with the writer lock held.

    They are on the disk when it returns, unless ``durable`` is off; a new file always is.

    Raises:
        DamagedError: the file holds fewer rows than were committed.
    """
    stride = vectors.shape[1] * 2
    fresh = not path.exists()
    if fresh and committed:
        raise DamagedError(f"the segment file {path} is missing; restore it from a backup")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size < committed * stride:
            raise DamagedError(
                f"the segment file {path} has {size // stride} of {committed} rows; "
                "restore it from a backup"
            )
        if size > committed * stride:
            os.ftruncate(handle, committed * stride)
        os.lseek(handle, committed * stride, os.SEEK_SET)
        blocks = []
        for start in range(0, len(vectors), BLOCK_ROWS):
            part = np.ascontiguousarray(vectors[start : start + BLOCK_ROWS], dtype="<f2")
            write_all(handle, part.data.cast("B"))
            blocks.append(Block(committed + start, len(part), zlib.crc32(part.data)))
        if durable or fresh:
            os.fsync(handle)
    finally:
        os.close(handle)
    if fresh:
        sync(path.parent)
    return blocks


@dataclass(slots=True)
class Segment:
    """A reader's view of one segment file, mapped into memory and checked when first read."""

    path: Path
    dimension: int
    blocks: list[Block] = field(default_factory=list)
    _map: HalfArray | None = None
    _starts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _checked: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    @property
    def rows(self) -> int:
        """Committed rows known to this reader."""
        return self.blocks[-1].first + self.blocks[-1].rows if self.blocks else 0

    def extend(self, blocks: list[Block]) -> None:
        """Take note of newly committed blocks."""
        self.blocks.extend(blocks)

    def _follow_blocks(self) -> None:
        """Arrays over the blocks; at the next reading, not at each of many small commits."""
        known = len(self._starts)
        if known < len(self.blocks):
            fresh = [block.first for block in self.blocks[known:]]
            self._starts = np.concatenate([self._starts, np.array(fresh, np.int64)])
            self._checked = np.concatenate([self._checked, np.zeros(len(fresh), bool)])

    def mapped(self) -> HalfArray:
        """(N, D) float16 view of the committed rows, not yet checked.

        Raises:
            FileNotFoundError: another process dropped or compacted the day.
            DamagedError: the file is shorter than what was committed.
        """
        rows = self.rows
        if self._map is None or len(self._map) < rows:
            if self.path.stat().st_size < rows * self.dimension * 2:
                raise DamagedError(f"the segment file {self.path} is cut short; restore it")
            # copy-on-write pages: torch wants a writable array, the file is never written
            mapped = np.memmap(self.path, dtype="<f2", mode="c", shape=(rows, self.dimension))
            self._map = mapped.view(np.ndarray)
        return self._map[:rows]

    def forget_checks(self) -> None:
        """Check every block again when it is next read."""
        self._checked[:] = False

    def check(self, rows: NDArray[np.int64] | None = None) -> HalfArray:
        """The mapped rows, after checking each block that holds one of ``rows`` (None: all).

        Raises:
            DamagedError: the bytes of a block do not match its CRC32.
        """
        view = self.mapped()
        self._follow_blocks()
        if self._checked.all():
            return view
        if rows is None:
            wanted = np.flatnonzero(~self._checked)
        else:
            touched = np.unique(np.searchsorted(self._starts, rows, side="right") - 1)
            wanted = touched[~self._checked[touched]]
        for number in wanted:
            block = self.blocks[number]
            if zlib.crc32(view[block.first : block.first + block.rows].data) != block.crc:
                raise DamagedError(
                    f"rows {block.first} to {block.first + block.rows - 1} of {self.path} do not "
                    "match their checksum; restore the file from a backup"
                )
            self._checked[number] = True
        return view
