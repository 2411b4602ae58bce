"""Crops into a city: the durable batches that clips use too, and folders and tables of crops."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city import City, Sighting
from passerby.city.changes import with_clock
from passerby.city.networks import check_network
from passerby.data.listing import LeftOut, find_pictures
from passerby.errors import InputError
from passerby.files import sha256
from passerby.ingest.crops import encode_jpeg
from passerby.ingest.vectors import open_table, times_of
from passerby.runtime import Embedder, read_image
from passerby.times import parse_time

ROWS_AT_ONCE = 256
TABLE = "sightings.parquet"
WANTED = ("id", "camera", "time", "path")
BOX = ("x0", "y0", "x1", "y1")
JPEG = b"\xff\xd8\xff"  # how a JPEG file begins
WRITERS = 4  # threads that write crop files; each file waits for the disk

Stored = Callable[[list[str]], None]
"""Called with the ids of sightings once they are durable."""


@dataclass(frozen=True, kw_only=True)
class StoredBatch:
    """What became of a batch of crops."""

    ids: list[str]
    """Sightings that are in the gallery now."""
    added: int
    """How many of them were new."""
    problems: dict[str, str]
    """Id -> why its picture could not be read."""


def store(
    city: City,
    embedder: Embedder,
    facts: Sequence[Sighting],
    jpegs: Sequence[bytes],
    scenes: Sequence[bytes] = (),
) -> StoredBatch:
    """Embed crops, write their files, and add the sightings; durable when it returns.

    The vector is made from the JPEG file that is kept, so that it can be made again. A batch whose
    sightings are all in the gallery already is not embedded again.

    Args:
        city: The city to store in.
        embedder: The network.
        facts: N sightings without vector, model and crop.
        jpegs: N JPEG files as bytes.
        scenes: Of each the JPEG file of its scene, or nothing; none at all when empty.
    """
    ids = [fact.id for fact in facts]
    if known(city, ids):
        return StoredBatch(ids=ids, added=0, problems={})
    problems: dict[str, str] = {}
    ready: list[Sighting] = []
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="crops") as pool:
        for part in embedder.stream(jpegs):
            problems |= {ids[index]: why for index, why in part.problems.items()}
            kept = [(jpegs[index], scenes[index] if scenes else b"") for index in part.indices]
            names = list(pool.map(city.crops.put, *zip(*kept, strict=True))) if kept else []
            for index, vector, name in zip(part.indices, part.vectors, names, strict=True):
                ready.append(
                    replace(facts[index], vector=vector, model=embedder.model_id, crop=name)
                )
    added = city.add_sightings(ready)
    return StoredBatch(ids=[one.id for one in ready], added=added, problems=problems)


def known(city: City, ids: list[str]) -> bool:
    """Whether the gallery holds all of these sightings."""
    try:
        city.gallery.get(ids)
    except InputError:
        return False
    return True


@dataclass(kw_only=True)
class FolderReport:
    """What the ingest of crops did; the counts grow while it runs."""

    source: str
    rows: int = 0
    """Crops to store."""
    done: int = 0
    """Crops looked at so far."""
    added: int = 0
    """Sightings that were new to the city."""
    problems: dict[str, str]
    """File -> why it was left out."""
    other_files: dict[str, int] = field(default_factory=dict)
    """Reason and suffix -> files below a folder that are not taken as pictures."""


FolderProgress = Callable[[FolderReport], None]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A crop's file, and its sighting without vector, model and crop."""

    path: Path
    fact: Sighting


def ingest_table(
    city: City,
    table: str | Path,
    *,
    embedder: Embedder,
    splits: Sequence[str] = (),
    on_stored: Stored | None = None,
    on_progress: FolderProgress | None = None,
    any_time: bool = False,
) -> FolderReport:
    """Add a table of sightings with its crops to a city, as ``passerby simulate`` writes it.

    A second run adds nothing, and the next run completes one that was killed.

    Args:
        city: The city to store in; it must have the table's cameras.
        table: A Parquet file with the columns id, camera, time (ms, or a timestamp with a zone; by
            the camera's clock) and path (relative to the file), and where known tracklet, x0, y0,
            x1, y1, quality and split.
        embedder: Turns crops into vectors; the network of the city's gallery.
        splits: Values of ``split`` to take; all when empty.
        on_stored: Called with the ids of sightings that have become durable.
        on_progress: Called with the report after each batch.
        any_time: Take also times before 2000 or in the future.

    Raises:
        InputError: There is no such table or camera, a column is missing, or times are not
            plausible.
    """
    path = Path(table)
    columns = _read_table(path)
    rows = np.arange(len(columns["id"]))
    if splits:
        if "split" not in columns:
            raise InputError(f"the table '{path}' has no column split; leave splits out")
        rows = np.flatnonzero(np.isin(columns["split"].astype(str), list(splits)))
    city.refresh()
    for camera in sorted(set(columns["camera"][rows].tolist())):
        city.camera(str(camera))
    items = [_row(city, columns, int(row), path.parent) for row in rows]
    if items and not any_time:
        times = [item.fact.time for item in items]
        city.check_times(min(times), max(times), f"the table '{path}' has sightings of")
    report = FolderReport(source=str(path), rows=len(items), problems={})
    _store_all(city, items, embedder, report, on_stored=on_stored, on_progress=on_progress)
    return report


def ingest_folder(
    city: City,
    folder: str | Path,
    *,
    embedder: Embedder,
    camera: str | None = None,
    start: str | int | datetime | None = None,
    on_stored: Stored | None = None,
    on_progress: FolderProgress | None = None,
    any_time: bool = False,
) -> FolderReport:
    """Add a folder of crops to a city.

    A folder with a ``sightings.parquet`` is read as :func:`ingest_table` does. In any other folder
    each picture is one sighting of ``camera`` at ``start``.

    Args:
        city: The city to store in.
        folder: A simulated tree, or pictures that each show one person.
        embedder: Turns crops into vectors; the network of the city's gallery.
        camera: Id of the camera, for a folder without a table.
        start: Time with a zone, for a folder without a table.
        on_stored: Called with the ids of sightings that have become durable.
        on_progress: Called with the report after each batch.
        any_time: Take also times before 2000 or in the future.

    Raises:
        InputError: There is no such folder or camera, the folder has no pictures, or the time is
            missing, has no zone or is not plausible.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'")
    if (folder / TABLE).is_file():
        return ingest_table(
            city,
            folder / TABLE,
            embedder=embedder,
            on_stored=on_stored,
            on_progress=on_progress,
            any_time=any_time,
        )
    if camera is None or start is None:
        raise InputError(f"'{folder}' has no {TABLE}; say which camera and when")
    city.refresh()
    time = parse_time(start, "the time of the folder")
    true = time + city.camera(camera, time).clock
    if not any_time:
        city.check_times(true, true, f"the pictures of '{folder}' are of")
    city.camera_at(camera, true)
    left_out = LeftOut()
    items = [
        _Row(path=path, fact=with_clock(city, _picture(path, camera, time), time))
        for path in find_pictures(folder, left_out)
    ]
    report = FolderReport(
        source=str(folder), rows=len(items), problems={}, other_files=left_out.by_reason()
    )
    _store_all(city, items, embedder, report, on_stored=on_stored, on_progress=on_progress)
    return report


def _picture(path: Path, camera: str, time: int) -> Sighting:
    """The sighting of a picture that shows one person."""
    return Sighting(id=f"{sha256(path)[:24]}-{camera}-{time}", camera=camera, time=time)


def _store_all(
    city: City,
    items: list[_Row],
    embedder: Embedder,
    report: FolderReport,
    *,
    on_stored: Stored | None,
    on_progress: FolderProgress | None,
) -> None:
    """Store crops batch by batch; only the files of unknown ones are read."""
    check_network(city.gallery, embedder.model_id)
    for first in range(0, len(items), ROWS_AT_ONCE):
        part = items[first : first + ROWS_AT_ONCE]
        ids = [item.fact.id for item in part]
        if not known(city, ids):
            facts, jpegs = _read_files(part, report)
            stored = store(city, embedder, facts, jpegs)
            paths = {item.fact.id: str(item.path) for item in part}
            report.problems |= {paths[name]: why for name, why in stored.problems.items()}
            report.added += stored.added
            ids = stored.ids
        report.done += len(part)
        if on_stored:
            on_stored(ids)
        if on_progress:
            on_progress(report)


def _read_files(part: list[_Row], report: FolderReport) -> tuple[list[Sighting], list[bytes]]:
    """The sightings whose pictures can be read, and these pictures as JPEG files."""
    facts, jpegs = [], []
    for item in part:
        try:
            data = item.path.read_bytes()
            jpegs.append(data if data.startswith(JPEG) else encode_jpeg(read_image(data)))
            facts.append(item.fact)
        except FileNotFoundError:
            report.problems[str(item.path)] = f"there is no file '{item.path}'"
        except (InputError, OSError) as error:
            report.problems[str(item.path)] = str(error)
    return facts, jpegs


def _read_table(path: Path) -> dict[str, NDArray[Any]]:
    table = open_table(path).read()
    missing = [name for name in WANTED if name not in table.column_names]
    if missing:
        raise InputError(
            f"the table '{path}' lacks the columns {', '.join(missing)}; "
            f"it needs {', '.join(WANTED)}"
        )
    columns = {
        name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }
    return {**columns, "time": np.array(times_of(table.column("time"), path), np.int64)}


def _row(city: City, columns: dict[str, NDArray[Any]], row: int, root: Path) -> _Row:
    box = None
    if all(name in columns for name in BOX):
        x0, y0, x1, y1 = (float(columns[name][row]) for name in BOX)
        box = (x0, y0, x1, y1)
    tracklet = columns["tracklet"][row] if "tracklet" in columns else None
    fact = Sighting(
        id=str(columns["id"][row]),
        camera=str(columns["camera"][row]),
        time=int(columns["time"][row]),
        tracklet=str(tracklet) if tracklet is not None else "",
        box=box,
        quality=float(columns["quality"][row]) if "quality" in columns else 1.0,
    )
    return _Row(path=root / str(columns["path"][row]), fact=with_clock(city, fact, fact.time))
