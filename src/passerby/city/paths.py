"""Best paths through a directed acyclic graph of tracks, and how sure each track is.

Nodes are in order of time. A path collects ``node`` and ``edge`` scores (log odds); it may start
and end anywhere. Edges that cannot be are -inf.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Path:
    """Nodes in order of time, and the sum of their scores."""

    nodes: tuple[int, ...]
    score: float


def best_paths(node: FloatArray64, edge: FloatArray64, k: int = 1) -> list[Path]:
    """The k best non-empty paths, best first (list Viterbi).

    Args:
        node: (N,) score of each node, in order of time.
        edge: (N, N) score of going from i to j; only i < j is read.
        k: how many paths.
    """
    # per node: up to k (score, predecessor, which of the predecessor's paths)
    ends: list[list[tuple[float, int, int]]] = []
    scores = np.full((len(node), k), -np.inf)
    for j in range(len(node)):
        options = [(float(node[j]), -1, 0)]
        if j:
            totals = scores[:j] + edge[:j, j, None] + node[j]
            flat = totals.ravel()
            few = np.argpartition(-flat, k - 1)[:k] if len(flat) > k else np.arange(len(flat))
            options += [(float(flat[x]), int(x // k), int(x % k)) for x in few if flat[x] > -np.inf]
        ends.append(heapq.nlargest(k, options, key=lambda option: option[0]))
        scores[j, : len(ends[j])] = [option[0] for option in ends[j]]
    finals = [(option[0], j, rank) for j, own in enumerate(ends) for rank, option in enumerate(own)]
    finals.sort(key=lambda final: (-final[0], final[1], final[2]))
    return [Path(_trail(ends, j, rank), score) for score, j, rank in finals[:k]]


def _trail(ends: list[list[tuple[float, int, int]]], j: int, rank: int) -> tuple[int, ...]:
    nodes = []
    while j >= 0:
        nodes.append(j)
        _, j, rank = ends[j][rank]
    return tuple(reversed(nodes))


def marginals(node: FloatArray64, edge: FloatArray64) -> FloatArray64:
    """(N,) probability that each node lies on the path, over all paths and the empty one.

    Forward and backward sums over the graph, with weight exp(score) for each path.
    """
    n = len(node)
    forward, backward = np.zeros(n), np.zeros(n)
    for j in range(n):
        before = forward[:j] + edge[:j, j]
        forward[j] = node[j] + np.logaddexp(0.0, _log_sum(before))
    for i in range(n - 1, -1, -1):
        after = edge[i, i + 1 :] + node[i + 1 :] + backward[i + 1 :]
        backward[i] = np.logaddexp(0.0, _log_sum(after))
    total = np.logaddexp(0.0, _log_sum(forward))
    chance: FloatArray64 = np.exp(np.minimum(forward + backward - total, 0.0))
    return chance


def _log_sum(values: FloatArray64) -> float:
    if len(values) == 0:
        return -np.inf
    top = float(values.max())
    return top if top == -np.inf else top + float(np.log(np.exp(values - top).sum()))
