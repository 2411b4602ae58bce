"""Galleries: stores of sightings behind one port."""

from pathlib import Path

from passerby.city.gallery.embedded import EmbeddedGallery
from passerby.city.gallery.port import (
    Coverage,
    DamagedError,
    Gallery,
    Health,
    Hits,
    Stage,
    Stats,
    StoreError,
)

__all__ = [
    "Coverage",
    "DamagedError",
    "EmbeddedGallery",
    "Gallery",
    "Health",
    "Hits",
    "Stage",
    "Stats",
    "StoreError",
    "open_gallery",
]


def open_gallery(where: Path | str) -> Gallery:
    """Open the gallery in a folder, or make an empty one there."""
    return EmbeddedGallery(where)
