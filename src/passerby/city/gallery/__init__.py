"""Galleries: stores of sightings behind one port."""

from pathlib import Path

from passerby.city.gallery.embedded import EmbeddedGallery
from passerby.city.gallery.milvus_link import is_milvus
from passerby.city.gallery.port import (
    AwayError,
    Coverage,
    DamagedError,
    Gallery,
    Health,
    Hits,
    Stage,
    Stats,
    StoreError,
    UnknownSightingError,
)

__all__ = [
    "AwayError",
    "Coverage",
    "DamagedError",
    "EmbeddedGallery",
    "Gallery",
    "Health",
    "Hits",
    "Stage",
    "Stats",
    "StoreError",
    "UnknownSightingError",
    "open_gallery",
]


def open_gallery(where: Path | str) -> Gallery:
    """Open the gallery in a folder, or make an empty one there; or on ``milvus://HOST:PORT/NAME``.

    See :class:`~passerby.city.gallery.milvus_link.MilvusAddress` for the options of a server.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from passerby.city import Scope, Sighting
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     gallery = open_gallery(folder)
        ...     vector = np.array([0.6, 0.8], np.float32)
        ...     one = Sighting(id="a", camera="C1", unit="9901", time=0, vector=vector, model="m")
        ...     added = gallery.add([one])
        ...     hits = gallery.search(vector, 5, Scope(units=("99",)))[0]
        ...     gallery.close()
        >>> added, hits.ids
        (1, ('a',))
    """
    if is_milvus(where):
        from passerby.city.gallery.milvus import MilvusGallery

        return MilvusGallery(str(where))
    return EmbeddedGallery(where)
