"""Test pictures for a network, and the agreement of two sets of vectors."""

import numpy as np
from numpy.typing import NDArray

from passerby.models import ModelCard
from passerby.runtime.pictures import resize

SAME = 5e-7
"""Largest difference between unit vectors of two programs of which either may embed a picture."""


def smooth_pictures(card: ModelCard, count: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Make random coloured pictures without edges, of the network's input size.

    Args:
        card: Model card with the input size.
        count: Number of pictures.
        seed: Seed of the random colours.

    Returns:
        (count, H, W, 3) uint8 RGB.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 16, 8, 3)).astype(np.uint8)
    return np.stack([resize(one, card.input_size, "bicubic") for one in coarse])


def unit_rows(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row of (N, D) by its Euclidean length; zero rows stay zero."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unit: NDArray[np.float32] = (features / np.maximum(lengths, 1e-12)).astype(np.float32)
    return unit


def cosines(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine (N,) of each row of (N, D) and the same row of the other matrix.

    A row with NaN counts as -1.
    """
    products = np.sum(unit_rows(ours).astype(np.float64) * unit_rows(theirs), axis=1)
    clean: NDArray[np.float64] = np.nan_to_num(products, nan=-1.0)
    return clean


def centred_cosines(
    ours: NDArray[np.float32], reference: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return :func:`cosines` (N,) after the reference's mean unit vector is subtracted from both.

    Vectors of different people have much in common. The rest tells people apart, so this measure
    is stricter.
    """
    ours, reference = unit_rows(ours), unit_rows(reference)
    mean = reference.mean(axis=0, dtype=np.float64).astype(np.float32)
    return cosines(ours - mean, reference - mean)
