"""Crops into a city: the durable batches that clips and folders use, and tables of crops."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city import City, Sighting
from passerby.city.changes import with_clock
from passerby.city.erasing import erased, erased_places, left_out
from passerby.city.networks import check_network
from passerby.errors import InputError
from passerby.files import read_table, sha256
from passerby.ingest.crops import encode_jpeg
from passerby.ingest.vectors import times_of
from passerby.runtime import Embedder, read_image

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
    erased: int = 0
    """How many were erased from the city, and are not stored again."""


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
    crops, tracklets = [sha256(jpeg) for jpeg in jpegs], [fact.tracklet for fact in facts]
    gone = erased_places(city, [fact.id for fact in facts], crops, tracklets)
    kept = [place for place in range(len(facts)) if place not in gone]
    facts, jpegs = [facts[place] for place in kept], [jpegs[place] for place in kept]
    scenes = _scenes_kept(city, [scenes[place] for place in kept] if scenes else [])
    ids = [fact.id for fact in facts]
    if known(city, ids):
        return StoredBatch(ids=ids, added=0, problems={}, erased=len(gone))
    problems: dict[str, str] = {}
    ready: list[Sighting] = []
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="crops") as pool:
        for part in embedder.stream(jpegs):
            problems |= {ids[index]: why for index, why in part.problems.items()}
            files = [(jpegs[index], scenes[index] if scenes else b"") for index in part.indices]
            names = list(pool.map(city.crops.put, *zip(*files, strict=True))) if files else []
            for index, vector, name in zip(part.indices, part.vectors, names, strict=True):
                ready.append(
                    replace(facts[index], vector=vector, model=embedder.model_id, crop=name)
                )
    added = city.add_sightings(ready)
    return StoredBatch(
        ids=[one.id for one in ready], added=added, problems=problems, erased=len(gone)
    )


def _scenes_kept(city: City, scenes: Sequence[bytes]) -> Sequence[bytes]:
    """The scenes without those that show somebody who was erased."""
    digests = [sha256(scene) if scene else "" for scene in scenes]
    gone = erased(city, "scene", set(digests))
    return [b"" if own in gone else scene for own, scene in zip(digests, scenes, strict=True)]


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
    """Pictures: crops to store, and whole frames."""
    done: int = 0
    """Pictures looked at so far."""
    added: int = 0
    """Sightings that were new to the city."""
    erased: int = 0
    """Pictures of sightings that were erased from the city; they are not stored again."""
    problems: dict[str, str]
    """File -> why it was left out."""
    other_files: dict[str, int] = field(default_factory=dict)
    """Reason and suffix -> files below a folder that are not taken as pictures."""
    frames: int = 0
    """Pictures that are whole frames, in which a detector looked for people."""
    people: int = 0
    """Crops cut out of these frames, known ones included."""
    nobody: bool = False
    """Whether there are only whole frames, and a person in none of them."""
    notices: list[str] = field(default_factory=list)
    """What the operator should know."""


FolderProgress = Callable[[FolderReport], None]


@dataclass(frozen=True, kw_only=True)
class Row:
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
    store_rows(city, items, embedder, report, on_stored=on_stored, on_progress=on_progress)
    return report


def store_rows(
    city: City,
    items: list[Row],
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
            report.erased += stored.erased
            ids = stored.ids
        report.done += len(part)
        if on_stored:
            on_stored(ids)
        if on_progress:
            on_progress(report)
    report.notices += left_out(report.erased)


def _read_files(part: list[Row], report: FolderReport) -> tuple[list[Sighting], list[bytes]]:
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
    table = read_table(path)
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


def _row(city: City, columns: dict[str, NDArray[Any]], row: int, root: Path) -> Row:
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
    return Row(path=root / str(columns["path"][row]), fact=with_clock(city, fact, fact.time))
