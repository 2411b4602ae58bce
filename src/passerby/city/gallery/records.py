"""One codec for sightings in every store, and batches on their way in.

A record is a tuple of numbers and texts in the order of :data:`FIELDS`: what every store keeps of a
sighting beside its vector and its model.
"""

import json
import math
import zlib
from collections.abc import Iterable, Sequence
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
    box = "" if one.box is None else json.dumps([float(side) for side in one.box])
    return (
        one.id,
        one.camera,
        one.unit,
        int(one.time),
        one.tracklet,
        box,
        one.crop,
        float(one.quality),
        attributes_text(one.attributes),
    )


def sighting(values: Sequence[Any], model: str) -> Sighting:
    """The sighting of a record, without its vector."""
    name, camera, unit, time, tracklet, box, crop, quality, attributes = values
    return Sighting(
        id=name,
        camera=camera,
        unit=unit,
        time=int(time),
        tracklet=tracklet,
        box=tuple(json.loads(box)) if box else None,  # type: ignore[arg-type]
        crop=crop,
        quality=float(quality),
        attributes=attributes_of(attributes),
        model=model,
    )


def attributes_text(attributes: Pairs) -> str:
    """Attributes as one JSON object, the same for the same attributes; empty for none."""
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


def unit_half(vectors: FloatArray, ids: Sequence[str]) -> HalfArray:
    """Rows (N, D) brought to unit length and rounded to half precision.

    Rows that are of this length but for the rounding stay as they are, so that a stored vector that
    is stored again is the same.

    Raises:
        InputError: a row is zero or not finite; its id is named.
    """
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float32))[:, None]
    if not (norms.min(initial=1) > 1e-15 and norms.max(initial=1) < 1e15):  # NaN too
        norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        raise InputError(
            f"the vector of sighting '{ids[int(bad[0])]}' is zero or not finite; "
            "embed its picture again"
        )
    norms[np.abs(norms - 1) < NEAR] = 1
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
    """Sightings of one model with unique ids, and their (N, D) float16 unit vectors."""

    sightings: list[Sighting]
    vectors: HalfArray

    @classmethod
    def of(cls, sightings: Iterable[Sighting]) -> "Batch":
        """Check and normalise; of an id given twice the first counts.

        Raises:
            InputError: an empty id, camera or unit; vectors missing, zero, not finite, of several
                dimensions or several models.
        """
        unique: dict[str, Sighting] = {}
        for one in sightings:
            unique.setdefault(one.id, one)
        ordered = list(unique.values())
        if not ordered:
            return cls([], np.zeros((0, 0), np.float16))
        first = ordered[0]
        for one in ordered:
            _check(one, first)
        half = np.empty((len(ordered), first.vector.size), np.float16)  # type: ignore[union-attr]
        for start in range(0, len(ordered), BLOCK):  # small enough for the processor's cache
            some = ordered[start : start + BLOCK]
            block = np.array([one.vector for one in some], dtype=np.float32)
            half[start : start + BLOCK] = unit_half(block, [one.id for one in some])
        return cls(ordered, half)

    def __len__(self) -> int:
        return len(self.sightings)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return [one.id for one in self.sightings]

    @property
    def model(self) -> str:
        """The one model of all vectors."""
        return self.sightings[0].model

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> "Batch":
        """Some rows, in the order asked."""
        return Batch([self.sightings[row] for row in rows], self.vectors[list(rows)])

    def without(self, ids: Iterable[str]) -> "Batch":
        """The batch without some ids."""
        gone = set(ids)
        return self.take([i for i, one in enumerate(self.sightings) if one.id not in gone])


def _check(one: Sighting, first: Sighting) -> None:
    if not isinstance(one.time, int | np.integer) or not -FAR <= one.time <= FAR:
        raise InputError(f"sighting '{one.id}' has the time {one.time}; give whole milliseconds")
    if not math.isfinite(one.quality):
        raise InputError(f"sighting '{one.id}' has the quality {one.quality}; give a number")
    if not one.id or not one.camera or not one.unit:
        raise InputError(f"sighting '{one.id}' lacks an id, a camera or a unit")
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
