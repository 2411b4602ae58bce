"""The embedded gallery: exact, durable, one SQLite file in a folder, for many processes at once."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from passerby.city.gallery import writing
from passerby.city.gallery.chunks import SLOT_BITS, ChunkReader, as_vectors
from passerby.city.gallery.memory import Directory, Memory
from passerby.city.gallery.port import (
    Coverage,
    Gallery,
    Health,
    Hits,
    Stats,
    StoreError,
    UnknownSightingError,
)
from passerby.city.gallery.records import FAR, Batch, check_model, sighting, unit_queries
from passerby.city.gallery.searching import Selection, nearest, select
from passerby.city.gallery.staging import EmbeddedStage
from passerby.city.gallery.store import FILE, Database, Store, whole_pages
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError

EVERYWHERE = Scope()
_LOG = logging.getLogger(__name__)
AT_ONCE = 64  # chunks deleted or checked in one transaction
FIRST_EDITION = "index.sqlite"  # the file that tells a gallery of the first edition
LITTLE_ROOM = 1 << 28  # bytes free under which a monitor is warned
_ORPHANS = "SELECT count(*) FROM contents WHERE chunk NOT IN (SELECT chunk FROM chunks)"


class EmbeddedGallery(Gallery):
    """A :class:`~passerby.city.gallery.port.Gallery` in a folder.

    A scope is answered from the chunks that it touches. Few rows are read and compared at once. Of
    many the int8 codes are screened in memory, and what their error bound cannot rule out is read
    and summed in float64 (:mod:`passerby.retrieval.screening`).
    """

    def __init__(self, folder: Path | str, *, memory: int | None = None) -> None:
        """Open the gallery in ``folder``, or make an empty one.

        Args:
            folder: of the gallery.
            memory: bytes that codes and columns may take; None for ``PASSERBY_GALLERY_MEMORY`` in
                MiB, or half of the machine's memory.

        Raises:
            StoreError: the folder cannot be used, or holds a gallery of the first edition.
            DamagedError: the file is damaged or of another version.
        """
        self.folder = Path(folder)
        if (self.folder / FIRST_EDITION).exists() and not (self.folder / FILE).exists():
            raise StoreError(
                f"the gallery {folder} is of the first edition; take it over with "
                "'passerby admin gallery upgrade'"
            )
        self._store = Store(self.folder)
        self._memory = Memory(memory)
        if not self._store.read_only:
            with self._store.read() as database:
                left = database.ask("SELECT 1 FROM outdated LIMIT 1")
            if left:  # a process died in the middle of a switch
                self._settle()

    @contextmanager
    def _reading(self) -> Iterator[tuple[Database, Directory]]:
        """A connection that sees one state, and the chunks of that state."""
        with self._store.read() as database:
            yield database, self._memory.directory(database)

    @property
    def model_id(self) -> str | None:
        with self._reading() as (_, directory):
            return directory.model

    @property
    def dimension(self) -> int | None:
        with self._reading() as (_, directory):
            return directory.dimension or None

    # reading -------------------------------------------------------------------------------------

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = EVERYWHERE, *, model: str | None = None
    ) -> list[Hits]:
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one sighting")
        queries = unit_queries(vectors)
        with self._reading() as (database, directory):
            if directory.model is None:
                return [Hits(ids=(), distances=np.zeros(0, np.float32)) for _ in queries]
            check_model(model, queries.shape[1], (directory.model, directory.dimension))
            return nearest(database, self._memory, directory, queries, k=k, scope=scope)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        with self._reading() as (database, directory):
            found = writing.find(database, "id", ids)
            model = directory.model or ""
        return [sighting(found[name][0][1], model) for name in _all_known(ids, found)]

    def latest(self, limit: int, scope: Scope = EVERYWHERE) -> list[Sighting]:
        if limit < 1:
            return []
        with self._reading() as (database, directory):
            picked, _ = directory.select(scope)
            first = directory.chunks["last"][picked]
            picked = picked[np.argsort(-first, kind="stable")]
            size, start = 2 * limit // 512 + 4, scope.start
            while True:  # chunks that end later than the oldest row that is wanted
                some = directory.only(picked[:size])
                chosen = Selection(database, self._memory, some, scope)
                keys = chosen.keys()
                times = chosen.column("time", keys)
                if len(times) >= limit:
                    start = int(np.partition(times, len(times) - limit)[len(times) - limit])
                rest = directory.chunks["last"][picked[size:]]
                if len(rest) == 0 or (len(times) >= limit and rest.max() < (start or 0)):
                    break
                size *= 2
            places = chosen.places(keys[times >= start] if start is not None else keys)
            found = [
                sighting(values, directory.model or "")
                for _, values in writing.records_at(database, sorted(places))
            ]
        return sorted(found, key=lambda one: (-one.time, one.id))[:limit]

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        with self._reading() as (database, directory):
            found = writing.find(database, "tracklet", names)
            model = directory.model or ""
        return {
            name: sorted(
                (sighting(values, model) for _, values in found[name]),
                key=lambda one: (one.time, one.id),
            )
            for name in dict.fromkeys(names)
            if name in found
        }

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        with self._reading() as (database, directory):
            if directory.model is not None:
                check_model(model, None, (directory.model, directory.dimension))
            known = writing.find(database, "id", ids)
            rows = {known[name][0][0]: row for row, name in enumerate(_all_known(ids, known))}
            out = np.zeros((len(ids), directory.dimension), np.float32)
            for number, slots in writing.by_chunk(sorted(rows)):
                with ChunkReader(database, number) as reader:
                    at = np.searchsorted(reader.slots(), slots).tolist()
                    found = as_vectors(reader.vectors(at), directory.dimension)
                out[[rows[number << SLOT_BITS | slot] for slot in slots]] = found
        return out[[rows[known[name][0][0]] for name in ids]]

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        with self._store.read() as database:
            return set(writing.find(database, "crop", crops))

    def count(self, scope: Scope = EVERYWHERE) -> int:
        with self._reading() as (database, directory):
            picked, inside = directory.select(scope)
            if inside.all():
                return int(directory.chunks["rows"][picked].sum())
            return select(database, self._memory, directory, scope).count

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        with self._reading() as (database, directory):
            chosen = select(database, self._memory, directory, scope)
            keys = chosen.keys()
            times, cameras = chosen.column("time", keys), chosen.column("camera", keys)
            names = self._memory.names["camera"].texts
        # per camera, without a sort of all rows: a search of the whole city counts them, too
        counts = np.bincount(cameras, minlength=len(names))
        first, last = np.full(len(names), FAR), np.full(len(names), -FAR)
        np.minimum.at(first, cameras, times)
        np.maximum.at(last, cameras, times)
        found = [
            Coverage(
                camera=names[at],
                sightings=int(counts[at]),
                first=int(first[at]),
                last=int(last[at]),
            )
            for at in np.flatnonzero(counts).tolist()
        ]
        return sorted(found, key=lambda one: one.camera)

    # writing -------------------------------------------------------------------------------------

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        batch = Batch.of(sightings)
        if len(batch) == 0:
            return 0
        with self._store.write() as database:
            return writing.insert(database, batch, replace=replace)

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope; returns how many went, with every byte of them."""
        with self._store.write() as database:
            if isinstance(what, Scope):
                directory = Directory().follow(database)
                memory = Memory(0)  # of a state that nobody else may see yet
                chosen = Selection(database, memory, directory, what)
                places = sorted(chosen.places(chosen.keys()))
            else:
                known = writing.find(database, "id", what)
                places = sorted(pairs[0][0] for pairs in known.values())
            writing.remove(database, places)
        self._settle()
        return len(places)

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); returns how many went.

        Searches go on meanwhile; whole chunks go some at a time.
        """
        gone, time = 0, min(max(time, -FAR), FAR)
        while True:
            with self._store.write() as database:
                rows = database.ask(
                    "SELECT chunk FROM chunks WHERE last < ? ORDER BY chunk LIMIT ?",
                    (time, AT_ONCE),
                )
                if not rows:
                    break
                with whole_pages(database):
                    gone += writing.remove_chunks(database, [row[0] for row in rows])
        return gone + self.delete(Scope(end=time))

    def _settle(self) -> None:
        """Give back what is free, with what a switch of the network has left.

        What was committed before stays so when this fails, on a full disk; the next call completes
        it.
        """
        try:
            left = 1
            while left:
                with self._store.write() as database:
                    some = "SELECT chunk FROM outdated LIMIT ?"
                    with whole_pages(database):
                        database.ask(f"DELETE FROM outdated WHERE chunk IN ({some})", (AT_ONCE,))
                        left = database.changes()
            self._store.give_back()
        except StoreError as error:
            _LOG.warning("the change of %s is stored, but not tidied up: %s", self.folder, error)

    def compact(self) -> int:
        """Write small chunks as larger ones; returns the bytes that the file became smaller by."""
        before = self._store.path.stat().st_size
        with self._store.write() as database:
            writing.forget_model(database)
            days = writing.mergeable(database)
        for numbers in days:
            with self._store.write() as database:
                alive = {row[0] for row in database.ask("SELECT chunk FROM chunks")}
                writing.merge(database, [number for number in numbers if number in alive])
        self._settle()
        return max(before - self._store.path.stat().st_size, 0)

    def snapshot(self, folder: Path) -> None:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"the folder {folder} is not empty; name a new one for the snapshot")
        folder.mkdir(parents=True, exist_ok=True)
        self._store.backup(folder / FILE)

    def stage(self, model: str) -> EmbeddedStage:
        stage = EmbeddedStage(model, self._store, self.compact)
        stage.begin()
        return stage

    # state ---------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        with self._reading() as (_, directory):
            chunks = directory.chunks
        files = [path for path in self.folder.glob("*") if path.is_file()]
        return Stats(
            sightings=directory.rows,
            dead=0,
            days=len(np.unique(chunks["day"])),
            bytes=sum(path.stat().st_size for path in files if path.exists()),
            first=int(chunks["first"].min()) if len(chunks) else None,
            last=int(chunks["last"].max()) if len(chunks) else None,
            model_id=directory.model,
            dimension=directory.dimension or None,
        )

    def health(self) -> Health:
        problems = []
        try:
            with self._reading():
                pass
        except InputError as error:
            problems.append(str(error))
        readable = not problems
        if (self.folder / FIRST_EDITION).exists():
            problems.append(
                f"the gallery {self.folder} still holds files of its first edition; "
                "run 'passerby admin gallery upgrade' again"
            )
        try:
            disk = os.statvfs(self.folder)
        except OSError as error:
            return Health(readable=False, writable=False, problems=(*problems, str(error)))
        free = disk.f_bavail * disk.f_frsize
        writable = os.access(self.folder, os.W_OK) and not self._store.read_only and free > 0
        if not writable:
            problems.append(f"the gallery {self.folder} cannot be written; sightings are refused")
        elif free < LITTLE_ROOM:
            problems.append(f"the disk of the gallery {self.folder} has only {free >> 20} MiB left")
        return Health(
            readable=readable,
            writable=readable and writable,
            problems=tuple(problems),
            free_bytes=free,
        )

    def verify(self) -> list[str]:
        faults: list[str] = []
        try:
            with self._store.read() as database:
                faults += self._store.faults(database)
                left = database.ask("SELECT count(*) FROM terms")[0][0]
                orphans = database.ask(_ORPHANS)[0][0]
                if orphans:
                    faults.append(f"{self._store.path}: {orphans} blobs belong to no chunk")
                for table in ("chunks", "staged"):
                    for (number,) in database.ask(f"SELECT chunk FROM {table}"):
                        try:
                            with self._store.explained(f", chunk {number} of the table {table}"):
                                found, entries = writing.check_chunk(database, number, table)
                        except StoreError as error:
                            found, entries = [str(error)], 0
                        faults += found
                        left -= entries
                if left and not faults:
                    faults.append(f"{self._store.path}: {left} entries of the index are loose")
        except StoreError as error:
            faults.append(str(error))
        return faults

    def close(self) -> None:
        self._store.close()


def _all_known(ids: Sequence[str], found: Any) -> Sequence[str]:
    for name in ids:
        if name not in found:
            raise UnknownSightingError(f"there is no sighting '{name}' in this gallery")
    return ids
