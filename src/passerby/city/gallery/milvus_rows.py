"""The collections behind a gallery on a Milvus server: their rows, expressions and life."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from passerby.city.gallery import records
from passerby.city.gallery.milvus_link import GoneError, Link
from passerby.city.gallery.port import StoreError
from passerby.city.gallery.records import FIELDS, Batch, checksum
from passerby.city.sightings import Scope, Sighting
from passerby.errors import InputError
from passerby.times import DAY_MS

T = TypeVar("T")
Row = dict[str, Any]
FORMAT = 1
STAGE = "passerby.stage"  # property: the model being staged beside this collection
CLOSING = "passerby.closing"  # property: until when (ms) writes wait for a switch or a drop
LEASE_MS = 60_000  # for a closing; half of it is for clocks that differ
LENGTHS = {  # in bytes
    "id": 256, "district": 128, "unit": 128, "camera": 128, "tracklet": 256, "crop": 128, "box": 128
}  # fmt: skip
FACTS = list(FIELDS)
ANY = 'id != ""'  # Milvus deletes and pages by an expression only
MOST = 16_384  # rows that Milvus gives in one answer
ANSWER_BYTES = 24 << 20
FACT_BYTES = 1024  # room reckoned for the facts of one row in an answer
WRITE_BYTES = 8 << 20  # of vectors in one request
FAR = 1 << 43  # milliseconds; no sighting is 278 years from 1970
IDS = 2000  # ids in one expression
SAMPLE = 1000  # rows looked at to halve an answer


def rows(batch: Batch, district: int) -> list[Row]:
    """Rows of a batch; ``district`` characters of the unit's code are its partition key.

    Raises:
        InputError: a name is too long for the collection.
    """
    made = []
    for values, vector in zip(batch.records(), batch.vectors, strict=True):
        one = records.sighting(values, batch.model)
        row = {
            **dict(zip(FIELDS, values, strict=True)),
            "attributes": dict(one.attributes),
            "district": one.unit[:district],
            "checksum": checksum(one, vector),
            "vector": vector.astype(np.float32),
        }
        for name, length in LENGTHS.items():
            if len(row[name].encode()) > length:
                raise InputError(
                    f"the {name} of sighting '{one.id[:40]}' is longer than the {length} bytes "
                    "that a Milvus gallery keeps; shorten it"
                )
        made.append(row)
    return made


def sighting(row: Row, model: str) -> Sighting:
    """The sighting of a row, without its vector."""
    *facts, attributes = (row[name] for name in FIELDS)
    if not isinstance(attributes, str | bytes):
        attributes = json.dumps(attributes)
    return records.sighting([*facts, attributes], model)


def listed(values: Iterable[str]) -> str:
    """A list of strings in the expression language."""
    return f"[{', '.join(map(_quoted, values))}]"


def outermost(units: Iterable[str]) -> list[str]:
    """The units that lie in no other of them."""
    known = set(units)
    return sorted(
        code for code in known if not any(code[:end] in known for end in range(1, len(code)))
    )


def expression(scope: Scope, district: int) -> str:
    """The scope as an expression, empty for everything.

    ``district`` is the length of the partition key; 0 when it must not be used.
    """
    parts = []
    if scope.units and "" not in scope.units:
        units = outermost(scope.units)
        # with these Milvus reads the partitions of the districts only
        if district and all(len(code) >= district for code in units):
            parts.append(f"district in {listed(dict.fromkeys(code[:district] for code in units))}")
        # what begins with a code, as a range: nothing in it can be a wildcard
        ends = [code[:-1] + chr(ord(code[-1]) + 1) for code in units]
        ranges = [
            f"(unit >= {_quoted(a)} and unit < {_quoted(b)})"
            for a, b in zip(units, ends, strict=True)
        ]
        parts.append(f"({' or '.join(ranges)})")
    if scope.cameras:
        parts.append(f"camera in {listed(dict.fromkeys(scope.cameras))}")
    if scope.start is not None:
        parts.append(f"time >= {scope.start}")
    if scope.end is not None:
        parts.append(f"time < {scope.end}")
    if scope.quality is not None:
        parts.append(f"quality >= {float(scope.quality)!r}")
    for name, values in sorted(scope.values.items()):
        wanted = [f"attributes[{_quoted(name)}] == {_quoted(value)}" for value in sorted(values)]
        parts.append(f"({' or '.join(wanted)})")
    return " and ".join(parts)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in lists of at most ``size``."""
    return (values[start : start + size] for start in range(0, len(values), size))


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A collection as the server described it; one that does not exist is empty.

    Attributes:
        link: the connection.
        name: its own name, which no other model's collection ever has.
        level: the consistency of reads.
        model: that made the vectors.
        dimension: D; 0 when the collection does not exist.
        district: leading characters of a unit's code in the partition key.
        stage: the model being staged beside it, or empty.
        closing: writes are not acknowledged now; it is about to be replaced or dropped.
    """

    link: Link
    name: str
    level: str
    model: str = ""
    dimension: int = 0
    district: int = 0
    stage: str = ""
    closing: bool = False

    @staticmethod
    def of(link: Link, name: str = "") -> "Collection":
        """The collection a name or alias stands for, by default that of the gallery.

        Raises:
            StoreError: a collection of that name is none of ours.
        """
        name, level = name or link.address.name, link.address.consistency
        try:
            found: Row = link.ask("describe_collection", name)
        except GoneError:
            return Collection(link=link, name=name, level=level)
        try:
            facts = json.loads(found["description"])
            assert facts["passerby"] == FORMAT
            vector = next(field for field in found["fields"] if field["name"] == "vector")
            properties = found.get("properties", {})
            return Collection(
                link=link,
                name=found["collection_name"],
                level=level,
                model=facts["model"],
                dimension=int(vector["params"]["dim"]),
                district=int(facts["district"]),
                stage=properties.get(STAGE, ""),
                closing=int(properties.get(CLOSING) or 0) > time.time() * 1000,
            )
        except (ValueError, KeyError, TypeError, StopIteration, AssertionError):
            raise StoreError(
                f"the collection '{name}' was not made by this version of Passerby; "
                "use another name"
            ) from None

    @staticmethod
    def names(link: Link) -> list[str]:
        """Names of all collections of the gallery, also of those without the alias."""
        mine = re.compile(rf"{link.address.name}__\d+")
        return sorted(name for name in link.ask("list_collections") if mine.fullmatch(name))

    @staticmethod
    def create(link: Link, model: str, dimension: int) -> "Collection":
        """Make the first collection of a gallery, or use what another process has just made.

        Its number is the time, so that a name never comes back with another model behind it.
        """
        alias, wanted = link.address.name, (model, dimension, link.address.district)
        # of a process that makes it now, or died while it did
        known = [Collection.of(link, name) for name in Collection.names(link)]
        fit = [one.name for one in known if (one.model, one.dimension, one.district) == wanted]
        mine = [*fit, f"{alias}__{int(time.time() * 1000)}"][0]
        Collection.make(link, mine, model, dimension)
        with suppress(StoreError):  # when another process was faster
            link.ask("create_alias", mine, alias)
        made = Collection.of(link)
        if not made.dimension:
            raise GoneError(f"the gallery '{alias}' was dropped while it was made; try again")
        if made.name != mine:
            link.ask("drop_collection", mine)
        return made

    @staticmethod
    def make(link: Link, name: str, model: str, dimension: int) -> "Collection":
        """Make a collection with its exact index and load it; one that is there already is used."""
        address = link.address
        facts = {"passerby": FORMAT, "model": model, "district": address.district}
        try:
            link.ask(
                "create_collection",
                name,
                schema=_schema(dimension, json.dumps(facts)),
                num_shards=address.shards,
                num_partitions=address.partitions,
                consistency_level="Strong",
            )
        except StoreError:
            if not Collection.of(link, name).dimension:
                raise
        index = link.client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type="COSINE", index_name="vector")
        link.ask("create_index", name, index)
        link.ask("load_collection", name, replica_number=address.replicas)
        return Collection.of(link, name)

    @property
    def staged(self) -> "Collection":
        """The collection of the model being staged."""
        name, _, number = self.name.rpartition("__")
        return Collection.of(self.link, f"{name}__{int(number) + 1}")

    def at(self, level: str) -> "Collection":
        """The collection, read with another consistency."""
        return replace(self, level=level)

    def ask(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client for this collection."""
        return self.link.ask(method, self.name, *arguments, **options)

    def mark(self, name: str, value: str) -> None:
        """Set one of the properties :data:`STAGE` and :data:`CLOSING`."""
        self.ask("alter_collection_properties", properties={name: value})

    def where(self, scope: Scope) -> str:
        """The scope as an expression; with the partitions to read where that can be trusted."""
        return expression(scope, self.district if self.link.prunes else 0)

    def count(self, where: str) -> int:
        """Rows that an expression holds for; all for an empty one."""
        return int(self._query(where, ["count(*)"])[0]["count(*)"]) if self.dimension else 0

    def total(self) -> int:
        """Rows in the segments, with those that are deleted but not yet compacted."""
        return int(self.ask("get_collection_stats")["row_count"]) if self.dimension else 0

    def since(self, scope: Scope, wanted: int, total: int, *, enough: int = 0) -> int:
        """The start of a part of a scope with its ``wanted`` newest of ``total`` sightings.

        It is found by counting: the latest one, or an earlier one that at most ``enough`` follow.
        The counts are of a state not older than that of the last read, and answered at once.
        """
        now = self.at("Eventually")
        low = -FAR if scope.start is None else scope.start
        high = FAR if scope.end is None else scope.end
        while total > enough and high - low > 1:
            middle = (low + high) // 2
            count = now.count(self.where(replace(scope, start=middle)))
            if count < wanted:
                high = middle
            else:
                low, total = middle, count
        return low

    def days(self, start: int, end: int, total: int) -> int:
        """UTC days in [start, end) with one of their ``total`` sightings, by counting."""
        if total == 0 or end - start == 1:
            return min(total, 1)
        middle = (start + end) // 2
        half = Scope(start=start * DAY_MS, end=middle * DAY_MS)
        left = self.at("Eventually").count(self.where(half))
        return self.days(start, middle, left) + self.days(middle, end, total - left)

    def by_id(self, ids: Iterable[str], fields: list[str]) -> dict[str, Row]:
        """The rows that have one of some ids; none of a collection that was just dropped."""
        with suppress(GoneError):
            return {row["id"]: row for row in self.read_any("id", ids, fields)}
        return {}

    def read_any(self, field: str, values: Iterable[str], fields: list[str]) -> Iterator[Row]:
        """All rows in which a field has one of some values, in any order."""
        for part in chunks([value for value in dict.fromkeys(values) if value], IDS):
            yield from self.read(f"{field} in {listed(part)}", fields)

    def read(self, where: str, fields: list[str]) -> Iterator[Row]:
        """All rows that an expression holds for, in any order."""
        return chain.from_iterable(self.pages(where, fields))

    def pages(self, where: str, fields: list[str]) -> Iterator[list[Row]]:
        """All rows that an expression holds for, in lists that fit into one answer.

        An answer of Milvus is complete when it is shorter than its limit. The order of its rows,
        and which rows a cut answer holds, depend on the version. So what is cut is asked in halves.
        """
        room = FACT_BYTES + 4 * self.dimension * ("vector" in fields)
        size = max(2, min(MOST, ANSWER_BYTES // room))
        pending, whole = [where] if self.dimension else [], True
        while pending:
            part = pending.pop()
            if whole or self.at("Eventually").count(part) < size:
                found = self._query(part, fields, limit=size)
                if len(found) < size:
                    yield found
                    continue
            whole = False
            pending += self._halves(part)

    def _halves(self, where: str) -> list[str]:
        """Two expressions that together hold for the same rows: the later ones, the earlier."""
        found = self._query(where, ["id", "time"], limit=SAMPLE)
        if len(found) < 2:  # deleted meanwhile
            return [where]
        times = sorted({int(row["time"]) for row in found})
        field, middle = "time", str(times[len(times) // 2])
        if len(times) == 1:
            field, middle = "id", _quoted(sorted(row["id"] for row in found)[len(found) // 2])
        first = f"{where} and " if where else ""
        return [f"{first}{field} >= {middle}", f"{first}{field} < {middle}"]

    def _query(self, where: str, fields: list[str], **limit: int) -> list[Row]:
        options = {"output_fields": fields, "consistency_level": self.level, **limit}
        return list(self.ask("query", filter=where, **options))

    def put(self, batch: Batch) -> None:
        """Store a batch; each request holds at most :data:`WRITE_BYTES` of vectors."""
        together = max(1, WRITE_BYTES // (4 * self.dimension))
        for part in chunks(rows(batch, self.district), together):
            self.ask("upsert", data=part)

    def remove(self, where: str) -> None:
        """Delete the rows that an expression holds for."""
        if self.dimension:
            self.ask("delete", filter=where, consistency_level="Strong")

    def remove_ids(self, ids: Sequence[str]) -> None:
        """Delete rows by id."""
        for part in chunks(ids, IDS):
            self.remove(f"id in {listed(part)}")

    @contextmanager
    def closed(self) -> Iterator[Callable[[], bool]]:
        """Have every process hold back its writes; yields whether that still holds.

        A writer looks for the mark before and after it writes, and acknowledges nothing while it
        is there. So what was acknowledged before is found by a strong read inside, and what is
        written meanwhile is written again, or refused, after. The mark ends by itself when this
        process dies.
        """
        start = time.monotonic()
        self.mark(CLOSING, str(int(time.time() * 1000) + LEASE_MS))
        try:
            yield lambda: (time.monotonic() - start) * 1000 < LEASE_MS / 2
        finally:
            with suppress(GoneError):
                self.mark(CLOSING, "0")


def _schema(dimension: int, description: str) -> Any:
    """The collection's fields; vectors as float32, their values rounded to half precision."""
    from pymilvus import DataType, MilvusClient

    made = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=description
    )
    keys = {"id": {"is_primary": True}, "district": {"is_partition_key": True}}
    for name, length in LENGTHS.items():
        made.add_field(name, DataType.VARCHAR, max_length=length, **keys.get(name, {}))
    made.add_field("time", DataType.INT64)
    made.add_field("quality", DataType.DOUBLE)
    made.add_field("attributes", DataType.JSON)
    made.add_field("checksum", DataType.INT64)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    return made
