"""A folder of crops into a city: a simulated tree, or pictures of one camera."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city import City, Sighting
from passerby.city.networks import check_network
from passerby.city.times import parse_time
from passerby.errors import InputError, MissingExtraError
from passerby.ingest.store import Stored, as_jpeg, file_hash, known, store
from passerby.runtime import Embedder
from passerby.runtime.pictures import find_pictures

ROWS_AT_ONCE = 256
TABLE = "sightings.parquet"
WANTED = ("id", "camera", "time", "path")


@dataclass(kw_only=True)
class FolderReport:
    """What an ingest of crops did; it grows while the ingest runs."""

    source: str
    rows: int = 0
    """Crops to bring in."""
    done: int = 0
    """Crops looked at so far."""
    added: int = 0
    """Sightings that were new to the city."""
    problems: dict[str, str]
    """File -> why it was left out."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    path: Path
    fact: Sighting


FolderProgress = Callable[[FolderReport], None]


def ingest_table(
    city: City,
    table: str | Path,
    *,
    embedder: Embedder,
    splits: Sequence[str] = (),
    on_stored: Stored | None = None,
    on_progress: FolderProgress | None = None,
) -> FolderReport:
    """Bring a table of sightings with its crops into a city, as `passerby simulate` writes it.

    A second run adds nothing; a run that was killed is completed by the next.

    Args:
        city: where to; it must know the table's cameras.
        table: a Parquet file with the columns id, camera, time (ms), path (relative to the
            file), and where known tracklet, x0, y0, x1, y1, quality, split.
        embedder: turns crops into vectors; the model of the city's gallery.
        splits: which values of `split` to take; all when empty.
        on_stored: hears the ids of sightings that have become durable.
        on_progress: hears the state of the report now and then.

    Raises:
        InputError: no such table, a column is missing, an unknown camera.
    """
    path = Path(table)
    columns = _read_table(path)
    rows = np.arange(len(columns["id"]))
    if splits:
        if "split" not in columns:
            raise InputError(f"the table '{path}' has no column split; leave splits out")
        rows = np.flatnonzero(np.isin(columns["split"].astype(str), list(splits)))
    for camera in sorted(set(columns["camera"][rows].tolist())):
        city.camera(str(camera))
    items = [_row(columns, int(row), path.parent) for row in rows]
    return _bring(
        city,
        items,
        source=str(path),
        embedder=embedder,
        on_stored=on_stored,
        on_progress=on_progress,
    )


def ingest_folder(
    city: City,
    folder: str | Path,
    *,
    embedder: Embedder,
    camera: str | None = None,
    start: str | int | datetime | None = None,
    on_stored: Stored | None = None,
    on_progress: FolderProgress | None = None,
) -> FolderReport:
    """Bring a folder of crops into a city.

    A folder with a `sightings.parquet` is read by it; otherwise every picture below the folder
    is one sighting of ``camera`` at ``start``.

    Args:
        city: where to.
        folder: a simulated tree, or pictures that each show one person.
        embedder: turns crops into vectors; the model of the city's gallery.
        camera: id of the camera of a folder without a table.
        start: time of a folder without a table, with a zone.
        on_stored: hears the ids of sightings that have become durable.
        on_progress: hears the state of the report now and then.

    Raises:
        InputError: no such folder, no pictures, unknown camera, time missing or without zone.
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
        )
    if camera is None or start is None:
        raise InputError(f"'{folder}' has no {TABLE}; say which camera and when")
    city.camera(camera)
    return _bring(
        city,
        _rows_of(folder, camera, parse_time(start, "the time of the folder")),
        source=str(folder),
        embedder=embedder,
        on_stored=on_stored,
        on_progress=on_progress,
    )


def _rows_of(folder: Path, camera: str, time: int) -> list[_Row]:
    """Every picture below a folder, named by its content."""
    paths = find_pictures(folder)
    names = [f"{file_hash(path)[:24]}-{camera}-{time}" for path in paths]
    return [
        _Row(path=path, fact=Sighting(id=name, camera=camera, time=time))
        for path, name in zip(paths, names, strict=True)
    ]


def _bring(
    city: City,
    items: list[_Row],
    *,
    source: str,
    embedder: Embedder,
    on_stored: Stored | None,
    on_progress: FolderProgress | None,
) -> FolderReport:
    check_network(city.gallery, embedder.model_id)
    report = FolderReport(source=source, rows=len(items), problems={})
    for part in _parts(items):
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
    return report


def _parts(items: list[_Row]) -> Iterator[list[_Row]]:
    for first in range(0, len(items), ROWS_AT_ONCE):
        yield items[first : first + ROWS_AT_ONCE]


def _read_files(part: list[_Row], report: FolderReport) -> tuple[list[Sighting], list[bytes]]:
    facts, jpegs = [], []
    for item in part:
        try:
            jpegs.append(as_jpeg(item.path.read_bytes()))
            facts.append(item.fact)
        except FileNotFoundError:
            report.problems[str(item.path)] = f"there is no file '{item.path}'"
        except (InputError, OSError) as error:
            report.problems[str(item.path)] = str(error)
    return facts, jpegs


def _read_table(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    if not path.is_file():
        raise InputError(f"there is no table '{path}'")
    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"'{path}' cannot be read as Parquet: {reason}") from None
    missing = [name for name in WANTED if name not in table.column_names]
    if missing:
        raise InputError(
            f"the table '{path}' lacks the columns {', '.join(missing)}; "
            f"it needs {', '.join(WANTED)}"
        )
    return {
        name: np.asarray(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }


def _row(columns: dict[str, NDArray[Any]], row: int, root: Path) -> _Row:
    box = None
    if all(name in columns for name in ("x0", "y0", "x1", "y1")):
        x0, y0, x1, y1 = (float(columns[name][row]) for name in ("x0", "y0", "x1", "y1"))
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
    return _Row(path=root / str(columns["path"][row]), fact=fact)
