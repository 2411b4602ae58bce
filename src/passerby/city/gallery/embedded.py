"""The embedded gallery: exact, durable, in one folder, for many readers and one writer at a time.

A change is: append vectors to the day's segment file and sync it; then commit rows and checksums
to the SQLite index in one transaction. What the index does not know does not exist, so a crash
between the two leaves a torn tail that the next writer cuts off (``system.md`` 1.6), after
:meth:`Index.settle <passerby.city.gallery.index.Index.settle>`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from passerby.city.gallery import storing, upkeep, waiting
from passerby.city.gallery.batch import Batch
from passerby.city.gallery.index import place_of
from passerby.city.gallery.port import StoreError
from passerby.city.gallery.reading import EmbeddedReader, check_model
from passerby.city.gallery.staging import EmbeddedStage
from passerby.city.gallery.state import State
from passerby.city.sightings import Scope, Sighting
from passerby.city.times import DAY_MS, day_of


class EmbeddedGallery(EmbeddedReader):
    """A :class:`~passerby.city.gallery.port.Gallery` in a folder; see the module's text."""

    @contextmanager
    def _writing(self) -> Iterator[State]:
        """The writer lock, and the state brought up to date under it."""
        with self._under(self._writer.held()) as state:
            assert state is not None
            yield state

    @contextmanager
    def _under(self, lock: AbstractContextManager[bool | None]) -> Iterator[State | None]:
        """The state brought up to date under the writer lock; None when it was not free."""
        try:
            with lock as died, self.index.explained():
                if died is None:
                    yield None
                    return
                self._wrote = True
                with self._lock:
                    self._guard.check_commits()
                    if died:
                        self.index.settle()
                    self.state.refresh(force=True)
                try:
                    yield self.state
                finally:
                    with self._lock:
                        self._guard.acknowledge()
        except OSError as error:
            raise StoreError(
                f"the gallery {self.folder} cannot be written, nothing was stored: {error}"
            ) from None

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; durable when it returns.

        An id that is already there is left as it is, or replaced when ``replace`` is set.

        Raises:
            InputError: another model or dimension, a vector missing, zero or not finite.
        """
        batch = Batch.of(sightings)
        if len(batch) == 0:
            return 0
        if replace or len(batch) > waiting.MOST:
            with self._writing() as state:
                return self._store(state, batch, replace=replace)
        return self._add_together(batch)

    def _add_together(self, batch: Batch) -> int:
        """Commit a small batch with those that wait, or wait for another writer to commit it."""
        ticket: waiting.Ticket | None = None
        try:
            while ticket is None or ticket.answer() is None:
                with self._under(self._writer.held_if_free()) as state:
                    if state is not None and (ticket is None or ticket.answer() is None):
                        return self._store(state, batch, own=ticket)
                ticket = ticket or self._enter(batch)
                self._writer.wait()
            return ticket.answer() or 0
        finally:
            if ticket is not None:
                ticket.withdraw()

    def _enter(self, batch: Batch) -> waiting.Ticket:
        try:
            return self._room.enter(batch)
        except OSError as error:
            raise StoreError(
                f"the gallery {self.folder} cannot be written, nothing was stored: {error}"
            ) from None

    def _store(
        self,
        state: State,
        batch: Batch,
        *,
        replace: bool = False,
        own: waiting.Ticket | None = None,
    ) -> int:
        """Store a batch, and what waits with it; returns how many of the batch were new."""
        check_model(state, batch.model, batch.dimension)
        guests = [] if replace else list(self._room.guests(batch, own))
        together = Batch.joined([batch, *(guest.batch for guest in guests)]) if guests else batch
        with self._lock:
            old = self.index.places(together.ids)
        known = set(old)
        if not replace:
            together, old = together.without(known), {}
        if len(together):
            storing.store(self.index, self._lock, state, self.segments, batch=together, old=old)
        new = _fresh(batch, known)
        if guests:
            with self._lock:
                self._guard.acknowledge()  # before anybody is told
            for guest in guests:
                guest.tell(_fresh(guest.batch, known))
        return new

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope; returns how many went. Bytes go with :meth:`compact`."""
        with self._writing() as state, self._lock:
            if isinstance(what, Scope):
                places = _places(state, what)
            else:
                places = sorted(self.index.places(list(dict.fromkeys(what))).values())
            if places:
                with self.index.writing():
                    self.index.remove(places)
                state.refresh(force=True)
            return len(places)

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); returns how many went.

        Whole days lose their file at once; of the day that holds ``time`` single rows go.
        """
        with self._writing() as state, self._lock:
            whole = [day for day in state.days if (day + 1) * DAY_MS <= time]
            with self.index.writing():
                gone = sum(self.index.drop_bucket(day) for day in whole)
                if day_of(time) in state.days:
                    rest = _places(state, Scope(start=day_of(time) * DAY_MS, end=time))
                    self.index.remove(rest)
                    gone += len(rest)
            state.refresh(force=True)
            upkeep.sweep(self.index, self.segments)
            if whole:
                self.index.checkpoint()
            return gone

    def compact(self) -> int:
        """Rewrite the days that hold deleted rows or many small blocks; returns bytes freed.

        A gallery that is empty after that has no model any more.
        """
        with self._writing() as state:
            before = self.stats().bytes
            for day in list(state.days.values()):
                if day.living < day.rows or upkeep.fragmented(day):
                    upkeep.rewrite(self.index, self._lock, self.segments, day)
            with self._lock:
                state.refresh(force=True)
                if not state.days:
                    with self.index.writing():
                        self.index.forget_model()
                    state.refresh(force=True)
                upkeep.sweep(self.index, self.segments)
                self.index.checkpoint()
            return before - self.stats().bytes

    def snapshot(self, folder: Path | str) -> None:
        """Write a consistent copy that opens like the original.

        Raises:
            InputError: the target is not empty.
        """
        with self._writing() as state, self._lock:
            upkeep.copy(self.index, state, Path(folder))

    def stage(self, model: str) -> EmbeddedStage:
        """Begin to embed the gallery anew with another model, or go on with what was begun.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """

        @contextmanager
        def alone() -> Iterator[State]:
            with self._writing() as state, self._lock:
                yield state

        stage = EmbeddedStage(model, self.index, self.segments, self.reading, alone)
        stage.begin()
        return stage


def _fresh(batch: Batch, known: set[str]) -> int:
    """How many ids of a batch are not known; they are from now on."""
    ids = set(batch.ids) - known
    known |= ids
    return len(ids)


def _places(state: State, scope: Scope) -> list[int]:
    wanted = state.select(scope)
    places: list[int] = []
    for number, day in state.days.items():
        rows = day.select(wanted)
        rows = np.arange(day.rows) if rows is None else rows
        places += [place_of(number, int(row)) for row in rows]
    return places
