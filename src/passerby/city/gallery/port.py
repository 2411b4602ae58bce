"""The interface of a store of sightings, the values it returns, the checks every store makes."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from passerby.city.sightings import FloatArray, Scope, Sighting
from passerby.errors import InputError
from passerby.retrieval.screening import unit_rows


class StoreError(InputError):
    """The gallery's files or its server cannot be used; another request would fail as well."""


class AwayError(StoreError):
    """The server, or a node the request needs, does not answer. A later request may succeed."""


class DamagedError(StoreError):
    """Stored bytes differ from what was written; the message names the file and the rows."""


class UnknownSightingError(InputError):
    """A requested sighting is not in the gallery."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """The nearest sightings of one query: nearest first, equal distances in order of id.

    Attributes:
        ids: k ids, or fewer when the scope holds fewer.
        distances: (k,) float32 cosine distances, 0 (same) to 2.
    """

    ids: tuple[str, ...]
    distances: NDArray[np.float32]

    @classmethod
    def of(cls, ids: Sequence[str], distances: NDArray[np.float32], k: int) -> "Hits":
        """Order sightings by distance, then by id, and take the first k."""
        pairs = sorted(zip(distances.tolist(), ids, strict=True))[:k]
        ordered = np.array([distance for distance, _ in pairs], np.float32)
        return cls(ids=tuple(name for _, name in pairs), distances=ordered)

    def __len__(self) -> int:
        return len(self.ids)


NO_HITS = Hits(ids=(), distances=np.zeros(0, np.float32))


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """The sightings of one camera within a scope: how many, first and last in milliseconds."""

    camera: str
    sightings: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Size and content of a gallery.

    Attributes:
        sightings: how many.
        bytes: of the files, or of the vectors on a server.
        first: time of the oldest sighting in milliseconds; None in an empty gallery.
        last: time of the newest sighting.
        model_id: the model of the vectors; None in an empty gallery.
        dimension: D; None in an empty gallery.
    """

    sightings: int
    bytes: int
    first: int | None
    last: int | None
    model_id: str | None
    dimension: int | None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """The condition of a gallery, for a monitor.

    Attributes:
        readable: searches are answered.
        writable: sightings can be added.
        problems: present and coming faults, one sentence each; empty when there are none.
        free_bytes: free room on the disk; None where the store does not know it.
    """

    readable: bool
    writable: bool
    problems: tuple[str, ...] = ()
    free_bytes: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Stage(Protocol):
    """A second set of vectors, made by another model, that will replace the first.

    Searches and adds go on meanwhile. A sighting that is added is missing here at first; a
    sighting that is deleted is deleted here too. Stored vectors survive a crash: staging the same
    model again continues the work.
    """

    @property
    def model_id(self) -> str:
        """The new model."""

    def missing(self, limit: int) -> list[Sighting]:
        """Return the next sightings without a vector of the new model; empty when all have one."""

    def put(self, ids: Sequence[str], vectors: FloatArray) -> int:
        """Store new vectors durably, in the order of :meth:`missing`, without leaving one out.

        Ids that were deleted meanwhile are skipped. Returns how many vectors were stored.

        Raises:
            InputError: another order; vectors zero, not finite, or of several dimensions.
        """

    def switch(self) -> bool:
        """Replace the gallery's vectors, all at once; return False when some are still missing."""

    def drop(self) -> None:
        """Delete the new vectors and keep the old ones."""


@runtime_checkable
class Gallery(Protocol):
    """A durable store of sightings with exact scoped search.

    The first sighting fixes the model of the vectors. Vectors of another model or dimension are
    refused with an InputError. :meth:`stage` changes the model.
    """

    @property
    def model_id(self) -> str | None:
        """The model of the stored vectors; None while the gallery is empty."""

    @property
    def dimension(self) -> int | None:
        """D of the stored vectors; None while the gallery is empty."""

    def add(self, sightings: Iterable[Sighting], *, replace: bool = False) -> int:
        """Store sightings and return how many were new; durable when it returns.

        An id that is already stored is left as it is, or replaced when ``replace`` is set.

        Raises:
            InputError: another model or dimension; a vector missing, zero or not finite; a text
                that is no Unicode. Nothing is stored then.
        """

    def search(
        self, vectors: FloatArray, k: int, scope: Scope = Scope(), *, model: str | None = None
    ) -> list[Hits]:
        """Find the k nearest sightings in the scope for each of the (Q, D) vectors, exactly.

        Cosine distance to the stored half-precision vector; equal distances in order of id.

        Raises:
            InputError: vectors of another dimension, or of another ``model`` than the stored; k
                below 1.
        """

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings without vectors, in the order of ``ids``.

        Raises:
            UnknownSightingError: an id is not in the gallery.
        """

    def latest(self, limit: int, scope: Scope = Scope()) -> list[Sighting]:
        """Return the newest sightings in the scope, newest first, equal times in order of id."""

    def tracklets(self, names: Sequence[str]) -> dict[str, list[Sighting]]:
        """Return all sightings of tracklets, by time; unknown names are left out."""

    def vectors(self, ids: Sequence[str], *, model: str | None = None) -> FloatArray:
        """Return (N, D) float32 vectors in the order of ``ids``.

        Raises:
            UnknownSightingError: an id is not in the gallery.
            InputError: the vectors are not of ``model``.
        """

    def count(self, scope: Scope = Scope()) -> int:
        """Count the sightings in the scope."""

    def coverage(self, scope: Scope = Scope()) -> list[Coverage]:
        """Return, for each camera with sightings in the scope, how many, the first and the last."""

    def delete(self, what: Scope | Sequence[str]) -> int:
        """Delete by ids or by scope; return how many sightings were deleted."""

    def drop_before(self, time: int) -> int:
        """Delete everything older than ``time`` (milliseconds); return how many were deleted."""

    def crops_used(self, crops: Sequence[str]) -> set[str]:
        """Return those of ``crops`` that a sighting refers to."""

    def compact(self) -> int:
        """Rewrite what holds deleted rows or small chunks; return the bytes freed."""

    def snapshot(self, folder: Path) -> None:
        """Write a consistent copy into a new or empty folder, as an embedded gallery.

        Raises:
            InputError: the folder is not empty.
        """

    def stage(self, model: str) -> Stage:
        """Begin to embed the gallery anew with another model, or continue that work.

        Raises:
            InputError: an empty gallery, its own model, or another model is being staged.
        """

    def health(self) -> Health:
        """Report quickly whether the store can be read and written; :meth:`verify` reads it all."""

    def stats(self) -> Stats:
        """Return size and content."""

    def verify(self) -> list[str]:
        """Read everything and name what is damaged; empty when nothing is."""

    def close(self) -> None:
        """Close files and connections; the gallery must not be used afterwards."""


def unit_queries(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Bring queries (Q, D), or one (D,), to unit length.

    Raises:
        InputError: one is zero or not finite.
    """
    try:
        return unit_rows(vectors)
    except ValueError:
        raise InputError("a query vector is zero or not finite; embed the picture again") from None


def check_model(model: str | None, dimension: int | None, held: tuple[str, int]) -> None:
    """Refuse vectors of another model or dimension than those of a gallery.

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


def check_new_model(model: str, *, held: str, staged: str, empty: bool) -> None:
    """Refuse to begin a stage where there is nothing to do, or another one has begun.

    Args:
        model: the new model.
        held: the model of the gallery's vectors.
        staged: the model of the stage that has begun; empty for none.
        empty: the gallery holds no sighting.

    Raises:
        InputError: an empty gallery, its own model, or another model is being staged.
    """
    if staged not in ("", model):
        raise InputError(
            f"the gallery is being embedded anew with '{staged}'; finish or drop that first"
        )
    if empty:
        raise InputError("the gallery is empty; add sightings by the new model at once")
    if held == model:
        raise InputError(f"the gallery's vectors are of the model '{model}' already")


def check_staged(model: str, staged: str, dimension: int = 0, staged_dimension: int = 0) -> None:
    """Refuse to use a stage that has ended, and vectors of another dimension than it holds.

    Args:
        model: the model of the stage.
        staged: the model that is being staged now; empty for none.
        dimension: D of new vectors; 0 for none.
        staged_dimension: D of the staged vectors; 0 while there are none.

    Raises:
        InputError: another model or dimension.
    """
    if staged != model:
        raise InputError(f"the gallery is not being embedded anew with '{model}' any more")
    if dimension and staged_dimension not in (0, dimension):
        raise InputError(
            f"the new vectors have {staged_dimension} dimensions, these {dimension}; use one model"
        )


OUT_OF_ORDER = "put the new vectors in the order in which their sightings are missing"


def check_empty(folder: Path) -> None:
    """Refuse a folder for a snapshot that holds anything.

    Raises:
        InputError: the folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"the folder {folder} is not empty; name a new one for the snapshot")
