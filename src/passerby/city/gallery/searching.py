"""Exact search over the chunks of one state of a gallery."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import SLOT_BITS, ChunkReader, as_vectors
from passerby.city.gallery.memory import Directory, Memory, Region, Slab, by_slab
from passerby.city.gallery.port import Hits
from passerby.city.gallery.store import Database
from passerby.city.sightings import Scope
from passerby.retrieval.screening import Piece, Screen, cosine_distances

FEW = 512  # rows that are read at once, without a screen
INLINE = 32_768  # rows from which threads pay
SPARSE = 4  # rows are gathered where fewer than one in so many of a run is in the scope
TOGETHER = 16_384  # rows screened at once
AHEAD = 4  # lists of them that may wait: their codes may be in nobody else's memory
SELECTIONS = 16  # that are kept
ROW_BITS = 32  # of a key: number of the slab in this search << 32 | row in the slab


class Run(NamedTuple):
    """Consecutive rows of a slab; ``mask`` tells which are in the scope, all when None."""

    start: int
    stop: int
    mask: NDArray[np.bool_] | None

    @property
    def rows(self) -> int:
        """How many are in the scope."""
        return self.stop - self.start if self.mask is None else int(self.mask.sum())


class Selection:
    """The rows of a scope.

    Attributes:
        chunks: of :class:`~passerby.city.gallery.memory.Directory`, those that hold some.
        regions: where the rows of each are in memory.
        slabs: the slabs of the regions, each with the numbers of its regions.
        runs: for each slab the runs of its rows.
        count: how many rows are in the scope.
    """

    def __init__(
        self, database: Database, memory: Memory, directory: Directory, scope: Scope
    ) -> None:
        """Find them; columns of chunks that nobody has asked for are read."""
        picked, self.inside = directory.select(scope)
        self.chunks = directory.chunks[picked]
        self.regions = memory.regions(database, directory, picked)
        self.slabs: list[tuple[Slab, list[int]]] = list(by_slab(self.regions))
        self.runs = [self._runs(memory, slab, numbers, scope) for slab, numbers in self.slabs]
        self.count = sum(run.rows for runs in self.runs for run in runs)

    def _runs(self, memory: Memory, slab: Slab, numbers: list[int], scope: Scope) -> list[Run]:
        runs: list[list[Any]] = []
        for number in numbers:
            region, whole = self.regions[number], bool(self.inside[number])
            if runs and runs[-1][1] == region.start:
                runs[-1][1], runs[-1][2] = region.stop, runs[-1][2] and whole
            else:
                runs.append([region.start, region.stop, whole])
        return [
            Run(a, b, None if whole else memory.mask(slab.members[a:b], scope))
            for a, b, whole in runs
        ]

    def keys(self) -> NDArray[np.int64]:
        """Keys of all rows."""
        found = [np.zeros(0, np.int64)]
        for number, runs in enumerate(self.runs):
            for a, b, mask in runs:
                rows = np.arange(a, b) if mask is None else np.flatnonzero(mask) + a
                found.append(rows + (number << ROW_BITS))
        return np.concatenate(found)

    def column(self, name: str, keys: NDArray[np.int64]) -> NDArray[Any]:
        """A column of rows, in the order of their keys."""
        out = np.empty(len(keys), self.slabs[0][0].members.dtype[name] if self.slabs else np.int64)
        numbers = keys >> ROW_BITS
        for number in np.unique(numbers).tolist():
            at = np.flatnonzero(numbers == number)
            out[at] = self.slabs[number][0].members[name][keys[at] & ((1 << ROW_BITS) - 1)]
        return out

    def chunk_rows(self, keys: NDArray[np.int64]) -> Iterator[tuple[Region, list[int]]]:
        """The chunks of rows whose keys ascend, each with the numbers of its rows."""
        ordered = [
            (number << ROW_BITS | self.regions[i].start, self.regions[i])
            for number, (_, own) in enumerate(self.slabs)
            for i in own
        ]
        starts = np.array([start for start, _ in ordered], np.int64)
        which = np.searchsorted(starts, keys, side="right") - 1
        rows = (keys - starts[which]).tolist()
        edges = [*np.flatnonzero(np.diff(which, prepend=-1)).tolist(), len(keys)]
        for a, b in pairwise(edges):
            yield ordered[int(which[a])][1], rows[a:b]

    def places(self, keys: NDArray[np.int64]) -> list[int]:
        """Places of rows, in the order of their keys, which ascend."""
        slots = self.column("slot", keys).tolist()
        chunks = (region.chunk for region, rows in self.chunk_rows(keys) for _ in rows)
        return [chunk << SLOT_BITS | slot for chunk, slot in zip(chunks, slots, strict=True)]


def select(database: Database, memory: Memory, directory: Directory, scope: Scope) -> Selection:
    """The rows of a scope; the last selections of a state are kept."""
    key = (directory.commit, scope)
    known = memory.selections.get(key)
    if known is None:
        known = Selection(database, memory, directory, scope)
        if len(memory.selections) >= SELECTIONS:
            memory.selections.clear()
        memory.selections[key] = known
    return known


def nearest(
    database: Database,
    memory: Memory,
    directory: Directory,
    queries: NDArray[np.float64],
    *,
    k: int,
    scope: Scope,
) -> list[Hits]:
    """The k nearest sightings in the scope for each unit query (Q, D), ties by id."""
    chosen = select(database, memory, directory, scope)
    total = chosen.count
    if total <= max(FEW, k):
        every = chosen.keys()
        proposed: Sequence[NDArray[np.int64]] = [every] * len(queries)
    else:
        proposed = list(_screened(database, memory, chosen, queries, k=k, total=total).candidates())
    return [
        _decided(database, chosen, np.sort(keys), query, k)
        for keys, query in zip(proposed, queries, strict=True)
    ]


def _screened(
    database: Database,
    memory: Memory,
    chosen: Selection,
    queries: NDArray[np.float64],
    *,
    k: int,
    total: int,
) -> Screen:
    """Screen all rows, some thousands at once; in several threads where there are many."""
    threads = len(os.sched_getaffinity(0)) if total >= INLINE else 1
    screens: SimpleQueue[Screen] = SimpleQueue()
    for _ in range(threads):
        screens.put(Screen(queries, k))

    def work(pieces: list[Piece]) -> None:
        screen = screens.get()
        try:
            screen.offer_all(pieces)
        finally:
            screens.put(screen)

    with ThreadPoolExecutor(threads) if threads > 1 else _Inline() as pool:
        pending: list[Future[None]] = []
        for pieces in _pieces(database, memory, chosen):
            if len(pending) >= AHEAD + threads:
                pending.pop(0).result()
            pending.append(pool.submit(work, pieces))
        for one in pending:
            one.result()
    first = screens.get()
    while not screens.empty():
        first.merge(screens.get())
    return first


def _pieces(database: Database, memory: Memory, chosen: Selection) -> Iterator[list[Piece]]:
    """The rows of a selection, at least :data:`TOGETHER` at once, but for the last ones."""
    busy = {id(slab) for slab, _ in chosen.slabs}
    pieces: list[Piece] = []
    rows = 0
    for number, (slab, numbers) in enumerate(chosen.slabs):
        codes = memory.codes(database, slab, [chosen.regions[i] for i in numbers], busy)
        for start, stop, mask in chosen.runs[number]:
            key = (number << ROW_BITS) + start
            shown = np.flatnonzero(mask) if mask is not None else None
            if shown is None or SPARSE * len(shown) >= stop - start:
                pieces.append(Piece(key, codes[start:stop], mask))
            elif len(shown):
                pieces.append(Piece(key + shown, codes[start + shown]))
            rows += stop - start
            if rows >= TOGETHER:
                yield pieces
                pieces, rows = [], 0
    if pieces:
        yield pieces


class _Inline(ThreadPoolExecutor):
    """An executor without threads."""

    def __init__(self) -> None:
        super().__init__(1)

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Any:
        done: Future[Any] = Future()
        done.set_result(work(*arguments, **options))
        return done


def _decided(
    database: Database,
    chosen: Selection,
    keys: NDArray[np.int64],
    query: NDArray[np.float64],
    k: int,
) -> Hits:
    """The k nearest of some rows, whose keys ascend, by their stored vectors."""
    if len(keys) == 0:
        return Hits(ids=(), distances=np.zeros(0, np.float32))
    parts: list[bytes] = []
    found: list[tuple[Any, ...]] = []
    first = chosen.regions[0]
    with ChunkReader(database, first.chunk) as reader:
        for region, rows in chosen.chunk_rows(keys):
            reader.move(region.chunk, region.at)
            parts += reader.vectors(rows)
        distances = cosine_distances(as_vectors(parts, first.at.dimension), query)
        if len(keys) > k:
            near = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
            keys, distances = keys[near], distances[near]
        for region, rows in chosen.chunk_rows(keys):
            reader.move(region.chunk, region.at)
            found += reader.records(rows)
    names = [values[0] for values in found]
    pairs = sorted(zip(distances.tolist(), names, strict=True))[:k]
    return Hits(
        ids=tuple(name for _, name in pairs),
        distances=np.array([distance for distance, _ in pairs], np.float32),
    )
