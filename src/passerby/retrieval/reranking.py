"""Re-ranking by k-reciprocal encoding (Zhong et al., CVPR 2017), sparse, in bounded memory.

The published code holds several dense (Q + G) x (Q + G) matrices. Here only neighbour lists, sparse
rows and one block of distances are in memory at a time. The result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.retrieval.distances import Features, Metric, distance_block, prepare
from passerby.retrieval.encoding import encode, raise_
from passerby.retrieval.search import Ranking, smallest
from passerby.retrieval.variants import Variant, variant_of

BLOCK_BYTES = 128 * 2**20  # of one block of re-ranked distances
NEAREST_BYTES = 32 * 2**20  # of one block of the neighbour search, 2048 x 4096 distances
K1, K2, LAMBDA = 20, 6, 0.3  # of the paper
DEFAULT = "bag-of-tricks"


def k_reciprocal_distances(
    queries: Features,
    gallery: Features,
    *,
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
    metric: Metric = "cosine",
    variant: str | Variant = DEFAULT,
    memory_limit: int | None = None,
) -> NDArray[np.float32]:
    """Compute re-ranked distances (Q, G): (1 - lambda) Jaccard + lambda original (equation 12).

    The default has the form of the Bag of Tricks code. The original distance is squared Euclidean
    between unit rows (2 - 2 cos). Each query's distances are divided by its largest distance to any
    query or gallery row.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        k1: Length of the neighbour lists (without the row itself).
        k2: Rows averaged in the local query expansion; 1 for none.
        lambda_value: Share of the original distance, 0..1.
        metric: ``"cosine"`` scales rows to unit length. ``"squared_euclidean"`` takes them as they
            are, like the published code on features that are not normalised. ``"euclidean"`` is the
            same without squares.
        variant: A name in ``VARIANTS``, the forms of published codes.
        memory_limit: Bytes above the features that may be used; None for no limit.

    Raises:
        InputError: As :func:`passerby.retrieval.distances`; or k1, k2 or lambda is out of range,
            the variant is unknown, or :func:`memory_estimate` is above the limit.

    Example:
        >>> import numpy as np
        >>> features = np.eye(6)
        >>> distances = k_reciprocal_distances(features[:2], features, k1=2, k2=1)
        >>> distances.shape, int(distances[1].argmin())
        ((2, 6), 1)
    """
    _afford(queries, gallery, k1=k1, k2=k2, dense=True, limit=memory_limit)
    left, right = prepare(queries, gallery, metric)
    blocks = reranked_blocks(
        left, right, k1=k1, k2=k2, lambda_value=lambda_value, metric=metric, variant=variant
    )
    whole = np.empty((len(left), len(right)), dtype=np.float32)
    for start, block in blocks:
        whole[start : start + len(block)] = block.numpy()
    return whole


def rerank(
    queries: Features,
    gallery: Features,
    k: int,
    *,
    k1: int = K1,
    k2: int = K2,
    lambda_value: float = LAMBDA,
    metric: Metric = "cosine",
    variant: str | Variant = DEFAULT,
    memory_limit: int | None = None,
) -> Ranking:
    """Find the ``k`` nearest gallery rows of each query by :func:`k_reciprocal_distances`.

    The matrix of all queries and the whole gallery is never in memory. Rows at equal distance come
    in order of their numbers. Options are those of :func:`k_reciprocal_distances`.

    Raises:
        InputError: As :func:`k_reciprocal_distances`; or k is below 1.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> people = rng.normal(size=(5, 16)).repeat(4, axis=0)  # 5 people, 4 pictures each
        >>> features = people + 0.1 * rng.normal(size=people.shape)
        >>> ranking = rerank(features[::4], features, 4, k1=4, k2=2)
        >>> (ranking.indices // 4).tolist()[2]  # the third person's own pictures
        [2, 2, 2, 2]
    """
    if k < 1:
        raise InputError(f"a search for the nearest {k} is empty; ask for at least 1")
    blocks = reranked_blocks(
        queries,
        gallery,
        k1=k1,
        k2=k2,
        lambda_value=lambda_value,
        metric=metric,
        variant=variant,
        memory_limit=memory_limit,
    )
    found = [smallest(block, k) for _, block in blocks]
    values = torch.cat([value for value, _ in found])
    columns = torch.cat([column for _, column in found])
    return Ranking(columns.cpu().numpy(), values.cpu().numpy())


def reranked_blocks(
    queries: Features,
    gallery: Features,
    *,
    k1: int,
    k2: int,
    lambda_value: float,
    metric: Metric,
    variant: str | Variant = DEFAULT,
    memory_limit: int | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield re-ranked distances in blocks: the first query's number, and distances (B, G).

    The caller may change or keep a block. Options are those of :func:`k_reciprocal_distances`.
    """
    _afford(queries, gallery, k1=k1, k2=k2, dense=False, limit=memory_limit)
    form = variant_of(variant)
    if k1 < 1 or k2 < 1:
        raise InputError(f"re-ranking with k1 {k1} and k2 {k2}; both must be at least 1")
    if not 0 <= lambda_value <= 1:
        raise InputError(f"re-ranking with lambda {lambda_value}; it must be in 0..1")
    left, right = prepare(queries, gallery, metric)
    if not len(right):
        raise InputError("the gallery is empty; there is nothing to re-rank")
    features, Q = torch.cat([left, right]), len(left)
    del left, right  # they may be copies, whose memory is needed
    encoding = encode(features, Q, k1=k1, k2=k2, metric=metric, variant=form)
    step = max(1, BLOCK_BYTES // (4 * (len(features) - Q)))
    for start in range(0, Q, step):
        part = range(start, min(start + step, Q))
        block = distance_block(features[part.start : part.stop], features[Q:], metric)
        if form.scaled:
            farthest = torch.from_numpy(encoding.farthest[part.start : part.stop, None])
            block /= farthest.to(block.device)
        raise_(block, form, metric).mul_(lambda_value).add_(1 - lambda_value)
        host = block.cpu().numpy()
        for row, query in enumerate(part):
            columns, overlap = encoding.overlap(query)
            host[row, columns] -= (1 - lambda_value) * (overlap / (2 - overlap))
        yield start, torch.from_numpy(host)
    if not Q:
        yield 0, torch.empty(0, len(features) - Q)


def memory_estimate(
    queries: int, gallery: int, dimension: int, *, k1: int = K1, k2: int = K2, dense: bool = False
) -> int:
    """Estimate the bytes that re-ranking needs above its features.

    The estimate is rather too high than too low. It assumes that rows must be scaled, and that the
    sets share as few members as those of clustered features.

    Args:
        queries: Q.
        gallery: G.
        dimension: D.
        k1: As in :func:`rerank`.
        k2: As in :func:`rerank`.
        dense: Whether the whole matrix is returned, as by :func:`k_reciprocal_distances`.
    """
    N = queries + gallery
    features = 2 * 4 * N * dimension  # unit rows, and queries and gallery together
    lists = 32 * N * max(k1 + 1, k2)  # numbers and distances, in the search and out of it
    # a row's set has about 1.3 k1 members, and its mean over k2 rows at most k2 times as many.
    # Value and column take 8 bytes, and at most three copies are in memory at once.
    encoding = 3 * 8 * N * round(1.3 * k1) * min(k2, 4)
    rows = max(1, BLOCK_BYTES // (4 * max(1, gallery)))
    blocks = 2 * 4 * min(rows, queries) * gallery  # one is made while one is read
    output = 4 * queries * gallery if dense else 0
    return features + lists + encoding + max(blocks, 2 * NEAREST_BYTES) + output


def _afford(
    queries: Features, gallery: Features, *, k1: int, k2: int, dense: bool, limit: int | None
) -> None:
    """Check that re-ranking needs no more memory than the limit.

    Raises:
        InputError: It needs more.
    """
    if limit is None or len(np.shape(queries)) != 2 or len(np.shape(gallery)) != 2:
        return  # the caller checks other shapes
    (Q, D), G = np.shape(queries), np.shape(gallery)[0]
    needed = memory_estimate(Q, G, D, k1=k1, k2=k2, dense=dense)
    if needed > limit:
        advice = "ask for the nearest ones by rerank()" if dense else "take fewer rows or less k1"
        raise InputError(
            f"re-ranking {Q} queries in a gallery of {G} takes about {needed / 2**20:.0f} MiB, "
            f"more than the limit of {limit / 2**20:.0f} MiB; {advice}"
        )
