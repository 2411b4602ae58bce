"""Crops as a table: readers, the in-memory image store, batch transforms, samplers.

The table and its readers need numpy alone. Modules that need torch are imported at the first use of
their names, so that a program that only reads tables starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from passerby.data.files import write_parquet
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
    "write_parquet",
]

_WITH_TORCH = {
    "samplers": "CameraSampler PKSampler ShuffleSampler SwitchSampler",
    "store": "ImageStore",
    "transforms": "Augment",
}


def __getattr__(name: str) -> Any:
    for module, names in _WITH_TORCH.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
