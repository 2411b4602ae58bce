"""The exact answers, computed chunk by chunk with numpy in float32."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.galleries.data import CHUNK, Source

Best = dict[str, NDArray[np.int64]]


def exact(source: Source, queries: NDArray[np.float32], k: int, *, half: bool) -> Best:
    """(Q, k) rows of each scope, nearest first, -1 where there are fewer.

    Args:
        source: the sightings.
        queries: (Q, D).
        k: how many.
        half: of the vectors as they are after rounding to half precision.
    """
    masks = {name: wanted.mask(source) for name, wanted in source.scopes().items()}
    rows = {name: np.full((len(queries), k), -1, np.int64) for name in masks}
    scores = {name: np.full((len(queries), k), -np.inf, np.float32) for name in masks}
    for number in range(source.chunks):
        vectors = source.chunk(number)
        if half:
            vectors = vectors.astype(np.float16).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        products = queries @ vectors.T
        first = number * CHUNK
        for name, mask in masks.items():
            inside = np.flatnonzero(mask[first : first + len(vectors)])
            if len(inside) == 0:
                continue
            together = np.concatenate([scores[name], products[:, inside]], axis=1)
            names = np.concatenate(
                [rows[name], np.broadcast_to(inside + first, (len(queries), len(inside)))], axis=1
            )
            best = np.argpartition(-together, k - 1, axis=1)[:, :k]
            scores[name] = np.take_along_axis(together, best, axis=1)
            rows[name] = np.take_along_axis(names, best, axis=1)
    for name in masks:
        order = np.argsort(-scores[name], axis=1, kind="stable")
        rows[name] = np.take_along_axis(rows[name], order, axis=1)
        found = np.take_along_axis(scores[name], order, axis=1)
        rows[name][~np.isfinite(found)] = -1
    return rows


def agreement(found: NDArray[np.int64], want: NDArray[np.int64]) -> float:
    """Share of the wanted rows that were found."""
    wanted = want[want >= 0]
    return len(np.intersect1d(found, wanted)) / max(len(wanted), 1)
