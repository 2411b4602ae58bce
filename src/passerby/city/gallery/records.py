"""One codec for sightings in every store, and batches on their way in.

A record is a tuple of numbers and texts in the order of :data:`FIELDS`: what every store keeps of a
sighting beside its vector and its model.
"""

import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city.sightings import FloatArray, Pairs, Sighting
from passerby.errors import InputError
from passerby.retrieval.screening import unit_rows

HalfArray = NDArray[np.float16]
NEAR = 2.0**-10  # of a length to 1: more than the rounding to half precision makes
FAR = 1 << 62  # milliseconds: as far as a time may be
BLOCK = 1024  # vectors brought to unit length at once
FIELDS = ("id", "camera", "unit", "time", "tracklet", "box", "crop", "quality", "attributes")
POSITION = {name: number for number, name in enumerate(FIELDS)}  # of a field in a record


def record(one: Sighting) -> tuple[Any, ...]:
    """The facts of a sighting in the order of :data:`FIELDS`; box and attributes as JSON."""
    return (
        one.id,
        one.camera,
        one.unit,
        int(one.time),
        one.tracklet,
        box_text(one.box),
        one.crop,
        float(one.quality),
        attributes_text(one.attributes),
    )


def sighting(values: Sequence[Any], model: str, vector: FloatArray | None = None) -> Sighting:
    """The sighting of a record; without its vector unless it is given."""
    name, camera, unit, time, tracklet, box, crop, quality, attributes = values
    return Sighting(
        id=name,
        camera=camera,
        unit=unit,
        time=int(time),
        vector=vector,
        tracklet=tracklet,
        box=tuple(json.loads(box)) if box else None,  # type: ignore[arg-type]
        crop=crop,
        quality=float(quality),
        attributes=attributes_of(attributes),
        model=model,
    )


def box_text(box: Sequence[float] | None) -> str:
    """A box as JSON; empty for none."""
    return "" if box is None else json.dumps([float(side) for side in box])


def attributes_text(attributes: Pairs) -> str:
    """Attributes in order of name as one JSON object; empty for none."""
    if not attributes:
        return ""
    return json.dumps(dict(attributes), ensure_ascii=False, separators=(",", ":"))


def attributes_of(text: str) -> Pairs:
    """The attributes of a text."""
    return tuple(json.loads(text).items()) if text else ()


def checksum(one: Sighting, vector: NDArray[Any]) -> int:
    """CRC32 of all facts of a sighting and of its (D,) vector in half precision.

    The same in every store and every version, so that galleries can be compared.
    """
    box = None if one.box is None else [float(side) for side in one.box]
    facts = [
        one.id, one.camera, one.time, one.model, one.unit, one.tracklet, box, one.crop,
        float(one.quality), one.attributes,
    ]  # fmt: skip
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    half = np.ascontiguousarray(vector, dtype="<f2")
    return zlib.crc32(half.tobytes(), zlib.crc32(text.encode()))


def unit_half(vectors: NDArray[Any], ids: Sequence[str]) -> HalfArray:
    """Rows (N, D) of any float type brought to unit length and rounded to half precision.

    Rows that are of this length but for the rounding stay as they are, so that a stored vector that
    is stored again is the same.

    Raises:
        InputError: a row is zero or not finite; its id is named.
    """
    wide = vectors.astype(np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    if not (norms.min(initial=1) > 1e-15 and norms.max(initial=1) < 1e15):  # NaN too
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        raise InputError(
            f"the vector of sighting '{ids[int(bad[0])]}' is zero or not finite; "
            "embed its picture again"
        )
    norms[np.abs(norms - 1) < NEAR] = 1
    if vectors.dtype == np.float16 and (norms == 1).all():
        return vectors
    half: HalfArray = (vectors / norms).astype(np.float16)
    return half


def unit_queries(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Queries (Q, D), or one (D,), brought to unit length.

    Raises:
        InputError: one is zero or not finite.
    """
    try:
        return unit_rows(vectors)
    except ValueError:
        raise InputError("a query vector is zero or not finite; embed the picture again") from None


def check_model(model: str | None, dimension: int | None, held: tuple[str, int]) -> None:
    """Refuse vectors that are not of the model and dimension that a gallery holds.

    Raises:
        InputError: another model or dimension.
    """
    if model is not None and model != held[0]:
        raise InputError(
            f"the gallery holds vectors of the model '{held[0]}', these are of '{model}'; "
            "use that model or embed the gallery anew"
        )
    if dimension is not None and dimension != held[1]:
        raise InputError(
            f"the gallery holds vectors of {held[1]} dimensions, these have {dimension}; "
            "use the model that made the gallery"
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """Sightings of one model, column by column; iterates over :class:`Sighting` objects.

    Attributes:
        model: id of the network that made the vectors.
        columns: by name of :data:`FIELDS` the N values as records hold them.
        vectors: (N, D) rows of any float type; float16 unit rows in a batch of :meth:`of`.
    """

    model: str
    columns: dict[str, list[Any]]
    vectors: NDArray[Any]

    @classmethod
    def of(cls, sightings: Iterable[Sighting]) -> "Batch":
        """Check and normalise sightings; of an id given twice the first counts.

        Args:
            sightings: objects, or a batch, which is faster.

        Raises:
            InputError: an empty id, camera or unit; vectors missing, zero, not finite, of several
                dimensions or several models.
        """
        if not isinstance(sightings, Batch):
            unique: dict[str, Sighting] = {}
            for one in sightings:
                _check(unique.setdefault(one.id, one), next(iter(unique.values())))
            return cls._of_objects(list(unique.values()))
        rows = {name: row for row, name in reversed(list(enumerate(sightings.ids)))}
        batch = sightings if len(rows) == len(sightings) else sightings.take(sorted(rows.values()))
        _check_columns(batch.columns)
        return cls(batch.model, batch.columns, _unit_blocks(batch.vectors, batch.ids))

    @classmethod
    def _of_objects(cls, sightings: list[Sighting]) -> "Batch":
        columns = columns_of(map(record, sightings))
        _check_columns(columns)
        vectors = _unit_blocks([one.vector for one in sightings], columns["id"])
        return cls(sightings[0].model if sightings else "", columns, vectors)

    @classmethod
    def of_records(
        cls, model: str, records: Iterable[Sequence[Any]], vectors: HalfArray
    ) -> "Batch":
        """N stored records and their (N, D) vectors."""
        return cls(model, columns_of(records), vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Sighting]:
        vectors = self.vectors.astype(np.float32)
        for values, vector in zip(self.records(), vectors, strict=True):
            yield sighting(values, self.model, vector)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return self.columns["id"]

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def records(self) -> list[tuple[Any, ...]]:
        """The N records."""
        return list(zip(*self.columns.values(), strict=True))

    def with_column(self, name: str, values: list[Any]) -> "Batch":
        """The same sightings with other values of a field."""
        return Batch(self.model, {**self.columns, name: values}, self.vectors)

    def take(self, rows: Sequence[int]) -> "Batch":
        """Some rows, in the order asked."""
        columns = {name: [column[r] for r in rows] for name, column in self.columns.items()}
        return Batch(self.model, columns, self.vectors[np.array(rows, np.int64)])

    def without(self, ids: Iterable[str]) -> "Batch":
        """The batch without some ids."""
        gone = set(ids)
        return self.take([row for row, name in enumerate(self.ids) if name not in gone])


def _unit_blocks(vectors: Sequence[Any] | NDArray[Any], ids: list[str]) -> HalfArray:
    """:func:`unit_half` of N vectors (D,), some at a time so that they stay in the cache."""
    starts = range(0, len(ids), BLOCK)
    parts = [unit_half(np.array(vectors[a : a + BLOCK]), ids[a : a + BLOCK]) for a in starts]
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float16)


def columns_of(records: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Records as columns by name of :data:`FIELDS`."""
    columns = [list(column) for column in zip(*records, strict=True)]
    return dict(zip(FIELDS, columns or [[] for _ in FIELDS], strict=True))


def _check(one: Sighting, first: Sighting) -> None:
    """Refuse a sighting whose vector or time does not fit those of the first."""
    if not isinstance(one.time, int | np.integer):
        raise InputError(f"sighting '{one.id}' has the time {one.time}; give whole milliseconds")
    if one.vector is None or one.vector.ndim != 1:
        raise InputError(f"sighting '{one.id}' has no vector; embed its picture first")
    if first.vector is not None and one.vector.size != first.vector.size:
        raise InputError(
            f"sightings '{first.id}' and '{one.id}' have vectors of {first.vector.size} and "
            f"{one.vector.size} dimensions; use one model"
        )
    if one.model != first.model:
        raise InputError(
            f"sightings '{first.id}' and '{one.id}' come from the models '{first.model}' and "
            f"'{one.model}'; add them to galleries of their own"
        )


def _check_columns(columns: dict[str, list[Any]]) -> None:
    """Refuse records without an id, camera or unit, and impossible numbers."""
    ids = columns["id"]
    for name in ("id", "camera", "unit"):
        if not all(columns[name]):
            row = columns[name].index("")
            raise InputError(f"sighting '{ids[row]}' lacks an id, a camera or a unit")
    for name, time, quality in zip(ids, columns["time"], columns["quality"], strict=True):
        if not -FAR <= time <= FAR:
            raise InputError(f"sighting '{name}' has the time {time}; give whole milliseconds")
        if not math.isfinite(quality):
            raise InputError(f"sighting '{name}' has the quality {quality}; give a number")
