"""The embedded gallery: exact, durable, one SQLite file in a folder, for many processes at once."""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np

from passerby.city.gallery import port, writing
from passerby.city.gallery.chunks import ChunkReader, as_vectors, by_chunk, records_at
from passerby.city.gallery.memory import Memory, chunks_in
from passerby.city.gallery.port import Coverage, Gallery, Health, Hits, Stats, StoreError
from passerby.city.gallery.records import FAR, SLOT_BITS, Batch, Record, sighting
from passerby.city.gallery.searching import Selection, nearest, select
from passerby.city.gallery.staging import EmbeddedStage
from passerby.city.gallery.store import FILE, Database, Store, get_meta, whole_pages
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError

EVERYWHERE = Scope()
BY_TIME = attrgetter("time", "id")
_LOG = logging.getLogger(__name__)
AT_ONCE = 64  # chunks deleted in one transaction
FIRST_EDITION = "index.sqlite"  # only a gallery of the first edition has this file
LITTLE_ROOM = 1 << 28  # bytes free under which a monitor is warned
_ORPHANS = "SELECT count(*) FROM contents WHERE chunk NOT IN (SELECT chunk FROM chunks)"


class EmbeddedGallery(Gallery):
    """A :class:`~passerby.city.gallery.port.Gallery` in a folder.

    A search reads only the chunks that its scope touches. Where few rows are in the scope, all of
    them are read and compared. Where many are, their int8 codes are screened in memory; the rows
    that their error bound does not rule out are read and summed in float64
    (:mod:`passerby.retrieval.screening`).
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
                self._free_room()

    @property
    def model_id(self) -> str | None:
        with self._store.read() as database:
            return _held(database)[0] or None

    @property
    def dimension(self) -> int | None:
        with self._store.read() as database:
            return _held(database)[1] or None

    # reading -----------------------------------------------------------------------------------

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = EVERYWHERE, *, model: str | None = None
    ) -> list[Hits]:
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one sighting")
        queries = port.unit_queries(vectors)
        with self._store.read() as database:
            held = _held(database)
            if not held[1]:
                return [port.NO_HITS] * len(queries)
            port.check_model(model, queries.shape[1], held)
            return nearest(database, self._memory, queries, k=k, scope=scope)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        with self._store.read() as database:
            found = _records_of(database, ids)
            model, _ = _held(database)
        return [sighting(found[name][1], model) for name in ids]

    def latest(self, limit: int, scope: Scope = EVERYWHERE) -> list[Sighting]:
        if limit < 1:
            return []
        with self._store.read() as database:
            chunks = sorted(chunks_in(database, scope), key=lambda one: -one[3])  # newest first
            size, start = 2 * limit // writing.ROWS + 4, 0
            while True:
                chosen = Selection(database, self._memory, scope, chunks[:size])
                keys = chosen.keys()
                times = chosen.column("time", keys)
                enough = len(times) >= limit
                if enough:
                    start = int(np.partition(times, -limit)[-limit])
                    keys = keys[times >= start]
                if len(chunks) <= size or (enough and chunks[size][3] < start):
                    break  # there are no other chunks, or they end earlier
                size *= 2
            model, _ = _held(database)
            records = records_at(database, sorted(chosen.places(keys)))
            found = [sighting(values, model) for _, values in records]
        return sorted(found, key=lambda one: (-one.time, one.id))[:limit]

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        with self._store.read() as database:
            found = writing.find(database, "tracklet", names)
            model, _ = _held(database)
        groups = {name: found[name] for name in names if name in found}
        return {
            name: sorted((sighting(values, model) for _, values in group), key=BY_TIME)
            for name, group in groups.items()
        }

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        with self._store.read() as database:
            held = _held(database)
            if held[1]:
                port.check_model(model, None, held)
            found = _records_of(database, ids)
            rows = {found[name][0]: row for row, name in enumerate(ids)}
            out = np.zeros((len(ids), held[1]), np.float32)
            for number, slots in by_chunk(sorted(rows)):
                with ChunkReader(database, number) as reader:
                    at = np.searchsorted(reader.slots(), slots).tolist()
                    some = as_vectors(reader.vectors(at), held[1])
                out[[rows[number << SLOT_BITS | slot] for slot in slots]] = some
        return out[[rows[found[name][0]] for name in ids]]

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        with self._store.read() as database:
            return set(writing.find(database, "crop", crops))

    def count(self, scope: Scope = EVERYWHERE) -> int:
        with self._store.read() as database:
            chunks = chunks_in(database, scope)
            if all(inside for *_, inside in chunks):
                return sum(rows for _, _, rows, _, _ in chunks)
            return select(database, self._memory, scope).count

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        with self._store.read() as database:
            chosen = select(database, self._memory, scope)
            keys = chosen.keys()
            times, cameras = chosen.column("time", keys), chosen.column("camera", keys)
            names = list(self._memory.names["camera"])
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

    # writing -----------------------------------------------------------------------------------

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        batch = Batch.of(sightings)
        if len(batch) == 0:
            return 0
        with self._store.write() as database:
            return writing.insert(database, batch, replace=replace)

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope, with every byte; return how many sightings were deleted."""
        with self._store.write() as database:
            if isinstance(what, Scope):
                memory = Memory(0)  # its own: no other reader may see this state yet
                chosen = Selection(database, memory, what, chunks_in(database, what))
                places = sorted(chosen.places(chosen.keys()))
            else:
                known = writing.find(database, "id", what)
                places = sorted(pairs[0][0] for pairs in known.values())
            writing.remove(database, places)
        self._free_room()
        return len(places)

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); return how many were deleted.

        Searches go on meanwhile: whole chunks are deleted some at a time.
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

    def _free_room(self) -> None:
        """Return free pages to the file system, with those that a change of the model has left.

        When this fails, on a full disk, what was committed before stays committed; the next call
        completes it.
        """
        some = "SELECT chunk FROM outdated LIMIT ?"
        try:
            left = 1
            while left:
                with self._store.write() as database, whole_pages(database):
                    database.ask(f"DELETE FROM outdated WHERE chunk IN ({some})", (AT_ONCE,))
                    left = database.changes()
            self._store.free_room()
        except StoreError as error:
            _LOG.warning("the change of %s is stored, but not tidied up: %s", self.folder, error)

    def compact(self) -> int:
        """Write small chunks as larger ones; return the bytes that the file became smaller by."""
        before = self._store.path.stat().st_size
        with self._store.write() as database:
            writing.forget_model(database)
            small = writing.TIERS[-1]
            days = database.ask(writing.MERGEABLE, (small, writing.ROWS, writing.ROWS))
        for (day,) in days:
            with self._store.write() as database:
                writing.merge_small(database, day, (small,), least=2)
        self._free_room()
        return max(before - self._store.path.stat().st_size, 0)

    def snapshot(self, folder: Path) -> None:
        port.check_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._store.backup(folder / FILE)

    def stage(self, model: str) -> EmbeddedStage:
        stage = EmbeddedStage(model, self._store, self.compact)
        stage.begin()
        return stage

    # state -------------------------------------------------------------------------------------

    def stats(self) -> Stats:
        with self._store.read() as database:
            model, dimension = _held(database)
            rows, first, last = database.ask("SELECT sum(rows), min(first), max(last) FROM chunks")[
                0
            ]
        files = [path for path in self.folder.glob("*") if path.is_file()]
        return Stats(
            sightings=rows or 0,
            bytes=sum(path.stat().st_size for path in files if path.exists()),
            first=first,
            last=last,
            model_id=model or None,
            dimension=dimension or None,
        )

    def health(self) -> Health:
        try:
            disk = os.statvfs(self.folder)
            with self._store.read() as database:
                database.ask("SELECT max(version) FROM chunks")
        except (InputError, OSError) as error:
            return Health(readable=False, writable=False, problems=(str(error),))
        problems = []
        if (self.folder / FIRST_EDITION).exists():
            problems.append(
                f"the gallery {self.folder} still holds files of its first edition; "
                "run 'passerby admin gallery upgrade' again"
            )
        free = disk.f_bavail * disk.f_frsize
        writable = os.access(self.folder, os.W_OK) and not self._store.read_only and free > 0
        if not writable:
            problems.append(f"the gallery {self.folder} cannot be written; sightings are refused")
        elif free < LITTLE_ROOM:
            problems.append(f"the disk of the gallery {self.folder} has only {free >> 20} MiB left")
        return Health(readable=True, writable=writable, problems=tuple(problems), free_bytes=free)

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


def _held(database: Database) -> tuple[str, int]:
    """Return model and dimension of the vectors; ("", 0) for an empty gallery."""
    return get_meta(database, "model") or "", int(get_meta(database, "dimension") or 0)


def _records_of(database: Database, ids: Sequence[str]) -> Mapping[str, tuple[int, Record]]:
    """Return (place, record) by id.

    Raises:
        port.UnknownSightingError: an id is not in the gallery.
    """
    found = writing.find(database, "id", ids)
    for name in ids:
        if name not in found:
            raise port.UnknownSightingError(f"there is no sighting '{name}' in this gallery")
    return {name: pairs[0] for name, pairs in found.items()}
