"""Passerby: person re-identification, a toolbox and a city service.

The main names stand here and are imported when they are first used, so that ``import passerby``
is quick and needs no optional package:

>>> import passerby
>>> passerby.evaluate([[0.1, 0.9]], [1], [1, 2], [0], [1, 1]).mAP
1.0
"""

import importlib
from typing import TYPE_CHECKING, Any

from passerby.errors import InputError as InputError
from passerby.errors import MissingExtraError as MissingExtraError

if TYPE_CHECKING:
    from passerby.city import City as City
    from passerby.city import Scope as Scope
    from passerby.city import Sighting as Sighting
    from passerby.city import Trajectory as Trajectory
    from passerby.city import open_gallery as open_gallery
    from passerby.cluster import jaccard_neighbours as jaccard_neighbours
    from passerby.cluster import pseudo_labels as pseudo_labels
    from passerby.data import CropTable as CropTable
    from passerby.data import read as read
    from passerby.metrics import Report as Report
    from passerby.metrics import evaluate as evaluate
    from passerby.metrics import evaluate_features as evaluate_features
    from passerby.models import ModelCard as ModelCard
    from passerby.models import load as load
    from passerby.models import save as save
    from passerby.models.build import build as build
    from passerby.models.convert import convert as convert
    from passerby.retrieval import Ranking as Ranking
    from passerby.retrieval import k_reciprocal_distances as k_reciprocal_distances
    from passerby.retrieval import rerank as rerank
    from passerby.retrieval import search as search
    from passerby.runtime import Embedder as Embedder

__version__ = "0.1.0"

# name -> the room that has it
_ROOMS = {
    "City": "city",
    "CropTable": "data",
    "Embedder": "runtime",
    "ModelCard": "models",
    "Ranking": "retrieval",
    "Report": "metrics",
    "Scope": "city",
    "Sighting": "city",
    "Trajectory": "city",
    "build": "models",
    "convert": "models",
    "evaluate": "metrics",
    "evaluate_features": "metrics",
    "jaccard_neighbours": "cluster",
    "k_reciprocal_distances": "retrieval",
    "load": "models",
    "open_gallery": "city",
    "pseudo_labels": "cluster",
    "read": "data",
    "rerank": "retrieval",
    "save": "models",
    "search": "retrieval",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error) or error from None


def __dir__() -> list[str]:
    return sorted([*_ROOMS, "InputError", "MissingExtraError", "__version__"])
