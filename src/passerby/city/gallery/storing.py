"""New sightings into the embedded gallery: append the vectors of each day, then commit."""

import threading
from pathlib import Path

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
    for day, part in batch.by_day():
        columns = state.days.get(day)
        generation = columns.generation if columns else fresh[day]
        first = columns.rows if columns else 0
        path = segment_path(folder, day, generation)
        written.append((day, generation, first, append(path, first, part.vectors), part))
    names = {
        "cells": _numbered(state.cells, batch.units),
        "cameras": _numbered(state.cameras, batch.cameras),
        "labels": _numbered(state.labels, batch.labels),
    }
    known = {"cells": state.cells, "cameras": state.cameras, "labels": state.labels}
    with lock:
        with index.writing():
            index.set_fact("model", batch.model)
            index.set_fact("dimension", batch.dimension)
            for table, numbers in names.items():
                new = list(numbers.items())[len(known[table]) :]
                index.add_names(table, ((number, name) for name, number in new))
            index.remove(sorted(old.values()))
            for day, generation, first, blocks, part in written:
                index.set_bucket(day, generation, first + len(part), blocks)
                index.insert(part.rows(place_of(day, first), names))
        state.refresh(force=True)


def _generations(index: Index, days: set[int]) -> dict[int, int]:
    """A number for the file of each new day."""
    if not days:
        return {}
    with index.writing():
        return {day: index.next_generation() for day in sorted(days)}


def _numbered(known: list[str], wanted: set[str]) -> dict[str, int]:
    """Name -> number: the known names, then the new ones in order."""
    names = {name: number for number, name in enumerate(known)}
    for name in sorted(wanted - set(names)):
        names[name] = len(names)
    return names
