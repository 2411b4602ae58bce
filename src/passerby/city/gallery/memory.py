"""What a gallery keeps in memory: which chunks there are, their columns, and codes within a limit.

All of it is a cache of the file, and follows what other processes commit. A *slab* is a run of rows
of many chunks in one array. Rows are appended to a slab and never changed; a chunk that was
rewritten is loaded anew, and a slab of which most rows are outdated is dropped.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import NAMED, ChunkReader, Layout
from passerby.city.gallery.records import attributes_of
from passerby.city.gallery.store import Database, get_meta
from passerby.city.sightings import Scope, has
from passerby.retrieval.screening import Codes

SLAB_ROWS = 32_768
VARIABLE = "PASSERBY_GALLERY_MEMORY"  # MiB of codes and columns
_DIRECTORY = np.dtype(
    [(name, "<i8") for name in ("chunk", "version", "day", "rows", "first", "last")]
)
_MEMBERS = np.dtype(
    [("time", "<i8"), ("quality", "<f8"), ("slot", "<u2")] + [(name, "<i4") for name in NAMED]
)
_COPIED = ["time", "quality", "slot"]


def memory_limit() -> int:
    """Bytes that codes and columns may take: ``PASSERBY_GALLERY_MEMORY`` in MiB, or half of all."""
    given = os.environ.get(VARIABLE, "")
    if given.isdigit():
        return int(given) << 20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(frozen=True, slots=True)
class Directory:
    """All chunks of one commit.

    Attributes:
        commit: its number.
        model: of the vectors; None while the gallery is empty.
        dimension: D; 0 while the gallery is empty.
        chunks: (C,) of chunk, version, day, rows, first and last time.
        low: (C,) least unit code of each.
        high: (C,) greatest unit code of each.
    """

    commit: int = -1
    removals: int = 0
    model: str | None = None
    dimension: int = 0
    chunks: NDArray[Any] = field(default_factory=lambda: np.zeros(0, _DIRECTORY))
    low: NDArray[Any] = field(default_factory=lambda: np.zeros(0, "U1"))
    high: NDArray[Any] = field(default_factory=lambda: np.zeros(0, "U1"))

    @property
    def rows(self) -> int:
        """Sightings in all chunks."""
        return int(self.chunks["rows"].sum())

    def only(self, picked: NDArray[np.int64]) -> "Directory":
        """The same state with some of its chunks."""
        chunks, low, high = self.chunks[picked], self.low[picked], self.high[picked]
        return replace(self, chunks=chunks, low=low, high=high)

    def select(self, scope: Scope) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Chunks that may hold rows of a scope, and which of these lie wholly inside it.

        Cameras, quality and attributes are known of single rows only.
        """
        touched = np.ones(len(self.chunks), bool)
        inside = np.full(len(self.chunks), not (scope.cameras or scope.attributes))
        if scope.quality is not None:
            inside[:] = False
        if scope.start is not None:
            touched &= self.chunks["last"] >= scope.start
            inside &= self.chunks["first"] >= scope.start
        if scope.end is not None:
            touched &= self.chunks["first"] < scope.end
            inside &= self.chunks["last"] < scope.end
        if scope.units:
            some, all_ = np.zeros(len(touched), bool), np.zeros(len(touched), bool)
            for code in dict.fromkeys(scope.units):
                low, high = np.char.startswith(self.low, code), np.char.startswith(self.high, code)
                some |= low | high | ((self.low < code) & (self.high > code))
                all_ |= low & high
            touched &= some
            inside &= all_
        found = np.flatnonzero(touched)
        return found, inside[found]

    def follow(self, database: Database) -> "Directory":
        """The directory of the state that a connection sees."""
        commit = int(get_meta(database, "commit"))
        if commit == self.commit:
            return self
        removals = int(get_meta(database, "removals") or 0)
        rows = database.ask(
            "SELECT chunk, version, day, rows, first, last, low, high FROM chunks "
            "WHERE version > ?",
            (self.commit,),
        )
        fresh = np.array([row[:6] for row in rows], np.int64).reshape(-1, 6)
        keep = ~np.isin(self.chunks["chunk"], fresh[:, 0])
        if removals != self.removals:
            alive = [row[0] for row in database.ask("SELECT chunk FROM chunks")]
            keep &= np.isin(self.chunks["chunk"], alive)
        new = np.zeros(len(rows), _DIRECTORY)
        for column, name in enumerate(_DIRECTORY.names or ()):
            new[name] = fresh[:, column]
        return Directory(
            commit=commit,
            removals=removals,
            model=get_meta(database, "model"),
            dimension=int(get_meta(database, "dimension") or 0),
            chunks=np.concatenate([self.chunks[keep], new]),
            low=np.concatenate([self.low[keep], np.array([row[6] for row in rows], "U")]),
            high=np.concatenate([self.high[keep], np.array([row[7] for row in rows], "U")]),
        )


class Slab:
    """Rows of many chunks, one after another; codes where they have been asked for."""

    def __init__(self, rows: int, dimension: int) -> None:
        """Room for ``rows`` rows."""
        self.used = self.outdated = 0
        self.last_use = 0
        self.members = np.empty(rows, _MEMBERS)
        self.regions: list[Region] = []
        self.codes: Codes | None = None
        self.dimension = dimension

    @property
    def bytes(self) -> int:
        """Memory of columns and codes."""
        return self.members.nbytes + (self.code_bytes if self.codes else 0)

    @property
    def code_bytes(self) -> int:
        """Memory that codes take once they are loaded."""
        return len(self.members) * (self.dimension + 8)

    def make_codes(self) -> Codes:
        """Empty arrays for the codes of all rows."""
        N = len(self.members)
        return Codes(
            np.empty((N, self.dimension), np.int8),
            np.empty(N, np.float32),
            np.empty(N, np.float32),
        )


@dataclass(slots=True)
class Region:
    """Where in a slab the rows of a chunk are."""

    slab: Slab
    chunk: int
    version: int
    start: int
    stop: int
    at: Layout
    coded: bool = False


class Names:
    """Numbers of cameras, units or attributes, given in the order in which they are seen."""

    def __init__(self) -> None:
        """Know none."""
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._inside: dict[Any, NDArray[np.bool_]] = {}

    def number(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The numbers of texts, new ones where they are not known."""
        for text in texts:
            if text not in self._numbers:
                self._numbers[text] = len(self.texts)
                self.texts.append(text)
        return np.array([self._numbers[text] for text in texts], np.int32)

    def inside(self, key: Any, test: Any) -> NDArray[np.bool_]:
        """For each number whether ``test(text)`` holds; the last answers are kept under ``key``."""
        known = self._inside.get(key, np.zeros(0, bool))
        if len(known) < len(self.texts):
            rest = [bool(test(text)) for text in self.texts[len(known) :]]
            known = np.concatenate([known, np.array(rest, bool)])
            if len(self._inside) >= 64:
                self._inside.clear()
            self._inside[key] = known
        return known


class Memory:
    """The directory, and the slabs within a limit; safe for many threads."""

    def __init__(self, limit: int | None = None) -> None:
        """Start empty.

        Args:
            limit: bytes; :func:`memory_limit` when None.
        """
        self.limit = memory_limit() if limit is None else limit
        self.names: Mapping[str, Names] = {name: Names() for name in NAMED}
        self.selections: dict[Any, Any] = {}  # of searching.select
        self._directory = Directory()
        self._regions: dict[int, Region] = {}
        self._slabs: list[Slab] = []
        self._clock = 0
        self._lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """Memory in use."""
        with self._lock:
            return sum(slab.bytes for slab in self._slabs)

    def directory(self, database: Database) -> Directory:
        """The chunks of the state that a connection sees."""
        with self._lock:
            known = self._directory
            commit = int(get_meta(database, "commit"))
            if commit < known.commit:  # another thread has seen a later one
                return Directory().follow(database)
            self._directory = known.follow(database)
            if self._directory is not known:
                self._forget_outdated()
            return self._directory

    def _forget_outdated(self) -> None:
        """Let go of chunks that are gone or were rewritten."""
        self.selections.clear()
        chunks = self._directory.chunks
        now = dict(zip(chunks["chunk"].tolist(), chunks["version"].tolist(), strict=True))
        for chunk, region in list(self._regions.items()):
            if now.get(chunk) != region.version:
                region.slab.outdated += region.stop - region.start
                del self._regions[chunk]
        self._slabs = [slab for slab in self._slabs if 2 * slab.outdated <= slab.used]
        kept = set(map(id, self._slabs))
        self._regions = {c: r for c, r in self._regions.items() if id(r.slab) in kept}

    def regions(
        self, database: Database, directory: Directory, picked: NDArray[np.int64]
    ) -> list[Region]:
        """Where the rows of chunks are; the columns of those that are not known yet are read."""
        with self._lock:
            found: list[Region | None] = []
            missing = []
            chunks = directory.chunks[picked]
            for chunk, version in zip(
                chunks["chunk"].tolist(), chunks["version"].tolist(), strict=True
            ):
                region = self._regions.get(chunk)
                if region is None or region.version != version:
                    missing.append((len(found), chunk, version))
                found.append(region)
            if missing:
                rows = int(chunks["rows"][[at for at, _, _ in missing]].sum())
                # a reader that is behind the others has slabs of its own
                current = directory.commit == self._directory.commit
                slabs = self._slabs if current else []
                with ChunkReader(database, missing[0][1]) as reader:
                    for at, chunk, version in missing:
                        reader.move(chunk)
                        slab = self._slab(slabs, reader.at, rows)
                        region = self._load(reader, slab, chunk, version)
                        found[at] = region
                        if current:
                            self._regions[chunk] = region
            return found  # type: ignore[return-value]

    def _slab(self, slabs: list[Slab], at: Layout, rows: int) -> Slab:
        """The last slab, or a new one where a chunk does not fit into it."""
        slab = slabs[-1] if slabs else None
        fits = slab is not None and slab.dimension == at.dimension
        if slab is None or not fits or slab.used + at.rows > len(slab.members):
            slab = Slab(max(at.rows, SLAB_ROWS if rows > 1024 else 4096), at.dimension)
            slabs.append(slab)
        return slab

    def _load(self, reader: ChunkReader, slab: Slab, chunk: int, version: int) -> Region:
        table, names = reader.table()
        region = Region(slab, chunk, version, slab.used, slab.used + len(table), reader.at)
        target = slab.members[region.start : region.stop]
        for name in _COPIED:
            target[name] = table[name]
        for name in NAMED:
            target[name] = self.names[name].number(names[name])[table[name]]
        slab.used = region.stop
        slab.regions.append(region)
        return region

    def codes(
        self, database: Database, slab: Slab, regions: Sequence[Region], busy: set[int]
    ) -> Codes:
        """The codes of a slab, valid in ``regions``.

        When they do not fit into the limit the codes of the slabs that were not used for the
        longest time go, but for those in ``busy`` (ids); if that is not enough, nothing is kept.
        """
        with self._lock:
            self._clock += 1
            slab.last_use = self._clock
            codes, keep = slab.codes, True
            if codes is None:
                keep = self._evict(slab.code_bytes, busy)
                codes = slab.make_codes()
                if keep:
                    slab.codes = codes
            missing = [region for region in regions if not (keep and region.coded)]
            if missing:
                with ChunkReader(database, missing[0].chunk) as reader:
                    for region in missing:
                        reader.move(region.chunk, region.at)
                        reader.codes(codes[region.start : region.stop])
                        region.coded = keep
            return codes

    def _evict(self, wanted: int, busy: set[int]) -> bool:
        """Make room; False when there is not enough."""
        used = sum(slab.bytes for slab in self._slabs)
        for slab in sorted(self._slabs, key=lambda one: one.last_use):
            if used + wanted <= self.limit:
                break
            if slab.codes is not None and id(slab) not in busy:
                used -= slab.code_bytes
                slab.codes = None
                for region in slab.regions:
                    region.coded = False
        return used + wanted <= self.limit

    def mask(self, members: NDArray[Any], scope: Scope) -> NDArray[np.bool_]:
        """Which rows of a slab lie in a scope."""
        mask = np.ones(len(members), bool)
        if scope.start is not None:
            mask &= members["time"] >= scope.start
        if scope.end is not None:
            mask &= members["time"] < scope.end
        if scope.quality is not None:
            mask &= members["quality"] >= scope.quality
        with self._lock:
            if scope.units:
                inside = self.names["unit"].inside(scope.units, lambda t: t.startswith(scope.units))
                mask &= inside[members["unit"]]
            if scope.cameras:
                wanted = frozenset(scope.cameras)
                mask &= self.names["camera"].inside(wanted, wanted.__contains__)[members["camera"]]
            if scope.attributes:
                values = scope.values
                inside = self.names["attributes"].inside(
                    scope.attributes, lambda text: has(attributes_of(text), values)
                )
                mask &= inside[members["attributes"]]
        return mask


def by_slab(regions: Sequence[Region]) -> Iterator[tuple[Slab, list[int]]]:
    """The slabs of regions, each with the numbers of its regions in order of rows."""
    groups: dict[int, list[int]] = {}
    for number, region in enumerate(regions):
        groups.setdefault(id(region.slab), []).append(number)
    for numbers in groups.values():
        numbers.sort(key=lambda number: regions[number].start)
        yield regions[numbers[0]].slab, numbers
