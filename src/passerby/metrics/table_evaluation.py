"""Evaluation of a network on a crop table: the one way from crops to scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from passerby.data import CropTable
from passerby.errors import InputError
from passerby.metrics.evaluation import RANKS, Reranking, evaluate_features
from passerby.metrics.protocols import Protocol
from passerby.metrics.report import Report
from passerby.retrieval import expand_queries
from passerby.retrieval.distances import Features, Metric

F = TypeVar("F", bound=Features)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableEvaluation(Generic[F]):
    """Features of a table's queries and gallery, with their scores.

    Attributes:
        queries: (Q, D) as the network gave them, before query expansion.
        gallery: (G, D).
        report: CMC, mAP and mINP.
    """

    queries: F
    gallery: F
    report: Report


def evaluate_table(
    table: CropTable,
    embed: Callable[[CropTable], F],
    *,
    ranks: Sequence[int] = RANKS,
    protocol: str | Protocol = "market1501",
    metric: Metric = "cosine",
    expand: int = 0,
    reranking: Reranking | None = None,
) -> TableEvaluation[F]:
    """Embed the queries and the gallery of a table, rank the gallery, and score the ranking.

    Every evaluation of a network uses this function, whatever runs the network: a training run
    passes a function that calls PyTorch, the commands pass one that calls an embedder.

    Args:
        table: Has rows of the splits ``query`` and ``gallery``; others are ignored.
        embed: Turns N rows into features (N, D); called with the queries, then with the gallery.
        ranks: Ranks k of the CMC.
        protocol: A name in ``passerby.metrics.PROTOCOLS``.
        metric: See :func:`passerby.retrieval.distances`.
        expand: Number of nearest gallery rows that join each query before the ranking; 0 for none.
        reranking: Options of k-reciprocal re-ranking; None ranks by the plain distance.

    Raises:
        InputError: The table has no query or no gallery rows, no query has a true match, a feature
            is NaN or zero, or the protocol is unknown.
    """
    query, gallery = table.query, table.gallery
    if not len(query) or not len(gallery):
        raise InputError(f"'{table.name}' has no query or no gallery rows; see 'passerby check'")
    query_features, gallery_features = embed(query), embed(gallery)
    ranked: Features = query_features
    if expand:
        ranked = expand_queries(query_features, gallery_features, count=expand)
    report = evaluate_features(
        ranked,
        gallery_features,
        *table.match_labels(),
        ranks=ranks,
        protocol=protocol,
        metric=metric,
        reranking=reranking,
    )
    return TableEvaluation(queries=query_features, gallery=gallery_features, report=report)
