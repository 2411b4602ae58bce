"""Convert a gallery of the first edition: an index beside files of vectors, one a UTC day."""

import fcntl
import json
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from passerby.city.gallery.embedded import FIRST_EDITION as INDEX
from passerby.city.gallery.embedded import EmbeddedGallery
from passerby.city.gallery.port import DamagedError, Gallery
from passerby.city.gallery.records import HalfArray, checksum
from passerby.city.gallery.store import FILE
from passerby.city.sightings import Pairs, Sighting
from passerby.files import sync
from passerby.times import DAY_MS, format_time

VECTORS, LOCK = "vectors", "writer.lock"
_AT_ONCE = 4096
_NUMBERS = struct.Struct("<5q5d")
_FACTS = "s.id, s.time, s.cell, s.camera, s.tracklet, s.x0, s.y0, s.x1, s.y1, s.crop, s.quality"


def take_over(folder: Path, *, progress: Callable[[int], object] = lambda _: None) -> int:
    """Copy every sighting into a gallery of this edition, compare each, delete the old files.

    The next call completes one that was interrupted: what was copied is only compared.

    Args:
        folder: of the gallery; the new one takes the place of the old.
        progress: called with the number of sightings of each finished step.

    Returns:
        The number of sightings.

    Raises:
        DamagedError: a sighting of the old gallery, or what was written of it, does not match its
            checksum. Nothing is deleted then.
    """
    done = 0
    draft = folder / "upgrade"
    with (folder / LOCK).open("a+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the old edition's writers wait for it
        if not (folder / FILE).exists():
            target = EmbeddedGallery(draft)
            with closing(target), closing(sqlite3.connect(folder / INDEX)) as index:
                for part in _batches(index, folder):
                    target.add(part)
                    _compare(part, target)
                    done += len(part)
                    progress(len(part))
                expected = index.execute("SELECT count(*) FROM sightings").fetchone()[0]
            if done != expected:
                raise DamagedError(f"{folder / INDEX} has {expected} sightings, {done} were read")
            (draft / FILE).rename(folder / FILE)
            sync(folder)
        _delete_old(folder)
    return done


def _delete_old(folder: Path) -> None:
    for name in (VECTORS, "waiting", "upgrade"):
        if (folder / name).is_dir():
            for path in (folder / name).iterdir():
                path.unlink()
            (folder / name).rmdir()
    for path in [*folder.glob("index.s*"), folder / LOCK]:
        path.unlink()


def _compare(part: Sequence[Sighting], target: Gallery) -> None:
    ids = [one.id for one in part]
    for old, new, row in zip(part, target.get(ids), target.vectors(ids), strict=True):
        assert old.vector is not None
        if checksum(old, old.vector) != checksum(new, row):
            raise DamagedError(
                f"sighting '{old.id}' does not read back as it was in the old gallery; check the "
                "disk, and whether the new gallery held another sighting of that id"
            )


def _batches(index: sqlite3.Connection, folder: Path) -> Iterator[list[Sighting]]:
    """Yield all sightings with their vectors, by day."""
    facts = dict(index.execute("SELECT name, value FROM facts"))
    columns = {row[1] for row in index.execute("PRAGMA table_info(sightings)")}
    code = "id" if int(facts["format"]) == 1 else "code"
    labels = "s.labels, s.crc, l.code" if "labels" in columns else "0, NULL, ''"
    join = "JOIN labels l ON l.number = s.labels" if "labels" in columns else ""
    sql = (
        f"SELECT c.code, k.{code}, s.place, {_FACTS}, {labels} FROM sightings s {join} "
        "JOIN cells c ON c.number = s.cell JOIN cameras k ON k.number = s.camera "
        "WHERE s.place >= ? AND s.place < ? ORDER BY s.place"
    )
    for day, generation, rows in index.execute(
        "SELECT day, generation, rows FROM buckets ORDER BY day"
    ).fetchall():
        vectors = _vectors(index, folder, (day, generation, rows), int(facts["dimension"]))
        found = index.execute(sql, (day << 32, (day + 1) << 32))
        while part := found.fetchmany(_AT_ONCE):
            yield [_sighting(row, vectors, str(facts["model"]), folder) for row in part]


def _vectors(
    index: sqlite3.Connection, folder: Path, bucket: tuple[int, int, int], D: int
) -> HalfArray:
    """Return the (N, D) vectors of a day; each block is compared with its checksum."""
    day, generation, rows = bucket
    path = folder / VECTORS / f"{format_time(day * DAY_MS)[:10]}.{generation}.f16"
    data = bytearray(path.read_bytes() if path.exists() else b"").ljust(rows * D * 2, b"\0")
    kept = {}
    if index.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept'").fetchone():
        kept = dict(index.execute("SELECT first, vectors FROM kept WHERE day = ?", (day,)))
    for first, count, crc in index.execute(
        "SELECT first, rows, crc FROM blocks WHERE day = ?", (day,)
    ):
        part = slice(first * D * 2, (first + count) * D * 2)
        if zlib.crc32(data[part]) != crc:  # lost with the machine's power, but kept in the index
            data[part] = kept.get(first, data[part])
        if zlib.crc32(data[part]) != crc:
            raise DamagedError(
                f"rows {first} to {first + count - 1} of {path} do not match their checksum; "
                "restore the gallery from a backup"
            )
    half: HalfArray = np.frombuffer(data, "<f2", rows * D).reshape(rows, D)
    return half


def _sighting(row: Sequence[Any], vectors: HalfArray, model: str, folder: Path) -> Sighting:
    unit, camera, place, *facts, labels, crc, attributes = row
    name, time, cell, number, tracklet, x0, y0, x1, y1, crop, quality = facts
    box = None if x0 is None else (x0, y0, x1, y1)
    if crc is not None:
        sides = box or (float("-inf"),) * 4
        numbers = _NUMBERS.pack(place, time, cell, number, labels, *sides, quality)
        text = "\0".join((name, tracklet, crop)).encode()
        if zlib.crc32(text, zlib.crc32(numbers)) != crc:
            raise DamagedError(
                f"sighting '{name}' in {folder / INDEX} does not match its checksum; "
                "restore the gallery from a backup"
            )
    return Sighting(
        id=name,
        camera=camera,
        unit=unit,
        time=time,
        tracklet=tracklet,
        box=box,
        crop=crop,
        quality=quality,
        attributes=_pairs(attributes),
        model=model,
        vector=vectors[place & 0xFFFFFFFF].astype(np.float32),
    )


def _pairs(text: str) -> Pairs:
    """Return attributes, which the old index holds as a list of pairs."""
    return tuple((name, value) for name, value in json.loads(text)) if text else ()
