"""Another model's vectors in a second collection on the server, until the alias moves to it.

The properties of the gallery's collection name the stage. While there is one, every process repeats
its deletes and replacements in the staged collection. See
:meth:`~passerby.city.gallery.milvus_rows.Collection.closed` for the moment of the switch.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from operator import itemgetter

import numpy as np

from passerby.city.gallery.milvus_link import GoneError, Link
from passerby.city.gallery.milvus_rows import FACTS, STAGE, Collection, chunks, sighting
from passerby.city.gallery.port import OUT_OF_ORDER, check_new_model, check_staged
from passerby.city.gallery.records import Batch, columns_of, record, unit_half
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError

AT_ONCE = 1000  # ids in one request
GRACE = 3.0  # seconds; searches that have begun in the old collection end meanwhile


class MilvusStage:
    """A :class:`~passerby.city.gallery.port.Stage` on the server; see the module's text."""

    def __init__(self, link: Link, model: str) -> None:
        """Begin to stage a model, or continue with it; errors as in ``Gallery.stage``."""
        self.model_id = model
        self._link = link
        self._held: list[str] = []  # missing until they are put
        self._ids: Iterator[str] = iter(())  # not compared yet
        here = Collection.of(link)
        empty = here.at("Strong").count("") == 0
        check_new_model(model, held=here.model, staged=here.stage, empty=empty)
        if not here.stage:
            for name in set(Collection.names(link)) - {here.name}:
                link.ask("drop_collection", name)  # left by a switch or a drop that was cut short
            here.mark(STAGE, model)

    def missing(self, limit: int) -> list[Sighting]:
        found = self._next(limit)
        if len(found) < limit:  # the end of the list; what was added since may lie anywhere
            pages = Collection.of(self._link).pages("", ["id", "time"])
            ordered = (sorted(page, key=itemgetter("time", "id")) for page in pages)
            self._held, self._ids = [], (row["id"] for page in ordered for row in page)
            found = self._next(limit)
        return found

    def _next(self, limit: int) -> list[Sighting]:
        """Return missing sightings from the ids that were listed; fewer at the end of the list."""
        here, new = self._pair()
        held, kept = self._held, list[Sighting]()
        while len(kept) < limit and (part := held[:AT_ONCE] or list(islice(self._ids, AT_ONCE))):
            held = held[AT_ONCE:]
            living, staged = here.by_id(part, FACTS), new.by_id(part, ["id"])
            wanted = [name for name in part if name in living and name not in staged]
            kept += [sighting(living[name], here.model) for name in wanted]
        self._held = [*(one.id for one in kept), *held]
        return kept[:limit]

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        here, new = self._pair()
        half = unit_half(np.atleast_2d(np.asarray(vectors, np.float32)), ids)
        check_staged(self.model_id, here.stage, half.shape[1], new.dimension)
        facts = [*FACTS, "checksum"]
        living, staged = here.by_id(ids, facts), new.by_id(ids, ["id"])
        fresh = [name for name in ids if name in living and name not in staged]
        if fresh != [one.id for one in self.missing(len(fresh))]:
            raise InputError(OUT_OF_ORDER)
        if not new.dimension:
            new = Collection.make(self._link, new.name, self.model_id, half.shape[1])
        keep = [row for row, name in enumerate(ids) if name in living]
        found = (record(sighting(living[ids[row]], self.model_id)) for row in keep)
        new.put(Batch(self.model_id, columns_of(found), half[keep]))
        # delete again what was deleted or replaced in the gallery meanwhile
        now = here.by_id(living, facts)
        new.remove_ids([name for name, row in living.items() if now.get(name) != row])
        return len(keep)

    def switch(self) -> bool:
        here, new = self._pair()
        if self.missing(1) or not new.dimension:
            return False
        with here.closed() as still:
            if here.count("") == new.count("") and still():
                self._link.ask("alter_alias", new.name, self._link.address.name)
                time.sleep(GRACE)  # a search in a collection that is being dropped is incomplete
                here.ask("drop_collection")
                return True
        # delete what is no longer in the gallery: a process died while it deleted in both
        for page in new.pages("", ["id"]):
            for part in chunks([row["id"] for row in page], AT_ONCE):
                living = here.by_id(part, ["id"])
                new.remove_ids([name for name in part if name not in living])
        return False

    def drop(self) -> None:
        here, new = self._pair()
        here.mark(STAGE, "")
        with suppress(GoneError):
            new.ask("drop_collection")

    def _pair(self) -> tuple[Collection, Collection]:
        """Return the gallery's collection and the staged one, which the first put makes."""
        here = Collection.of(self._link).at("Strong")
        check_staged(self.model_id, here.stage)
        return here, here.staged.at("Strong")
