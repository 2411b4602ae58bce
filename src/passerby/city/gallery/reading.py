"""Reading the embedded gallery: for many processes at once, beside a writer."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import cache, keeping, upkeep
from passerby.city.gallery.columns import Columns
from passerby.city.gallery.guard import Guard
from passerby.city.gallery.index import Index
from passerby.city.gallery.lock import WriterLock
from passerby.city.gallery.port import (
    Coverage,
    Health,
    Hits,
    Stats,
    StoreError,
    UnknownSightingError,
)
from passerby.city.gallery.scanning import Chosen, decide, propose
from passerby.city.gallery.state import State
from passerby.city.gallery.waiting import WaitingRoom
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError

EVERYWHERE = Scope()
_ATTEMPTS = 20


class EmbeddedReader:
    """The reading half of :class:`~passerby.city.gallery.embedded.EmbeddedGallery`."""

    def __init__(self, folder: Path | str) -> None:
        """Open the gallery in ``folder``, or make an empty one."""
        self.folder = Path(folder)
        self.segments = self.folder / "vectors"
        try:
            self.segments.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the gallery folder {folder} cannot be made: {error}") from None
        self._lock = threading.RLock()  # index connection and state
        self._writer = WriterLock(self.folder / "writer.lock")
        self._room = WaitingRoom(self.folder / "waiting")
        path = self.folder / "index.sqlite"
        # only the first opening needs the lock; later ones must not wait for a long compaction
        with nullcontext() if path.exists() else self._writer.held():
            self.index = Index(path)
        self._guard = Guard(self.index, self._writer, self.folder)
        self._wrote = False
        self.state = State(self.index, self.segments)
        try:
            with self._lock, self.index.explained():
                self._guard.check_commits()
                self._guard.check_seal()
                if keeping.lost(self.index):
                    self._recover()
                self.state.refresh(force=True)
        except BaseException:
            self.index.close()
            raise

    def _recover(self) -> None:
        """Bring back what the disk lost when the machine lost power."""
        try:
            with self._writer.held() as died:
                if died:
                    self.index.settle()
                if keeping.lost(self.index):  # nobody else has done it meanwhile
                    keeping.recover(self.index, self.segments)
                self._guard.acknowledge()
        except OSError as error:  # a read-only or full disk
            raise StoreError(
                f"the machine stopped while the gallery {self.folder} was written, and it cannot "
                f"be brought up to date: {error}"
            ) from None

    @property
    def model_id(self) -> str | None:
        """The model of the stored vectors; None while the gallery is empty."""
        with self.reading() as state:
            return state.model

    @property
    def dimension(self) -> int | None:
        """D of the stored vectors; None while the gallery is empty."""
        with self.reading() as state:
            return state.dimension

    @contextmanager
    def reading(self) -> Iterator[State]:
        """The state, brought up to date, with the lock held."""
        with self._lock, self.index.explained():
            self.state.refresh()
            yield self.state

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = EVERYWHERE, *, model: str | None = None
    ) -> list[Hits]:
        """The k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the stored half-precision vector; ties in order of id.

        Raises:
            InputError: vectors of another dimension, or of another ``model`` than the stored.
        """
        if k < 1:
            raise InputError(f"k is {k}; ask for at least one sighting")
        for _ in range(_ATTEMPTS):
            hits = self._search_once(vectors, k, scope, model)
            if hits is not None:
                return hits
        raise InputError("the gallery is changing too fast to be searched; try again")

    def _search_once(
        self, vectors: FloatArray, k: int, scope: Scope, model: str | None
    ) -> list[Hits] | None:
        """None when another process moved rows between the scan and the look-up of ids."""
        with self.reading() as state:
            queries = self._queries(vectors, state, model)
            wanted = state.select(scope)
            days = list(state.days.values())
            chosen = [
                Chosen(number, day, day.rows, day.select(wanted)) for number, day in enumerate(days)
            ]
        try:
            proposals = propose(queries, k, chosen)
            decided = [
                decide(days, proposal, query)
                for proposal, query in zip(proposals, queries, strict=True)
            ]
        except FileNotFoundError:
            self._forget_version()
            return None
        return self._named(days, decided, k)

    def _queries(self, vectors: FloatArray, state: State, model: str | None) -> NDArray[np.float64]:
        """(Q, D) float64 unit rows, checked against the gallery."""
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
        check_model(state, model, queries.shape[1])
        norms = np.linalg.norm(queries, axis=1, keepdims=True)
        if not np.all(np.isfinite(norms)) or np.any(norms == 0):
            raise InputError("a query vector is zero or not finite; embed the picture again")
        return queries / norms

    def _named(
        self,
        days: list[Columns],
        decided: list[tuple[NDArray[np.int64], NDArray[np.float32]]],
        k: int,
    ) -> list[Hits] | None:
        with self._lock, self.index.explained(), self.index.reading():
            committed = self.index.buckets()
            moved = any(committed.get(day.day, (None,))[0] != day.generation for day in days)
            asked = np.unique(np.concatenate([places for places, _ in decided]))
            names = self.index.ids([int(place) for place in asked])
        if moved:
            self._forget_version()
            return None
        hits = []
        for places, distances in decided:
            pairs = sorted(
                (float(distance), names[int(place)])
                for place, distance in zip(places, distances, strict=True)
                if int(place) in names
            )
            if len(pairs) < min(k, len(places)):  # one was deleted meanwhile
                return None
            best = pairs[:k]
            hits.append(
                Hits(
                    ids=tuple(name for _, name in best),
                    distances=np.array([distance for distance, _ in best], dtype=np.float32),
                )
            )
        return hits

    def _forget_version(self) -> None:
        with self._lock:
            self.state.refresh(force=True)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """The facts of sightings, in the order asked, without vectors.

        Raises:
            UnknownSightingError: an id is not in the gallery.
        """
        with self.reading():
            found = {one.id: one for one in self.index.facts_of("id", list(dict.fromkeys(ids)))}
        try:
            return [found[name] for name in ids]
        except KeyError as missing:
            raise UnknownSightingError(f"there is no sighting {missing} in this gallery") from None

    def latest(self, limit: int, scope: Scope = EVERYWHERE) -> list[Sighting]:
        """The newest sightings in the scope, newest first, ties by id."""
        with self.reading() as state:
            ids = list(self.index.ids(upkeep.newest(state, scope, limit)).values())
            found = self.index.facts_of("id", ids)
        return sorted(found, key=lambda one: (-one.time, one.id))[:limit]

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        """All sightings of tracklets, by time; names nobody has are left out."""
        groups: dict[str, list[Sighting]] = {}
        with self.reading():
            found = self.index.facts_of("tracklet", [name for name in dict.fromkeys(names) if name])
        for one in sorted(found, key=lambda one: (one.time, one.id)):
            groups.setdefault(one.tracklet, []).append(one)
        return groups

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        """(N, D) float32 vectors in the order asked.

        Raises:
            UnknownSightingError: an id is not in the gallery.
            InputError: the vectors are not of ``model``.
        """
        with self.reading() as state:
            check_model(state, model, state.dimension)
            found = self.index.places(list(dict.fromkeys(ids)))
            out = np.zeros((len(ids), state.dimension or 0), dtype=np.float32)
            by_day: dict[int, list[tuple[int, int]]] = {}
            for position, name in enumerate(ids):
                if name not in found:
                    raise UnknownSightingError(f"there is no sighting '{name}' in this gallery")
                place = found[name]
                by_day.setdefault(place >> 32, []).append((position, place & 0xFFFFFFFF))
            for day, pairs in by_day.items():
                at, rows = (np.array(column) for column in zip(*pairs, strict=True))
                out[at] = state.days[day].segment.check(rows)[rows]
        return out

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        """Those of ``crops`` that some sighting names."""
        with self.reading():
            return self.index.crops_used(crops)

    def count(self, scope: Scope = EVERYWHERE) -> int:
        """Number of sightings in the scope."""
        with self.reading() as state:
            wanted = state.select(scope)
            return sum(_selected(day, day.select(wanted)) for day in state.days.values())

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        """Per camera with sightings in the scope: how many, the first and the last."""
        with self.reading() as state:
            return upkeep.coverage(state, scope)

    def stats(self) -> Stats:
        """Size and state."""
        with self.reading() as state:
            return upkeep.stats(state, self.folder)

    def verify(self) -> list[str]:
        """Read everything and name what is damaged; empty when all is well."""
        with self.reading() as state:
            faults = self.index.check()
            if not faults and self._guard.broken():
                faults = [f"{self.index.path} does not match its checksum"]
            return faults + upkeep.damage(self.index, state, self.segments)

    def health(self) -> Health:
        """Whether the folder can be read and written, quickly; :meth:`verify` reads it all."""
        try:
            with self.reading() as state:
                return upkeep.health(state, self.folder)
        except InputError as error:
            return Health(readable=False, writable=False, problems=(str(error),))

    def close(self) -> None:
        """Let go of the index; what makes the next opening quick is written."""
        with self._lock:
            with suppress(InputError, sqlite3.Error):  # caches of files that are gone are no use
                self.state.refresh()
                for day in self.state.days.values():
                    cache.save(day)
            if self._wrote:
                with suppress(InputError, OSError, sqlite3.Error):
                    self._sync_kept()
                self._guard.seal()
                self._wrote = False
            self.index.close()

    def _sync_kept(self) -> None:
        """Sync what small adds have left, unless somebody else is at work."""
        if self.index.kept_rows() == 0:
            return
        with self._writer.held_if_free() as died:
            if died is None:
                return
            if died:
                self.index.settle()
            keeping.settle(self.index, self.segments)
            self._guard.acknowledge()


def check_model(state: State, model: str | None, dimension: int | None) -> None:
    if model is not None and state.model is not None and model != state.model:
        raise InputError(
            f"the gallery holds vectors of the model '{state.model}', these are of '{model}'; "
            "use that model or embed the gallery anew"
        )
    if state.dimension is not None and dimension != state.dimension:
        raise InputError(
            f"the gallery holds vectors of {state.dimension} dimensions, these have {dimension}; "
            "use the model that made the gallery"
        )


def _selected(day: Columns, rows: NDArray[np.int64] | None) -> int:
    return day.rows if rows is None else len(rows)
