"""What every store of sightings can do, and the values it answers with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError


class StoreError(InputError):
    """The gallery's files cannot be used as they are; no other request would help."""


class AwayError(StoreError):
    """The server, or a node the request needs, does not answer; later it may."""


class DamagedError(StoreError):
    """Stored bytes are not what was written; the text names the file and the rows."""


class UnknownSightingError(InputError):
    """A sighting that was asked for is not in the gallery, or not any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """The nearest sightings of one query, nearest first, ties by id.

    Attributes:
        ids: k names, or fewer when the scope holds fewer.
        distances: (k,) float32 cosine distances, 0 (same) to 2.
    """

    ids: tuple[str, ...]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What one camera has contributed to a scope; times in milliseconds."""

    camera: str
    sightings: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Size and state of a gallery; ``dead`` rows are deleted but not yet compacted."""

    sightings: int
    dead: int
    days: int
    bytes: int
    first: int | None
    last: int | None
    model_id: str | None
    dimension: int | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What a monitor wants to know of a gallery, answered quickly.

    Attributes:
        readable: searches are answered.
        writable: sightings can be added.
        problems: what is wrong or will soon be, each in one sentence; empty when all is well.
        free_bytes: room left for more; None where the store cannot tell.
    """

    readable: bool
    writable: bool
    problems: tuple[str, ...] = ()
    free_bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class Stage(Protocol):
    """A second set of vectors, by another model, on its way to replace the first.

    The gallery is searched and written as ever meanwhile; what is added is missing here at first,
    what is deleted is deleted here too. Work that was put survives a crash: staging the same model
    again goes on with it.
    """

    @property
    def model_id(self) -> str:
        """The new model."""
        ...

    def missing(self, limit: int) -> list[Sighting]:
        """The next sightings without a vector of the new model; empty when all have one."""
        ...

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Ids that are gone by now are passed over; returns how many were stored.

        Raises:
            InputError: another order; vectors zero, not finite, or of several dimensions.
        """
        ...

    def switch(self) -> bool:
        """Make the new vectors the gallery's, all at once; False when some are still missing."""
        ...

    def drop(self) -> None:
        """Give up; the new vectors are deleted."""
        ...


@runtime_checkable
class Gallery(Protocol):
    """A durable store of sightings with exact scoped search.

    The model that made the vectors is fixed by the first sighting; vectors of another model or
    dimension are refused with an InputError. :meth:`stage` changes the model.
    """

    @property
    def model_id(self) -> str | None:
        """The model of the stored vectors; None while the gallery is empty."""
        ...

    @property
    def dimension(self) -> int | None:
        """D of the stored vectors; None while the gallery is empty."""
        ...

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; durable when it returns.

        An id that is already there is left as it is, or replaced when ``replace`` is set.

        Raises:
            InputError: another model or dimension; a vector missing, zero or not finite; a text
                that is no Unicode. Nothing is stored then.
        """
        ...

    def search(
        self,
        vectors: FloatArray,
        k: int,
        scope: Scope = Scope(),
        *,
        model: str | None = None,
    ) -> list[Hits]:
        """The k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the stored half-precision vector; ties in order of id.

        Raises:
            InputError: vectors of another dimension, or of another ``model`` than the stored; k
                below 1.
        """
        ...

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """The facts of sightings, in the order asked, without vectors.

        Raises:
            UnknownSightingError: an id is not in the gallery.
        """
        ...

    def latest(self, limit: int, scope: Scope = Scope()) -> list[Sighting]:
        """The newest sightings in the scope, newest first, ties by id."""
        ...

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        """All sightings of tracklets, by time; names nobody has are left out."""
        ...

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        """(N, D) float32 vectors in the order asked.

        Raises:
            UnknownSightingError: an id is not in the gallery.
            InputError: the vectors are not of ``model``.
        """
        ...

    def count(self, scope: Scope = Scope()) -> int:
        """Number of sightings in the scope."""
        ...

    def coverage(self, scope: Scope = Scope()) -> list[Coverage]:
        """Per camera with sightings in the scope: how many, the first and the last."""
        ...

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope; returns how many went."""
        ...

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); returns how many went."""
        ...

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        """Those of ``crops`` that some sighting names."""
        ...

    def compact(self) -> int:
        """Rewrite what holds deleted rows, so that their bytes are gone; returns bytes freed."""
        ...

    def snapshot(self, folder: Path) -> None:
        """Write a consistent copy into a new or empty folder, as an embedded gallery.

        Raises:
            InputError: the folder is not empty.
        """
        ...

    def stage(self, model: str) -> Stage:
        """Begin to embed the gallery anew with another model, or go on with what was begun.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """
        ...

    def health(self) -> Health:
        """Whether the store can be read and written, quickly; :meth:`verify` reads it all."""
        ...

    def stats(self) -> Stats:
        """Size and state."""
        ...

    def verify(self) -> list[str]:
        """Read everything and name what is damaged; empty when all is well."""
        ...

    def close(self) -> None:
        """Let go of files; the gallery must not be used afterwards."""
        ...
