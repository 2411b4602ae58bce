"""Checkpoints: written whole or not at all, read without executing anything."""

import os
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from passerby.errors import InputError

FORMAT = 2


def seed_random(seed: int, *place: int) -> None:
    """Seed every global random generator for ``seed`` and a place, such as an epoch and a step.

    What is drawn then depends on these numbers, never on what was drawn before: a checkpoint needs
    to hold no generator's state.
    """
    words = np.random.SeedSequence([seed, *place]).generate_state(3, np.uint64)
    random.seed(int(words[0]))
    np.random.seed(words[1:2].view(np.uint32))
    drawn = int(words[2]) >> 1
    # as torch.manual_seed, which takes 0.1 ms where CUDA has not been used
    torch.default_generator.manual_seed(drawn)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(drawn)


def write(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` in one step, durable when this returns."""
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("wb") as file:
        torch.save({"format": FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        InputError: If it is damaged or from another version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise InputError(f"'{path}' is no whole checkpoint: {error}; delete the run") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise InputError(f"'{path}' is a checkpoint of another version; start a new run folder")
    return state
