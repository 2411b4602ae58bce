"""Exact search over the chunks of one state of a gallery."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import ChunkReader, as_vectors
from passerby.city.gallery.memory import Entry, Memory, Region, Slab, chunks_in, mask_of
from passerby.city.gallery.port import NO_HITS, Hits
from passerby.city.gallery.records import SLOT_BITS, Record
from passerby.city.gallery.store import Database, get_meta
from passerby.city.sightings import Scope
from passerby.retrieval.screening import Piece, Screen, cosine_distances

FEW = 512  # rows that are read at once, without a screen
INLINE = 32_768  # rows from which threads pay
SPARSE = 4  # rows are gathered where fewer than one in so many of a run is in the scope
TOGETHER = 16_384  # rows screened at once
SELECTIONS = 16  # that are cached
ROW_BITS = 32  # of a key: number of the slab in this search << 32 | row in the slab


class Run(NamedTuple):
    """Consecutive rows of a slab; ``mask`` holds which are in the scope, None for all."""

    start: int
    stop: int
    mask: NDArray[np.bool_] | None


class Part(NamedTuple):
    """The rows of a selection in one slab: regions and runs in order of rows."""

    slab: Slab
    regions: list[Region]
    runs: list[Run]


class Selection:
    """The rows of a scope.

    Attributes:
        parts: the rows of each slab.
        count: how many rows are in the scope.
        regions: of all parts, in order of their keys.
        starts: the key of the first row of each region.
    """

    def __init__(
        self, database: Database, memory: Memory, scope: Scope, chunks: Sequence[Entry]
    ) -> None:
        """Find them in chunks; columns that are not in memory are read."""
        groups: dict[Slab, list[tuple[Region, bool]]] = {}
        regions = memory.regions(database, chunks)
        for region, entry in zip(regions, chunks, strict=True):
            groups.setdefault(region.slab, []).append((region, bool(entry[-1])))
        limits = memory.inside(scope)
        self.parts: list[Part] = []
        self.count, starts = 0, list[int]()
        for number, (slab, pairs) in enumerate(groups.items()):
            pairs.sort(key=lambda pair: pair[0].start)
            starts += [number << ROW_BITS | region.start for region, _ in pairs]
            runs = [
                Run(a, b, None if whole else mask_of(slab.members[a:b], scope, limits))
                for a, b, whole in _joined(pairs)
            ]
            self.parts.append(Part(slab, [region for region, _ in pairs], runs))
            self.count += sum(b - a if mask is None else int(mask.sum()) for a, b, mask in runs)
        self.starts = np.array(starts, np.int64)
        self.regions = [region for part in self.parts for region in part.regions]

    def keys(self) -> NDArray[np.int64]:
        """Return the keys of all rows."""
        found = [np.zeros(0, np.int64)]
        for number, part in enumerate(self.parts):
            for a, b, mask in part.runs:
                rows = np.arange(a, b) if mask is None else np.flatnonzero(mask) + a
                found.append(rows + (number << ROW_BITS))
        return np.concatenate(found)

    def column(self, name: str, keys: NDArray[np.int64]) -> NDArray[Any]:
        """Return a column of rows, in the order of their keys."""
        if not self.parts:
            return np.zeros(0, np.int64)
        out = np.empty(len(keys), self.parts[0].slab.members.dtype[name])
        numbers = keys >> ROW_BITS
        for number in np.unique(numbers).tolist():
            at = np.flatnonzero(numbers == number)
            out[at] = self.parts[number].slab.members[name][keys[at] & ((1 << ROW_BITS) - 1)]
        return out

    def chunk_rows(self, keys: NDArray[np.int64]) -> Iterator[tuple[Region, list[int]]]:
        """Group rows whose keys ascend: yield each chunk with the numbers of its rows."""
        which = np.searchsorted(self.starts, keys, side="right") - 1
        rows = (keys - self.starts[which]).tolist()
        edges = [*np.flatnonzero(np.diff(which, prepend=-1)).tolist(), len(keys)]
        for a, b in pairwise(edges):
            yield self.regions[int(which[a])], rows[a:b]

    def places(self, keys: NDArray[np.int64]) -> list[int]:
        """Return the places of rows, in the order of their keys, which ascend."""
        slots = self.column("slot", keys).tolist()
        chunks = (region.chunk for region, rows in self.chunk_rows(keys) for _ in rows)
        return [chunk << SLOT_BITS | slot for chunk, slot in zip(chunks, slots, strict=True)]


def _joined(pairs: Sequence[tuple[Region, bool]]) -> list[tuple[int, int, bool]]:
    """Join regions that lie side by side: (start, stop, whether all rows are in the scope)."""
    runs: list[tuple[int, int, bool]] = []
    for region, inside in pairs:
        if runs and runs[-1][1] == region.start:
            start, _, before = runs.pop()
            runs.append((start, region.stop, before and inside))
        else:
            runs.append((region.start, region.stop, inside))
    return runs


def select(database: Database, memory: Memory, scope: Scope) -> Selection:
    """Return the rows of a scope; the last selections of a state are cached."""
    commit = int(get_meta(database, "commit"))
    known: Selection | None = memory.selections.get((commit, scope))
    if known is None:
        known = Selection(database, memory, scope, chunks_in(database, scope))
        if len(memory.selections) >= SELECTIONS or any(
            c != commit for c, _ in list(memory.selections)
        ):
            memory.selections.clear()
        memory.selections[commit, scope] = known
    return known


def nearest(
    database: Database, memory: Memory, queries: NDArray[np.float64], *, k: int, scope: Scope
) -> list[Hits]:
    """Return the k nearest sightings in the scope for each unit query (Q, D), ties by id."""
    chosen = select(database, memory, scope)
    if chosen.count <= max(FEW, k):
        every = chosen.keys()
        candidates: Sequence[NDArray[np.int64]] = [every] * len(queries)
    else:
        candidates = list(_screened(database, memory, chosen, queries, k).candidates())
    return [
        _rescored(database, chosen, np.sort(keys), query, k)
        for keys, query in zip(candidates, queries, strict=True)
    ]


def _screened(
    database: Database,
    memory: Memory,
    chosen: Selection,
    queries: NDArray[np.float64],
    k: int,
) -> Screen:
    """Screen all rows, some thousands at once; in several threads where there are many."""
    pieces, lock = _pieces(database, memory, chosen), threading.Lock()

    def work(_: int) -> Screen:
        screen = Screen(queries, k)
        while True:
            with lock:
                some = next(pieces, None)
            if some is None:
                return screen
            screen.add_candidates(some)

    threads = len(os.sched_getaffinity(0))
    if chosen.count < INLINE or threads == 1:
        return work(0)
    with ThreadPoolExecutor(threads) as pool:
        first, *others = pool.map(work, range(threads))
    for other in others:
        first.merge(other)
    return first


def _pieces(database: Database, memory: Memory, chosen: Selection) -> Iterator[list[Piece]]:
    """Yield the rows of a selection, at least :data:`TOGETHER` at once but for the last ones."""
    busy = {part.slab for part in chosen.parts}
    pieces: list[Piece] = []
    rows = 0
    for number, part in enumerate(chosen.parts):
        codes = memory.codes(database, part.slab, part.regions, busy)
        for start, stop, mask in part.runs:
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


def _rescored(
    database: Database,
    chosen: Selection,
    keys: NDArray[np.int64],
    query: NDArray[np.float64],
    k: int,
) -> Hits:
    """Return the k nearest of some rows, whose keys ascend, by their stored vectors."""
    if len(keys) == 0:
        return NO_HITS
    vectors: list[bytes] = []
    found: list[Record] = []
    first = chosen.regions[0]
    with ChunkReader(database, first.chunk) as reader:
        for region, rows in chosen.chunk_rows(keys):
            reader.move(region.chunk, region.at)
            vectors += reader.vectors(rows)
        distances = cosine_distances(as_vectors(vectors, first.at.dimension), query)
        if len(keys) > k:
            near = np.flatnonzero(distances <= np.partition(distances, k - 1)[k - 1])
            keys, distances = keys[near], distances[near]
        for region, rows in chosen.chunk_rows(keys):
            reader.move(region.chunk, region.at)
            found += reader.records(rows)
    return Hits.of([values[0] for values in found], distances, k)
