"""Query expansion: a query together with what it finds."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from passerby.errors import InputError
from passerby.retrieval.distances import Features, prepare
from passerby.retrieval.search import search


def expand_queries(
    queries: Features, gallery: Features, *, count: int = 5, power: float = 3.0
) -> NDArray[np.float32]:
    """Unit means (Q, D) of each query and its ``count`` nearest gallery rows.

    The query counts once, a neighbour by its cosine similarity (below 0: not at all) to the given
    power: alpha query expansion (Radenovic et al., TPAMI 2019); with power 0 it is average query
    expansion (Chum et al., ICCV 2007).

    Args:
        queries: (Q, D).
        gallery: (G, D).
        count: Neighbours that join.
        power: alpha.

    Raises:
        InputError: As :func:`passerby.retrieval.search`; a negative power.
    """
    if power < 0:
        raise InputError(f"query expansion with power {power}; it must be 0 or more")
    left, right = prepare(queries, gallery, "cosine")
    ranking = search(left, right, count)
    found = right[torch.from_numpy(ranking.indices).to(right.device)]
    similarity = 1 - torch.from_numpy(ranking.distances).to(right.device)
    weights = similarity.clamp(min=0) ** power
    mixed = left + (weights[:, :, None] * found).sum(dim=1)
    return F.normalize(mixed, dim=1).cpu().numpy()
