"""Columns of a day as a file, so that opening need not read every row of the index.

A cache is derived: it is ignored when its checksum is wrong and written again. It may be older than
the index; what it lacks is read from there. Nothing in it needs to be durable.
"""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from passerby.city.gallery.columns import DTYPES, Columns

_HEAD = struct.Struct("<8sQI")
_MAGIC = b"PBCOLS1\0"
WORTH = 8  # written when an eighth of the rows is new


def cache_path(segment: Path) -> Path:
    """Path of the cache beside a segment file."""
    return segment.with_suffix(".columns")


def load(columns: Columns) -> None:
    """Fill empty columns from their cache, where there is a sound one."""
    try:
        data = cache_path(columns.segment.path).read_bytes()
    except OSError:
        return
    if len(data) < _HEAD.size:
        return
    magic, rows, crc = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC or len(body) != rows * _width() or zlib.crc32(body) != crc:
        return
    arrays, start = {}, 0
    for name, dtype in DTYPES.items():
        arrays[name] = np.frombuffer(body, dtype, rows, start).copy()
        start += rows * np.dtype(dtype).itemsize
    columns.restore(rows, arrays)


def save(columns: Columns, path: Path | None = None) -> None:
    """Write the cache of columns, for the segment ``path`` or their own; a full disk is no error.

    Nothing is written where the cache has almost all rows already.
    """
    if path is None and columns.uncached * WORTH <= columns.rows:
        return
    body = b"".join(columns.column(name).tobytes() for name in DTYPES)
    target = cache_path(path or columns.segment.path)
    draft = target.with_suffix(f".{os.getpid()}.part")
    try:
        draft.write_bytes(_HEAD.pack(_MAGIC, columns.rows, zlib.crc32(body)) + body)
        draft.replace(target)
        columns.uncached = 0
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def _width() -> int:
    return sum(np.dtype(dtype).itemsize for dtype in DTYPES.values())
