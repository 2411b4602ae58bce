"""Vectors of another model beside those of the gallery, until they replace them.

The staged vectors of a chunk lie in a second chunk, in a table of its own, with the rows that have
one. The switch is one transaction that exchanges the tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import ChunkReader, by_chunk, read_chunk, records_at
from passerby.city.gallery.port import OUT_OF_ORDER, check_new_model, check_staged
from passerby.city.gallery.records import SLOT_BITS, HalfArray, sighting, unit_half
from passerby.city.gallery.store import Database, Store, get_meta, set_meta
from passerby.city.gallery.writing import find, forget_model, is_staged, write_staged
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError


@dataclass(frozen=True, slots=True)
class EmbeddedStage:
    """A :class:`~passerby.city.gallery.port.Stage` of the embedded gallery.

    Attributes:
        model_id: the new model.
        store: of the gallery.
        free_room: is called at the end, to delete what is not needed any more.
    """

    model_id: str
    store: Store
    free_room: Callable[[], object]

    def begin(self) -> None:
        """Store the name of the new model, or continue with it.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """
        with self.store.write() as database:
            staged = get_meta(database, "stage_model")
            if staged != self.model_id:
                empty = not database.ask("SELECT 1 FROM chunks LIMIT 1")
                held = get_meta(database, "model")
                check_new_model(self.model_id, held=held, staged=staged or "", empty=empty)
                set_meta(database, "stage_model", self.model_id)

    def missing(self, limit: int) -> list[Sighting]:
        with self.store.read() as database:
            self._check(database)
            places = self._missing(database, limit)
            model = get_meta(database, "model")
            return [sighting(values, model) for _, values in records_at(database, places)]

    def _missing(self, database: Database, limit: int) -> list[int]:
        """Return the places of the next rows that are not staged, ascending."""
        found: list[int] = []
        for number, done in database.ask(
            "SELECT chunk, coalesce(s.rows, 0) FROM chunks c LEFT JOIN staged s USING (chunk) "
            "WHERE coalesce(s.rows, 0) < c.rows ORDER BY chunk"
        ):
            if len(found) >= limit:
                break
            with ChunkReader(database, number) as reader:
                slots = reader.slots()
            if done:
                slots = slots[~np.isin(slots, _staged_slots(database, number))]
            found += (slots | number << SLOT_BITS).tolist()
        return found[:limit]

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        half = unit_half(np.atleast_2d(np.asarray(vectors, np.float32)), ids)
        with self.store.write() as database:
            self._check(database, half.shape[1])
            set_meta(database, "stage_dimension", half.shape[1])
            known = find(database, "id", ids)
            places = {known[name][0][0]: row for row, name in enumerate(ids) if name in known}
            wanted = self._missing(database, len(places))
            stored = places.keys() - wanted
            fresh = [place for place in places if place not in stored]
            if fresh != wanted[: len(fresh)] or any(
                not np.isin(slots, _staged_slots(database, number)).all()
                for number, slots in by_chunk(sorted(stored))
            ):
                raise InputError(OUT_OF_ORDER)
            for number, slots in by_chunk(fresh):
                rows = [places[number << SLOT_BITS | slot] for slot in slots]
                _write(database, number, np.array(slots), half[rows])
            return len(places)

    def switch(self) -> bool:
        with self.store.write() as database:
            self._check(database)
            if self._missing(database, 1):
                return False
            if not database.ask("SELECT 1 FROM chunks LIMIT 1"):  # all was deleted meanwhile
                forget_model(database)
                return True
            database.ask(
                "DROP TABLE outdated;"
                "ALTER TABLE contents RENAME TO outdated;"
                "ALTER TABLE staged_contents RENAME TO contents;"
                "CREATE TABLE staged_contents (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);"
                "UPDATE chunks SET crc = (SELECT crc FROM staged s WHERE s.chunk = chunks.chunk);"
                "DELETE FROM staged;"
            )
            database.ask("UPDATE chunks SET version = ?", (get_meta(database, "commit"),))
            set_meta(database, "model", self.model_id)
            set_meta(database, "dimension", get_meta(database, "stage_dimension"))
            self._end(database)
        self.free_room()
        return True

    def drop(self) -> None:
        with self.store.write() as database:
            self._check(database)
            database.ask("DELETE FROM staged; DELETE FROM staged_contents")
            self._end(database)
        self.free_room()

    def _end(self, database: Database) -> None:
        for name in ("stage_model", "stage_dimension"):
            set_meta(database, name, None)

    def _check(self, database: Database, dimension: int = 0) -> None:
        staged = get_meta(database, "stage_model")
        held = get_meta(database, "stage_dimension")
        check_staged(self.model_id, staged or "", dimension, held or 0)


def _staged_slots(database: Database, number: int) -> NDArray[np.int64]:
    """Return the slots of a chunk that have a vector of the new model."""
    if not is_staged(database, number):
        return np.zeros(0, np.int64)
    with ChunkReader(database, number, "staged_contents") as reader:
        return reader.slots()


def _write(database: Database, number: int, slots: NDArray[np.int64], vectors: HalfArray) -> None:
    """Add staged vectors for some slots of a chunk."""
    if is_staged(database, number):
        staged = read_chunk(database, number, staged=True)
        slots = np.concatenate([staged.slots, slots])
        vectors = np.concatenate([staged.vectors, vectors])
    order = np.argsort(slots)
    batch = read_chunk(database, number)
    rows = np.searchsorted(batch.slots, slots[order]).tolist()
    write_staged(database, number, replace(batch.take(rows), vectors=vectors[order]))
