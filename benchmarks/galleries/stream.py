"""One process that adds small batches to a gallery for a while: ``python -m`` this module.

It prints how many sightings were acknowledged, each durable by then.
"""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.galleries.data import DAYS, START
from passerby.city import Sighting, open_gallery
from passerby.times import DAY_MS

NOW = START + DAYS * DAY_MS


def stream(folder: Path, name: str, size: int, seconds: float) -> int:
    """Add batches of ``size`` until the time is up; returns how many were acknowledged."""
    gallery = open_gallery(folder)
    rng = np.random.default_rng(sum(name.encode()))
    vectors = rng.standard_normal((4096, gallery.dimension or 0)).astype(np.float32)
    print("ready", flush=True)
    sys.stdin.readline()
    end, done = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        batch = [
            Sighting(
                id=f"{name}-{at}",
                camera=f"C{at % 4000:04d}",
                unit="9900000000",
                time=NOW + at,
                vector=vectors[at % len(vectors)],
                model=str(gallery.model_id),
                tracklet=f"{name}-{at // 16}",
            )
            for at in range(done, done + size)
        ]
        done += gallery.add(batch)
    print(done, flush=True)
    gallery.close()
    return done


def measure(folder: Path, *, processes: int, size: int, seconds: float, label: str) -> int:
    """How many sightings several processes were told of in that time, all at once."""
    command = [sys.executable, "-m", "benchmarks.galleries.stream", str(folder)]
    workers = [
        subprocess.Popen(
            [*command, f"{label}{number}", str(size), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    total = 0
    for worker in workers:  # all at once
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate()
        total += int(out)
    return total


if __name__ == "__main__":
    stream(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
