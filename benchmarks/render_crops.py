"""Crops a second on one process and on two.

Usage: python benchmarks/render_crops.py [--crops 200] [--cameras 4] [--json FILE]
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np

from passerby.simulate.appearance import sample_appearance
from passerby.simulate.background import plate
from passerby.simulate.crop import render_crop
from passerby.simulate.scene import View
from passerby.simulate.sensor import Sensor, sample_sensor

TARGET = 100.0  # crops a second on two cores


def view(sensor: Sensor, rng: np.random.Generator) -> View:
    reach = (sensor.height - 0.9) / math.tan(sensor.tilt) * float(np.exp(0.2 * rng.normal()))
    return View(
        heading=float(2 * math.pi * rng.random()),
        elevation=math.atan2(sensor.height - 0.9, reach),
        distance=math.hypot(sensor.height - 0.9, reach),
        phase=float(rng.random()),
        place=float(0.15 + 0.7 * rng.random()),
    )


def render(first: int, last: int, cameras: int) -> tuple[float, float]:
    """Render some crops: wall seconds, and median processor seconds of one, both when warm."""
    sensors = [sample_sensor(np.random.default_rng([1, k])) for k in range(cameras)]
    for sensor in sensors:
        plate(sensor)
    rng = np.random.default_rng(0)
    render_crop(sample_appearance(rng), view(sensors[0], rng), sensors[0], rng)
    start, own = time.perf_counter(), []
    for index in range(first, last):
        begin = time.process_time()
        rng = np.random.default_rng([2, index])
        sensor = sensors[index % cameras]
        render_crop(sample_appearance(rng), view(sensor, rng), sensor, rng)
        own.append(time.process_time() - begin)
    return time.perf_counter() - start, statistics.median(own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()

    start = time.perf_counter()
    render(0, 1, 1)
    warm_up = time.perf_counter() - start
    seconds, own = render(0, options.crops, options.cameras)
    alone = options.crops / seconds
    context = multiprocessing.get_context("spawn")
    half = options.crops // 2
    with context.Pool(2) as pool:
        spans = [(0, half, options.cameras), (half, options.crops, options.cameras)]
        both = sum(half / seconds for seconds, _ in pool.starmap(render, spans))
    report = {
        "crops": options.crops,
        "crops_per_second_one_process": round(alone, 1),
        "crops_per_second_two_processes": round(both, 1),
        "processor_milliseconds_a_crop": round(1000 * own, 2),
        "target_two_processes": TARGET,
        "warm_up_seconds": round(warm_up, 2),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
    }
    for name, value in report.items():
        print(f"{name:32} {value}")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
