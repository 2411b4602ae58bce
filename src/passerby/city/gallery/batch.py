"""Sightings on their way into a store: checked, normalised, split by UTC day."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from passerby.city.gallery.packing import label_text, row_crc
from passerby.city.gallery.segments import HalfArray
from passerby.city.sightings import FloatArray, Sighting
from passerby.city.times import day_of
from passerby.errors import InputError


def unit_half(vectors: FloatArray, ids: Sequence[str]) -> HalfArray:
    """(N, D) rows of length one in half precision.

    Raises:
        InputError: a row that is zero or not finite, named by its id.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(bad):
        raise InputError(
            f"the vector of sighting '{ids[int(bad[0])]}' is zero or not finite; "
            "embed its picture again"
        )
    half: HalfArray = (vectors / norms).astype(np.float16)
    return half


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
        unique = {one.id: one for one in reversed(list(sightings))}
        ordered = list(reversed(unique.values()))
        if not ordered:
            return cls([], np.zeros((0, 0), np.float16))
        first = ordered[0]
        for one in ordered:
            _check(one, first)
        vectors = np.stack([np.asarray(one.vector, dtype=np.float32) for one in ordered])
        return cls(ordered, unit_half(vectors, [one.id for one in ordered]))

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

    @property
    def days(self) -> set[int]:
        """UTC days that occur."""
        return {day_of(one.time) for one in self.sightings}

    @property
    def units(self) -> set[str]:
        """Cell codes that occur."""
        return {one.unit for one in self.sightings}

    @property
    def cameras(self) -> set[str]:
        """Camera ids that occur."""
        return {one.camera for one in self.sightings}

    @property
    def labels(self) -> set[str]:
        """Attributes that occur, as texts."""
        return {label_text(one.attributes) for one in self.sightings}

    def without(self, ids: set[str]) -> "Batch":
        """The batch without some ids."""
        keep = [i for i, one in enumerate(self.sightings) if one.id not in ids]
        return Batch([self.sightings[i] for i in keep], self.vectors[keep])

    @classmethod
    def joined(cls, batches: "Sequence[Batch]") -> "Batch":
        """Several batches of one model; of an id given twice the first counts."""
        seen: set[str] = set()
        parts = []
        for batch in batches:
            parts.append(batch.without(seen))
            seen.update(batch.ids)
        sightings = [one for part in parts for one in part.sightings]
        return cls(sightings, np.concatenate([part.vectors for part in parts]))

    def by_day(self) -> Iterator[tuple[int, "Batch"]]:
        """(UTC day, its part), by day; the order within a day stays."""
        days = np.array([day_of(one.time) for one in self.sightings])
        for day in np.unique(days):
            keep = np.flatnonzero(days == day)
            yield int(day), Batch([self.sightings[i] for i in keep], self.vectors[keep])

    def rows(self, place: int, names: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[Any, ...]]:
        """Rows of the index's table of sightings, the first at ``place``.

        Args:
            place: where.
            names: the numbers of "cells", "cameras" and "labels".
        """
        cells, cameras, labels = names["cells"], names["cameras"], names["labels"]
        for at, one in enumerate(self.sightings, start=place):
            facts = (
                one.id,
                one.time,
                cells[one.unit],
                cameras[one.camera],
                one.tracklet,
                *(one.box or (None, None, None, None)),
                one.crop,
                float(one.quality),
                labels[label_text(one.attributes)],
            )
            yield (at, *facts, row_crc(at, facts))


def _check(one: Sighting, first: Sighting) -> None:
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
