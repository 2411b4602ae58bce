"""Random states from numbers: what is drawn depends on (seed, epoch, step), never on history."""

import numpy as np
import torch


def numpy_generator(seed: int, *place: int) -> np.random.Generator:
    """A numpy generator of its own for ``seed`` and a place, such as an epoch's number."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *place])))


def torch_generator(seed: int, *place: int, device: str = "cpu") -> torch.Generator:
    """As :func:`numpy_generator`, for torch."""
    state = int(np.random.SeedSequence([seed, *place]).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)
