"""What the benchmarks share: the machine, the commit, medians, peak memory, the JSON."""

import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from passerby.data import CropTable, read_any

ROOT = Path(__file__).resolve().parents[1]


def resolve_data(name: str) -> CropTable:
    """The table of a folder or of a named simulated set, rendered on first use."""
    from passerby.simulate.options import BENCHMARKS, ensure

    if name in BENCHMARKS:
        return read_any(ensure(name, ROOT / "datasets"))
    return read_any(name)


def commit() -> str:
    """The commit the code stands at, with a mark when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median wall time of ``work`` in seconds, after one run that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_memory_mib() -> float:
    """The highest resident size of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_result(out: Path | None, name: str, result: dict[str, Any]) -> None:
    """Write ``result`` with commit, machine and time to ``out`` (nothing when ``out`` is None)."""
    if out is None:
        return
    record = {
        "benchmark": name,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "result": result,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written: {out}")
