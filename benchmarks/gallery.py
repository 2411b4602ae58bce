"""The embedded gallery beside other stores: latency by scope, adding, streams, memory, size."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import peak_memory_mib, write_result
from benchmarks.galleries import service, stream
from benchmarks.galleries.data import Source
from benchmarks.galleries.exact import Best, agreement, exact
from benchmarks.galleries.stores import (
    FaissStore,
    LanceStore,
    NumpyStore,
    PasserbyStore,
    QdrantStore,
    Store,
)
from passerby.errors import InputError
from passerby.runtime import Embedder

Peer = Literal["numpy", "faiss", "lancedb", "qdrant-edge"]
BARS = {  # what is asked of 1 M x 512 on 2 cores
    "whole city": 80.0,
    "1 %: a street, a week": 10.0,
    "0.01 %: a street, 100 minutes": 3.0,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure the embedded gallery beside other stores."""

    rows: int = 1_000_000
    """Sightings."""
    dimension: int = 512
    """Length of a vector."""
    queries: int = 100
    """Queries per scope."""
    k: int = 50
    """Nearest sightings asked for."""
    peers: tuple[Peer, ...] = ("numpy", "faiss", "lancedb", "qdrant-edge")
    """Other stores measured in the same run; for ten million sightings name none."""
    streams: tuple[int, ...] = (1, 8, 32)
    """Sightings in one call of add, in the streams."""
    processes: int = 4
    """Processes that stream at once."""
    seconds: float = 10.0
    """How long each stream lasts."""
    threads: int = 2
    """Threads of a search, for every store that can be told."""
    folder: Path | None = None
    """Where the stores lie, on the disk to be measured; a temporary folder without it."""
    seed: int = 0
    """Seed of everything."""
    out: Path | None = None
    """Write the result to this JSON file."""


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    p50, p95 = np.percentile(np.array(seconds) * 1000, [50, 95])
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def peers_of(options: Options, folder: Path) -> list[Store]:
    """The stores named."""
    made: dict[str, Store] = {
        "numpy": NumpyStore(),
        "faiss": FaissStore(options.threads),
        "lancedb": LanceStore(folder / "lancedb"),
        "qdrant-edge": QdrantStore(folder / "qdrant", options.threads),
    }
    return [made[name] for name in options.peers]


def latencies(
    stores: list[Store], source: Source, queries: NDArray[np.float32], options: Options
) -> dict[str, Any]:
    """Per scope and store: p50, p95, and agreement with the exact answers; stores by turns."""
    answers: dict[str, Best] = {
        "agreement": exact(source, queries, options.k, half=False),
        "agreement_with_half": exact(source, queries, options.k, half=True),
    }
    table: dict[str, Any] = {}
    for name, wanted in source.scopes().items():
        times: dict[str, list[float]] = {store.name: [] for store in stores}
        shares: dict[str, list[list[float]]] = {store.name: [] for store in stores}
        for turn, query in enumerate([queries[0], *queries]):  # the first is warm-up
            for store in stores:
                begin = time.perf_counter()
                found = store.search(query, options.k, wanted)
                spent = time.perf_counter() - begin
                if turn:
                    times[store.name].append(spent)
                    shares[store.name].append(
                        [agreement(found, best[name][turn - 1]) for best in answers.values()]
                    )
        table[name] = {"rows": int(wanted.mask(source).sum())}
        for store in stores:
            means = np.mean(shares[store.name], axis=0)
            table[name][store.name] = {
                **percentiles(times[store.name]),
                **{kind: round(float(m), 5) for kind, m in zip(answers, means, strict=True)},
            }
            print(f"{name:<30} {store.name:<14} {table[name][store.name]}", flush=True)
    return table


def run(folder: Path, options: Options) -> dict[str, Any]:
    """All measurements, in ``folder``."""
    # the idle service takes only a gallery that bears the name of its network
    model = Embedder.load("default").model_id
    source = Source(options.rows, options.dimension, options.seed, model)
    city = folder / "city"
    service.make_city(city)
    ours = PasserbyStore(city / "gallery", folder)
    peers = peers_of(options, folder)
    building: dict[str, float] = {}
    for store in (ours, *peers):
        begin = time.perf_counter()
        store.build(source)
        building[store.name] = round(time.perf_counter() - begin, 1)
        print(f"{store.name} built in {building[store.name]} s", flush=True)
    stats = ours.gallery.stats()
    ours.gallery.close()
    opening, ours = _reopened(city / "gallery", ours)
    begin = time.perf_counter()
    faults = ours.gallery.verify()
    verifying = time.perf_counter() - begin
    assert faults == [], faults
    table = latencies([ours, *peers], source, source.queries(options.queries), options)
    memory = service.measure(city)
    before = ours.gallery.count()
    streams = {}
    for size in options.streams:
        told = stream.measure(
            city / "gallery",
            processes=options.processes,
            size=size,
            seconds=options.seconds,
            label=f"stream{size}-",
        )
        before += told
        assert ours.gallery.count() == before  # every one of them, and none besides
        streams[f"batches of {size}"] = rate = round(told / options.seconds)
        print(f"{options.processes} processes, batches of {size}: {rate} a second", flush=True)
    ours.gallery.close()
    result = {
        "rows": options.rows,
        "dimension": options.dimension,
        "threads": options.threads,
        "bulk_adds_per_second": round(options.rows / ours.adding),
        "streamed_adds_per_second": streams,
        "open_seconds": round(opening, 3),
        "verify_seconds": round(verifying, 2),
        "disk_bytes_per_sighting": round(stats.bytes / options.rows),
        "service": memory,
        "peak_memory_of_this_process_mib": round(peak_memory_mib()),
        "build_seconds": building,
        "scopes": table,
    }
    if (options.rows, options.dimension) == (1_000_000, 512):
        result["bars"] = bars(result)
    return result


def _reopened(folder: Path, old: PasserbyStore) -> tuple[float, PasserbyStore]:
    begin = time.perf_counter()
    fresh = PasserbyStore(folder, old.tables)
    opening = time.perf_counter() - begin
    fresh.adding = old.adding
    return opening, fresh


def bars(result: dict[str, Any]) -> dict[str, bool]:
    """Which of the bars of 1 M x 512 are met."""
    met = {
        f"{name}: p50 <= {bar:g} ms, exact": (
            result["scopes"][name]["passerby"]["p50_ms"] <= bar
            and result["scopes"][name]["passerby"]["agreement_with_half"] > 0.9999
        )
        for name, bar in BARS.items()
    }
    met["idle service <= 2560 MiB"] = result["service"]["idle_mib"]["resident"] <= 2560
    met["bulk >= 20000 a second"] = result["bulk_adds_per_second"] >= 20_000
    met["streams >= 1000 a second"] = max(result["streamed_adds_per_second"].values()) >= 1000
    return met


def main(options: Options) -> None:
    """Measure and write."""
    import torch

    torch.set_num_threads(options.threads)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="passerby-gallery-", dir=options.folder))
    needed = options.rows * options.dimension * 2 * (1.3 + 1.5 * len(options.peers))
    try:
        if shutil.disk_usage(folder).free < needed:
            raise InputError(f"{folder} needs {needed / 1e9:.0f} GB; name another --folder")
        result = run(folder, options)
    finally:
        shutil.rmtree(folder)
    print({name: value for name, value in result.items() if name != "scopes"})
    write_result(options.out, "gallery", result)
