"""A search over many shards, simulated: queues, stragglers, hedged requests, lost replicas.

The service times are those of one shard, measured here: a whole scan of an embedded gallery on one
thread. Everything beyond one shard is simulated, not measured; see docs/scale.md for what follows.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common import write_result

DAY_MS = 86_400_000
CITY_START = 1_777_593_600_000
CAMERAS = 4000
CELLS = 2000


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure one shard, then simulate a search over many."""

    rows: int = 200_000
    """Sightings of the measured shard."""
    dimension: int = 512
    """Length of a vector."""
    measured: int = 300
    """Queries measured on it."""
    shards: tuple[int, ...] = (1, 16, 64, 256, 1024)
    """Shards that one search asks; each is one core's work."""
    replicas: tuple[int, ...] = (1, 2, 3)
    """Copies of each shard."""
    load: tuple[float, ...] = (0.1, 0.5, 0.8)
    """Share of its time that a core is asked to search."""
    queries: int = 4000
    """Searches simulated for each setting."""
    network_ms: float = 0.5
    """Median of one round trip to a shard, log-normal with a sigma of 0.5."""
    straggling: float = 0.01
    """Probability that a shard's answer takes several times as long."""
    straggler: float = 10.0
    """How many times as long."""
    hedge: float = 2.0
    """A second replica is asked after so many medians of a lone shard's answers; 0: never."""
    budget: float = 0.05
    """Hedged requests of a shard, at most, as a share of all; 1 lets a busy one drown in them."""
    lost: tuple[float, ...] = (0.0, 0.02, 0.1)
    """Share of the replicas that are away."""
    folder: Path | None = None
    """Where the shard lies; a temporary folder without it."""
    seed: int = 0
    """Seed of everything."""
    out: Path | None = None
    """Write the result to this JSON file."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One setting of the simulation; times in milliseconds."""

    shards: int
    replicas: int
    load: float
    hedge: float
    lost: float


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    """p50, p95, p99 and p99.9 of milliseconds."""
    names = ("p50_ms", "p95_ms", "p99_ms", "p999_ms")
    found = np.percentile(values, [50, 95, 99, 99.9])
    return {name: round(float(value), 3) for name, value in zip(names, found, strict=True)}


def measure(options: Options, folder: Path) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """(service times in ms of a whole scan, what a million sightings cost) of one shard."""
    import torch

    from passerby.city import Scope, Sighting, open_gallery

    torch.set_num_threads(1)
    rng = np.random.default_rng(options.seed)
    gallery = open_gallery(folder / "shard")
    start = time.perf_counter()
    at_once = 20_000
    for first in range(0, options.rows, at_once):
        count = min(at_once, options.rows - first)
        vectors = rng.standard_normal((count, options.dimension)).astype(np.float32)
        cameras = rng.integers(0, CAMERAS, count)
        times = CITY_START + rng.integers(0, DAY_MS, count)
        gallery.add(
            Sighting(
                id=f"{first + i:010d}",
                camera=f"C{cameras[i]:04d}",
                unit=f"99{cameras[i] % CELLS:08d}",
                time=int(times[i]),
                vector=vectors[i],
                model="generated",
            )
            for i in range(count)
        )
    adding = time.perf_counter() - start
    whole, part = [], []
    minutes = Scope(start=CITY_START, end=CITY_START + DAY_MS // 100)
    for scope, into in ((Scope(), whole), (minutes, part)):
        for number in range(options.measured + 5):
            query = rng.standard_normal(options.dimension).astype(np.float32)
            begin = time.perf_counter()
            gallery.search(query, 50, scope)
            if number >= 5:
                into.append((time.perf_counter() - begin) * 1000)
    stats = gallery.stats()
    gallery.close()
    million = 1e6 / options.rows
    cost = {
        "rows": options.rows,
        "dimension": options.dimension,
        "bytes_per_million": round(stats.bytes * million),
        "whole_scan_ms": percentiles(np.array(whole)),
        "one_percent_ms": percentiles(np.array(part)),
        "core_seconds_per_million_scanned": round(float(np.mean(whole)) * million / 1000, 4),
        "core_seconds_per_million_added": round(adding * million, 1),
    }
    return np.array(whole), cost


def simulate(
    service: NDArray[np.float64], options: Options, cluster: Cluster, seed: int
) -> dict[str, Any]:
    """Searches that arrive at random and end with the slowest of their shards.

    Every replica is one core that works off its requests in turn. A shard's request goes to the
    living replica that is free first; hedged, to the next one as well when the first has not
    answered by then and the budget allows, and neither is withdrawn. A hedge's work takes its place
    in the queue when the search arrives, so that requests of the time in between wait for it: a
    little pessimistic.
    """
    rng = np.random.default_rng(seed)
    S, R = cluster.shards, cluster.replicas
    alive = rng.random((S, R)) >= cluster.lost
    complete = alive.any(axis=1)
    spare = alive.sum(axis=1) > 1
    mean = service.mean() * (1 + options.straggling * (options.straggler - 1))
    gap = mean / (cluster.load * R)  # between searches: the load when all replicas live
    patience = cluster.hedge * np.median(service) if cluster.hedge else np.inf
    free = np.zeros((S, R))
    latency = np.zeros(options.queries)
    hedged, now, rows = np.zeros(S, np.int64), 0.0, np.arange(S)

    def served(replica: NDArray[Any], start: float, who: NDArray[np.bool_]) -> NDArray[Any]:
        times = rng.choice(service, S)
        times[rng.random(S) < options.straggling] *= options.straggler
        before = free[rows, replica]
        finish: NDArray[np.float64] = np.maximum(start, before) + times
        free[rows[who], replica[who]] = (np.maximum(now, before) + times)[who]
        return finish

    for number in range(options.queries):
        now += rng.exponential(gap)
        queues = np.where(alive, free, np.inf)
        replica = queues.argmin(axis=1)
        finish = served(replica, now, complete)
        late = (finish > now + patience) & spare
        late &= hedged < options.budget * (number + 1)
        if late.any():
            hedged += late
            queues[rows, replica] = np.inf
            second = served(queues.argmin(axis=1), now + patience, late)
            finish = np.where(late, np.minimum(finish, second), finish)
        travel = rng.lognormal(np.log(options.network_ms), 0.5, S)
        latency[number] = np.where(complete, finish + travel - now, 0.0).max()
    settled = latency[options.queries // 10 :]  # the queues fill first
    return {
        **{name: getattr(cluster, name) for name in Cluster.__dataclass_fields__},
        **percentiles(settled),
        "searches_per_second": round(1000 / gap, 1),
        "hedged_share": round(float(hedged.mean()) / options.queries, 4),
        "shards_answering": round(float(complete.mean()), 4),
    }


def settings_of(options: Options) -> list[Cluster]:
    """Every combination, but hedges only where there is a second replica."""
    plain = [
        Cluster(shards=shards, replicas=replicas, load=load, hedge=0.0, lost=lost)
        for shards, replicas, load, lost in product(
            options.shards, options.replicas, options.load, options.lost
        )
    ]
    hedged = [replace(one, hedge=options.hedge) for one in plain if one.replicas > 1]
    return plain + (hedged if options.hedge else [])


def main(options: Options) -> None:
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        service, cost = measure(options, Path(folder))
    print(f"one shard: {cost}")
    simulated = [
        simulate(service, options, cluster, options.seed + number)
        for number, cluster in enumerate(tqdm(settings_of(options), unit="setting"))
    ]
    for one in simulated:
        print(" ".join(f"{name}={value}" for name, value in one.items()))
    result = {
        "measured": cost,
        "simulated": simulated,
        "options": {
            name: getattr(options, name)
            for name in Options.__dataclass_fields__
            if name not in ("out", "folder")
        },
    }
    write_result(options.out, "fan_out", result)
