"""Re-ranking, sparse against dense: time, memory, and whether the result is the same.

The dense form is the published algorithm (Zhong et al., CVPR 2017) with whole (Q + G) x (Q + G)
matrices, written anew here; it needs about 26 bytes per pair of pictures. Both see the same drawn
features in one run.

Run: ``passerby bench reranking --out benchmarks/results/reranking.json``; the size of MSMT17:
``--queries 11659 --gallery 82161 --people 3060 --cameras 15 --no-dense``.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import evaluation
from benchmarks.common import median_seconds, write_result
from passerby.metrics import evaluate
from passerby.retrieval import k_reciprocal_distances, memory_estimate, rerank

COMPARED = 50  # length of the lists that must be in the same order


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement; the default sizes are those of Market-1501."""

    queries: int = 3368
    """Q."""
    gallery: int = 15913
    """G, distractors included."""
    dimension: int = 512
    """D."""
    people: int = 750
    """People in query and gallery."""
    cameras: int = 6
    """Cameras."""
    spread: float = 0.65
    """Spread of a person's features in units of the distance between people."""
    top: int = 100
    """k of the sparse re-ranking."""
    dense: bool = True
    """Also run the dense form (a minute and a half and 10 GB at the default size)."""
    repeats: int = 3
    """Timed runs of the sparse form; the median counts."""
    out: Path | None = None
    """Where to write the JSON."""


def dense_reranking(
    queries: NDArray[np.float32],
    gallery: NDArray[np.float32],
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> NDArray[np.float32]:
    """The published algorithm with dense matrices, in float32."""
    Q = len(queries)
    rows = np.concatenate([queries, gallery])
    N = len(rows)
    original = evaluation.squared_distances(rows, rows)
    original = np.ascontiguousarray((original / original.max(axis=0)).T)
    rank = np.argsort(original, axis=1).astype(np.int32)
    V = np.zeros_like(original)
    for i in range(N):
        members = reciprocal(rank, i, k1 + 1)
        joined = members
        for candidate in members:
            theirs = reciprocal(rank, candidate, round(k1 / 2) + 1)
            if len(np.intersect1d(theirs, members)) > 2 / 3 * len(theirs):
                joined = np.append(joined, theirs)
        joined = np.unique(joined)
        weights = np.exp(-original[i, joined])
        V[i, joined] = weights / weights.sum()
    original = original[:Q]
    if k2 > 1:
        mean = np.zeros_like(V)
        for i in range(N):
            mean[i] = V[rank[i, :k2]].mean(axis=0)
        V = mean
    having = [np.where(V[:, i] != 0)[0] for i in range(N)]
    jaccard = np.zeros_like(original)
    for i in range(Q):
        overlap = np.zeros(N, dtype=np.float32)
        for j in np.where(V[i] != 0)[0]:
            overlap[having[j]] += np.minimum(V[i, j], V[having[j], j])
        jaccard[i] = 1 - overlap / (2 - overlap)
    return (jaccard * (1 - lambda_value) + original * lambda_value)[:, Q:]


def reciprocal(rank: NDArray[np.int32], i: int, length: int) -> NDArray[np.int32]:
    """The rows among the first of ``i`` that have ``i`` among their first."""
    forward = rank[i, :length]
    return forward[(rank[forward, :length] == i).any(axis=1)]


def agreement(
    sparse: NDArray[np.float32], dense: NDArray[np.float32], labels: Any
) -> dict[str, Any]:
    """How far two re-ranked matrices (Q, G) are from each other."""
    order = np.argsort(sparse, axis=1, kind="stable")[:, :COMPARED]
    other = np.argsort(dense, axis=1, kind="stable")[:, :COMPARED]
    # where the order differs, the distances must be a tie
    gap = np.take_along_axis(dense, order, 1) - np.take_along_axis(dense, other, 1)
    different = np.abs(sparse - dense)
    return {
        "largest_difference": float(different.max()),
        "entries_differing_over_1e-5": int((different > 1e-5).sum()),
        "largest_gap_in_top_50": float(np.abs(gap).max()),
        "mAP_sparse": evaluate(sparse, *labels).mAP,
        "mAP_dense": evaluate(dense, *labels).mAP,
    }


def measure(options: Options) -> dict[str, Any]:
    """Times in seconds, memory in MiB above the features, ratios, agreement."""
    people = evaluation.draw(
        evaluation.Options(
            queries=options.queries,
            gallery=options.gallery,
            dimension=options.dimension,
            people=options.people,
            cameras=options.cameras,
            spread=options.spread,
        )
    )
    sides = (people.queries, people.gallery)
    result: dict[str, Any] = {}

    def sparse() -> Any:
        return rerank(*sides, options.top)

    estimate = memory_estimate(options.queries, options.gallery, options.dimension)
    result["sparse_memory_estimate_mib"] = estimate / 2**20
    result["sparse_memory_mib"] = evaluation.memory_above(sparse)
    result["sparse_seconds"] = median_seconds(sparse, options.repeats)
    if options.dense:
        made: list[NDArray[np.float32]] = []
        start = time.perf_counter()
        memory = evaluation.memory_above(lambda: made.append(dense_reranking(*sides)))
        result["dense_seconds"] = time.perf_counter() - start
        result["dense_memory_mib"] = memory
        result["times_faster"] = result["dense_seconds"] / result["sparse_seconds"]
        result["times_less_memory"] = memory / result["sparse_memory_mib"]
        result |= agreement(k_reciprocal_distances(*sides), made[0], people.labels)
    return result


def main(options: Options) -> None:
    """Measure, print, write."""
    result = measure(options)
    for name, value in result.items():
        print(f"{name:36s} {value:12.4g}")
    sizes = {n: getattr(options, n) for n in ("queries", "gallery", "dimension", "people", "top")}
    write_result(options.out, "reranking", {**sizes, **result})
