"""Vectors of another network beside those of the gallery, until they replace them.

A chunk has its staged twin in a table of its own, with those rows that were embedded anew. The
switch is one transaction that gives the tables each other's names.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import apsw
import numpy as np

from passerby.city.gallery.chunks import SLOT_BITS, Chunk, read_table
from passerby.city.gallery.memory import open_blob
from passerby.city.gallery.records import FIELDS, sighting, unit_half
from passerby.city.gallery.store import Store, forget_meta, get_meta, set_meta
from passerby.city.gallery.writing import known_places, read_chunk, write_staged
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
            if database.execute("SELECT 1 FROM chunks LIMIT 1").fetchone() is None:
                raise InputError("the gallery is empty; add sightings by the new model at once")
            if get_meta(database, "model") == self.model_id:
                raise InputError(
                    f"the gallery's vectors are of the model '{self.model_id}' already"
                )
            set_meta(database, "stage_model", self.model_id)

    def missing(self, limit: int) -> list[Sighting]:
        """The next sightings without a vector of the new model; empty when all have one."""
        with self.store.read() as database:
            self._check(database)
            places = self._missing(database, limit)
            model = get_meta(database, "model")
            rows = database.execute(
                f"SELECT {', '.join(FIELDS)} FROM sightings WHERE place IN "
                "(SELECT value FROM json_each(?)) ORDER BY place", (json.dumps(places),)
            )
            return [sighting(row, model) for row in rows]

    def _missing(self, database: apsw.Connection, limit: int) -> list[int]:
        """Places of the next rows that are not staged, ascending."""
        found: list[int] = []
        for number, done in database.execute(
            "SELECT chunk, coalesce(s.rows, 0) FROM chunks c LEFT JOIN staged s USING (chunk) "
            "WHERE coalesce(s.rows, 0) < c.rows ORDER BY chunk"
        ):
            if len(found) >= limit:
                break
            with open_blob(database, number) as blob:
                slots = read_table(blob)[0]["slot"]
            if done:
                with open_blob(database, number, staged=True) as blob:
                    slots = slots[~np.isin(slots, read_table(blob)[0]["slot"])]
            found += [number << SLOT_BITS | slot for slot in slots.tolist()]
        return found[:limit]

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Raises:
            InputError: another order; vectors zero, not finite, or of another dimension than
                those already put; the stage was dropped or switched.
        """
        half = unit_half(np.atleast_2d(vectors), ids)
        with self.store.write() as database:
            self._check(database, half.shape[1])
            set_meta(database, "stage_dimension", half.shape[1])
            known = known_places(database, ids)
            places = {known[name]: row for row, name in enumerate(ids) if name in known}
            wanted = self._missing(database, len(places))
            fresh = [place for place in places if place in set(wanted)]
            if fresh != wanted[: len(fresh)] or not self._staged(database, places, fresh):
                raise InputError(
                    "put the new vectors in the order in which their sightings are missing"
                )
            for number, some in _by_chunk(fresh):
                self._write(database, number, some, half[[places[place] for place in some]])
            return len(places)

    def _staged(
        self, database: apsw.Connection, places: dict[int, int], fresh: Sequence[int]
    ) -> bool:
        """Whether all other places are staged already."""
        rest = sorted(set(places) - set(fresh))
        for number, some in _by_chunk(rest):
            row = database.execute("SELECT 1 FROM staged WHERE chunk = ?", (number,)).fetchone()
            if row is None:
                return False
            with open_blob(database, number, staged=True) as blob:
                slots = read_table(blob)[0]["slot"]
            if not np.isin([place & ((1 << SLOT_BITS) - 1) for place in some], slots).all():
                return False
        return True

    def _write(
        self,
        database: apsw.Connection,
        number: int,
        places: Sequence[int],
        vectors: FloatArray,
    ) -> None:
        """Add rows to the staged twin of a chunk."""
        old = read_chunk(database, number)
        slots = np.array(places) & ((1 << SLOT_BITS) - 1)
        rows = np.flatnonzero(np.isin(old.table["slot"], slots))
        if database.execute("SELECT 1 FROM staged WHERE chunk = ?", (number,)).fetchone():
            staged = read_chunk(database, number, staged=True)
            rows = np.concatenate(
                [np.flatnonzero(np.isin(old.table["slot"], staged.table["slot"])), rows]
            )
            vectors = np.concatenate([staged.vectors, vectors])
        order = np.argsort(rows)
        chunk = Chunk(old.table, old.names, old.codes, old.vectors).take(rows[order])
        write_staged(database, number, chunk.with_vectors(vectors[order]))

    def switch(self) -> bool:
        """Make the new vectors the gallery's, all at once; False when some are still missing."""
        with self.store.write() as database:
            self._check(database)
            if self._missing(database, 1):
                return False
            database.execute(
                "DROP TABLE outdated;"
                "ALTER TABLE contents RENAME TO outdated;"
                "ALTER TABLE staged_contents RENAME TO contents;"
                "CREATE TABLE staged_contents (chunk INTEGER PRIMARY KEY, data BLOB NOT NULL);"
                "UPDATE chunks SET crc = (SELECT crc FROM staged s WHERE s.chunk = chunks.chunk);"
                "DELETE FROM staged;"
            )
            database.execute("UPDATE chunks SET version = ?", (get_meta(database, "commit"),))
            set_meta(database, "model", self.model_id)
            set_meta(database, "dimension", get_meta(database, "stage_dimension"))
            forget_meta(database, ["stage_model", "stage_dimension"])
        self.settle()
        return True

    def drop(self) -> None:
        """Give up; the new vectors are deleted."""
        with self.store.write() as database:
            self._check(database)
            database.execute("DELETE FROM staged; DELETE FROM staged_contents")
            forget_meta(database, ["stage_model", "stage_dimension"])
        self.settle()

    def _check(self, database: apsw.Connection, dimension: int | None = None) -> None:
        if get_meta(database, "stage_model") != self.model_id:
            raise InputError(
                f"the gallery is not being embedded anew with '{self.model_id}' any more"
            )
        known = get_meta(database, "stage_dimension")
        if dimension is not None and known is not None and dimension != known:
            raise InputError(
                f"the new vectors have {known} dimensions, these {dimension}; use one model"
            )


def _by_chunk(places: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Ascending places by the chunk they are in."""
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(place >> SLOT_BITS, []).append(place)
    yield from groups.items()
