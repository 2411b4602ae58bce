"""A sighting as a row of a Milvus collection, and a scope as one of its expressions."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.gallery.batch import Batch
from passerby.city.gallery.checksum import checksum
from passerby.city.sightings import Scope, Sighting
from passerby.errors import InputError

if TYPE_CHECKING:
    from pymilvus import CollectionSchema

NAME_LENGTH, ID_LENGTH = 128, 256  # bytes of a code or camera; of an id or tracklet
LENGTHS = {
    "id": ID_LENGTH,
    "unit": NAME_LENGTH,
    "camera": NAME_LENGTH,
    "tracklet": ID_LENGTH,
    "crop": NAME_LENGTH,
}
FACTS = ["id", "unit", "camera", "time", "tracklet", "crop", "quality", "box", "attributes"]
ANY = 'id != ""'  # Milvus deletes and pages by an expression only


def schema(dimension: int, description: str) -> "CollectionSchema":
    """The collection's fields; vectors as float32, their values rounded to half precision."""
    from pymilvus import DataType, MilvusClient

    made = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=description
    )
    text = DataType.VARCHAR
    made.add_field("id", text, max_length=ID_LENGTH, is_primary=True)
    made.add_field("district", text, max_length=NAME_LENGTH, is_partition_key=True)
    for name in ("unit", "camera", "tracklet", "crop"):
        made.add_field(name, text, max_length=LENGTHS[name])
    made.add_field("time", DataType.INT64)
    made.add_field("quality", DataType.DOUBLE)
    made.add_field("box", text, max_length=NAME_LENGTH)
    made.add_field("attributes", DataType.JSON)
    made.add_field("checksum", DataType.INT64)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    return made


def rows(batch: Batch, district: int) -> list[dict[str, Any]]:
    """Rows of a batch; ``district`` characters of the unit's code are its partition key.

    Raises:
        InputError: a name is too long for the collection.
    """
    out = []
    for one, vector in zip(batch.sightings, batch.vectors, strict=True):
        for name, length in LENGTHS.items():
            if len(getattr(one, name).encode()) > length:
                raise InputError(
                    f"the {name} of sighting '{one.id[:40]}' is longer than the {length} bytes "
                    "that a Milvus gallery keeps; shorten it"
                )
        out.append(
            {
                "id": one.id,
                "district": one.unit[:district],
                "unit": one.unit,
                "camera": one.camera,
                "time": one.time,
                "tracklet": one.tracklet,
                "crop": one.crop,
                "quality": float(one.quality),
                "box": "" if one.box is None else json.dumps([float(value) for value in one.box]),
                "attributes": dict(one.attributes),
                "checksum": checksum(one, vector),
                "vector": vector.astype(np.float32),
            }
        )
    return out


def sighting(row: dict[str, Any], model: str, vector: NDArray[Any] | None = None) -> Sighting:
    """The sighting a row holds, with a vector or without."""
    box = json.loads(row["box"]) if row["box"] else None
    attributes = row["attributes"]
    if isinstance(attributes, str | bytes):
        attributes = json.loads(attributes)
    return Sighting(
        id=row["id"],
        camera=row["camera"],
        time=int(row["time"]),
        vector=vector,
        model=model,
        unit=row["unit"],
        tracklet=row["tracklet"],
        box=None if box is None else tuple(box),
        crop=row["crop"],
        quality=float(row["quality"]),
        attributes=tuple(attributes.items()),
    )


def quoted(text: str) -> str:
    """A string of the expression language."""
    return json.dumps(text, ensure_ascii=False)


def listed(values: Iterable[str]) -> str:
    """A list of strings."""
    return f"[{', '.join(map(quoted, values))}]"


def prefixed(field: str, start: str) -> str:
    """Strings that begin with ``start``, as a range: nothing in it can be a wildcard."""
    after = start[:-1] + chr(ord(start[-1]) + 1)
    return f"({field} >= {quoted(start)} and {field} < {quoted(after)})"


def outermost(units: Sequence[str]) -> list[str]:
    """The units that lie in no other of them."""
    kept: list[str] = []
    for code in sorted(set(units)):
        if not kept or not code.startswith(kept[-1]):
            kept.append(code)
    return kept


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
        parts.append(_any(prefixed("unit", code) for code in units))
    if scope.cameras:
        parts.append(f"camera in {listed(dict.fromkeys(scope.cameras))}")
    if scope.start is not None:
        parts.append(f"time >= {scope.start}")
    if scope.end is not None:
        parts.append(f"time < {scope.end}")
    if scope.quality is not None:
        parts.append(f"quality >= {float(scope.quality)!r}")
    for name, values in sorted(scope.values.items()):
        parts.append(_any(f"attributes[{quoted(name)}] == {quoted(v)}" for v in sorted(values)))
    return " and ".join(parts)


def _any(parts: Iterable[str]) -> str:
    return f"({' or '.join(parts)})"


def chunks(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """The values in lists of at most ``size``."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
