"""The embedded gallery against a flat numpy scan: latency by scope, adding, opening, size.

Generated data as in the specification's comparison of stores: identities of 20 sightings each
(low-rank identity and nuisance, isotropic noise; cosine 0.66 within, 0.00 +- 0.09 between), 2,000
cells at five levels, 4,000 cameras, 30 days. The scopes do not depend on the vectors.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import peak_memory_mib, write_result
from passerby.city import Scope, Sighting
from passerby.city.gallery import EmbeddedGallery
from passerby.city.times import DAY_MS

START = 1_777_593_600_000
DAYS = 30
IMAGES = 20


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure the embedded gallery."""

    rows: int = 200_000
    """Sightings; a multiple of 20."""
    dimension: int = 512
    """Length of a vector."""
    queries: int = 100
    """Queries per scope."""
    k: int = 50
    """Nearest sightings asked for."""
    batch: int = 5_000
    """Sightings in one call of add."""
    threads: int = 1
    """Threads of torch."""
    seed: int = 0
    """Seed of everything."""
    out: Path | None = None
    """Write the result to this JSON file."""


@dataclass(frozen=True)
class Data:
    vectors: NDArray[np.float32]
    cells: NDArray[np.int64]  # 0..1999
    cameras: NDArray[np.int64]
    times: NDArray[np.int64]


def generate(options: Options) -> Data:
    """Vectors and columns, the same for the same seed."""
    rng = np.random.default_rng(options.seed)
    people, size = options.rows // IMAGES, options.dimension
    basis = rng.standard_normal((size // 2, size)).astype(np.float32) / np.sqrt(size // 2)
    identity = rng.standard_normal((people, size // 2)).astype(np.float32) @ basis
    nuisance = rng.standard_normal((size // 8, size)).astype(np.float32) / np.sqrt(size // 8)
    vectors = np.empty((people * IMAGES, size), np.float32)
    for start in range(0, len(vectors), 20_000):
        part = vectors[start : start + 20_000]
        whose = np.arange(start, start + len(part)) // IMAGES
        loose = rng.standard_normal((len(part), size // 8)).astype(np.float32) @ nuisance
        noise = rng.standard_normal(part.shape).astype(np.float32)
        part[:] = identity[whose] + 0.45 * loose + 0.54 * noise
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    cells = rng.integers(0, 2000, len(vectors))
    return Data(
        vectors=vectors,
        cells=cells,
        cameras=cells * 2 + rng.integers(0, 2, len(vectors)),
        times=START + np.sort(rng.integers(0, DAYS * DAY_MS, len(vectors))),
    )


def code_of(cell: int) -> str:
    """10 districts x 10 streets x 5 areas x 4 cells."""
    district, rest = divmod(int(cell), 200)
    street, rest = divmod(rest, 20)
    area, last = divmod(rest, 4)
    return f"99{district:02d}{street:02d}{area:02d}{last:02d}"


def sightings(data: Data) -> Iterator[Sighting]:
    codes = [code_of(cell) for cell in range(2000)]
    for row in range(len(data.vectors)):
        yield Sighting(
            id=f"s{row:09d}",
            camera=f"C{data.cameras[row]:04d}",
            time=int(data.times[row]),
            vector=data.vectors[row],
            model="generated",
            unit=codes[data.cells[row]],
            tracklet=f"t{row // 4}",
        )


def scopes(data: Data) -> dict[str, tuple[Scope, NDArray[np.bool_]]]:
    """Each scope with its mask for the flat scan."""
    span = DAYS * DAY_MS // 100
    start = START + 12 * DAY_MS
    late = (data.times >= start) & (data.times < start + span)
    street = data.cells // 20 == 37
    return {
        "none": (Scope(), np.ones(len(data.cells), bool)),
        "10% district": (Scope(units=("9903",)), data.cells // 200 == 3),
        "1% street": (Scope(units=("990307",)), street),
        "1% window": (Scope(start=start, end=start + span), late),
        "0.01% street and window": (
            Scope(units=("990307",), start=start, end=start + span),
            street & late,
        ),
    }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def flat(data: Data, mask: NDArray[np.bool_], query: NDArray[np.float32], k: int) -> Any:
    """Exact float32 scan of the masked rows with numpy."""
    rows = np.flatnonzero(mask)
    chosen = data.vectors if len(rows) == len(mask) else data.vectors[rows]
    scores = chosen @ query
    best = np.argpartition(-scores, min(k, len(scores) - 1))[:k] if len(scores) > k else ...
    found = rows[best]
    return found[np.argsort(-(data.vectors[found] @ query), kind="stable")]


def measure(gallery: EmbeddedGallery, data: Data, options: Options) -> dict[str, Any]:
    """Latencies of every scope, gallery and flat scan by turns, and the recall."""
    rng = np.random.default_rng(options.seed + 1)
    chosen = rng.integers(0, len(data.vectors), options.queries)
    table: dict[str, Any] = {}
    for name, (scope, mask) in scopes(data).items():
        ours, theirs, recall = [], [], []
        for turn, row in enumerate([int(chosen[0]), *(int(x) for x in chosen)]):
            query = data.vectors[row]
            begin = time.perf_counter()
            hits = gallery.search(query, options.k, scope)[0]
            middle = time.perf_counter()
            want = flat(data, mask, query, options.k)
            end = time.perf_counter()
            if turn:  # the first is warm-up
                ours.append(middle - begin)
                theirs.append(end - middle)
                got = {int(one[1:]) for one in hits.ids}
                recall.append(len(got & set(want.tolist())) / max(len(want), 1))
        table[name] = {
            "rows": int(mask.sum()),
            "gallery": percentiles(ours),
            "numpy_flat": percentiles(theirs),
            "recall": round(float(np.mean(recall)), 5),
        }
        print(f"{name:<24} {table[name]}", flush=True)
    return table


def run(folder: Path, options: Options) -> dict[str, Any]:
    data = generate(options)
    gallery = EmbeddedGallery(folder)
    begin = time.perf_counter()
    batch: list[Sighting] = []
    for one in sightings(data):
        batch.append(one)
        if len(batch) == options.batch:
            gallery.add(batch)
            batch = []
    gallery.add(batch)
    adding = time.perf_counter() - begin
    gallery.close()
    begin = time.perf_counter()
    gallery = EmbeddedGallery(folder)
    opening = time.perf_counter() - begin
    begin = time.perf_counter()
    assert gallery.verify() == []
    verifying = time.perf_counter() - begin
    table = measure(gallery, data, options)
    disk = gallery.stats().bytes
    gallery.close()
    return {
        "rows": len(data.vectors),
        "dimension": options.dimension,
        "threads": options.threads,
        "adds_per_second": round(len(data.vectors) / adding),
        "open_seconds": round(opening, 3),
        "verify_seconds": round(verifying, 3),
        "disk_mb": round(disk / 1e6, 1),
        "peak_memory_mib": round(peak_memory_mib(), 1),
        "scopes": table,
    }


def main(options: Options) -> None:
    import torch

    torch.set_num_threads(options.threads)
    folder = Path(tempfile.mkdtemp(prefix="passerby-gallery-"))
    try:
        result = run(folder, options)
    finally:
        shutil.rmtree(folder)
    print({name: value for name, value in result.items() if name != "scopes"})
    write_result(options.out, "gallery", result)
