"""New sightings into the embedded gallery: append the vectors of each day, then commit.

The vectors of a small batch are not synced but kept in the index, so that it waits for the disk
once, see :mod:`passerby.city.gallery.keeping`.
"""

import threading
from collections import ChainMap
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from passerby.city.gallery import keeping
from passerby.city.gallery.batch import Batch
from passerby.city.gallery.index import Index, place_of
from passerby.city.gallery.segments import Block, append, segment_path
from passerby.city.gallery.state import State


def store(
    index: Index,
    lock: threading.RLock,
    state: State,
    folder: Path,
    *,
    batch: Batch,
    old: dict[str, int],
) -> None:
    """Store a batch, durably, in place of the ``old`` rows (id -> place).

    Only the commits take ``lock``, so that searches go on meanwhile. Needs the writer lock.
    """
    written: list[tuple[int, int, int, list[Block], Batch]] = []
    with lock:
        fresh = _generations(index, batch.days - set(state.days))
        small = keeping.fits(index, len(batch))
    for day, part in batch.by_day():
        columns = state.days.get(day)
        generation = columns.generation if columns else fresh[day]
        first = columns.rows if columns else 0
        path = segment_path(folder, day, generation)
        blocks = append(path, first, part.vectors, durable=not small)
        written.append((day, generation, first, blocks, part))
    if not small:
        with lock:
            files = keeping.kept_files(index, folder)
        keeping.sync_files(files)
    wanted = {"cells": batch.units, "cameras": batch.cameras, "labels": batch.labels}
    fresh_names = {table: _new(state.numbers[table], names) for table, names in wanted.items()}
    numbers = {table: ChainMap(fresh_names[table], state.numbers[table]) for table in fresh_names}
    with lock:
        with index.writing():
            index.set_fact("model", batch.model)
            index.set_fact("dimension", batch.dimension)
            for table, names in fresh_names.items():
                index.add_names(table, ((number, name) for name, number in names.items()))
            index.remove(sorted(old.values()))
            if not small:
                index.forget_kept()
            for day, generation, first, blocks, part in written:
                if small:
                    keeping.keep(index, day, generation, blocks, part.vectors)
                index.set_bucket(day, generation, first + len(part), blocks)
                index.insert(part.rows(place_of(day, first), numbers))
        state.refresh(force=True)


def _generations(index: Index, days: set[int]) -> dict[int, int]:
    """A number for the file of each new day."""
    if not days:
        return {}
    with index.writing():
        return {day: index.next_generation() for day in sorted(days)}


def _new(known: Mapping[str, int], wanted: set[str]) -> dict[str, int]:
    """Name -> number for the names that are not known yet, in order."""
    fresh = sorted(name for name in wanted if name not in known)
    return dict(zip(fresh, count(len(known)), strict=False))
