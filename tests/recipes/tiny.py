"""What the tests of all recipes share: options of a run of seconds, labels and a batch."""

from dataclasses import replace
from typing import Any, TypeVar

import torch

from passerby.recipes.supervised import NetworkOptions
from passerby.train import Batch

Options = TypeVar("Options", bound=NetworkOptions)

LABELS = torch.arange(8).repeat_interleave(4)


def tiny(config: Options, **changes: Any) -> Options:
    """The recipe on the smallest network, with small pictures, on one thread."""
    shared: dict[str, Any] = {
        "backbone": "slim18", "size": (64, 32), "padding": 3, "identities": 8, "images": 4,
        "schedule": "cosine", "warmup": 2, "learning_rate": 2e-3, "precision": "fp32",
        "device": "cpu", "threads": 1, "log_every": 2, "progress": False,
    }  # fmt: skip
    return replace(config, **shared | changes)


def batch(height: int = 64, width: int = 32) -> Batch:
    """Noise for 8 identities with 4 images each, as LABELS says."""
    generator = torch.Generator().manual_seed(3)
    return Batch(torch.randn(32, 3, height, width, generator=generator), torch.arange(32))
