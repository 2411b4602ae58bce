"""Another model's vectors in a second collection on the server, until the alias moves to it.

Deletes and replacements of the gallery are done in the staged collection too, by every process: it
learns of the stage from the collection's properties. See
:func:`~passerby.city.gallery.milvus_collection.closed` for the moment of the switch.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from passerby.city.gallery.batch import Batch, unit_half
from passerby.city.gallery.milvus_collection import (
    Spec,
    closed,
    collections,
    describe,
    make,
    mark,
    remove,
)
from passerby.city.gallery.milvus_link import GoneError
from passerby.city.gallery.milvus_reading import Reader
from passerby.city.gallery.milvus_rows import ANY, FACTS, chunks, listed, rows, sighting
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError

AT_ONCE = 1000


def begin(reader: Reader, model: str) -> "MilvusStage":
    """Begin to stage a model, or go on with it.

    Raises:
        InputError: an empty gallery, its own model, or another model is being staged.
    """
    spec = reader.spec()
    if spec is None or reader.counted(spec, "", level="Strong") == 0:
        raise InputError("the gallery is empty; add sightings by the new model at once")
    if spec.model == model:
        raise InputError(f"the gallery's vectors are of the model '{model}' already")
    if spec.stage not in ("", model):
        raise InputError(
            f"the gallery is being embedded anew with '{spec.stage}'; finish or drop that first"
        )
    if not spec.stage:
        for name in collections(reader.link):  # left by a switch or a drop that was cut short
            if name != spec.collection:
                reader.link.ask("drop_collection", name)
        mark(reader.link, spec.collection, stage=model)
    return MilvusStage(reader, model)


class MilvusStage:
    """A :class:`~passerby.city.gallery.port.Stage` on the server; see the module's text."""

    def __init__(self, reader: Reader, model: str) -> None:
        """Use :func:`begin`."""
        self._reader = reader
        self._model = model
        self._queue: list[str] = []
        self._pages: Iterator[list[str]] = iter(())

    @property
    def model_id(self) -> str:
        """The new model."""
        return self._model

    def missing(self, limit: int) -> list[Sighting]:
        """The next sightings without a vector of the new model; empty when all have one."""
        spec = self._spec()
        found = self._next(spec, limit)
        if len(found) < limit:  # the end of the list; what came in since may lie anywhere
            self._queue, self._pages = [], self._scan(spec)
            found = self._next(spec, limit)
        return found

    def _next(self, spec: Spec, limit: int) -> list[Sighting]:
        kept: list[Sighting] = []
        while len(kept) < limit:
            if not self._queue:
                self._queue = next(self._pages, [])
                if not self._queue:
                    break
            part, self._queue = self._queue[:AT_ONCE], self._queue[AT_ONCE:]
            living = self._rows(spec.collection, spec, part)
            staged = self._rows(spec.staged, spec, part, ["id"])
            kept += [
                sighting(living[name], spec.model)
                for name in part
                if name in living and name not in staged
            ]
        self._queue[:0] = [one.id for one in kept]  # missing until they are put
        return kept[:limit]

    def _scan(self, spec: Spec) -> Iterator[list[str]]:
        for page in self._reader.pages(spec, "", ["id", "time"]):
            yield [row["id"] for row in sorted(page, key=lambda row: (row["time"], row["id"]))]

    def _rows(
        self, collection: str, spec: Spec, ids: Sequence[str], fields: list[str] = FACTS
    ) -> dict[str, dict[str, Any]]:
        """Rows by id of one of the two collections, as they are now."""
        found: dict[str, dict[str, Any]] = {}
        with suppress(GoneError):  # nothing was put yet
            for part in chunks(list(ids), AT_ONCE):
                for row in self._reader.link.ask(
                    "query",
                    collection,
                    filter=f"id in {listed(part)}",
                    output_fields=fields,
                    consistency_level="Strong",
                ):
                    found[row["id"]] = row
        return found

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Raises:
            InputError: another order; vectors zero, not finite, or of another dimension than
                those already put; the stage was dropped or switched.
        """
        spec = self._spec()
        half = unit_half(np.atleast_2d(np.asarray(vectors, np.float32)), ids)
        made = describe(self._reader.link, spec.staged)
        if made is not None and made.dimension != half.shape[1]:
            raise InputError(
                f"the new vectors have {made.dimension} dimensions, these {half.shape[1]}; "
                "use one model"
            )
        facts = [*FACTS, "checksum"]
        living = self._rows(spec.collection, spec, ids, facts)
        staged = self._rows(spec.staged, spec, ids, ["id"])
        fresh = [name for name in ids if name in living and name not in staged]
        if fresh != [one.id for one in self.missing(len(fresh))] and fresh:
            raise InputError(
                "put the new vectors in the order in which their sightings are missing"
            )
        if made is None:
            make(self._reader.link, spec.staged, self._model, half.shape[1])
        keep = [i for i, name in enumerate(ids) if name in living]
        batch = Batch([sighting(living[ids[i]], self._model) for i in keep], half[keep])
        if len(batch):
            self._reader.link.ask("upsert", spec.staged, data=rows(batch, spec.district))
        self._withdraw(spec, living, facts)
        return len(batch)

    def _withdraw(self, spec: Spec, written: dict[str, dict[str, Any]], facts: list[str]) -> None:
        """Take back what was deleted or replaced in the gallery while it was put here."""
        now = self._rows(spec.collection, spec, list(written), facts)
        changed = [name for name, row in written.items() if now.get(name) != row]
        for part in chunks(changed, AT_ONCE):
            remove(self._reader.link, spec.staged, f"id in {listed(part)}")

    def switch(self) -> bool:
        """Make the new vectors the gallery's, all at once; False when some are still missing."""
        spec = self._spec()
        if self.missing(1):
            return False
        new = describe(self._reader.link, spec.staged)
        if new is None:
            return False
        link = self._reader.link
        with closed(link, spec) as still:
            counts = {self._reader.counted(one, "", level="Strong") for one in (spec, new)}
            if len(counts) == 1 and still():
                link.ask("alter_alias", new.collection, link.address.name)
                link.ask("drop_collection", spec.collection)
                return True
        self._remove_strangers(spec, new)
        return False

    def _remove_strangers(self, spec: Spec, new: Spec) -> None:
        """Delete from the stage what the gallery has no more; a process died while it deleted."""
        for page in self._reader.pages(new, ANY, ["id"]):
            for part in chunks([row["id"] for row in page], AT_ONCE):
                living = self._rows(spec.collection, spec, part, ["id"])
                gone = [name for name in part if name not in living]
                if gone:
                    remove(self._reader.link, new.collection, f"id in {listed(gone)}")

    def drop(self) -> None:
        """Give up; the new vectors are deleted."""
        spec = self._spec()
        mark(self._reader.link, spec.collection, stage="")
        with suppress(GoneError):
            self._reader.link.ask("drop_collection", spec.staged)

    def _spec(self) -> Spec:
        spec = self._reader.spec()
        if spec is None or spec.stage != self._model:
            raise InputError(
                f"the gallery is not being embedded anew with '{self._model}' any more"
            )
        return spec
