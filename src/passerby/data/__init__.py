"""Crops as a table: readers, the in-memory image store, batch transforms, samplers.

The table and its readers need numpy alone; what needs torch is imported when it is first asked
for, so that a program that only reads tables starts at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from passerby.data.readers import READERS, read, read_any
from passerby.data.table import CropTable

if TYPE_CHECKING:
    from passerby.data.samplers import CameraSampler, PKSampler, ShuffleSampler, SwitchSampler
    from passerby.data.store import ImageStore
    from passerby.data.transforms import Augment

__all__ = [
    "READERS",
    "Augment",
    "CameraSampler",
    "CropTable",
    "ImageStore",
    "PKSampler",
    "ShuffleSampler",
    "SwitchSampler",
    "read",
    "read_any",
]

_WITH_TORCH = {
    "Augment": "transforms",
    "CameraSampler": "samplers",
    "ImageStore": "store",
    "PKSampler": "samplers",
    "ShuffleSampler": "samplers",
    "SwitchSampler": "samplers",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
