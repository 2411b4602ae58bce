"""How fast is an evaluation, against the usual Python loop, and what memory does it take?

Features are drawn so that they have the structure of Market-1501 (people, cameras, distractors) and
the spread of a middling network: mAP about 0.7, rank-1 0.9, mINP 0.3. In one run are measured:

- ``loop``: the Python evaluation of torchreid and most published code: sort the whole matrix, then
  per query walk down the ranked list (written anew here after the well-known algorithm), once;
- ``matrix``: :func:`passerby.metrics.evaluate` of the same matrix;
- ``loop from features``: torchreid's distances (the squared Euclidean ones, its default) and the
  loop;
- ``features``: :func:`passerby.metrics.evaluate_features`, which never holds the matrix;
- ``large``: the same at the size of MSMT17, for which the loop takes too long;
- what bounds them: the machine's speed of products and of reading memory.

Run: ``passerby bench evaluation --out benchmarks/results/evaluation.json`` (about four minutes).
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.common import median_seconds, peak_memory_mib, write_result
from passerby.metrics import Report, evaluate, evaluate_features

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
    spread: float = 0.8
    """Spread of a person's features in units of the distance between people."""
    loop: bool = True
    """Also measure the Python loop (a minute at the default size)."""
    large: bool = True
    """Also measure the size of MSMT17: 11,659 x 82,161, 512-d."""
    repeats: int = 7
    """Timed runs of what is fast; the median counts."""
    out: Path | None = None
    """Where to write the JSON."""


LARGE = {"queries": 11_659, "gallery": 82_161, "dimension": 512, "people": 3060, "cameras": 15}


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


def loop_evaluation(
    distances: NDArray[np.float32], labels: Any, ranks: int = 50
) -> tuple[float, float]:
    """Mean AP and rank-1 as torchreid's Python evaluation computes them."""
    query_ids, gallery_ids, query_cameras, gallery_cameras = labels
    order = np.argsort(distances, axis=1)
    matches = (gallery_ids[order] == query_ids[:, None]).astype(np.int32)
    precisions, curves = [], []
    for query in range(len(query_ids)):
        ranked = order[query]
        own = (gallery_ids[ranked] == query_ids[query]) & (
            gallery_cameras[ranked] == query_cameras[query]
        )
        hits = matches[query][np.invert(own)]
        if not np.any(hits):
            continue
        curve = hits.cumsum()
        curve[curve > 1] = 1
        curves.append(curve[:ranks])
        at_rank = [x / (i + 1.0) for i, x in enumerate(hits.cumsum())]
        precisions.append((np.asarray(at_rank) * hits).sum() / hits.sum())
    cmc = np.asarray(curves).astype(np.float32).sum(0) / len(curves)
    return float(np.mean(precisions)), float(cmc[0])


def squared_distances(queries: Tensor, gallery: Tensor) -> Tensor:
    """The whole matrix (Q, G) of squared Euclidean distances, as torchreid makes it."""
    Q, G = len(queries), len(gallery)
    own = torch.pow(queries, 2).sum(dim=1, keepdim=True).expand(Q, G)
    other = torch.pow(gallery, 2).sum(dim=1, keepdim=True).expand(G, Q).t()
    return (own + other).addmm_(queries, gallery.t(), beta=1, alpha=-2)


def cosine_distances(queries: Tensor, gallery: Tensor) -> Tensor:
    """The whole matrix (Q, G) of cosine distances, as torchreid makes it."""
    return 1 - torch.mm(functional.normalize(queries), functional.normalize(gallery).t())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and result of one run."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def memory_above(work: Callable[[], Any]) -> float:
    """Highest resident memory during ``work`` above that before it, MiB (Linux)."""
    # memory that was freed but is still held would be taken again without being seen
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    before = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    work()
    status = Path("/proc/self/status").read_text().splitlines()
    highest = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    return highest - before


def product_speed() -> float:
    """FLOP a second of float32 products at their best: of 1024 x 1024 matrices, in the cache."""
    side = 1024
    left, right, out = (torch.rand(side, side) for _ in range(3))
    best = min(timed(lambda: torch.mm(left, right, out=out))[0] for _ in range(60))
    return 2 * side**3 / best


def read_speed() -> float:
    """Bytes a second that the sum of an array of 256 MiB reads."""
    array = torch.ones(2**26)
    return 4 * len(array) / min(timed(array.sum)[0] for _ in range(9))


def measure_matrix(people: People, options: Options, result: dict[str, Any]) -> None:
    """Given matrices: the loop, ours, and whether features get the same figures."""
    sides = torch.from_numpy(people.queries), torch.from_numpy(people.gallery)
    cosine = cosine_distances(*sides).numpy()
    plain: Report = evaluate(cosine, *people.labels)
    # unit rows are not scaled again here, and are there: a matter of the last bit of each number
    result["mAP_difference_cosine"] = abs(plain.mAP - result["mAP"])
    del cosine
    result["torchreid_distance_seconds"], made = timed(lambda: squared_distances(*sides))
    distances = made.numpy()

    def ours() -> Report:
        return evaluate(distances, *people.labels)

    result["matrix_memory_mib"] = memory_above(ours)
    result["matrix_seconds"] = median_seconds(ours, options.repeats)
    result["matrix_bytes"] = distances.nbytes
    result["matrix_read_bound_seconds"] = distances.nbytes / read_speed()
    squared = partial(evaluate_features, *sides, *people.labels, metric="squared_euclidean")
    result["features_squared_euclidean_seconds"] = median_seconds(squared, options.repeats)
    result["mAP_difference_squared_euclidean"] = abs(squared().mAP - ours().mAP)
    if not options.loop:
        return
    result["loop_seconds"], figures = timed(lambda: loop_evaluation(distances, people.labels))
    result["mAP_difference_loop_to_matrix"] = abs(figures[0] - ours().mAP)
    result["rank1_difference_loop_to_matrix"] = abs(figures[1] - ours().cmc[1])
    result["matrix_times_faster"] = result["loop_seconds"] / result["matrix_seconds"]
    from_features = result["loop_seconds"] + result["torchreid_distance_seconds"]
    for name in ("features", "features_squared_euclidean"):
        result[f"{name}_times_faster"] = from_features / result[f"{name}_seconds"]


def measure_features(people: People, options: Options) -> dict[str, Any]:
    """Streamed evaluation: seconds, MiB above the features, and its bound."""
    sides = (people.queries, people.gallery)

    def streamed() -> Report:
        return evaluate_features(*sides, *people.labels)

    memory = memory_above(streamed)
    speeds, times = [], []
    for _ in range(options.repeats):
        # the speed of a shared machine changes: both are measured in turn
        speeds.append(product_speed())
        seconds, report = timed(streamed)
        times.append(seconds)
    seconds, speed = statistics.median(times), statistics.median(speeds)
    flop = 2 * options.queries * options.gallery * options.dimension
    return {
        "mAP": report.mAP,
        "mINP": report.mINP,
        "rank1": report.cmc[1],
        "features_seconds": seconds,
        "features_seconds_all": [round(t, 3) for t in times],
        "features_memory_mib": memory,
        "product_gflop": flop / 1e9,
        "machine_gflop_per_second": speed / 1e9,
        "product_bound_seconds": flop / speed,
        "features_times_of_bound": seconds / (flop / speed),
    }


def measure(options: Options) -> dict[str, Any]:
    """Times in seconds, memory in MiB above the features, ratios, figures, bounds."""
    people = draw(options)
    result = measure_features(people, options)
    measure_matrix(people, options, result)
    del people
    if options.large:
        size = replace(options, **LARGE, distractors=0.0, repeats=min(3, options.repeats))
        result["large"] = {**LARGE, **measure_features(draw(size), size)}
    result["process_peak_mib"] = peak_memory_mib()
    return result


def main(options: Options) -> None:
    """Measure, print, write."""
    result = measure(options)
    for name, value in [*result.items(), *result.get("large", {}).items()]:
        print(f"{name:36s} {value:12.4g}" if isinstance(value, (int, float)) else name)
    sizes = {k: v for k, v in asdict(options).items() if k not in ("out", "loop", "large")}
    write_result(options.out, "evaluation", {**sizes, **result})
