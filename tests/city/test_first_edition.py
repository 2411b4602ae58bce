"""A gallery of the first edition, made to its layout, is taken over whole or not at all."""

import json
import sqlite3
import struct
import zlib
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passerby.city import Sighting, first_edition, open_gallery
from passerby.city.first_edition import take_over
from passerby.city.gallery import DamagedError, StoreError
from passerby.city.gallery.records import checksum
from passerby.cli import main
from passerby.times import DAY_MS, format_time
from tests.city.gallery_contract import many

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE cells (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE cameras (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE labels (number INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE);
CREATE TABLE buckets (day INTEGER PRIMARY KEY, generation INTEGER, rows INTEGER);
CREATE TABLE blocks (day INTEGER, first INTEGER, rows INTEGER, crc INTEGER);
CREATE TABLE kept (day INTEGER, generation INTEGER, first INTEGER, rows INTEGER, crc INTEGER,
    vectors BLOB);
CREATE TABLE sightings (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time INTEGER,
    cell INTEGER, camera INTEGER, tracklet TEXT, x0 REAL, y0 REAL, x1 REAL, y1 REAL, crop TEXT,
    quality REAL, labels INTEGER, crc INTEGER);
"""
TO_FORMAT_1 = """
ALTER TABLE sightings DROP COLUMN labels;
ALTER TABLE sightings DROP COLUMN crc;
ALTER TABLE cameras RENAME COLUMN code TO id;
DROP TABLE labels;
DROP TABLE kept;
UPDATE facts SET value = 1 WHERE name = 'format';
"""


def write(folder: Path, sightings: list[Sighting], *, lost: bool = False) -> None:
    """Files of format 3; every seventh row is a deleted one.

    With ``lost`` the vectors are in the index alone, as after a loss of power.
    """
    (folder / "vectors").mkdir(parents=True)
    for name in ("writer.lock", "index.seal"):
        (folder / name).write_bytes(b"d")
    days: dict[int, list[Sighting | None]] = defaultdict(list)
    for one in sightings:
        rows = days[one.time // DAY_MS]
        if len(rows) % 7 == 3:
            rows.append(None)
        rows.append(one)
    with closing(sqlite3.connect(folder / "index.sqlite")) as index:
        index.executescript(SCHEMA)
        assert sightings[0].vector is not None
        D = len(sightings[0].vector)
        facts = {"format": 3, "model": sightings[0].model, "dimension": D, "commit": 9}
        index.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        numbers: dict[str, dict[str, int]] = {"cells": {}, "cameras": {}, "labels": {"": 0}}
        for generation, (day, rows) in enumerate(days.items(), start=1):
            vectors = np.zeros((len(rows), D), "<f2")
            for row, one in enumerate(rows):
                if one is not None:
                    vectors[row] = one.vector
                    index.execute(
                        f"INSERT INTO sightings VALUES ({', '.join('?' * 14)})",
                        old_row(one, day << 32 | row, numbers),
                    )
            data = vectors.tobytes()
            name = f"{format_time(day * DAY_MS)[:10]}.{generation}"
            kept = data if not lost else data[: D * 2 * 5]
            (folder / "vectors" / f"{name}.f16").write_bytes(kept + b"torn")
            (folder / "vectors" / f"{name}.columns").write_bytes(b"a cache")
            index.execute("INSERT INTO buckets VALUES (?, ?, ?)", (day, generation, len(rows)))
            for first in range(0, len(rows), 50):
                block = vectors[first : first + 50].tobytes()
                row = (day, first, len(block) // D // 2, zlib.crc32(block))
                index.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", row)
                if lost:
                    all_ = (day, generation, *row[1:], block)
                    index.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?)", all_)
        for table, known in numbers.items():
            index.executemany(
                f"INSERT INTO {table} VALUES (?, ?)", [(n, text) for text, n in known.items()]
            )
        index.commit()


def old_row(one: Sighting, place: int, numbers: dict[str, dict[str, int]]) -> tuple[Any, ...]:
    """A sighting as the first edition stored it, with its checksum."""
    labels = json.dumps(one.attributes, separators=(",", ":")) if one.attributes else ""
    cell, camera, label = (
        known.setdefault(text, len(known))
        for known, text in zip(numbers.values(), (one.unit, one.camera, labels), strict=True)
    )
    box = one.box or (float("-inf"),) * 4
    packed = struct.pack("<5q5d", place, one.time, cell, camera, label, *box, one.quality)
    text = "\0".join((one.id, one.tracklet, one.crop)).encode()
    crc = zlib.crc32(text, zlib.crc32(packed))
    sides = one.box or (None,) * 4
    return (
        place, one.id, one.time, cell, camera, one.tracklet, *sides, one.crop, one.quality, label,
        crc,
    )  # fmt: skip


def same(folder: Path, want: list[Sighting]) -> None:
    gallery = open_gallery(folder)
    ids = [one.id for one in want]
    assert gallery.get(ids) == want
    assert gallery.count() == len(want)
    for one, row in zip(want, gallery.vectors(ids), strict=True):
        assert one.vector is not None
        assert checksum(one, row) == checksum(one, one.vector)
    assert gallery.verify() == []
    assert gallery.health().problems == ()
    gallery.close()


@pytest.fixture
def few() -> list[Sighting]:
    return many(400, dimension=64)


def test_it_is_taken_over_and_the_old_files_go(tmp_path: Path, few: list[Sighting]) -> None:
    write(tmp_path, few)
    with pytest.raises(StoreError, match="passerby admin gallery upgrade"):
        open_gallery(tmp_path)
    seen: list[int] = []
    assert take_over(tmp_path, progress=seen.append) == sum(seen) == 400
    assert {path.name for path in tmp_path.iterdir()} <= {"gallery.sqlite", "acknowledged"}
    same(tmp_path, few)


def test_format_1(tmp_path: Path, few: list[Sighting]) -> None:
    from dataclasses import replace

    plain = [replace(one, attributes=()) for one in few]
    write(tmp_path, plain)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as index:
        index.executescript(TO_FORMAT_1)
    take_over(tmp_path)
    same(tmp_path, plain)


def test_vectors_that_the_disk_lost_come_from_the_index(
    tmp_path: Path, few: list[Sighting]
) -> None:
    write(tmp_path, few, lost=True)
    take_over(tmp_path)
    same(tmp_path, few)


def test_an_interrupted_call_is_completed(
    tmp_path: Path, few: list[Sighting], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, few)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_over(tmp_path, progress=stop)
    with pytest.raises(StoreError, match="first edition"):
        open_gallery(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(first_edition, "_delete_old", lambda _: stop(0))
        with pytest.raises(KeyboardInterrupt):
            take_over(tmp_path)
    gallery = open_gallery(tmp_path)  # the new one is in force
    assert gallery.count() == 400
    assert any("upgrade" in problem for problem in gallery.health().problems)
    gallery.close()
    take_over(tmp_path)
    same(tmp_path, few)


@pytest.mark.parametrize("what", ["vectors", "sightings"])
def test_damage_is_named_and_nothing_is_deleted(
    tmp_path: Path, few: list[Sighting], what: str
) -> None:
    write(tmp_path, few)
    if what == "vectors":
        victim = sorted((tmp_path / "vectors").glob("*.f16"))[1]
        content = bytearray(victim.read_bytes())
        content[200] ^= 4
        victim.write_bytes(content)
    else:
        victim = tmp_path / "index.sqlite"
        with closing(sqlite3.connect(victim)) as index:
            index.execute("UPDATE sightings SET time = time + 1 WHERE id = 's000077'")
            index.commit()
    with pytest.raises(DamagedError, match=victim.name):
        take_over(tmp_path)
    assert victim.exists()
    assert not (tmp_path / "gallery.sqlite").exists()


def test_the_verb(
    tmp_path: Path,
    map_files: dict[str, Any],
    few: list[Sighting],
    capsys: pytest.CaptureFixture[str],
) -> None:
    from passerby.city import City

    City.create(tmp_path / "city", **map_files).close()
    write(tmp_path / "city" / "gallery", few)
    assert main(["admin", "gallery", "check", str(tmp_path / "city")]) == 2
    assert "passerby admin gallery upgrade" in capsys.readouterr().err
    assert main(["admin", "gallery", "upgrade", str(tmp_path / "city")]) == 0
    assert "400 sightings taken over" in capsys.readouterr().out
    assert main(["admin", "gallery", "upgrade", str(tmp_path / "city")]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["admin", "gallery", "check", "--full", str(tmp_path / "city")]) == 0
