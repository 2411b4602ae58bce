"""Upkeep of the embedded gallery: compaction, sweeping, copies, checks, figures."""

import os
import shutil
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.city.disk import sync
from passerby.city.gallery.columns import Columns, Selection
from passerby.city.gallery.index import Index, place_of
from passerby.city.gallery.port import Coverage, DamagedError, Health, Stats
from passerby.city.gallery.segments import (
    BLOCK_ROWS,
    Block,
    Segment,
    append,
    segment_path,
)
from passerby.city.gallery.state import State
from passerby.city.sightings import Scope
from passerby.errors import InputError

EVERYONE = Selection(None, None, None, None)
COPY_ROWS = 16 * BLOCK_ROWS


def fragmented(day: Columns) -> bool:
    """Whether a day was written in so many small parts that rewriting it pays."""
    blocks = len(day.segment.blocks)
    return blocks > 64 and blocks > 8 * (day.rows // BLOCK_ROWS + 1)


def rewrite(index: Index, lock: threading.RLock, folder: Path, day: Columns) -> None:
    """Write a day's living rows to new files and commit them; the old files are swept later.

    Only the commits take ``lock``, so that searches go on beside the copying. Needs the writer
    lock: nobody else adds or removes rows meanwhile.
    """
    alive = day.select(EVERYONE)
    rows = np.arange(day.rows) if alive is None else alive
    with lock, index.writing():
        generation, stage_generation = index.next_generation(), index.next_generation()
    stage = staged(index, folder, day)
    blocks = _copy_rows(day.segment, rows, segment_path(folder, day.day, generation))
    stage_rows = rows[rows < stage.rows] if stage else rows[:0]
    stage_blocks = []
    if stage:
        path = segment_path(folder, day.day, stage_generation)
        stage_blocks = _copy_rows(stage, stage_rows, path)
    with lock, index.writing():
        if len(rows) == 0:
            index.drop_bucket(day.day)
            return
        index.move_bucket(day.day, [int(row) for row in rows])
        index.set_bucket(day.day, generation, len(rows), blocks)
        if stage:
            index.set_bucket(day.day, stage_generation, len(stage_rows), stage_blocks, staged=True)


def _copy_rows(source: Segment, rows: NDArray[np.int64], path: Path) -> list[Block]:
    vectors = source.check()
    blocks: list[Block] = []
    for start in range(0, len(rows), COPY_ROWS):
        blocks += append(path, start, vectors[rows[start : start + COPY_ROWS]])
    return blocks


def staged(index: Index, folder: Path, day: Columns) -> Segment | None:
    """A day's vectors by the next model, if there are any."""
    generation, rows = index.stages().get(day.day, (0, 0))
    if rows == 0:
        return None
    path = segment_path(folder, day.day, generation)
    segment = Segment(path, int(index.fact("stage_dimension") or 0))
    segment.extend(index.blocks(day.day, 0, staged=True))
    return segment


def sweep(index: Index, folder: Path) -> None:
    """Unlink segment files that no bucket names. Only with the writer lock held."""
    named = {
        segment_path(folder, day, generation).stem
        for buckets in (index.buckets(), index.stages())
        for day, (generation, _) in buckets.items()
    }
    for path in folder.iterdir():
        if path.suffix in (".f16", ".columns", ".part") and path.stem not in named:
            path.unlink(missing_ok=True)
    sync(folder)


def copy(index: Index, state: State, folder: Path) -> None:
    """Write a consistent copy of index and segments. Only with the writer lock held.

    Vectors by a next model, when there are any, are not copied.

    Raises:
        InputError: the target folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder {folder} is not empty; name a new one for the snapshot")
    target = folder / "vectors"
    target.mkdir(parents=True, exist_ok=True)
    for day in state.days.values():
        path = target / day.segment.path.name
        with day.segment.path.open("rb") as source, path.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.truncate(day.rows * day.segment.dimension * 2)
            file.flush()
            os.fsync(file.fileno())
    index.backup(folder / "index.sqlite")
    sync(target)
    sync(folder)


def damage(index: Index, state: State, folder: Path) -> list[str]:
    """Check every block of every segment; the text of each fault found."""
    faults = []
    segments = [day.segment for day in state.days.values()]
    segments += [one for day in state.days.values() if (one := staged(index, folder, day))]
    for segment in segments:
        try:
            segment.forget_checks()
            segment.check()
        except (DamagedError, OSError) as error:
            faults.append(str(error))
    return faults


def stats(state: State, folder: Path) -> Stats:
    """Figures of a gallery."""
    days = [day for day in state.days.values() if day.living]
    return Stats(
        sightings=sum(day.living for day in state.days.values()),
        dead=sum(day.rows - day.living for day in state.days.values()),
        days=len(state.days),
        bytes=sum(_bytes(path) for path in folder.rglob("*")),
        first=min((day.first for day in days), default=None),
        last=max((day.last for day in days), default=None),
        model_id=state.model,
        dimension=state.dimension,
    )


def _bytes(path: Path) -> int:
    """Size of a file; 0 when it has gone since."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


LITTLE_ROOM = 1 << 28  # bytes free under which a monitor is warned


def health(state: State, folder: Path) -> Health:
    """Sizes of the files against the index, room on the disk, the right to write."""
    problems = []
    for day in state.days.values():
        try:
            day.segment.mapped()
        except (DamagedError, OSError) as error:
            problems.append(str(error))
    readable = not problems
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    writable = os.access(folder, os.W_OK) and not disk.f_flag & os.ST_RDONLY and free > 0
    if not writable:
        problems.append(f"the gallery {folder} cannot be written; sightings are refused")
    elif free < LITTLE_ROOM:
        problems.append(f"the disk of the gallery {folder} has only {free >> 20} MiB left")
    return Health(readable=readable, writable=writable, problems=tuple(problems), free_bytes=free)


def coverage(state: State, scope: Scope) -> list[Coverage]:
    """Per camera with sightings in the scope: how many, the first and the last."""
    wanted = state.select(scope)
    count = np.zeros(len(state.cameras), np.int64)
    first = np.full(len(state.cameras), np.iinfo(np.int64).max)
    last = np.full(len(state.cameras), np.iinfo(np.int64).min)
    for day in state.days.values():
        rows = day.select(wanted)
        cameras, times = day.column("camera"), day.column("time")
        if rows is not None:
            cameras, times = cameras[rows], times[rows]
        count += np.bincount(cameras, minlength=len(count))
        np.minimum.at(first, cameras, times)
        np.maximum.at(last, cameras, times)
    return [
        Coverage(camera=name, sightings=int(count[i]), first=int(first[i]), last=int(last[i]))
        for i, name in sorted(enumerate(state.cameras), key=lambda pair: pair[1])
        if count[i]
    ]


def newest(state: State, scope: Scope, limit: int) -> list[int]:
    """Places of the newest rows in a scope, with all that share the oldest of their times."""
    wanted = state.select(scope)
    places: list[int] = []
    for number, day in sorted(state.days.items(), reverse=True):
        rows = day.select(wanted)
        rows = np.arange(day.rows) if rows is None else rows
        missing = limit - len(places)
        if missing <= 0:
            break
        if len(rows) > missing:
            times = day.column("time")[rows]
            rows = rows[times >= np.partition(times, len(times) - missing)[len(times) - missing]]
        places += [place_of(number, int(row)) for row in rows]
    return places
