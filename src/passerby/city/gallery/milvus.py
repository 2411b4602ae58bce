"""A gallery on a Milvus server: for more sightings than one machine holds.

A gallery is an *alias*, the name in its address, of one collection; another model's vectors are
staged in a second collection, to which the alias moves at once. The collection is partitioned by
district and searched exactly: its index is FLAT, what it proposes is decided here by the same sum
as in the embedded gallery. A write is acknowledged when Milvus has it in its write-ahead log.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from passerby.city.gallery import milvus_upkeep
from passerby.city.gallery.batch import Batch
from passerby.city.gallery.milvus_address import MilvusAddress
from passerby.city.gallery.milvus_collection import LEASE_MS, Spec, create, drop, remove
from passerby.city.gallery.milvus_link import GoneError, Link
from passerby.city.gallery.milvus_reading import IDS, MOST, Reader
from passerby.city.gallery.milvus_rows import (
    ANY,
    FACTS,
    chunks,
    expression,
    listed,
    rows,
    sighting,
)
from passerby.city.gallery.milvus_search import search, unit_rows
from passerby.city.gallery.milvus_stage import begin
from passerby.city.gallery.port import AwayError, Coverage, Health, Hits, Stage, Stats
from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError

EVERYWHERE = Scope()
WRITE_BYTES = 8 << 20  # of vectors in one request


class MilvusGallery:
    """A :class:`~passerby.city.gallery.port.Gallery` on a server; see the module's text."""

    def __init__(self, address: MilvusAddress | str) -> None:
        """Connect to the server; the collection is made by the first sighting.

        Raises:
            AwayError: nobody answers at the address.
            MissingExtraError: pymilvus is not installed.
        """
        self.address = MilvusAddress.parse(address) if isinstance(address, str) else address
        self.link = Link(self.address)
        self.reader = Reader(self.link)

    @property
    def model_id(self) -> str | None:
        """The model of the stored vectors; None while the gallery is empty."""
        spec = self.reader.spec()
        return None if spec is None else spec.model

    @property
    def dimension(self) -> int | None:
        """D of the stored vectors; None while the gallery is empty."""
        spec = self.reader.spec()
        return None if spec is None else spec.dimension

    # reading ---------------------------------------------------------------------------------

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = EVERYWHERE, *, model: str | None = None
    ) -> list[Hits]:
        """The k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the vector at half precision; ties in order of id.

        Raises:
            InputError: vectors of another dimension or model than the stored; k above 16,384.
        """
        if not 1 <= k <= MOST:
            raise InputError(f"k is {k}; ask for at least one sighting and at most {MOST}")
        queries = unit_rows(vectors)
        spec = self.reader.spec()
        if spec is None:
            return [Hits(ids=(), distances=np.zeros(0, np.float32)) for _ in queries]
        spec.check(model, queries.shape[1])
        try:
            return search(self.reader, spec, queries, k, scope)
        except GoneError:  # another model took over between the two questions
            return self.search(vectors, k, scope, model=model)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """The facts of sightings, in the order asked, without vectors.

        Raises:
            InputError: an id is not in the gallery.
        """
        spec = self.reader.spec()
        found = {} if spec is None else {r["id"]: r for r in self.reader.of_ids(spec, ids, FACTS)}
        _all_there(ids, found)
        return [sighting(found[name], spec.model) for name in ids if spec is not None]

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        """(N, D) float32 vectors in the order asked.

        Raises:
            InputError: an id is not in the gallery, or the vectors are of another ``model``.
        """
        spec = self.reader.spec()
        if spec is None:
            _all_there(ids, {})
            return np.zeros((0, 0), np.float32)
        spec.check(model, spec.dimension)
        found = {r["id"]: r["vector"] for r in self.reader.of_ids(spec, ids, ["id", "vector"])}
        _all_there(ids, found)
        out = np.zeros((len(ids), spec.dimension), np.float32)
        for i, name in enumerate(ids):
            out[i] = found[name]
        return out

    def latest(self, limit: int, scope: Scope = EVERYWHERE) -> list[Sighting]:
        """The newest sightings in the scope, newest first, ties by id."""
        spec = self.reader.spec()
        if spec is None or limit < 1:
            return []
        window = milvus_upkeep.newest(self.reader, spec, scope, limit)
        found = [
            sighting(row, spec.model)
            for page in self.reader.pages(spec, self.reader.where(spec, window), FACTS)
            for row in page
        ]
        return sorted(found, key=lambda one: (-one.time, one.id))[:limit]

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        """All sightings of tracklets, by time; names nobody has are left out."""
        spec = self.reader.spec()
        groups: dict[str, list[Sighting]] = {}
        if spec is None:
            return groups
        wanted = [name for name in dict.fromkeys(names) if name]
        found = [
            sighting(row, spec.model)
            for part in chunks(wanted, IDS)
            for page in self.reader.pages(spec, f"tracklet in {listed(part)}", FACTS)
            for row in page
        ]
        for one in sorted(found, key=lambda one: (one.time, one.id)):
            groups.setdefault(one.tracklet, []).append(one)
        return groups

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        """Those of ``crops`` that some sighting names."""
        spec = self.reader.spec()
        if spec is None:
            return set()
        return {
            row["crop"]
            for part in chunks([crop for crop in dict.fromkeys(crops) if crop], IDS)
            for page in self.reader.pages(
                spec, f"crop in {listed(part)}", ["id", "crop"], level="Strong"
            )
            for row in page
        }

    def count(self, scope: Scope = EVERYWHERE) -> int:
        """Number of sightings in the scope."""
        spec = self.reader.spec()
        return 0 if spec is None else self.reader.counted(spec, self.reader.where(spec, scope))

    def coverage(self, scope: Scope = EVERYWHERE) -> list[Coverage]:
        """Per camera with sightings in the scope: how many, the first and the last.

        Milvus does not group: camera and time of every sighting in the scope come over the network.
        """
        return milvus_upkeep.coverage(self.reader, scope)

    def stats(self) -> Stats:
        """Size and state; ``bytes`` are those of the vectors, once, without Milvus' own files."""
        return milvus_upkeep.stats(self.reader)

    def health(self) -> Health:
        """Whether the server answers and the collection is in memory as often as wanted."""
        return milvus_upkeep.health(self.reader)

    # writing ---------------------------------------------------------------------------------

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; in Milvus' log when it returns.

        An id that is already there is left as it is, or replaced when ``replace`` is set. Each
        request is stored as a whole; when one fails, add the same sightings again. Of an id that
        two processes add in the same moment, the later facts stay.

        Raises:
            InputError: another model or dimension, a vector missing, zero or not finite.
            AwayError: the server did not acknowledge within its patience.
        """
        batch = Batch.of(sightings)
        if len(batch) == 0:
            return 0
        new: int | None = None
        while True:
            spec = self._open_spec() or create(self.link, batch.model, batch.dimension)
            spec.check(batch.model, batch.dimension)
            with suppress(GoneError):  # dropped meanwhile, as it was empty: make it anew
                known = self._store(spec, batch, replace)
                new = len(batch) - len(known) if new is None else new
                if self._still(spec, f"id in {listed(known)}" if replace and known else ""):
                    return new

    def _store(self, spec: Spec, batch: Batch, replace: bool) -> list[str]:
        """Write what is wanted of a batch; returns the ids that were there before."""
        known = [row["id"] for row in self.reader.of_ids(spec, batch.ids, ["id"])]
        wanted = batch if replace else batch.without(set(known))
        together = max(1, WRITE_BYTES // (spec.dimension * 4))
        made = rows(wanted, spec.district) if len(wanted) else []
        for start in range(0, len(made), together):
            self.link.ask("upsert", spec.collection, data=made[start : start + together])
        return known

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope; returns how many went. Bytes go with :meth:`compact`."""
        if isinstance(what, Scope):
            return self._remove(expression(what, 0) or ANY)
        parts = chunks(list(dict.fromkeys(what)), IDS)
        return sum(self._remove(f"id in {listed(part)}") for part in parts)

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); returns how many went."""
        return self.delete(Scope(end=time))

    def _remove(self, where: str) -> int:
        gone = 0
        while True:
            spec = self._open_spec()
            if spec is None:
                return gone
            with suppress(GoneError):
                found = self.reader.counted(spec, where, level="Strong")
                if found:
                    remove(self.link, spec.collection, where)
                gone += found
                if self._still(spec, where):
                    return gone

    def _still(self, spec: Spec, removed: str) -> bool:
        """Whether what was just written to a collection may be acknowledged.

        What was ``removed`` from it goes from the staged one too.
        """
        now = self.reader.spec()
        if now is None or now.collection != spec.collection:
            return False
        if now.stage and removed:
            with suppress(GoneError):
                remove(self.link, now.staged, removed)
        return not now.closing

    def _open_spec(self) -> Spec | None:
        """The collection, when writes to it are acknowledged; waits while one takes over."""
        end = time.monotonic() + self.address.patience + LEASE_MS / 1000
        while True:
            spec = self.reader.spec()
            if spec is None or not spec.closing:
                return spec
            if time.monotonic() > end:
                raise AwayError("the gallery is being switched to another model; try again later")
            time.sleep(0.05)

    # upkeep ----------------------------------------------------------------------------------

    def compact(self) -> int:
        """Have Milvus write its segments without the deleted rows; returns bytes freed.

        Files of before the rewriting go when Milvus collects its garbage (``dataCoord.gc``).
        """
        return milvus_upkeep.compact(self.reader)

    def snapshot(self, folder: Path | str) -> None:
        """Copy everything into an embedded gallery in a new or empty folder.

        What is added meanwhile may be in it or not; what was there and stays is.

        Raises:
            InputError: the folder is not empty.
        """
        milvus_upkeep.snapshot(self, Path(folder))

    def stage(self, model: str) -> Stage:
        """Begin to embed the gallery anew with another model, or go on with what was begun.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """
        return begin(self.reader, model)

    def verify(self) -> list[str]:
        """Read everything and name the sightings that do not match their checksum."""
        return milvus_upkeep.verify(self.reader)

    def drop(self) -> None:
        """Delete the whole gallery from the server."""
        drop(self.link)

    def close(self) -> None:
        """Let go of the connection."""
        self.link.close()


def _all_there(ids: Sequence[str], found: dict[str, Any]) -> None:
    for name in ids:
        if name not in found:
            raise InputError(f"there is no sighting '{name}' in this gallery")
