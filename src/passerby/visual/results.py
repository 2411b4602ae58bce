"""What a network answered on a data set, kept as far as the pictures of it need it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics import Report, Reranking, evaluate, evaluate_features
from passerby.metrics.matches import Matches, find_matches
from passerby.metrics.protocols import Protocol, protocol_of
from passerby.retrieval import Ranking
from passerby.retrieval.distances import BLOCK_BYTES, Features, distance_block, prepare
from passerby.retrieval.reranking import reranked_blocks
from passerby.retrieval.search import smallest

RANKS = tuple(range(1, 51))
DEPTH = 100  # gallery rows kept for each query

Whole = NDArray[np.int64]
Labels = tuple[Whole, Whole, Whole, Whole]  # identities and cameras of queries and gallery


@dataclass(frozen=True, kw_only=True, eq=False)
class Results:
    """The answers to all queries of a table.

    Attributes:
        query: Q rows.
        gallery: G rows.
        protocol: Which gallery rows count for a query.
        report: CMC (ranks 1 to 50), mAP, AP of each valid query.
        plain: The report before re-ranking; None when nothing was re-ranked.
        matches: True matches and rows left out, of each valid query.
        ranking: (Q, k) nearest gallery rows, with those that take no part.
        nearest_true: (V,) gallery row of each valid query's best true match.
        cameras: (C,) cameras of the gallery.
        camera_ap: (C, Q) AP of each query against one camera's rows alone; NaN without a match.
        camera_first: (C, Q) rank of the first true match there; 0 without a match.
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
        """Cosine similarities (n,) of one query to gallery rows (n,)."""
        found: NDArray[np.float32] = (self.features[rows] @ self.queries[query]).numpy()
        return found

    def counted(self, position: int) -> NDArray[np.bool_]:
        """Which of the ranked rows (k,) of valid query ``position`` take part."""
        rows = self.ranking.indices[self.matches.queries[position]]
        out = np.concatenate([self.matches.left_out[position], self.matches.never])
        return ~np.isin(rows, out)

    def true(self, position: int) -> NDArray[np.bool_]:
        """Which of the ranked rows (k,) of valid query ``position`` are true matches."""
        rows = self.ranking.indices[self.matches.queries[position]]
        return np.isin(rows, self.matches.true[position])


def judge(
    queries: Features,
    features: Features,
    query: CropTable,
    gallery: CropTable,
    *,
    protocol: str | Protocol = "market1501",
    reranking: Reranking | None = None,
    depth: int = DEPTH,
) -> Results:
    """Rank, score, and keep what a report shows; never a Q x G matrix.

    Args:
        queries: (Q, D).
        features: (G, D) of the gallery.
        query: The rows behind ``queries``.
        gallery: The rows behind ``features``.
        protocol: A name in ``passerby.metrics.PROTOCOLS``.
        reranking: Rank by k-reciprocal distances; the report without it is kept beside.
        depth: Gallery rows kept for each query.

    Raises:
        InputError: No query or gallery rows, no query with a true match, or unfit features.
    """
    if not len(query) or not len(gallery):
        raise InputError(f"'{query.name}' has no query or no gallery rows; see 'passerby check'")
    rules = protocol_of(protocol)
    labels = (query.identity, gallery.identity, query.camera, gallery.camera)
    matches = find_matches(*labels, rules)
    left, right = (side.cpu() for side in prepare(queries, features, "cosine"))

    def report(again: Reranking | None) -> Report:
        return evaluate_features(left, right, *labels, ranks=RANKS, protocol=rules, reranking=again)

    answers = _Answers(matches, query, gallery, rules)
    for start, block in _blocks(left, right, reranking):
        answers.take(start, block, depth)
    return Results(
        query=query,
        gallery=gallery,
        protocol=rules,
        report=report(reranking),
        plain=report(None) if reranking else None,
        matches=matches,
        ranking=answers.ranking(),
        nearest_true=answers.nearest_true,
        cameras=answers.cameras,
        camera_ap=answers.camera_ap,
        camera_first=answers.camera_first,
        queries=left,
        features=right,
    )


def _blocks(
    left: Tensor, right: Tensor, reranking: Reranking | None
) -> Iterator[tuple[int, Tensor]]:
    """Distances (B, G) block by block, each with its first query's number."""
    if reranking is not None:
        yield from reranked_blocks(
            left,
            right,
            k1=reranking.k1,
            k2=reranking.k2,
            lambda_value=reranking.lambda_value,
            metric="cosine",
            variant=reranking.variant,
            memory_limit=reranking.memory_limit,
        )
        return
    step = max(1, BLOCK_BYTES // (4 * len(right)))
    for start in range(0, len(left), step):
        yield start, distance_block(left[start : start + step], right, "cosine")


class _Answers:
    """What is kept of the distances while they pass by."""

    def __init__(
        self, matches: Matches, query: CropTable, gallery: CropTable, protocol: Protocol
    ) -> None:
        self.matches, self.query, self.gallery, self.protocol = matches, query, gallery, protocol
        self.cameras = np.unique(gallery.camera)
        self.camera_ap = np.full((len(self.cameras), len(query)), np.nan)
        self.camera_first = np.zeros((len(self.cameras), len(query)), dtype=np.int64)
        self.nearest_true = np.zeros(len(matches.queries), dtype=np.int64)
        self._nearest: list[tuple[Tensor, Tensor]] = []

    def take(self, start: int, block: Tensor, depth: int) -> None:
        self._nearest.append(smallest(block, depth))
        first, last = np.searchsorted(self.matches.queries, [start, start + len(block)])
        distances = block.numpy()
        for position in range(first, last):
            true = self.matches.true[position]
            row = distances[self.matches.queries[position] - start]
            self.nearest_true[position] = true[row[true].argmin()]
        for number, camera in enumerate(self.cameras):
            self._one_camera(number, np.flatnonzero(self.gallery.camera == camera), start, block)

    def _one_camera(
        self, number: int, columns: NDArray[np.int64], start: int, block: Tensor
    ) -> None:
        rows = slice(start, start + len(block))
        query = self.query.select(rows)
        gallery = self.gallery.select(columns)
        labels = (query.identity, gallery.identity, query.camera, gallery.camera)
        if not _any_match(labels, self.protocol):
            return
        part = evaluate(block[:, columns], *labels, ranks=(1,), protocol=self.protocol)
        self.camera_ap[number, start + part.queries] = part.ap
        self.camera_first[number, start + part.queries] = part.first

    def ranking(self) -> Ranking:
        values = torch.cat([value for value, _ in self._nearest])
        indices = torch.cat([index for _, index in self._nearest])
        return Ranking(indices.numpy(), values.float().numpy())


def _any_match(labels: Labels, protocol: Protocol) -> bool:
    """Whether one camera holds a true match of any query; an evaluation takes none for an error."""
    try:
        find_matches(*labels, protocol)
    except InputError:
        return False
    return True
