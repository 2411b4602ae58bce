"""An epoch's pseudo labels, sparse against the dense form of Cluster Contrast: time and memory.

The dense form (Dai et al., ACCV 2022, with the code's CPU neighbour search by faiss) holds whole
N x N matrices; it is written anew here. Both label the same drawn features in one run, and the
labels are compared, at several spreads of a person's features: as of late, middle and early epochs.
With ``--large`` the sparse form is measured at the size of MSMT17's training set too, where each of
the dense form's matrices would take 4.3 GB.

Run: ``passerby bench clustering --large --out benchmarks/results/clustering.json``, with
``passerby[bench]`` installed or ``--no-dense``.
"""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score

from benchmarks.common import median_seconds, write_result
from benchmarks.evaluation import LATENT, memory_above
from passerby.cluster import pseudo_labels, summarise
from passerby.cluster.clustering import dbscan
from passerby.cluster.jaccard import encode, neighbours
from passerby.retrieval.compiled import installed

K1, K2, MIN_SAMPLES = 30, 6, 4
LARGE: dict[str, Any] = {
    "pictures": 32621, "people": 1041, "cameras": 15, "dense": False, "repeats": 3,
}  # fmt: skip
LARGE_SPREAD = 0.9


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement; the default sizes are those of Market-1501's training set."""

    pictures: int = 12936
    """N."""
    dimension: int = 2048
    """D."""
    people: int = 751
    """People on the pictures."""
    cameras: int = 6
    """Cameras."""
    spreads: tuple[float, ...] = (0.6, 0.9, 1.5)
    """Spreads of a person's features in units of the distance between people."""
    eps: float = 0.6
    """Largest Jaccard distance between neighbours in a cluster."""
    dense: bool = True
    """Also run the dense form (20 to 30 s for each spread, and 1.7 GB, at the default size)."""
    large: bool = False
    """Also label 32,621 pictures of 1,041 people from 15 cameras, sparsely."""
    repeats: int = 3
    """Timed runs of the sparse form; the median counts."""
    out: Path | None = None
    """Where to write the JSON."""


def draw(
    options: Options, spread: float = 0.9, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit features (N, D) and who is on each picture (N,).

    As features of networks do, people differ in some hundred dimensions; some have many pictures
    and some few; half of the variance within a person is the camera's, in a way of its own for
    each person; and one picture in ten shows the person badly.
    """
    random = np.random.default_rng(seed)
    N, P, C = options.pictures, options.people, options.cameras
    often = random.lognormal(0, 0.6, P)
    people = random.choice(P, N, p=often / often.sum())
    cameras = random.integers(0, C, N)

    def normal(count: int) -> NDArray[np.float32]:
        return random.standard_normal((count, LATENT), dtype=np.float32)

    seen = normal(P * C)[people * C + cameras] + normal(N)
    seen *= spread * np.sqrt(0.5)
    seen[random.random(N) < 0.1] *= 2
    features = (normal(P)[people] + seen) @ random.standard_normal(
        (LATENT, options.dimension), dtype=np.float32
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, people


def dense_labels(features: NDArray[np.float32], eps: float) -> tuple[NDArray[np.int64], float]:
    """Labels (N,) of the dense form, and the seconds its distances took."""
    start = time.perf_counter()
    distances = dense_jaccard(features)
    seconds = time.perf_counter() - start
    model = DBSCAN(eps=eps, min_samples=MIN_SAMPLES, metric="precomputed")
    return model.fit_predict(distances).astype(np.int64), seconds


def dense_jaccard(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Jaccard distances (N, N) as Cluster Contrast makes them on a CPU."""
    import faiss

    N, rows = len(features), torch.from_numpy(features)
    index = faiss.IndexFlatL2(features.shape[1])
    index.add(features)
    _, rank = index.search(features, K1)
    V = np.zeros((N, N), dtype=np.float32)
    full = [reciprocal(rank, i, K1 + 1) for i in range(N)]
    half = [reciprocal(rank, i, round(K1 / 2) + 1) for i in range(N)]
    for i in range(N):
        joined = full[i]
        for candidate in full[i]:
            theirs = half[candidate]
            if len(np.intersect1d(theirs, full[i])) > 2 / 3 * len(theirs):
                joined = np.append(joined, theirs)
        members = np.unique(joined)
        squared = 2 - 2 * torch.mm(rows[i].unsqueeze(0), rows[members].t())
        V[i, members] = torch.softmax(-squared, dim=1).view(-1).numpy()
    mean = np.zeros_like(V)
    for i in range(N):
        mean[i] = V[rank[i, :K2]].mean(axis=0)
    V = mean
    having = [np.where(V[:, i] != 0)[0] for i in range(N)]
    jaccard = np.zeros_like(V)
    for i in range(N):
        overlap = np.zeros(N, dtype=np.float32)
        for j in np.where(V[i] != 0)[0]:
            overlap[having[j]] += np.minimum(V[i, j], V[having[j], j])
        jaccard[i] = 1 - overlap / (2 - overlap)
    jaccard[jaccard < 0] = 0
    return jaccard


def reciprocal(rank: NDArray[np.int64], i: int, length: int) -> NDArray[np.int64]:
    """The rows among the first of ``i`` that have ``i`` among their first."""
    forward = rank[i, :length]
    return forward[np.where(rank[forward, :length] == i)[0]]


def renamed(labels: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """``labels`` under the commonest name that ``other`` has for each cluster; -1 stays."""
    names = labels.copy()
    for cluster in range(labels.max() + 1):
        found, counts = np.unique(other[labels == cluster], return_counts=True)
        names[labels == cluster] = found[counts.argmax()]
    return names


def parts(features: NDArray[np.float32], eps: float) -> dict[str, float]:
    """Seconds of each part of the sparse form."""
    laps: dict[str, float] = {}

    def lap(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        made = work()
        laps[f"sparse_{name}_seconds"] = time.perf_counter() - start
        return made

    encoding = lap("encoding", lambda: encode(features, k1=K1, k2=K2))
    graph = lap("distances", lambda: neighbours(encoding.rows, limit=eps))
    lap("dbscan", lambda: dbscan(graph, eps=eps, min_samples=MIN_SAMPLES))
    return laps


def processor_seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measure(options: Options, spread: float) -> dict[str, Any]:
    """Times in seconds, memory in MiB above the features, ratios, agreement."""
    features, people = draw(options, spread)
    made: list[NDArray[np.int64]] = []

    def sparse() -> None:
        made.append(pseudo_labels(features, k1=K1, k2=K2, eps=options.eps, min_samples=MIN_SAMPLES))

    result: dict[str, Any] = {"spread": spread, "sparse_memory_mib": memory_above(sparse)}
    result["sparse_seconds"] = median_seconds(sparse, options.repeats)
    # processor time tells both forms apart where the machine is busy with other things
    result["sparse_processor_seconds"] = processor_seconds(sparse)
    result |= parts(features, options.eps)
    labels = made[0]
    result |= summarise(labels, people).values()
    if not options.dense:
        return result
    if importlib.util.find_spec("faiss") is None:
        print("faiss is not installed: the dense form is left out (pip install 'passerby[bench]')")
        return result
    dense: list[tuple[NDArray[np.int64], float]] = []

    def whole() -> None:
        dense.append(dense_labels(features, options.eps))

    start, worked = time.perf_counter(), time.process_time()
    result["dense_memory_mib"] = memory_above(whole)
    result["dense_seconds"] = time.perf_counter() - start
    result["dense_processor_seconds"] = time.process_time() - worked
    expected, result["dense_distances_seconds"] = dense[0]
    result["times_faster"] = result["dense_seconds"] / result["sparse_seconds"]
    result["times_less_memory"] = result["dense_memory_mib"] / result["sparse_memory_mib"]
    result["pictures_labelled_differently"] = int((renamed(labels, expected) != expected).sum())
    result["agreement_ari"] = float(adjusted_rand_score(expected, labels))
    return result


def main(options: Options) -> None:
    """Measure, print, write."""
    result: dict[str, Any] = {n: getattr(options, n) for n in ("dimension", "eps")}
    result["compiled"] = installed()
    # the large one first: what a process has freed is not all given back to the system
    large = measure(replace(options, **LARGE), LARGE_SPREAD) if options.large else None
    result["spreads"] = [measure(options, spread) for spread in options.spreads]
    for part in result["spreads"]:
        show(part)
    for name in ("times_faster", "times_less_memory"):
        values = [part[name] for part in result["spreads"] if name in part]
        result |= {f"least_{name}": min(values)} if values else {}
    if large is not None:
        print("with 32,621 pictures:")
        show(large)
        result["large"] = large
    write_result(options.out, "clustering", result)


def show(result: dict[str, Any]) -> None:
    for name, value in result.items():
        print(f"{name:32s} {value:12.5g}")
    print()
