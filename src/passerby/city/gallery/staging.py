"""Vectors of another network beside those of the gallery, until they replace them.

A chunk has its staged twin in a table of its own, with those rows that were embedded anew. The
switch is one transaction that gives the tables each other's names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.chunks import SLOT_BITS, ChunkReader
from passerby.city.gallery.records import HalfArray, sighting, unit_half
from passerby.city.gallery.store import Database, Store, get_meta, set_meta
from passerby.city.gallery.writing import (
    by_chunk,
    find,
    forget_model,
    is_staged,
    read_chunk,
    records_at,
    write_staged,
)
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError


@dataclass(frozen=True, slots=True)
class EmbeddedStage:
    """A :class:`~passerby.city.gallery.port.Stage` of the embedded gallery.

    Attributes:
        model_id: the new model.
        store: of the gallery.
        settle: gives free room back.
    """

    model_id: str
    store: Store
    settle: Callable[[], object]

    def begin(self) -> None:
        """Take note of the model, or go on with it.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """
        with self.store.write() as database:
            staged = get_meta(database, "stage_model")
            if staged == self.model_id:
                return
            if staged is not None:
                raise InputError(
                    f"the gallery is being embedded anew with '{staged}'; finish or drop that first"
                )
            if not database.ask("SELECT 1 FROM chunks LIMIT 1"):
                raise InputError("the gallery is empty; add sightings by the new model at once")
            if get_meta(database, "model") == self.model_id:
                raise InputError(
                    f"the gallery's vectors are of the model '{self.model_id}' already"
                )
            set_meta(database, "stage_model", self.model_id)

    def missing(self, limit: int) -> list[Sighting]:
        with self.store.read() as database:
            self._check(database)
            places = self._missing(database, limit)
            model = get_meta(database, "model")
            return [sighting(values, model) for _, values in records_at(database, places)]

    def _missing(self, database: Database, limit: int) -> list[int]:
        """Places of the next rows that are not staged, ascending."""
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
            fresh = sorted(set(places) & set(wanted))
            old = sorted(set(places) - set(fresh))
            in_order = [place for place in places if place in set(fresh)] == wanted[: len(fresh)]
            if not in_order or any(
                not np.isin(slots, _staged_slots(database, number)).all()
                for number, slots in by_chunk(old)
            ):
                raise InputError(
                    "put the new vectors in the order in which their sightings are missing"
                )
            for number, slots in by_chunk(fresh):
                rows = [places[number << SLOT_BITS | slot] for slot in slots]
                _write(database, number, slots, half[rows])
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
            set_meta(database, "stage_model", None)
            set_meta(database, "stage_dimension", None)
        self.settle()
        return True

    def drop(self) -> None:
        with self.store.write() as database:
            self._check(database)
            database.ask("DELETE FROM staged; DELETE FROM staged_contents")
            set_meta(database, "stage_model", None)
            set_meta(database, "stage_dimension", None)
        self.settle()

    def _check(self, database: Database, dimension: int | None = None) -> None:
        if get_meta(database, "stage_model") != self.model_id:
            raise InputError(
                f"the gallery is not being embedded anew with '{self.model_id}' any more"
            )
        known = get_meta(database, "stage_dimension")
        if dimension is not None and known is not None and dimension != known:
            raise InputError(
                f"the new vectors have {known} dimensions, these {dimension}; use one model"
            )


def _staged_slots(database: Database, number: int) -> NDArray[np.int64]:
    """Slots of a chunk that have a vector of the new model."""
    if not is_staged(database, number):
        return np.zeros(0, np.int64)
    with ChunkReader(database, number, "staged_contents") as reader:
        return reader.slots()


def _write(database: Database, number: int, slots: Sequence[int], vectors: HalfArray) -> None:
    """Add rows to the staged twin of a chunk."""
    all_slots = np.array(slots)
    if is_staged(database, number):
        staged = read_chunk(database, number, staged=True)
        all_slots = np.concatenate([staged.table["slot"], all_slots])
        vectors = np.concatenate([staged.vectors, vectors])
    order = np.argsort(all_slots)
    old = read_chunk(database, number)
    rows = np.searchsorted(old.table["slot"], all_slots[order])
    write_staged(database, number, old.take(rows).with_vectors(vectors[order]))
