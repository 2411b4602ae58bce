"""Upkeep of a gallery on a Milvus server: figures, checks, compaction, copies."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passerby.city.gallery.checksum import checksum
from passerby.city.gallery.milvus_collection import Spec, drop_when_empty
from passerby.city.gallery.milvus_reading import MOST, Reader
from passerby.city.gallery.milvus_rows import FACTS, sighting
from passerby.city.gallery.port import AwayError, Coverage, Health, Stats, StoreError
from passerby.city.sightings import Scope
from passerby.city.times import DAY_MS, day_of

if TYPE_CHECKING:
    from passerby.city.gallery.milvus import MilvusGallery

FAR = 1 << 43  # milliseconds; no sighting is 278 years from 1970
COMPACTION_SECONDS = 3600
ENOUGH = 1000  # sightings that are read rather than counted


def narrowed(scope: Scope, start: int, end: int) -> Scope:
    """The scope within [start, end)."""
    first = start if scope.start is None else max(start, scope.start)
    last = end if scope.end is None else min(end, scope.end)
    return Scope(
        units=scope.units,
        cameras=scope.cameras,
        start=min(first, last),
        end=last,
        quality=scope.quality,
        attributes=scope.attributes,
    )


class Counter:
    """Counts on a state of the collection not older than the first question."""

    def __init__(self, reader: Reader, spec: Spec) -> None:
        """Wait for the state once; each question after that is answered at once."""
        self._reader, self._spec = reader, spec
        self.total = reader.counted(spec, "")

    def count(self, scope: Scope) -> int:
        """Sightings in a scope."""
        where = self._reader.where(self._spec, scope)
        return self._reader.counted(self._spec, where, level="Eventually")


def newest(reader: Reader, spec: Spec, scope: Scope, limit: int) -> Scope:
    """A part of the scope that holds its ``limit`` newest sightings and not many more.

    Milvus does not sort by a field, so the window's start is found by counting.
    """
    counter = Counter(reader, spec)
    wanted = min(limit, counter.count(scope))
    low, high = -FAR, FAR  # at least as many as wanted since low, fewer since high
    while high - low > 1:
        found = counter.count(narrowed(scope, low, FAR))
        if found <= max(2 * limit, ENOUGH):
            break
        middle = (low + high) // 2
        if counter.count(narrowed(scope, middle, FAR)) < wanted:
            high = middle
        else:
            low = middle
    window = narrowed(scope, low, FAR)
    # a replica that lags behind may have been asked in between
    enough = reader.counted(spec, reader.where(spec, window)) >= wanted
    return window if enough else scope


def coverage(reader: Reader, scope: Scope) -> list[Coverage]:
    """Per camera with sightings in the scope: how many, the first and the last."""
    spec = reader.spec()
    seen: dict[str, tuple[int, int, int]] = {}
    if spec is None:
        return []
    where = reader.where(spec, scope)
    for page in reader.pages(spec, where, ["id", "camera", "time"]):
        for row in page:
            moment = int(row["time"])
            count, first, last = seen.get(row["camera"], (0, moment, moment))
            seen[row["camera"]] = (count + 1, min(first, moment), max(last, moment))
    return [
        Coverage(camera=name, sightings=count, first=first, last=last)
        for name, (count, first, last) in sorted(seen.items())
    ]


def stats(reader: Reader) -> Stats:
    """Figures of a gallery."""
    spec = reader.spec()
    if spec is None:
        return Stats(
            sightings=0,
            dead=0,
            days=0,
            bytes=0,
            first=None,
            last=None,
            model_id=None,
            dimension=None,
        )
    counter = Counter(reader, spec)
    living = counter.total
    first, last, days = _extent(counter) if living > MOST else _read_extent(reader, spec)
    dead = max(_rows(reader, spec) - living, 0)
    return Stats(
        sightings=living,
        dead=dead,
        days=days,
        bytes=(living + dead) * 4 * spec.dimension,
        first=first,
        last=last,
        model_id=spec.model,
        dimension=spec.dimension,
    )


def _rows(reader: Reader, spec: Spec) -> int:
    """Rows in the segments, deleted ones included, without those that are not yet in a segment."""
    return int(reader.link.ask("get_collection_stats", spec.collection)["row_count"])


def _read_extent(reader: Reader, spec: Spec) -> tuple[int | None, int | None, int]:
    """First and last time and number of days, from the times of all sightings."""
    times = [int(row["time"]) for page in reader.pages(spec, "", ["id", "time"]) for row in page]
    return min(times, default=None), max(times, default=None), len({day_of(t) for t in times})


def _extent(counter: Counter) -> tuple[int | None, int | None, int]:
    """The same by counting, for so many sightings that reading them costs more."""
    first, last = _bound(counter, 1), _bound(counter, counter.total)
    return first, last, _days(counter, day_of(first), day_of(last) + 1, counter.total)


def _bound(counter: Counter, number: int) -> int:
    """The time of the ``number``-th sighting by time, by counting."""
    low, high = -FAR, FAR  # fewer before low, so many before high
    while high - low > 1:
        middle = (low + high) // 2
        if counter.count(Scope(end=middle)) >= number:
            high = middle
        else:
            low = middle
    return low


def _days(counter: Counter, start: int, end: int, found: int) -> int:
    """UTC days in [start, end) with a sighting, of which there are ``found``, by counting."""
    if found == 0 or end - start == 1:
        return min(found, 1)
    middle = (start + end) // 2
    left = counter.count(Scope(start=start * DAY_MS, end=middle * DAY_MS))
    return _days(counter, start, middle, left) + _days(counter, middle, end, found - left)


def health(reader: Reader) -> Health:
    """Whether the server answers and the collection is loaded as often as wanted."""
    problems = []
    try:
        spec = reader.spec()
        if spec is None:
            return Health(readable=True, writable=True)
        state = reader.link.ask("get_load_state", spec.collection)["state"]
        if getattr(state, "name", str(state)) != "Loaded":
            problems.append(f"the collection '{spec.collection}' is {state}; load it")
        replicas = len(reader.link.ask("describe_replica", spec.collection))
        if replicas < reader.link.address.replicas:
            problems.append(
                f"{replicas} of {reader.link.address.replicas} replicas are in memory; look for a "
                "query node that is away"
            )
        reader.counted(spec, f"time < {-FAR}")
    except AwayError as away:
        return Health(readable=False, writable=False, problems=(str(away),))
    except StoreError as fault:
        return Health(readable=False, writable=False, problems=(*problems, str(fault)))
    return Health(readable=True, writable=True, problems=tuple(problems))


def compact(reader: Reader) -> int:
    """Flush, compact, wait; a gallery without sightings is dropped. Returns bytes of vectors."""
    spec = reader.spec()
    if spec is None:
        return 0
    before = _rows(reader, spec)

    def left() -> int:
        return reader.counted(spec, "", level="Strong")

    if not spec.stage and left() == 0 and drop_when_empty(reader.link, spec, left):
        return before * 4 * spec.dimension
    reader.link.ask("flush", spec.collection)
    job = reader.link.ask("compact", spec.collection)
    end = time.monotonic() + COMPACTION_SECONDS
    while reader.link.ask("get_compaction_state", job) != "Completed":
        if time.monotonic() > end:
            raise AwayError("Milvus is still compacting; it goes on by itself, look again later")
        time.sleep(0.2)
    return max(before - _rows(reader, spec), 0) * 4 * spec.dimension


def verify(reader: Reader) -> list[str]:
    """Read every row and compare it with its checksum."""
    spec = reader.spec()
    faults = []
    if spec is None:
        return []
    for page in reader.pages(spec, "", [*FACTS, "checksum", "vector"]):
        for row in page:
            vector = np.array(row["vector"], np.float16)
            if checksum(sighting(row, spec.model), vector) != int(row["checksum"]):
                faults.append(
                    f"sighting '{row['id']}' of the collection '{spec.collection}' does not match "
                    "its checksum; delete it and add it again from a backup"
                )
    return faults


def snapshot(gallery: "MilvusGallery", folder: Path) -> None:
    """Copy everything into a new embedded gallery."""
    from passerby.city.gallery.copying import copy
    from passerby.city.gallery.embedded import EmbeddedGallery
    from passerby.errors import InputError

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder {folder} is not empty; name a new one for the snapshot")
    target = EmbeddedGallery(folder)
    try:
        copy(gallery, target)
    finally:
        target.close()
