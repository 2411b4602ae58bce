"""Evaluation of a distance matrix, and of features without one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.errors import InputError
from passerby.metrics.matches import Matches, find_matches
from passerby.metrics.protocols import Protocol, protocol_of
from passerby.metrics.ranks import RowCounter, ranks_on_device
from passerby.metrics.report import Report
from passerby.metrics.shots import SHOTS_SEED, shot_hits
from passerby.retrieval.distances import BLOCK_BYTES, Features, Metric, distance_block, prepare
from passerby.retrieval.reranking import reranked_blocks
from passerby.retrieval.variants import Variant

RANKS = (1, 5, 10)
BLOCK_ROWS = 512  # fewer queries at once cost a fifth of the speed of the product


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """Options of :func:`passerby.retrieval.k_reciprocal_distances`.

    Attributes:
        k1: Length of the neighbour lists.
        k2: Rows averaged in the local query expansion.
        lambda_value: Share of the original distance.
        variant: A name in ``passerby.retrieval.VARIANTS``.
        memory_limit: Bytes above the features that re-ranking may take; None for any.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3
    variant: str | Variant = "bag-of-tricks"
    memory_limit: int | None = None


# positions in the valid queries, the row of each in the block, the block (rows, G)
Block = tuple[NDArray[np.int64], NDArray[np.int64], Tensor | NDArray[np.floating]]


def evaluate(
    distances: Tensor | ArrayLike,
    query_ids: ArrayLike,
    gallery_ids: ArrayLike,
    query_cameras: ArrayLike,
    gallery_cameras: ArrayLike,
    *,
    ranks: Sequence[int] = RANKS,
    protocol: str | Protocol = "market1501",
) -> Report:
    """CMC, mAP and mINP of a distance matrix.

    Equal distances are ranked by gallery row. The matrix is neither copied nor changed.

    Args:
        distances: (Q, G), smaller is nearer.
        query_ids: (Q,) whole numbers; people are positive.
        gallery_ids: (G,); -1 is junk (takes no part), 0 a distractor (a negative).
        query_cameras: (Q,).
        gallery_cameras: (G,).
        ranks: Ranks k of the CMC.
        protocol: A name in ``PROTOCOLS``.

    Raises:
        InputError: Shapes differ, a distance is NaN, no query has a true match, unknown protocol.
    """
    rules = protocol_of(protocol)
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, rules)
    matrix = distances if isinstance(distances, Tensor) else np.asarray(distances)
    wanted = (matches.query_count, matches.gallery_count)
    if tuple(matrix.shape) != wanted:
        raise InputError(f"distances are {tuple(matrix.shape)}; identities say {wanted} (Q, G)")
    if isinstance(matrix, Tensor) and matrix.device.type == "cpu":
        matrix = matrix.detach()
        matrix = (matrix.float() if matrix.dtype == torch.bfloat16 else matrix).numpy()

    def blocks() -> Iterator[Block]:
        if isinstance(matrix, np.ndarray):
            yield np.arange(len(matches.queries)), matches.queries, matrix
            return
        for some in _split(matches, matrix.shape[1]):
            chosen = torch.from_numpy(matches.queries[some]).to(matrix.device)
            yield some, np.arange(len(some)), matrix[chosen]

    return _report(matches, blocks(), rules, ranks, np.asarray(gallery_ids))


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
    """As :func:`evaluate`, from features (Q, D) and (G, D), block by block of queries.

    Beyond the features it holds one block (64 MiB, or 512 queries in a gallery of more than 32,768)
    and, where rows are not of unit length under cosine, a copy of the features. Works on the device
    of ``queries``.

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
        reranking: Judge the re-ranked distances instead, still without a whole matrix.

    Raises:
        InputError: As :func:`evaluate`; NaN or zero features, with the row.
    """
    rules = protocol_of(protocol)
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, rules)
    left, right = prepare(queries, gallery, metric)
    given, wanted = (len(left), len(right)), (matches.query_count, matches.gallery_count)
    if given != wanted:
        raise InputError(f"features are of {given} queries and gallery; identities say {wanted}")

    if reranking is not None:
        again = _reranked(matches, left, right, metric, reranking)
        return _report(matches, again, rules, ranks, np.asarray(gallery_ids))

    def blocks() -> Iterator[Block]:
        parts = _split(matches, len(right))
        memory = left.new_empty(len(parts[0]) * len(right))
        for some in parts:
            chosen = torch.from_numpy(matches.queries[some]).to(left.device)
            yield some, np.arange(len(some)), distance_block(left[chosen], right, metric, memory)

    return _report(matches, blocks(), rules, ranks, np.asarray(gallery_ids))


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
    """As :func:`evaluate`, for any distance that comes in blocks of consecutive queries.

    Args:
        blocks: Distances (b, G) of the next b queries each, together (Q, G); held one at a time.
        query_ids: As in :func:`evaluate`, like all others.
        gallery_ids: (G,).
        query_cameras: (Q,).
        gallery_cameras: (G,).
        ranks: Ranks k of the CMC.
        protocol: A name in ``PROTOCOLS``.

    Raises:
        InputError: As :func:`evaluate`; the blocks are not of Q queries and G gallery rows.
    """
    rules = protocol_of(protocol)
    matches = find_matches(query_ids, gallery_ids, query_cameras, gallery_cameras, rules)
    return _report(matches, _placed(matches, blocks), rules, ranks, np.asarray(gallery_ids))


def _placed(matches: Matches, blocks: Iterable[Tensor | NDArray[np.floating]]) -> Iterator[Block]:
    """The valid queries of each block of consecutive queries."""
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
            # what counts on the device takes all rows of a block, and overwrites them
            chosen = block[torch.from_numpy(rows).to(block.device)]
            part = (positions, np.arange(len(rows)), chosen)
        if len(rows):
            yield part
        start = stop
    if start != Q:
        raise InputError(f"the blocks hold distances of {start} queries; identities say {Q}")


def _reranked(
    matches: Matches, queries: Tensor, gallery: Tensor, metric: Metric, options: Reranking
) -> Iterator[Block]:
    blocks = reranked_blocks(
        queries,
        gallery,
        k1=options.k1,
        k2=options.k2,
        lambda_value=options.lambda_value,
        metric=metric,
        variant=options.variant,
        memory_limit=options.memory_limit,
    )
    return _placed(matches, (block for _, block in blocks))


def _split(matches: Matches, columns: int) -> list[NDArray[np.int64]]:
    """Positions of valid queries in blocks of bounded size."""
    step = max(BLOCK_ROWS, BLOCK_BYTES // (4 * columns))
    positions = np.arange(len(matches.queries))
    return [positions[i : i + step] for i in range(0, len(positions), step)]


def _report(
    matches: Matches,
    blocks: Iterator[Block],
    protocol: Protocol,
    ranks: Sequence[int],
    gallery_ids: NDArray[np.int64],
) -> Report:
    if not ranks or min(ranks) < 1:
        raise InputError(f"ranks {tuple(ranks)} are not all 1 or more; give such as 1 5 10")
    found: list[NDArray[np.int64]] = []
    hits: list[NDArray[np.float64]] = []
    random = np.random.default_rng(SHOTS_SEED)
    counter: RowCounter | None = None
    for positions, rows, block in blocks:
        if isinstance(block, Tensor) and block.device.type != "cpu" and not protocol.shots:
            found += ranks_on_device(matches, positions, block)
            continue
        matrix = block.cpu().numpy() if isinstance(block, Tensor) else block
        counter = counter or RowCounter(matches, matrix.dtype)
        for position, row in zip(positions, rows, strict=True):
            found.append(counter.ranks(position, matrix[row]))
            if protocol.shots:
                shots = shot_hits(
                    counter, position, gallery_ids, ranks, protocol=protocol, random=random
                )
                hits.append(shots)
    return _summarise(matches, found, hits, protocol, ranks)


def _summarise(
    matches: Matches,
    found: list[NDArray[np.int64]],
    hits: list[NDArray[np.float64]],
    protocol: Protocol,
    ranks: Sequence[int],
) -> Report:
    """Figures from the ascending ranks of each valid query's true matches."""
    counts = np.array([len(r) for r in found])
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    flat = np.concatenate(found).astype(np.float64)
    number = np.arange(len(flat)) - np.repeat(starts, counts) + 1.0  # hits so far, from 1
    precision = number / flat
    if protocol.average_precision == "trapezoid":
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
        protocol=protocol.name,
    )
