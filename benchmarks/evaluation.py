"""How fast is an evaluation, against the usual Python loop, and what memory does it take?

Features are drawn so that they have the structure of Market-1501 (people, cameras, distractors) and
a network's spread. In one run and on the same matrix are measured:

- ``loop``: the evaluation of most published code: sort the whole matrix, then per query a Python
  loop down the ranked list (written anew here after the well-known algorithm);
- ``matrix``: :func:`passerby.metrics.evaluate` of the same matrix;
- ``loop from features``: squared Euclidean distances and the loop;
- ``features``: :func:`passerby.metrics.evaluate_features`, which never holds the matrix.

Run: ``passerby bench evaluation --out benchmarks/results/evaluation.json``; the size of MSMT17, for
which the loop takes too long: ``--queries 11659 --gallery 82161 --dimension 512 --people 3060
--cameras 15 --no-loop``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import median_seconds, peak_memory_mib, write_result
from passerby.metrics import evaluate, evaluate_features

LATENT = 32  # dimensions in which drawn people differ


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the measurement; the default sizes are those of Market-1501."""

    queries: int = 3368
    """Q."""
    gallery: int = 15913
    """G, distractors included."""
    dimension: int = 2048
    """D."""
    people: int = 750
    """People in query and gallery."""
    cameras: int = 6
    """Cameras."""
    distractors: float = 0.176
    """Share of the gallery that is nobody's match."""
    spread: float = 0.65
    """Spread of a person's features in units of the distance between people."""
    loop: bool = True
    """Also measure the Python loop (a minute at the default size)."""
    matrix: bool = True
    """Also measure the evaluation of a whole matrix."""
    repeats: int = 5
    """Timed runs of what is fast; the median counts."""
    out: Path | None = None
    """Where to write the JSON."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Drawn features with identities and cameras."""

    queries: NDArray[np.float32]
    gallery: NDArray[np.float32]
    labels: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def draw(options: Options, seed: int = 0) -> People:
    """Unit features (Q, D), (G, D) about one centre a person.

    People differ in ``LATENT`` dimensions only, as features of networks do: in thousands of
    independent dimensions every two people would be equally far apart and all would be found.
    """
    random = np.random.default_rng(seed)
    Q, G, P = options.queries, options.gallery, options.people
    query_ids = random.integers(1, P + 1, Q)
    gallery_ids = random.integers(1, P + 1, G)
    gallery_ids[random.random(G) < options.distractors] = 0
    centres = random.standard_normal((P + 1, LATENT), dtype=np.float32)
    outward = random.standard_normal((LATENT, options.dimension), dtype=np.float32)

    def features(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        centre = centres[ids]
        nobody = ids == 0
        centre[nobody] = random.standard_normal((int(nobody.sum()), LATENT), dtype=np.float32)
        noise = random.standard_normal((len(ids), LATENT), dtype=np.float32)
        made = (centre + options.spread * noise) @ outward
        for start in range(0, len(ids), 4096):
            part = slice(start, start + 4096)
            made[part] /= np.linalg.norm(made[part], axis=1, keepdims=True)
        return made

    cameras = [random.integers(1, options.cameras + 1, n) for n in (Q, G)]
    return People(
        queries=features(query_ids),
        gallery=features(gallery_ids),
        labels=(query_ids, gallery_ids, cameras[0], cameras[1]),
    )


def loop_evaluation(distances: NDArray[np.float32], labels: Any) -> tuple[float, float]:
    """Mean AP and rank-1 as most published code computes them."""
    query_ids, gallery_ids, query_cameras, gallery_cameras = labels
    order = np.argsort(distances, axis=1)
    matches = (gallery_ids[order] == query_ids[:, None]).astype(np.int32)
    precisions, firsts = [], []
    for query in range(len(query_ids)):
        ranked = order[query]
        own = (gallery_ids[ranked] == query_ids[query]) & (
            gallery_cameras[ranked] == query_cameras[query]
        )
        hits = matches[query][~own]
        if not hits.any():
            continue
        so_far = hits.cumsum()
        firsts.append(float(hits[0]))
        at_rank = [x / (i + 1.0) for i, x in enumerate(so_far)]
        precisions.append((np.asarray(at_rank) * hits).sum() / hits.sum())
    return float(np.mean(precisions)), float(np.mean(firsts))


def squared_distances(
    queries: NDArray[np.float32], gallery: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The whole matrix (Q, G), as most published code makes it."""
    squares = (queries**2).sum(1)[:, None] + (gallery**2).sum(1)[None]
    return squares - 2 * queries @ gallery.T


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one run."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def memory_above(work: Callable[[], Any]) -> float:
    """Highest resident memory during ``work`` above that before it, MiB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    work()
    status = Path("/proc/self/status").read_text().splitlines()
    highest = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    return highest - before


def measure(options: Options) -> dict[str, Any]:
    """Times in seconds, memory in MiB above the features, ratios, figures."""
    people = draw(options)
    sides = (people.queries, people.gallery)
    result: dict[str, Any] = {}

    def streamed() -> Any:
        return evaluate_features(*sides, *people.labels)

    result["features_memory_mib"] = memory_above(streamed)
    result["features_seconds"] = median_seconds(streamed, options.repeats)
    report = streamed()
    result["mAP"], result["rank1"] = report.mAP, report.cmc[1]
    if options.matrix or options.loop:
        made, distances = timed(lambda: squared_distances(*sides))
        result["distance_matrix_seconds"] = made
    if options.matrix:
        result["matrix_memory_mib"] = memory_above(lambda: evaluate(distances, *people.labels))
        result["matrix_seconds"] = median_seconds(
            lambda: evaluate(distances, *people.labels), options.repeats
        )
        whole = evaluate(distances, *people.labels)
        result["mAP_difference_features_to_matrix"] = abs(whole.mAP - report.mAP)
    if options.loop:
        result["loop_seconds"], figures = timed(lambda: loop_evaluation(distances, people.labels))
        result["mAP_difference_to_loop"] = abs(figures[0] - report.mAP)
        from_features = result["loop_seconds"] + result["distance_matrix_seconds"]
        result["features_times_faster"] = from_features / result["features_seconds"]
        if options.matrix:
            result["matrix_times_faster"] = result["loop_seconds"] / result["matrix_seconds"]
    result["process_peak_mib"] = peak_memory_mib()
    return result


def main(options: Options) -> None:
    """Measure, print, write."""
    result = measure(options)
    for name, value in result.items():
        print(f"{name:36s} {value:12.4g}")
    sizes = {n: getattr(options, n) for n in ("queries", "gallery", "dimension", "people")}
    write_result(options.out, "evaluation", {**sizes, "cameras": options.cameras, **result})
