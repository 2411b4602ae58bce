"""A gallery on a Milvus server: for more sightings than one machine holds.

The name in the address is an *alias* of one collection. Another model's vectors are staged in a
second collection, to which the alias moves in one step. The collection is partitioned by district
and searched exactly: its index is FLAT, and its candidates are rescored by the float64 sum of the
embedded gallery. A write is acknowledged when Milvus has it in its write-ahead log.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery import milvus_rows, port
from passerby.city.gallery.milvus_link import GoneError, Link, MilvusAddress
from passerby.city.gallery.milvus_rows import ANY, FACTS, Collection, Row, chunks, listed, sighting
from passerby.city.gallery.milvus_stage import MilvusStage
from passerby.city.gallery.port import AwayError, Coverage, Gallery, Health, Hits, Stats
from passerby.city.gallery.records import Batch, checksum
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError
from passerby.retrieval.screening import cosine_distances

EVERYWHERE = Scope()
MORE = 16  # candidates beyond k, to see that no equal distance was cut off
ENOUGH = 1000  # sightings that are read rather than counted
COMPACTION_SECONDS = 3600


class MilvusGallery(Gallery):
    """A :class:`~passerby.city.gallery.port.Gallery` on a server; see the module's text."""

    def __init__(self, address: MilvusAddress | str) -> None:
        """Connect to the server; the first sighting makes the collection.

        Raises:
            AwayError: nobody answers at the address.
            MissingExtraError: pymilvus is not installed.
        """
        self.address = MilvusAddress.parse(address) if isinstance(address, str) else address
        self.link = Link(self.address)

    def collection(self) -> Collection:
        """Return the gallery's collection, as the server describes it now."""
        return Collection.of(self.link)

    @property
    def model_id(self) -> str | None:
        here = self.collection()
        return here.model if here.dimension else None

    @property
    def dimension(self) -> int | None:
        return self.collection().dimension or None

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = EVERYWHERE, *, model: str | None = None
    ) -> list[Hits]:
        """Find the k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the vector at half precision; equal distances in order of id.

        Raises:
            InputError: vectors of another dimension or model than the stored; k above 16,384.
        """
        if not 1 <= k <= milvus_rows.MOST:
            raise InputError(
                f"k is {k}; ask for at least one sighting and at most {milvus_rows.MOST}"
            )
        queries = port.unit_queries(vectors)
        here = self.collection()
        if not here.dimension:
            return [port.NO_HITS] * len(queries)
        port.check_model(model, queries.shape[1], (here.model, here.dimension))
        try:
            return _search(here, queries, k, scope, min(k + MORE, milvus_rows.MOST))
        except GoneError:  # the model was switched between the two requests
            return self.search(vectors, k, scope, model=model)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        here, found = self._of_ids(ids, FACTS)
        return [sighting(row, here.model) for row in found]

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        here, found = self._of_ids(ids, ["id", "vector"], model)
        rows = [row["vector"] for row in found]
        return np.array(rows, np.float32).reshape(len(ids), here.dimension)

    def _of_ids(
        self, ids: Sequence[str], fields: list[str], model: str | None = None
    ) -> tuple[Collection, list[Row]]:
        """Return rows in the order of ``ids``, and the collection that holds them."""
        here = self.collection()
        if here.dimension:
            port.check_model(model, None, (here.model, here.dimension))
        found = here.by_id(ids, fields)
        unknown = [name for name in ids if name not in found]
        if unknown and self.collection().name != here.name:  # the model was switched
            return self._of_ids(ids, fields, model)
        if unknown:
            raise port.UnknownSightingError(f"there is no sighting '{unknown[0]}' in this gallery")
        return here, [found[name] for name in ids]

    def latest(self, limit: int, scope: Scope = EVERYWHERE) -> list[Sighting]:
        here = self.collection()
        total = here.count(here.where(scope))
        wanted = min(limit, total)
        if wanted < 1:
            return []
        start = here.since(scope, wanted, total, enough=max(2 * limit, ENOUGH))
        where = here.where(changed(scope, start=start))
        if here.count(where) < wanted:  # a replica that lags behind answered in between
            where = here.where(scope)
        found = [sighting(row, here.model) for row in here.read(where, FACTS)]
        return sorted(found, key=lambda one: (-one.time, one.id))[:limit]

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        here = self.collection()
        found = [sighting(row, here.model) for row in here.read_any("tracklet", names, FACTS)]
        groups: dict[str, list[Sighting]] = {}
        for one in sorted(found, key=lambda one: (one.time, one.id)):
            groups.setdefault(one.tracklet, []).append(one)
        return groups

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        found = self.collection().at("Strong").read_any("crop", crops, ["id", "crop"])
        return {row["crop"] for row in found}

    def count(self, scope: Scope = EVERYWHERE) -> int:
        here = self.collection()
        return here.count(here.where(scope))

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        """Return, for each camera with sightings in the scope, how many, the first and the last.

        Milvus does not group: camera and time of every sighting in the scope come over the network.
        """
        here = self.collection()
        seen: dict[str, tuple[int, int, int]] = {}
        for row in here.read(here.where(scope), ["id", "camera", "time"]):
            moment = int(row["time"])
            count, first, last = seen.get(row["camera"], (0, moment, moment))
            seen[row["camera"]] = (count + 1, min(first, moment), max(last, moment))
        return [
            Coverage(camera=name, sightings=count, first=first, last=last)
            for name, (count, first, last) in sorted(seen.items())
        ]

    def stats(self) -> Stats:
        """Return size and content; ``bytes`` are those of the vectors alone."""
        here = self.collection()
        total = here.count("")
        return Stats(
            sightings=total,
            bytes=max(here.total(), total) * 4 * here.dimension,
            first=here.since(EVERYWHERE, total, total) if total else None,
            last=here.since(EVERYWHERE, 1, total) if total else None,
            model_id=here.model if here.dimension else None,
            dimension=here.dimension or None,
        )

    def health(self) -> Health:
        """Report whether the server answers and all replicas of the collection are in memory."""
        problems = []
        try:
            here = self.collection()
            if here.dimension:
                state = here.ask("get_load_state")["state"]
                if getattr(state, "name", str(state)) != "Loaded":
                    problems.append(f"the collection '{here.name}' is {state}; load it")
                replicas, wanted = len(here.ask("describe_replica")), self.address.replicas
                if replicas < wanted:
                    problems.append(
                        f"{replicas} of {wanted} replicas are in memory; look for a query node "
                        "that is away"
                    )
            here.count(f"time < {-milvus_rows.FAR}")
        except port.StoreError as fault:
            return Health(readable=False, writable=False, problems=(*problems, str(fault)))
        return Health(readable=True, writable=True, problems=tuple(problems))

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; in Milvus' log when it returns.

        An id that is already stored is left as it is, or replaced when ``replace`` is set. Each
        request is stored as a whole; when one fails, add the same sightings again. When two
        processes add the same id at the same time, the later sighting is stored.

        Raises:
            InputError: another model or dimension, a vector missing, zero or not finite.
            AwayError: the server did not acknowledge within its patience.
        """
        batch = Batch.of(sightings)
        new: set[str] = set()

        def attempt(here: Collection) -> str:
            port.check_model(batch.model, batch.dimension, (here.model, here.dimension))
            known = here.by_id(batch.ids, ["id"])
            here.put(batch if replace else batch.without(known))
            new.update(set(batch.ids) - set(known))
            return f"id in {listed(known)}" if replace and known else ""

        if len(batch):
            self._write(attempt, batch)
        return len(new)

    def delete(self, what: Scope | Sequence[str]) -> int:
        if isinstance(what, Scope):
            return self._delete(milvus_rows.expression(what, 0) or ANY)
        parts = chunks(list(dict.fromkeys(what)), milvus_rows.IDS)
        return sum(self._delete(f"id in {listed(part)}") for part in parts)

    def _delete(self, where: str) -> int:
        gone: list[int] = []

        def attempt(here: Collection) -> str:
            gone.append(here.at("Strong").count(where))
            if gone[-1]:
                here.remove(where)
            return where

        self._write(attempt)
        return sum(gone)

    def drop_before(self, time: int) -> int:
        return self.delete(Scope(end=time))

    def _write(self, attempt: Callable[[Collection], str], batch: Batch | None = None) -> None:
        """Repeat a write until it may be acknowledged; wait while the model is being switched.

        ``attempt`` writes to a collection and returns an expression for the rows that must be
        deleted from the staged collection too. ``batch`` makes the collection when there is none.
        """
        while True:
            end = time.monotonic() + self.address.patience + milvus_rows.LEASE_MS / 1000
            while (here := self.collection()).closing:
                if time.monotonic() > end:
                    raise AwayError(
                        "the gallery is being switched to another model; try again later"
                    )
                time.sleep(0.05)
            with suppress(GoneError):  # dropped meanwhile, as it was empty: make it anew
                if batch and not here.dimension:
                    here = Collection.create(self.link, batch.model, batch.dimension)
                removed, now = attempt(here), self.collection()
                if now.name == here.name and now.stage and removed:
                    now.staged.remove(removed)
                if now.name == here.name and not now.closing:
                    return

    def compact(self) -> int:
        """Make Milvus write its segments without the deleted rows; return the bytes freed.

        A gallery without sightings is dropped, so that the next may be of any model. Milvus deletes
        the old files when it collects its garbage (``dataCoord.gc``).
        """
        here = self.collection().at("Strong")
        before = here.total()
        if not here.dimension:
            return 0
        if not here.stage and here.count("") == 0:
            with here.closed() as still:
                if here.count("") == 0 and still():
                    self.drop()
                    return before * 4 * here.dimension
        here.ask("flush")
        job = self.link.ask("compact", here.name)
        end = time.monotonic() + COMPACTION_SECONDS
        while self.link.ask("get_compaction_state", job) != "Completed":
            if time.monotonic() > end:
                raise AwayError(
                    "Milvus is still compacting; it goes on by itself, look again later"
                )
            time.sleep(0.2)
        return max(before - here.total(), 0) * 4 * here.dimension

    def snapshot(self, folder: Path | str) -> None:
        """Copy everything into an embedded gallery in a new or empty folder, or raise InputError.

        The copy holds what was there before and stays; it may hold what is added meanwhile.
        """
        from passerby.city.copying import copy
        from passerby.city.gallery.embedded import EmbeddedGallery

        port.check_empty(Path(folder))
        target = EmbeddedGallery(folder)
        try:
            copy(self, target)
        finally:
            target.close()

    def stage(self, model: str) -> MilvusStage:
        return MilvusStage(self.link, model)

    def verify(self) -> list[str]:
        here = self.collection()
        return [
            f"sighting '{row['id']}' of the collection '{here.name}' does not match its checksum; "
            "delete it and add it again from a backup"
            for row in here.read("", [*FACTS, "checksum", "vector"])
            if checksum(sighting(row, here.model), np.array(row["vector"], "<f2"))
            != row["checksum"]
        ]

    def drop(self) -> None:
        """Delete the whole gallery from the server: its alias and every collection of it."""
        if self.collection().dimension:
            self.link.ask("drop_alias", self.address.name)
        for name in Collection.names(self.link):
            self.link.ask("drop_collection", name)

    def close(self) -> None:
        self.link.client.close()


def rescored(answer: list[Row], query: NDArray[np.float64], k: int, limit: int) -> Hits | None:
    """Return the k nearest of the server's candidates, or None when one of them may be missing.

    The server's sums are rounded. A row outside its answer can be nearer than the last one in it,
    by the rounding of two sums over D products (products and lengths in float32).
    """
    matrix = np.array([one["entity"]["vector"] for one in answer], np.float16)
    distances = cosine_distances(matrix.reshape(len(answer), len(query)), query)
    hits = Hits.of([one["id"] for one in answer], distances, k)
    slack = (2 * len(query) + 16) * 2.0**-24
    complete = len(answer) < limit
    if complete or float(hits.distances[-1]) < 1 - float(answer[-1]["distance"]) - slack:
        return hits
    return None


def _search(
    here: Collection, queries: NDArray[np.float64], k: int, scope: Scope, limit: int
) -> list[Hits]:
    """Search with ``limit`` candidates of Milvus, or more until :func:`rescored` accepts them."""
    hits: list[Hits] = []
    together = max(1, milvus_rows.ANSWER_BYTES // (limit * here.dimension * 4))
    for start in range(0, len(queries), together):
        part = queries[start : start + together]
        answers = here.ask(
            "search",
            data=part.astype(np.float32).tolist(),
            anns_field="vector",
            filter=here.where(scope),
            limit=limit,
            output_fields=["id", "vector"],
            search_params={"metric_type": "COSINE"},
            consistency_level=here.level,
        )
        checked = [rescored(list(a), q, k, limit) for a, q in zip(answers, part, strict=True)]
        sure = [one for one in checked if one is not None]
        if len(sure) < len(part):
            if limit == milvus_rows.MOST:
                raise InputError(
                    f"more than {limit} sightings are equally near to the query; narrow the scope"
                )
            sure = _search(here, part, k, scope, min(4 * limit, milvus_rows.MOST))
        hits += sure
    return hits
