"""The rankings of a network on a data set, with everything that a report shows of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Report, Reranking, evaluate, evaluate_features, evaluate_table
from passerby.metrics.matches import Matches, find_matches
from passerby.metrics.protocols import Protocol, protocol_of
from passerby.retrieval import Ranking
from passerby.retrieval.distances import BLOCK_BYTES, Features, distance_block, prepare
from passerby.retrieval.reranking import reranked_blocks
from passerby.retrieval.search import smallest

RANKS = tuple(range(1, 51))
DEPTH = 100  # gallery rows kept for each query


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The rankings of all queries of a table.

    V is the number of valid queries: those with a true match. C is the number of cameras.

    Attributes:
        query: Q rows.
        gallery: G rows.
        protocol: Decides which gallery rows count for a query.
        report: CMC (ranks 1 to 50), mAP, AP of each valid query.
        plain: The report before re-ranking; None without re-ranking.
        matches: True matches and ignored gallery rows of each valid query.
        ranking: (Q, k) nearest gallery rows, ignored ones included.
        nearest_true: (V,) gallery row of each valid query's nearest true match.
        cameras: (C,) cameras of the gallery.
        camera_ap: (C, Q) AP of each query in one camera's gallery rows; NaN without a true match.
        camera_first: (C, Q) rank of the first true match there; 0 without one.
        queries: (Q, D) unit features.
        features: (G, D) unit features of the gallery.
    """

    query: CropTable
    gallery: CropTable
    protocol: Protocol
    report: Report
    plain: Report | None
    matches: Matches
    ranking: Ranking
    nearest_true: NDArray[np.int64]
    cameras: NDArray[np.int64]
    camera_ap: NDArray[np.float64]
    camera_first: NDArray[np.int64]
    queries: Tensor
    features: Tensor

    def similarity(self, query: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the cosine similarities (n,) of one query and gallery rows (n,)."""
        found: NDArray[np.float32] = (self.features[rows] @ self.queries[query]).numpy()
        return found

    def counted(self, position: int) -> NDArray[np.bool_]:
        """Mark the ranked rows (k,) of valid query ``position`` that the protocol counts."""
        rows = self.ranking.indices[self.matches.queries[position]]
        ignored = np.concatenate([self.matches.left_out[position], self.matches.never])
        return ~np.isin(rows, ignored)

    def true(self, position: int) -> NDArray[np.bool_]:
        """Mark the ranked rows (k,) of valid query ``position`` that are true matches."""
        rows = self.ranking.indices[self.matches.queries[position]]
        return np.isin(rows, self.matches.true[position])


def collect_results(
    table: CropTable,
    embed: Callable[[CropTable], Features],
    *,
    protocol: str | Protocol = "market1501",
    reranking: Reranking | None = None,
    depth: int = DEPTH,
) -> Results:
    """Evaluate a network and keep what a report shows; never a Q x G matrix.

    Args:
        table: Has rows of the splits ``query`` and ``gallery``.
        embed: Turns N rows into features (N, D), as for :func:`passerby.metrics.evaluate_table`.
        protocol: A name in ``passerby.metrics.PROTOCOLS``.
        reranking: Rank by k-reciprocal distances, and keep the report without it as well.
        depth: Gallery rows kept for each query.

    Raises:
        InputError: As :func:`passerby.metrics.evaluate_table`.
    """
    rules = protocol_of(protocol)
    found = evaluate_table(table, embed, ranks=RANKS, protocol=rules, reranking=reranking)
    labels = table.match_labels()
    matches = find_matches(*labels, rules)
    left, right = (side.cpu() for side in prepare(found.queries, found.gallery, "cosine"))
    collector = _Collector(table, matches, rules)
    for start, block in _blocks(left, right, reranking):
        collector.add(start, block, depth)
    plain = None
    if reranking is not None:
        plain = evaluate_features(left, right, *labels, ranks=RANKS, protocol=rules)
    return Results(
        query=table.query,
        gallery=table.gallery,
        protocol=rules,
        report=found.report,
        plain=plain,
        matches=matches,
        ranking=collector.ranking(),
        nearest_true=collector.nearest_true,
        cameras=collector.cameras,
        camera_ap=collector.camera_ap,
        camera_first=collector.camera_first,
        queries=left,
        features=right,
    )


def _blocks(
    left: Tensor, right: Tensor, reranking: Reranking | None
) -> Iterator[tuple[int, Tensor]]:
    """Yield blocks of distances (B, G), each with the number of its first query."""
    if reranking is not None:
        yield from reranked_blocks(left, right, metric="cosine", **vars(reranking))
        return
    step = max(1, BLOCK_BYTES // (4 * len(right)))
    for start in range(0, len(left), step):
        yield start, distance_block(left[start : start + step], right, "cosine")


class _Collector:
    """Takes what a report needs from blocks of distances."""

    def __init__(self, table: CropTable, matches: Matches, protocol: Protocol) -> None:
        self.query, self.gallery = table.query, table.gallery
        self.matches, self.protocol = matches, protocol
        self.cameras = np.unique(self.gallery.camera)
        self.camera_ap = np.full((len(self.cameras), len(self.query)), np.nan)
        self.camera_first = np.zeros((len(self.cameras), len(self.query)), dtype=np.int64)
        self.nearest_true = np.zeros(len(matches.queries), dtype=np.int64)
        self._nearest: list[tuple[Tensor, Tensor]] = []

    def add(self, start: int, block: Tensor, depth: int) -> None:
        """Add the distances (B, G) of B queries from number ``start`` on."""
        self._nearest.append(smallest(block, depth))
        first, last = np.searchsorted(self.matches.queries, [start, start + len(block)])
        distances = block.numpy()
        for position in range(first, last):
            true = self.matches.true[position]
            row = distances[self.matches.queries[position] - start]
            self.nearest_true[position] = true[row[true].argmin()]
        for number in range(len(self.cameras)):
            self._add_camera(number, start, block)

    def _add_camera(self, number: int, start: int, block: Tensor) -> None:
        """Evaluate B queries in the gallery rows of one camera."""
        rows = slice(start, start + len(block))
        columns = np.flatnonzero(self.gallery.camera == self.cameras[number])
        try:
            found = evaluate(
                block[:, columns],
                self.query.identity[rows],
                self.gallery.identity[columns],
                self.query.camera[rows],
                self.gallery.camera[columns],
                ranks=(1,),
                protocol=self.protocol,
            )
        except InputError:  # no query has a true match in this camera
            return
        self.camera_ap[number, start + found.queries] = found.ap
        self.camera_first[number, start + found.queries] = found.first

    def ranking(self) -> Ranking:
        """Return the nearest gallery rows of all queries."""
        values = torch.cat([value for value, _ in self._nearest])
        indices = torch.cat([index for _, index in self._nearest])
        return Ranking(indices.numpy(), values.float().numpy())
