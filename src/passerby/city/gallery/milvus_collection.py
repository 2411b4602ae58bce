"""The collections behind a gallery on a Milvus server: made, described, dropped."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from passerby.city.gallery.milvus_link import GoneError, Link
from passerby.city.gallery.milvus_rows import schema
from passerby.city.gallery.port import StoreError
from passerby.errors import InputError

FORMAT = 1
STAGE = "passerby.stage"  # property: the model being staged beside this collection
CLOSING = "passerby.closing"  # property: until when (ms) writes wait for a switch or a drop
LEASE_MS = 60_000  # for a closing; half of it is for clocks that differ
FACT_BYTES = 1024  # room reckoned for the facts of one row in an answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A collection as the server describes it.

    Attributes:
        collection: its own name, which no other model's collection ever has.
        model: that made the vectors.
        dimension: D.
        district: leading characters of a unit's code in the partition key.
        stage: the model being staged beside it, or empty.
        closing: writes are not acknowledged now; it is about to be replaced or dropped.
    """

    collection: str
    model: str
    dimension: int
    district: int
    stage: str = ""
    closing: bool = False

    @property
    def staged(self) -> str:
        """The collection of the model being staged."""
        return following(self.collection)

    def check(self, model: str | None, dimension: int) -> None:
        """Refuse vectors of another model or dimension.

        Raises:
            InputError: they are of another.
        """
        if model is not None and model != self.model:
            raise InputError(
                f"the gallery holds vectors of the model '{self.model}', these are of '{model}'; "
                "use that model or embed the gallery anew"
            )
        if dimension != self.dimension:
            raise InputError(
                f"the gallery holds vectors of {self.dimension} dimensions, these have "
                f"{dimension}; use the model that made the gallery"
            )

    def row_bytes(self, fields: list[str]) -> int:
        """Room one row of an answer may take."""
        return FACT_BYTES + (4 * self.dimension if "vector" in fields else 0)


def describe(link: Link, name: str) -> Spec | None:
    """The collection a name or alias stands for; None when there is none.

    Raises:
        StoreError: a collection of that name is none of ours.
    """
    try:
        told: dict[str, Any] = link.ask("describe_collection", name)
    except GoneError:
        return None
    try:
        facts = json.loads(told["description"])
        vector = next(field for field in told["fields"] if field["name"] == "vector")
        assert facts["passerby"] == FORMAT
        properties = told.get("properties", {})
        return Spec(
            collection=told["collection_name"],
            model=facts["model"],
            dimension=int(vector["params"]["dim"]),
            district=int(facts["district"]),
            stage=properties.get(STAGE, ""),
            closing=int(properties.get(CLOSING) or 0) > time.time() * 1000,
        )
    except (ValueError, KeyError, TypeError, StopIteration, AssertionError):
        raise StoreError(
            f"the collection '{name}' was not made by this version of Passerby; use another name"
        ) from None


def create(link: Link, model: str, dimension: int) -> Spec:
    """Make the first collection of a gallery, or use what another process has just made.

    Its number is the time, so that a name never comes back with another model behind it.
    """
    name = link.address.name
    wanted = (model, dimension, link.address.district)
    for mine in collections(link):  # of a process that makes it now, or died while it did
        known = describe(link, mine)
        if known and (known.model, known.dimension, known.district) == wanted:
            break
    else:
        mine = f"{name}__{int(time.time() * 1000)}"
    make(link, mine, model, dimension)
    with suppress(StoreError):  # when another process was faster
        link.ask("create_alias", mine, name)
    made = describe(link, name)
    if made is None:
        raise GoneError(f"the gallery '{name}' was dropped while it was made; try again")
    if made.collection != mine:
        link.ask("drop_collection", mine)
    return made


def make(link: Link, collection: str, model: str, dimension: int) -> None:
    """Make a collection with its exact index and load it; one that is there already is used."""
    address = link.address
    if describe(link, collection) is None:
        facts = {"passerby": FORMAT, "model": model, "district": address.district}
        try:
            link.ask(
                "create_collection",
                collection,
                schema=schema(dimension, json.dumps(facts)),
                num_shards=address.shards,
                num_partitions=address.partitions,
                consistency_level="Strong",
            )
        except StoreError:
            if describe(link, collection) is None:
                raise
    index = link.client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE", index_name="vector")
    link.ask("create_index", collection, index)
    link.ask("load_collection", collection, replica_number=address.replicas)


def collections(link: Link) -> list[str]:
    """Names of all collections of the gallery, also of those without the alias."""
    first = f"{link.address.name}__"
    return sorted(
        name
        for name in link.ask("list_collections")
        if name.startswith(first) and name.removeprefix(first).isdigit()
    )


def following(collection: str) -> str:
    """The name of the collection that may replace one."""
    name, _, number = collection.rpartition("__")
    return f"{name}__{int(number) + 1}"


def mark(link: Link, collection: str, **properties: str) -> None:
    """Set the properties ``stage`` or ``closing`` of a collection."""
    names = {"stage": STAGE, "closing": CLOSING}
    given = {names[name]: value for name, value in properties.items()}
    link.ask("alter_collection_properties", collection, properties=given)


@contextmanager
def closed(link: Link, spec: Spec) -> Iterator[Callable[[], bool]]:
    """Have every process hold back its writes to a collection; yields whether that still holds.

    A writer looks for the mark before and after it writes, and acknowledges nothing while it is
    there. So what was acknowledged before is found by a strong read inside, and what is written
    meanwhile is written again, or refused, after. The mark ends by itself when we die.
    """
    start = time.monotonic()
    mark(link, spec.collection, closing=str(int(time.time() * 1000) + LEASE_MS))
    try:
        yield lambda: (time.monotonic() - start) * 1000 < LEASE_MS / 2
    finally:
        with suppress(GoneError):
            mark(link, spec.collection, closing="0")


def remove(link: Link, collection: str, where: str) -> None:
    """Delete the rows of a collection that an expression holds for."""
    link.ask("delete", collection, filter=where, consistency_level="Strong")


def drop_when_empty(link: Link, spec: Spec, count: Callable[[], int]) -> bool:
    """Drop a gallery without sightings, so that the next may be of any model."""
    with closed(link, spec) as still:
        if count() or not still():
            return False
        drop(link)
    return True


def drop(link: Link) -> None:
    """Drop the gallery: its alias and every collection of it."""
    if describe(link, link.address.name) is not None:
        link.ask("drop_alias", link.address.name)
    for name in collections(link):
        link.ask("drop_collection", name)
