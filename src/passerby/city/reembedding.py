"""Embed a gallery anew from its stored crops while it is in use, and switch to the new model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from passerby.city.crops import CropStore
from passerby.city.gallery.port import Gallery
from passerby.city.sightings import FloatArray, Sighting
from passerby.errors import InputError
from passerby.runtime import Embedder

AT_ONCE = 256


@dataclass(kw_only=True)
class Reembedding:
    """The progress of the work; the figures grow meanwhile."""

    total: int
    """Sightings in the gallery when the work began or was continued."""
    done: int = 0
    """Sightings embedded by this call."""
    dropped: int = 0
    """Sightings deleted because their crop is gone or cannot be read."""


Progress = Callable[[Reembedding], None]


def reembed(
    gallery: Gallery,
    crops: CropStore,
    embedder: Embedder,
    *,
    drop_lost: bool = False,
    at_once: int = AT_ONCE,
    on_progress: Progress | None = None,
) -> Reembedding:
    """Embed the crop of every sighting with ``embedder``, then switch the gallery to these vectors.

    Searches and ingests by the old model go on meanwhile; what they add is embedded as well. After
    the switch the gallery accepts and compares only vectors of the new model. The next call
    completes one that was killed.

    Args:
        gallery: any store.
        crops: the stored pictures.
        embedder: the new model.
        drop_lost: delete sightings without a readable crop; otherwise they stop the work.
        at_once: sightings stored in one step.
        on_progress: is called with the state of the work after each step.

    Raises:
        InputError: the gallery is empty or is of this model already, another model is being
            staged, or crops are lost.
    """
    stage = gallery.stage(embedder.model_id)
    work = Reembedding(total=gallery.count())
    while True:
        part = stage.missing(at_once)
        if not part:
            if stage.switch():
                return work
            continue  # sightings came in between
        vectors = _embedded(part, crops, embedder)
        lost = [one.id for one in part if one.id not in vectors]
        if lost and not drop_lost:
            raise InputError(
                f"{len(lost)} of the next {len(part)} sightings have no readable crop, first "
                f"'{lost[0]}'; drop such sightings or keep the old model"
            )
        if lost:
            work.dropped += gallery.delete(lost)
        ids = [one.id for one in part if one.id in vectors]
        if ids:
            work.done += stage.put(ids, np.stack([vectors[name] for name in ids]))
        if on_progress:
            on_progress(work)


def _embedded(
    part: Sequence[Sighting], crops: CropStore, embedder: Embedder
) -> dict[str, FloatArray]:
    """Return vectors by id, for the sightings whose crop can be read."""
    readable: list[tuple[str, bytes]] = []
    for one in part:
        try:
            readable.append((one.id, crops.path(one.crop).read_bytes()))
        except (InputError, FileNotFoundError):
            continue
    vectors: dict[str, FloatArray] = {}
    for done in embedder.stream(jpeg for _, jpeg in readable):
        for index, vector in zip(done.indices, done.vectors, strict=True):
            vectors[readable[index][0]] = vector
    return vectors
