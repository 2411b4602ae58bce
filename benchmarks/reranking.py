"""Re-ranking, sparse against dense: time, memory, and whether the result is the same.

The dense form is the published algorithm (Zhong et al., CVPR 2017, in the steps of torchreid and
Bag of Tricks) with whole (Q + G) x (Q + G) matrices, written anew here. Both see the same drawn
features in one run; the dense one runs once. Then the sparse one runs at the size of MSMT17, where
the dense one would need over 200 GB.

Run: ``passerby bench reranking --out benchmarks/results/reranking.json`` (about eight minutes).
"""

import statistics
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import evaluation
from benchmarks.common import write_result
from passerby.metrics import Reranking, evaluate, evaluate_features
from passerby.retrieval import VARIANTS, k_reciprocal_distances, memory_estimate, rerank

COMPARED = 50  # length of the lists that must be in the same order
K1, K2, LAMBDA = 20, 6, 0.3


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
    distractors: float = 0.176
    """Share of the gallery that is nobody's match."""
    spread: float = 0.8
    """Spread of a person's features in units of the distance between people."""
    top: int = 100
    """k of the sparse re-ranking."""
    dense: bool = True
    """Also run the dense form (a minute and a half and 10 GB at the default size)."""
    large: bool = True
    """Also run the size of MSMT17: 11,659 + 82,161, 512-d."""
    repeats: int = 5
    """Timed runs of the sparse form; the median counts (three at the large size)."""
    out: Path | None = None
    """Where to write the JSON."""


def dense_reranking(
    queries: NDArray[np.float32], gallery: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The published algorithm with dense matrices, in float32, step by step."""
    Q, rows = len(queries), torch.from_numpy(np.concatenate([queries, gallery]))
    N = len(rows)
    original = evaluation.squared_distances(rows, rows).numpy()
    original = np.transpose(1.0 * original / np.max(original, axis=0))
    rank = np.argsort(original).astype(np.int32)
    V = np.zeros_like(original, dtype=np.float32)
    for i in range(N):
        chosen = expanded(rank, i)
        weights = np.exp(-original[i, chosen])
        V[i, chosen] = weights / np.sum(weights)
    original = original[:Q]
    mean = np.zeros_like(V)
    for i in range(N):
        mean[i] = np.mean(V[rank[i, :K2]], axis=0)
    V = mean
    del mean, rank
    having = [np.where(V[:, i] != 0)[0] for i in range(N)]
    jaccard = np.zeros_like(original)
    for i in range(Q):
        overlap = np.zeros((1, N), dtype=np.float32)
        members = np.where(V[i] != 0)[0]
        for j in members:
            rows_having = having[j]
            overlap[0, rows_having] += np.minimum(V[i, j], V[rows_having, j])
        jaccard[i] = 1 - overlap / (2.0 - overlap)
    return (jaccard * (1 - LAMBDA) + original * LAMBDA)[:, Q:]


def expanded(rank: NDArray[np.int32], i: int) -> NDArray[np.int32]:
    """The expanded reciprocal set of row ``i`` of the whole order."""
    members = reciprocal(rank, i, K1 + 1)
    joined = members
    for candidate in members:
        theirs = reciprocal(rank, candidate, int(np.around(K1 / 2)) + 1)
        if len(np.intersect1d(theirs, members)) > 2 / 3 * len(theirs):
            joined = np.append(joined, theirs)
    return np.unique(joined)


def reciprocal(rank: NDArray[np.int32], i: int, length: int) -> NDArray[np.int32]:
    """The rows among the first of ``i`` that have ``i`` among their first."""
    forward = rank[i, :length]
    return forward[np.where(rank[forward, :length] == i)[0]]


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


def measure_sparse(people: evaluation.People, options: Options, repeats: int) -> dict[str, Any]:
    """Seconds and MiB of the sparse form, its bound, and its own estimate."""
    sides = (people.queries, people.gallery)
    Q, G, D = options.queries, options.gallery, options.dimension
    times, speeds = [], []

    def sparse() -> None:
        times.append(evaluation.timed(lambda: rerank(*sides, options.top))[0])

    memory = evaluation.memory_above(sparse)  # the first run is measured both ways
    for _ in range(repeats - 1):
        speeds.append(evaluation.product_speed())
        sparse()
    seconds, speed = statistics.median(times), statistics.median(speeds)
    # every pair of pictures once, and each query with the gallery again
    flop = (Q + G) ** 2 * D + 2 * Q * G * D
    return {
        "seconds": seconds,
        "seconds_all": [round(t, 2) for t in times],
        "memory_mib": memory,
        "memory_estimate_mib": memory_estimate(Q, G, D) / 2**20,
        "product_gflop": flop / 1e9,
        "machine_gflop_per_second": speed / 1e9,
        "product_bound_seconds": flop / speed,
        "times_of_bound": seconds / (flop / speed),
    }


def drawn(options: Options) -> evaluation.People:
    """The features of the evaluation benchmark, at the size of ``options``."""
    names = ("queries", "gallery", "dimension", "people", "cameras", "distractors", "spread")
    return evaluation.draw(evaluation.Options(**{n: getattr(options, n) for n in names}))


def measure(options: Options) -> dict[str, Any]:
    """Times in seconds, memory in MiB above the features, ratios, agreement."""
    people = drawn(options)
    sides = (people.queries, people.gallery)
    result = measure_sparse(people, options, options.repeats)
    plain = evaluate_features(*sides, *people.labels)
    result["mAP_before"] = plain.mAP
    if options.dense:
        made: list[tuple[float, NDArray[np.float32]]] = []

        def dense() -> None:
            made.append(evaluation.timed(lambda: dense_reranking(*sides)))

        result["dense_memory_mib"] = evaluation.memory_above(dense)
        result["dense_seconds"], distances = made.pop()
        result["times_faster"] = result["dense_seconds"] / result["seconds"]
        result["times_less_memory"] = result["dense_memory_mib"] / result["memory_mib"]
        result |= agreement(k_reciprocal_distances(*sides), distances, people.labels)
        del distances
    for name in VARIANTS:
        again = Reranking(variant=name)
        report = evaluate_features(*sides, *people.labels, reranking=again)
        result[f"mAP_{name}"] = report.mAP
    if options.large:
        size = replace(options, **evaluation.LARGE, distractors=0.0)
        result["large"] = {**evaluation.LARGE, **measure_sparse(drawn(size), size, 3)}
    return result


def main(options: Options) -> None:
    """Measure, print, write."""
    result = measure(options)
    for name, value in [*result.items(), *result.get("large", {}).items()]:
        print(f"{name:36s} {value:12.4g}" if isinstance(value, (int, float)) else name)
    sizes = {k: v for k, v in asdict(options).items() if k not in ("out", "dense", "large")}
    write_result(options.out, "reranking", {**sizes, **result})
