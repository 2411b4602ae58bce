"""What a gallery keeps in memory: the columns of chunks, and their codes within a limit.

All of it is a cache of the file. A *slab* is one array of rows of many chunks. Rows are appended to
a slab and never changed. A chunk that was rewritten has another version and is loaded again; a slab
of which most rows are outdated is dropped.
"""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import ChunkReader, empty_codes
from passerby.city.gallery.records import NAMED, Layout, attributes_of
from passerby.city.gallery.store import Database
from passerby.city.sightings import Scope, has
from passerby.retrieval.screening import Codes
from passerby.times import day_of

SLAB_ROWS = 32_768
VARIABLE = "PASSERBY_GALLERY_MEMORY"  # MiB of codes and columns
EARLIEST, LATEST = -(1 << 63), (1 << 63) - 1  # milliseconds, of SQLite's integers
_MEMBERS = np.dtype(
    [("time", "<i8"), ("quality", "<f8"), ("slot", "<u2")] + [(name, "<i4") for name in NAMED]
)
# A chunk may hold rows of a scope when its times and its units overlap those of the scope. It lies
# wholly inside when all its times and units do; :plain is 0 where single rows must be looked at.
_CHUNKS_IN = """
WITH wanted(code) AS MATERIALIZED (SELECT value FROM json_each(:units))
SELECT chunk, version, rows, last, :plain AND first >= :start AND last < :end AND (
    :anywhere OR EXISTS (SELECT 1 FROM wanted WHERE substr(low, 1, length(code)) = code
                         AND substr(high, 1, length(code)) = code))
FROM chunks
WHERE day >= :first_day AND day <= :last_day AND last >= :start AND first < :end AND (
    :anywhere OR EXISTS (SELECT 1 FROM wanted WHERE high >= code
                         AND substr(low, 1, length(code)) <= code))
"""
Entry = tuple[int, int, int, int, int]  # chunk, version, rows, last time, all in the scope (0 or 1)


def chunks_in(database: Database, scope: Scope) -> list[Entry]:
    """Return the chunks that may hold rows of a scope, in the state that a connection sees."""
    start, end = (
        given if bound is None else min(max(int(bound), EARLIEST), LATEST)
        for bound, given in ((scope.start, EARLIEST), (scope.end, LATEST))
    )
    bindings = {
        "units": json.dumps(scope.units),
        "anywhere": not scope.units,
        "plain": not (scope.cameras or scope.attributes or scope.quality is not None),
        "start": start,
        "end": end,
        "first_day": day_of(start),
        "last_day": day_of(end),
    }
    found: list[Any] = database.ask(_CHUNKS_IN, bindings)
    return found


def memory_limit() -> int:
    """Return the default limit in bytes: ``PASSERBY_GALLERY_MEMORY`` in MiB, or half of all."""
    given = os.environ.get(VARIABLE, "")
    if given.isdigit():
        return int(given) << 20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(eq=False, slots=True)
class Slab:
    """Rows of many chunks, one after another, and their codes once they are needed.

    Attributes:
        members: (N,) columns; the first ``used`` rows are filled in.
        dimension: D of the codes.
        used: rows so far.
        last_use: when codes were last needed.
        codes: of all rows; None while unused.
        coded: the first rows of those chunks whose codes are filled in.
    """

    members: NDArray[Any]
    dimension: int
    used: int = 0
    last_use: float = 0.0
    codes: Codes | None = None
    coded: set[int] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        """Memory of columns and codes."""
        return self.members.nbytes + (self.code_bytes if self.codes else 0)

    @property
    def code_bytes(self) -> int:
        """Memory that codes take once they are loaded."""
        return len(self.members) * (self.dimension + 8)

    def room_for(self, rows: int, dimension: int) -> bool:
        """Return whether a chunk fits in."""
        return self.dimension == dimension and self.used + rows <= len(self.members)


@dataclass(frozen=True, slots=True)
class Region:
    """The rows of a chunk in a slab."""

    slab: Slab
    chunk: int
    start: int
    stop: int
    at: Layout


class Memory:
    """Slabs within a limit; safe for many threads."""

    def __init__(self, limit: int | None = None) -> None:
        """Begin empty.

        Args:
            limit: bytes; :func:`memory_limit` when None.
        """
        self.limit = memory_limit() if limit is None else limit
        self.names: dict[str, dict[str, int]] = {name: {} for name in NAMED}  # text to number
        self.selections: dict[tuple[int, Scope], Any] = {}  # of searching.select
        self._regions: dict[tuple[int, int], Region] = {}  # by chunk and version
        self._slabs: list[Slab] = []
        self._lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """Memory in use."""
        with self._lock:
            return sum(slab.bytes for slab in self._slabs)

    def regions(self, database: Database, chunks: Sequence[Entry]) -> list[Region]:
        """Return where the rows of chunks are; columns that are not in memory are read."""
        with self._lock:
            missing = [one for one in chunks if one[:2] not in self._regions]
            if missing:
                rows = sum(one[2] for one in missing)
                if not self._slabs or self._slabs[-1].used + rows > SLAB_ROWS:
                    self._drop_outdated(database)
                    missing = [one for one in chunks if one[:2] not in self._regions]
                with ChunkReader(database, missing[0][0]) as reader:
                    for one in missing:
                        reader.move(one[0])
                        self._regions[one[:2]] = self._load(reader, one[0])
            return [self._regions[one[:2]] for one in chunks]

    def _drop_outdated(self, database: Database) -> None:
        """Forget chunks that are gone or were rewritten, and slabs that hold few others."""
        present = set(database.ask("SELECT chunk, version FROM chunks"))
        self._regions = {key: one for key, one in self._regions.items() if key in present}
        rows: Counter[Slab] = Counter()
        for one in self._regions.values():
            rows[one.slab] += one.stop - one.start
        self._slabs = [slab for slab in self._slabs if 2 * rows[slab] >= slab.used]
        kept = set(self._slabs)
        self._regions = {key: one for key, one in self._regions.items() if one.slab in kept}

    def _load(self, reader: ChunkReader, chunk: int) -> Region:
        """Read the columns of a chunk into the last slab, or a new one where there is no room."""
        table, names = reader.table()
        n, D = len(table), reader.at.dimension
        if not self._slabs or not self._slabs[-1].room_for(n, D):
            self._slabs.append(Slab(np.empty(SLAB_ROWS, _MEMBERS), D))
        slab = self._slabs[-1]
        region = Region(slab, chunk, slab.used, slab.used + n, reader.at)
        target = slab.members[region.start : region.stop]
        for name in ("time", "quality", "slot"):
            target[name] = table[name]
        for name in NAMED:
            known = self.names[name]
            numbers = [known.setdefault(text, len(known)) for text in names[name]]
            target[name] = np.array(numbers, np.int32)[table[name]]
        slab.used = region.stop
        return region

    def codes(
        self, database: Database, slab: Slab, regions: Sequence[Region], busy: set[Slab]
    ) -> Codes:
        """Return the codes of a slab, valid in ``regions``.

        When they do not fit into the limit, the codes that were not used for the longest time are
        dropped, but for those of slabs in ``busy``. If that is not enough, nothing is retained.
        """
        with self._lock:
            slab.last_use = time.monotonic()
            if slab.codes is None and self._make_room(slab.code_bytes, busy):
                slab.codes, slab.coded = empty_codes(len(slab.members), slab.dimension), set()
            codes, coded = slab.codes, slab.coded
            if codes is None:
                codes, coded = empty_codes(len(slab.members), slab.dimension), set()
            missing = [region for region in regions if region.start not in coded]
            if missing:
                with ChunkReader(database, missing[0].chunk) as reader:
                    for region in missing:
                        reader.move(region.chunk, region.at)
                        reader.codes(codes[region.start : region.stop])
                        coded.add(region.start)
            return codes

    def _make_room(self, wanted: int, busy: set[Slab]) -> bool:
        """Drop codes until there is room; return False when there is not enough."""
        used = sum(slab.bytes for slab in self._slabs)
        for slab in sorted(self._slabs, key=lambda one: one.last_use):
            if used + wanted <= self.limit:
                break
            if slab.codes is not None and slab not in busy:
                used -= slab.code_bytes
                slab.codes = None
        return used + wanted <= self.limit

    def inside(self, scope: Scope) -> dict[str, NDArray[np.bool_]]:
        """Return for the numbers of cameras, units and attributes whether they are in a scope.

        The result has those of :data:`NAMED` alone on which the scope sets a limit.
        """
        cameras, values = frozenset(scope.cameras), scope.values
        tests: dict[str, tuple[object, Callable[[str], bool]]] = {
            "unit": (scope.units, lambda text: text.startswith(scope.units)),
            "camera": (cameras, lambda text: text in cameras),
            "attributes": (values, lambda text: has(attributes_of(text), values)),
        }
        with self._lock:
            return {
                name: np.array([test(text) for text in self.names[name]], bool)
                for name, (limits, test) in tests.items()
                if limits
            }


def mask_of(
    members: NDArray[Any], scope: Scope, inside: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return which rows of a slab lie in a scope; ``inside`` is of :meth:`Memory.inside`."""
    mask = np.ones(len(members), bool)
    if scope.start is not None:
        mask &= members["time"] >= scope.start
    if scope.end is not None:
        mask &= members["time"] < scope.end
    if scope.quality is not None:
        mask &= members["quality"] >= scope.quality
    for name, allowed in inside.items():
        mask &= allowed[members[name]]
    return mask
