"""Evaluation of a distance matrix, and of features without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.metrics.matches import Matches, find_matches
from passerby.metrics.protocols import Protocol
from passerby.metrics.ranks import SHOTS_SEED, RowCounter, ranks_on_device, shot_hits
from passerby.metrics.report import Report
from passerby.retrieval.distances import BLOCK_BYTES, Features, Metric, distance_block, prepare
from passerby.retrieval.reranking import reranked_blocks
from passerby.retrieval.variants import Variant

Matrix = Tensor | ArrayLike
RANKS = (1, 5, 10)
BLOCK_ROWS = 512  # with fewer queries at once the product loses a fifth of its speed

# positions in the valid queries, the row of each in the block, the block (rows, G)
Block = tuple[NDArray[np.int64], NDArray[np.int64], Tensor | NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """Options of :func:`passerby.retrieval.k_reciprocal_distances`.

    Attributes:
        k1: Length of the neighbour lists.
        k2: Rows averaged in the local query expansion.
        lambda_value: Share of the original distance.
        variant: A name in ``passerby.retrieval.VARIANTS``.
        memory_limit: Bytes above the features that re-ranking may take; None for no limit.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3
    variant: str | Variant = "bag-of-tricks"
    memory_limit: int | None = None


def evaluate(
    distances: Matrix,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    ranks: Sequence[int] = RANKS,
    protocol: str | Protocol = "market1501",
) -> Report:
    """Compute CMC, mAP and mINP of a distance matrix.

    Equal distances are ranked by gallery row. The matrix is neither copied nor changed.

    >>> distances = [[0.1, 0.4, 0.3], [0.5, 0.6, 0.2]]  # two queries, three gallery pictures
    >>> report = evaluate(distances, [7, 8], [7, 7, 8], [1, 1], [2, 2, 2])
    >>> report.cmc[1], round(report.mAP, 3)
    (1.0, 0.917)

    Args:
        distances: (Q, G), smaller is nearer.
        query_ids: (Q,) whole numbers; -1 is junk.
        gallery_ids: (G,); -1 is junk, which takes no part. 0 is a distractor, a negative, unless a
            query has it too, as in labels that count from 0.
        query_cameras: (Q,).
        gallery_cameras: (G,).
        ranks: Ranks k of the CMC.
        protocol: A name in ``PROTOCOLS``.

    Raises:
        InputError: Shapes differ, a distance is NaN, no query has a true match, or the protocol is
            unknown.
    """
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol)
    matrix = distances if isinstance(distances, Tensor) else np.asarray(distances)
    wanted = (matches.query_count, matches.gallery_count)
    if tuple(matrix.shape) != wanted:
        raise InputError(f"distances are {tuple(matrix.shape)}; identities say {wanted} (Q, G)")
    if isinstance(matrix, Tensor) and matrix.device.type == "cpu":
        matrix = matrix.detach()
        matrix = (matrix.float() if matrix.dtype == torch.bfloat16 else matrix).numpy()
    blocks = matrix.split(_block_rows(wanted[1])) if isinstance(matrix, Tensor) else [matrix]
    return _report(matches, _placed(matches, blocks), ranks)


def evaluate_features(  # noqa: PLR0917 - as evaluate
    queries: Features,
    gallery: Features,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    ranks: Sequence[int] = RANKS,
    protocol: str | Protocol = "market1501",
    metric: Metric = "cosine",
    reranking: Reranking | None = None,
) -> Report:
    """Compute the report of :func:`evaluate` from features, block by block of queries.

    Beyond the features it holds one block of distances (64 MiB, or 512 queries in a gallery of more
    than 32,768). Where rows are not of unit length under cosine, it also holds a copy of the
    features. It works on the device of ``queries``.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        query_ids: As in :func:`evaluate`, like all others.
        gallery_ids: (G,).
        query_cameras: (Q,).
        gallery_cameras: (G,).
        ranks: Ranks k of the CMC.
        protocol: A name in ``PROTOCOLS``.
        metric: See :func:`passerby.retrieval.distances`.
        reranking: Evaluate re-ranked distances instead, still without a whole matrix.

    Raises:
        InputError: As :func:`evaluate`; or features are NaN or zero, with the row.

    Example:
        >>> import numpy as np
        >>> features, people = np.eye(4), [1, 2, 3, 4]  # one direction a person
        >>> report = evaluate_features(
        ...     features, features, people, people, [1] * 4, [2] * 4, ranks=(1,)
        ... )
        >>> report.mAP, report.valid_queries
        (1.0, 4)
    """
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol)
    left, right = prepare(queries, gallery, metric)
    given, wanted = (len(left), len(right)), (matches.query_count, matches.gallery_count)
    if given != wanted:
        raise InputError(f"features are of {given} queries and gallery; identities say {wanted}")

    if reranking is not None:
        again = reranked_blocks(left, right, metric=metric, **vars(reranking))
        return _report(matches, _placed(matches, (block for _, block in again)), ranks)

    def blocks() -> Iterator[Block]:
        V, step = len(matches.queries), _block_rows(len(right))
        memory = left.new_empty(min(step, V) * len(right))
        for start in range(0, V, step):
            positions = np.arange(start, min(start + step, V))
            chosen = torch.from_numpy(matches.queries[positions]).to(left.device)
            block = distance_block(left[chosen], right, metric, memory)
            yield positions, np.arange(len(positions)), block

    return _report(matches, blocks(), ranks)


def evaluate_blocks(
    blocks: Iterable[Tensor | NDArray[np.floating]],
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    ranks: Sequence[int] = RANKS,
    protocol: str | Protocol = "market1501",
) -> Report:
    """Compute the report of :func:`evaluate` for any distance, from blocks of consecutive queries.

    Args:
        blocks: Distances (b, G) of the next b queries each, together (Q, G). One is held at a time.
        query_ids: As in :func:`evaluate`, like all others.
        gallery_ids: (G,).
        query_cameras: (Q,).
        gallery_cameras: (G,).
        ranks: Ranks k of the CMC.
        protocol: A name in ``PROTOCOLS``.

    Raises:
        InputError: As :func:`evaluate`; or the blocks are not of Q queries and G gallery rows.
    """
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, protocol)
    return _report(matches, _placed(matches, blocks), ranks)


def _block_rows(columns: int) -> int:
    """Compute the number of queries in a block of bounded size."""
    return max(BLOCK_ROWS, BLOCK_BYTES // (4 * columns))


def _placed(matches: Matches, blocks: Iterable[Tensor | NDArray[np.floating]]) -> Iterator[Block]:
    """Find the valid queries in each block of consecutive queries."""
    Q, G, start = matches.query_count, matches.gallery_count, 0
    for block in blocks:
        stop = start + len(block)
        if block.ndim != 2 or block.shape[1] != G or stop > Q:
            raise InputError(
                f"a block of distances from query {start} on is {tuple(block.shape)}; identities "
                f"say {(Q, G)} (Q, G) in all"
            )
        first, last = np.searchsorted(matches.queries, [start, stop])
        positions, rows = np.arange(first, last), matches.queries[first:last] - start
        part: Block = (positions, rows, block)
        if isinstance(block, Tensor) and block.device.type != "cpu":
            # ranks_on_device takes all rows of a block and overwrites them
            chosen = block[torch.from_numpy(rows).to(block.device)]
            part = (positions, np.arange(len(rows)), chosen)
        if len(rows):
            yield part
        start = stop
    if start != Q:
        raise InputError(f"the blocks hold distances of {start} queries; identities say {Q}")


def _report(matches: Matches, blocks: Iterator[Block], ranks: Sequence[int]) -> Report:
    if not ranks or min(ranks) < 1:
        raise InputError(f"ranks {tuple(ranks)} are not all 1 or more; give such as 1 5 10")
    found: list[NDArray[np.int64]] = []
    hits: list[NDArray[np.float64]] = []
    random = np.random.default_rng(SHOTS_SEED)
    counter: RowCounter | None = None
    shots = matches.protocol.shots
    for positions, rows, block in blocks:
        if isinstance(block, Tensor) and block.device.type != "cpu" and not shots:
            found += ranks_on_device(matches, positions, block)
            continue
        matrix = block.cpu().numpy() if isinstance(block, Tensor) else block
        counter = counter or RowCounter(matches, matrix.dtype)
        for position, row in zip(positions, rows, strict=True):
            found.append(counter.ranks(position, matrix[row]))
            if shots:
                hits.append(shot_hits(counter, position, ranks, random))
    return _summarise(matches, found, hits, ranks)


def _summarise(
    matches: Matches,
    found: list[NDArray[np.int64]],
    hits: list[NDArray[np.float64]],
    ranks: Sequence[int],
) -> Report:
    """Compute the figures from the ascending ranks of each valid query's true matches."""
    counts = np.array([len(r) for r in found])
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    flat = np.concatenate(found).astype(np.float64)
    number = np.arange(len(flat)) - np.repeat(starts, counts) + 1.0  # hits so far, from 1
    precision = number / flat
    if matches.protocol.average_precision == "trapezoid":
        before = (number - 1) / np.maximum(flat - 1, 1)
        precision = (precision + np.where(flat == 1, 1.0, before)) / 2
    ap = np.add.reduceat(precision, starts) / counts
    inp = counts / flat[starts + counts - 1]
    first = flat[starts].astype(np.int64)
    shares = [float(np.mean(first <= rank)) for rank in ranks]
    if hits:
        shares = np.mean(hits, axis=0).tolist()
    return Report(
        mAP=float(ap.mean()),
        mINP=float(inp.mean()),
        cmc=dict(zip(map(int, ranks), shares, strict=True)),
        ap=ap,
        inp=inp,
        first=first,
        queries=matches.queries,
        valid_queries=len(matches.queries),
        skipped_queries=matches.query_count - len(matches.queries),
        protocol=matches.protocol.name,
    )
