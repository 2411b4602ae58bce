"""Another model's vectors in a second collection on the server, until the alias moves to it.

Every process repeats its deletes and replacements in the staged collection: it learns of the stage
from the properties of the gallery's collection. See
:meth:`~passerby.city.gallery.milvus_rows.Collection.closed` for the moment of the switch.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import numpy as np

from passerby.city.gallery.milvus_link import GoneError, Link
from passerby.city.gallery.milvus_rows import (
    FACTS,
    STAGE,
    Collection,
    chunks,
    collections,
    describe,
    listed,
    make,
    rows,
    sighting,
)
from passerby.city.gallery.records import Batch, unit_half
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError

AT_ONCE = 1000


class MilvusStage:
    """A :class:`~passerby.city.gallery.port.Stage` on the server; see the module's text."""

    def __init__(self, link: Link, model: str) -> None:
        """Begin to stage a model, or go on with it; errors as in ``Gallery.stage``."""
        self.model_id = model
        self._link = link
        self._held: list[str] = []  # missing until they are put
        self._ids: Iterator[str] = iter(())  # not looked at yet
        here = describe(link, link.address.name)
        if here.count("", level="Strong") == 0:
            raise InputError("the gallery is empty; add sightings by the new model at once")
        if here.model == model:
            raise InputError(f"the gallery's vectors are of the model '{model}' already")
        if here.stage not in ("", model):
            raise InputError(
                f"the gallery is being embedded anew with '{here.stage}'; finish or drop that first"
            )
        if not here.stage:
            for name in collections(link):  # left by a switch or a drop that was cut short
                if name != here.name:
                    link.ask("drop_collection", name)
            here.mark(STAGE, model)

    def missing(self, limit: int) -> list[Sighting]:
        """The next sightings without a vector of the new model; empty when all have one."""
        found = self._next(limit)
        if len(found) < limit:  # the end of the list; what came in since may lie anywhere
            pages = self._pair()[0].pages("", ["id", "time"])
            self._held, self._ids = [], (name for page in pages for name in _by_time(page))
            found = self._next(limit)
        return found

    def _next(self, limit: int) -> list[Sighting]:
        here, new = self._pair()
        held, kept = self._held, []
        while len(kept) < limit and (part := held[:AT_ONCE] or list(islice(self._ids, AT_ONCE))):
            held = held[AT_ONCE:]
            living, staged = _rows(here, part), _rows(new, part, ["id"])
            wanted = [name for name in part if name in living and name not in staged]
            kept += [sighting(living[name], here.model) for name in wanted]
        self._held = [*(one.id for one in kept), *held]
        return kept[:limit]

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Raises:
            InputError: another order; vectors zero, not finite, or of another dimension than
                those already put; the stage was dropped or switched.
        """
        here, new = self._pair()
        half = unit_half(np.atleast_2d(np.asarray(vectors, np.float32)), ids)
        if new.name and new.dimension != half.shape[1]:
            raise InputError(
                f"the new vectors have {new.dimension} dimensions, these {half.shape[1]}; "
                "use one model"
            )
        facts = [*FACTS, "checksum"]
        living, staged = _rows(here, ids, facts), _rows(new, ids, ["id"])
        fresh = [name for name in ids if name in living and name not in staged]
        if fresh != [one.id for one in self.missing(len(fresh))]:
            raise InputError(
                "put the new vectors in the order in which their sightings are missing"
            )
        if not new.name:
            new = make(self._link, here.staged, self.model_id, half.shape[1])
        keep = [i for i, name in enumerate(ids) if name in living]
        new.put(Batch([sighting(living[ids[i]], self.model_id) for i in keep], half[keep]))
        # take back what was deleted or replaced in the gallery meanwhile
        now = _rows(here, list(living), facts)
        new.remove_ids([name for name, row in living.items() if now.get(name) != row])
        return len(keep)

    def switch(self) -> bool:
        """Make the new vectors the gallery's, all at once; False when some are still missing."""
        here, new = self._pair()
        if self.missing(1) or not new.name:
            return False
        with here.closed() as still:
            same = here.count("", level="Strong") == new.count("", level="Strong")
            if same and still():
                self._link.ask("alter_alias", new.name, self._link.address.name)
                here.ask("drop_collection")
                return True
        # delete what the gallery has no more: a process died while it deleted in both
        for page in new.pages("", ["id"]):
            for part in chunks([row["id"] for row in page], AT_ONCE):
                living = _rows(here, part, ["id"])
                new.remove_ids([name for name in part if name not in living])
        return False

    def drop(self) -> None:
        """Give up; the new vectors are deleted."""
        here, _ = self._pair()
        here.mark(STAGE, "")
        with suppress(GoneError):
            self._link.ask("drop_collection", here.staged)

    def _pair(self) -> tuple[Collection, Collection]:
        """The gallery's collection and the staged one, which the first put makes."""
        here = describe(self._link, self._link.address.name)
        if here.stage != self.model_id:
            raise InputError(
                f"the gallery is not being embedded anew with '{self.model_id}' any more"
            )
        return here, describe(self._link, here.staged)


def _rows(
    collection: Collection, ids: Sequence[str], fields: list[str] = FACTS
) -> dict[str, dict[str, Any]]:
    """Rows by id, as they are now; none of a collection that was just dropped."""
    with suppress(GoneError):
        found = collection.read_any("id", ids, fields, level="Strong")
        return {row["id"]: row for row in found}
    return {}


def _by_time(page: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in sorted(page, key=lambda row: (row["time"], row["id"]))]
