"""CMC with one random gallery picture per identity, CUHK03's old protocol."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from passerby.metrics.protocols import Protocol
from passerby.metrics.ranks import RowCounter

SHOTS_SEED = 0  # of the draws: the same figure every time


def shot_hits(
    counter: RowCounter,
    position: int,
    gallery_ids: NDArray[np.int64],
    ranks: Sequence[int],
    *,
    protocol: Protocol,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Share of the draws (len(ranks),) in which the query's person is at each rank or before.

    Each draw keeps one random picture of every identity that takes part for the query.

    Args:
        counter: Behind :meth:`RowCounter.ranks` of the same ``position``: its scratch row holds
            the query's distances, NaN where a row takes no part.
        position: Index into the valid queries.
        gallery_ids: (G,).
        ranks: Ranks k of the CMC.
        protocol: Its ``shots`` is the number of draws.
        random: The source of the draws.
    """
    part = np.flatnonzero(~np.isnan(counter.row))
    wanted = gallery_ids[counter.matches.true[position][0]]
    people, person = np.unique(gallery_ids[part], return_inverse=True)
    own = int(np.searchsorted(people, wanted))
    hits = np.zeros(len(ranks))
    for _ in range(protocol.shots):
        # the first of each person in a random order is a uniform draw of one picture
        order = random.permutation(len(part))
        chosen = part[order[np.unique(person[order], return_index=True)[1]]]
        value = counter.row[chosen]
        nearer = (value < value[own]) | ((value == value[own]) & (chosen < chosen[own]))
        rank = 1 + int(nearer.sum())
        hits += [rank <= k for k in ranks]
    return hits / protocol.shots
