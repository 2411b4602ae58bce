"""A gallery on a Milvus server: for more sightings than one machine holds.

A gallery is an *alias*, the name in its address, of one collection; another model's vectors are
staged in a second collection, to which the alias moves at once. The collection is partitioned by
district and searched exactly: its index is FLAT, and the float64 sum of the embedded gallery
decides among what it proposes. A write is acknowledged when Milvus has it in its write-ahead log.
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
from passerby.city.gallery.port import AwayError, Coverage, Gallery, Health, Hits, Stats, StoreError
from passerby.city.gallery.records import Batch, check_model, checksum, unit_queries
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError
from passerby.retrieval.screening import cosine_distances
from passerby.times import day_of

EVERYWHERE = Scope()
MORE = 16  # asked for beyond k, to see that no tie was cut
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
        """The gallery's collection, as the server describes it now."""
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
        """The k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the vector at half precision; ties in order of id.

        Raises:
            InputError: vectors of another dimension or model than the stored; k above 16,384.
        """
        if not 1 <= k <= milvus_rows.MOST:
            raise InputError(
                f"k is {k}; ask for at least one sighting and at most {milvus_rows.MOST}"
            )
        queries = unit_queries(vectors)
        here = self.collection()
        if not here.dimension:
            return [Hits(ids=(), distances=np.zeros(0, np.float32)) for _ in queries]
        check_model(model, queries.shape[1], (here.model, here.dimension))
        try:
            return _search(here, queries, k, scope, min(k + MORE, milvus_rows.MOST))
        except GoneError:  # another model took over between the two questions
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
        """Rows in the order asked, and the collection that holds them."""
        here = self.collection()
        if here.dimension:
            check_model(model, None, (here.model, here.dimension))
        found = here.by_id(ids, fields)
        unknown = [name for name in ids if name not in found]
        if unknown and self.collection().name != here.name:  # another model took over
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
        if here.count(where) < wanted:  # a replica that lags behind was asked in between
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
        """Per camera with sightings in the scope: how many, the first and the last.

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
        """Size and state; ``bytes`` are those of the vectors, once, without Milvus' own files."""
        here = self.collection()
        total = here.count("")
        first, last, days = None, None, 0
        if total > milvus_rows.MOST:  # counting costs less than reading
            first, last = (here.since(EVERYWHERE, n, total) for n in (total, 1))
            days = here.days(day_of(first), day_of(last) + 1, total)
        elif times := [int(row["time"]) for row in here.read("", ["id", "time"])]:
            first, last = min(times), max(times)
            days = len(set(map(day_of, times)))
        dead = max(here.total() - total, 0)
        return Stats(
            sightings=total,
            dead=dead,
            days=days,
            bytes=(total + dead) * 4 * here.dimension,
            first=first,
            last=last,
            model_id=here.model if here.dimension else None,
            dimension=here.dimension or None,
        )

    def health(self) -> Health:
        """Whether the server answers and the collection is in memory as often as wanted."""
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
        except StoreError as fault:
            return Health(readable=False, writable=False, problems=(*problems, str(fault)))
        return Health(readable=True, writable=True, problems=tuple(problems))

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; in Milvus' log when it returns.

        An id that is already there is left as it is, or replaced when ``replace`` is set. Each
        request is stored as a whole; when one fails, add the same sightings again. When two
        processes add the same id at the same time, the later facts stay.

        Raises:
            InputError: another model or dimension, a vector missing, zero or not finite.
            AwayError: the server did not acknowledge within its patience.
        """
        batch = Batch.of(sightings)
        new: set[str] = set()

        def attempt(here: Collection) -> str:
            check_model(batch.model, batch.dimension, (here.model, here.dimension))
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
        """Repeat a write until it may be acknowledged; wait while another model takes over.

        ``attempt`` writes to a collection and returns an expression of what is to be deleted from
        the staged collection too. ``batch`` makes the collection when there is none.
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
        """Have Milvus write its segments without the deleted rows; returns bytes freed.

        A gallery without sightings is dropped, so that the next may be of any model. Files of
        before the rewriting go when Milvus collects its garbage (``dataCoord.gc``).
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

        What is added meanwhile may be in it or not; what was there and stays is.
        """
        from passerby.city.copying import copy
        from passerby.city.gallery.embedded import EmbeddedGallery

        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"the folder {folder} is not empty; name a new one for the snapshot")
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


def settled(answer: list[Row], query: NDArray[np.float64], k: int, asked: int) -> Hits | None:
    """The k nearest of what the server proposed, or None when it may have cut one of them off.

    The server's sums are rounded; a row it did not name can be nearer than its last one by the
    rounding of two sums over D products (products and lengths in float32).
    """
    matrix = np.array([one["entity"]["vector"] for one in answer], np.float16)
    distances = cosine_distances(matrix.reshape(len(answer), len(query)), query)
    pairs = sorted(zip(distances.tolist(), (one["id"] for one in answer), strict=True))
    if len(answer) >= asked:
        slack = (2 * len(query) + 16) * 2.0**-24
        if pairs[min(k, len(pairs)) - 1][0] >= 1 - float(answer[-1]["distance"]) - slack:
            return None
    return Hits(
        ids=tuple(name for _, name in pairs[:k]),
        distances=np.array([distance for distance, _ in pairs[:k]], np.float32),
    )


def _search(
    here: Collection, queries: NDArray[np.float64], k: int, scope: Scope, asked: int
) -> list[Hits]:
    """The nearest of ``asked`` proposals of Milvus, of more until :func:`settled` accepts them."""
    hits: list[Hits] = []
    together = max(1, milvus_rows.ANSWER_BYTES // (asked * here.dimension * 4))
    for start in range(0, len(queries), together):
        part = queries[start : start + together]
        answers = here.ask(
            "search",
            data=part.astype(np.float32).tolist(),
            anns_field="vector",
            filter=here.where(scope),
            limit=asked,
            output_fields=["id", "vector"],
            search_params={"metric_type": "COSINE"},
            consistency_level=here.level,
        )
        checked = [settled(list(a), q, k, asked) for a, q in zip(answers, part, strict=True)]
        sure = [one for one in checked if one is not None]
        if len(sure) < len(part):
            if asked == milvus_rows.MOST:
                raise InputError(
                    f"more than {asked} sightings are equally near to the query; narrow the scope"
                )
            sure = _search(here, part, k, scope, min(4 * asked, milvus_rows.MOST))
        hits += sure
    return hits
