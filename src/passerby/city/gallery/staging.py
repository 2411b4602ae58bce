"""A second set of vectors in the embedded gallery, by another model, until it replaces the first.

Row r of a day's staged file is the new vector of row r of the day's segment file, so that places
stay as they are, and the switch is one transaction that names the new files instead of the old.
Rows that were dead when they were staged hold zeros.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import cache, upkeep
from passerby.city.gallery.batch import unit_half
from passerby.city.gallery.columns import Columns
from passerby.city.gallery.index import Index, place_of
from passerby.city.gallery.segments import Block, HalfArray, append, segment_path
from passerby.city.gallery.state import State
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError

Locked = Callable[[], AbstractContextManager[State]]


@dataclass(frozen=True, slots=True)
class EmbeddedStage:
    """A :class:`~passerby.city.gallery.port.Stage` of the embedded gallery; see the module's text.

    Attributes:
        model_id: the new model.
        index: of the gallery.
        folder: of its segment files.
        reading: the state with the lock held; ``writing`` with the writer lock and the lock.
    """

    model_id: str
    index: Index
    folder: Path
    reading: Locked
    writing: Locked

    def begin(self) -> None:
        """Take note of the model, or go on with it.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """
        with self.writing() as state:
            staged = self.index.fact("stage_model")
            if staged == self.model_id:
                return
            if staged is not None:
                raise InputError(
                    f"the gallery is being embedded anew with '{staged}'; finish or drop that first"
                )
            if not any(day.living for day in state.days.values()):
                raise InputError("the gallery is empty; add sightings by the new model at once")
            if state.model == self.model_id:
                raise InputError(
                    f"the gallery's vectors are of the model '{self.model_id}' already"
                )
            with self.index.writing():
                self.index.set_fact("stage_model", self.model_id)

    def missing(self, limit: int) -> list[Sighting]:
        """The next sightings without a vector of the new model; empty when all have one."""
        with self.reading() as state:
            self._check_staged()
            places = list(islice(self._places(state), limit))
            names = self.index.ids(places)
            found = {one.id: one for one in self.index.facts_of("id", list(names.values()))}
            return [found[names[place]] for place in places]

    def _places(self, state: State) -> Iterator[int]:
        """Places of living rows that are not staged, in order."""
        staged = self.index.stages()
        for number, day in sorted(state.days.items()):
            for row in _unstaged(day, staged.get(number, (0, 0))[1]):
                yield place_of(number, int(row))

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Raises:
            InputError: another order; vectors zero, not finite, or of another dimension than
                those already put; the stage was dropped or switched.
        """
        half = unit_half(np.atleast_2d(vectors), ids)
        with self.writing() as state:
            self._check_staged(half.shape[1])
            places = self.index.places(ids)
            by_day: dict[int, list[tuple[int, HalfArray]]] = {}
            for name, row in zip(ids, half, strict=True):
                if name in places:
                    place = places[name]
                    by_day.setdefault(place >> 32, []).append((place & 0xFFFFFFFF, row))
            staged = self.index.stages()
            written = [
                (number, *self._append(state.days[number], staged.get(number), pairs))
                for number, pairs in by_day.items()
            ]
            with self.index.writing():
                self.index.set_fact("stage_dimension", half.shape[1])
                for number, generation, rows, blocks in written:
                    self.index.set_bucket(number, generation, rows, blocks, staged=True)
            return len(places)

    def _append(
        self,
        day: Columns,
        staged: tuple[int, int] | None,
        pairs: list[tuple[int, HalfArray]],
    ) -> tuple[int, int, list[Block]]:
        """(generation, rows, blocks) after the new rows of one day."""
        if staged is None:
            with self.index.writing():
                staged = (self.index.next_generation(), 0)
        generation, done = staged
        rows = [row for row, _ in pairs]
        fresh = [(row, vector) for row, vector in pairs if row >= done]
        if rows != sorted(rows) or [row for row, _ in fresh] != list(
            _unstaged(day, done)[: len(fresh)]
        ):
            raise InputError(
                "put the new vectors in the order in which their sightings are missing"
            )
        if not fresh:
            return generation, done, []
        matrix = np.zeros((fresh[-1][0] + 1 - done, len(fresh[0][1])), np.float16)
        for row, vector in fresh:
            matrix[row - done] = vector
        path = segment_path(self.folder, day.day, generation)
        return generation, done + len(matrix), append(path, done, matrix)

    def switch(self) -> bool:
        """Make the new vectors the gallery's, all at once; False when some are still missing."""
        with self.writing() as state:
            self._check_staged()
            if next(self._places(state), None) is not None:
                return False
            dimension = int(self.index.fact("stage_dimension") or 0)
            written = [
                (number, *self._pad(day, dimension))
                for number, day in state.days.items()
                if day.living
            ]
            for number, generation, *_ in written:  # for those who follow the switch
                path = segment_path(self.folder, number, generation)
                cache.save(state.days[number], path)
            with self.index.writing():
                for number, generation, rows, blocks in written:
                    self.index.set_bucket(number, generation, rows, blocks, staged=True)
                self.index.promote_stages()
                self.index.set_fact("model", self.model_id)
                self.index.set_fact("dimension", dimension)
            state.refresh(force=True)
            upkeep.sweep(self.index, self.folder)
            self.index.checkpoint()
            return True

    def _pad(self, day: Columns, dimension: int) -> tuple[int, int, list[Block]]:
        """Zeros for dead rows at the end of a day."""
        generation, done = self.index.stages()[day.day]
        zeros = np.zeros((day.rows - done, dimension), np.float16)
        path = segment_path(self.folder, day.day, generation)
        return generation, day.rows, append(path, done, zeros) if len(zeros) else []

    def drop(self) -> None:
        """Give up; the new vectors are deleted."""
        with self.writing():
            self._check_staged()
            with self.index.writing():
                self.index.drop_stages()
            upkeep.sweep(self.index, self.folder)

    def _check_staged(self, dimension: int | None = None) -> None:
        if self.index.fact("stage_model") != self.model_id:
            raise InputError(
                f"the gallery is not being embedded anew with '{self.model_id}' any more"
            )
        known: Any = self.index.fact("stage_dimension")
        if dimension is not None and known is not None and dimension != known:
            raise InputError(
                f"the new vectors have {known} dimensions, these {dimension}; use one model"
            )


def _unstaged(day: Columns, done: int) -> NDArray[np.int64]:
    """Living rows from ``done`` on, ascending."""
    rows: NDArray[np.int64] = np.flatnonzero(day.column("alive")[done:]) + done
    return rows
