"""Ingest of a clip: the detector alone, the stages one after the other, and all at the same time.

The arms take turns, so that what else runs on the machine slows all of them. Beside the wall time
stands the processor time of this process. On C cores a clip can at best be ingested at
C / (processor seconds for a second of video) times real time, which another program cannot spoil.
"""

import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import ROOT, peak_memory_mib, write_result
from passerby.errors import InputError
from passerby.ingest import Detector, IngestReport, create_small_city, ingest_clip
from passerby.ingest.precision import agreement
from passerby.ingest.video import open_clip
from passerby.runtime import Embedder

REAL = ROOT.parent / "shared" / "real"
RETAIL = "person-detection-retail-0013"
START = "2026-05-01T08:00:00+08:00"
RATE = 25  # frames a second of the camera that is simulated
AT_ONCE = 8  # frames the detector gets together, as in ingest
JOINABLE = (".264", ".h264", ".265", ".h265", ".ts")  # files that may be joined byte by byte


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure the ingest of a clip, every frame looked at."""

    clip: Path = REAL / "clips" / "people-detection.264"
    """The clip; its frames count as 25 a second."""
    detector: Path = REAL / "models" / RETAIL / f"{RETAIL}.xml"
    """The person detector."""
    int8: Path | None = None
    """The same detector in int8, as `passerby export` writes it; measured beside it."""
    model: str = "default"
    """Network that embeds the crops."""
    rounds: int = 3
    """How often each arm runs."""
    frames: int = 200
    """Frames that the detector alone gets in a round; they are held in memory."""
    hours: float = 0.0
    """Ingest the clip in a loop for so many hours of video and watch the memory; 0 does not."""
    cores: int = 2
    """Cores of which the limit is given."""
    out: Path | None = None
    """Write the result to this JSON file."""


def timed(work: Callable[[], int]) -> dict[str, float]:
    """Frames, wall seconds and processor seconds of ``work``, which returns its frames."""
    wall, used = time.perf_counter(), time.process_time()
    frames = work()
    return {
        "frames": frames,
        "wall": time.perf_counter() - wall,
        "processor": time.process_time() - used,
    }


def ingest(
    options: Options,
    detector: Detector,
    embedder: Embedder,
    clip: Path,
    *,
    overlap: bool,
    watch: Callable[[IngestReport], None] | None = None,
) -> int:
    """Ingest the clip into a city of its own; returns the number of frames."""
    with (
        tempfile.TemporaryDirectory() as folder,
        create_small_city(Path(folder) / "city", camera="C01", place=(116.4, 39.9)) as city,
    ):
        report = ingest_clip(
            city,
            clip,
            camera="C01",
            start=START,
            detector=detector,
            embedder=embedder,
            overlap=overlap,
            on_progress=watch,
        )
    return report.frames


def summary(runs: list[dict[str, float]], cores: int) -> dict[str, Any]:
    """Medians of the runs of one arm, per frame and per second of video."""
    used = median(run["processor"] / run["frames"] for run in runs)
    wall = median(run["wall"] / run["frames"] for run in runs)
    return {
        "frames": int(runs[0]["frames"]),
        "processor_ms_per_frame": round(1000 * used, 2),
        "processor_seconds_per_video_second": round(used * RATE, 3),
        "best_times_real_time": round(cores / (used * RATE), 2),
        "wall_ms_per_frame": round(1000 * wall, 2),
        "times_real_time_here": round(1 / (wall * RATE), 2),
        "processor_ms_per_frame_of_rounds": [
            round(1000 * run["processor"] / run["frames"], 2) for run in runs
        ],
    }


def measure(options: Options) -> dict[str, Any]:
    """All arms, taking turns."""
    embedder = Embedder.load(options.model)
    detectors = {"fp32": Detector.load(options.detector)}
    if options.int8 is not None:
        detectors["int8"] = Detector.load(options.int8)
    first = next(iter(detectors.values()))
    frames = list(islice(open_clip(options.clip).frames(), options.frames))
    for frame in frames:
        if first.stretched is not None:
            frame.resized(first.stretched)

    def detect(detector: Detector) -> int:
        for start in range(0, len(frames), AT_ONCE):
            detector.detect_frames(frames[start : start + AT_ONCE])
        return len(frames)

    arms: dict[str, Callable[[], int]] = {}
    for name, detector in detectors.items():
        arms[f"detector alone, {name}"] = lambda d=detector: detect(d)  # type: ignore[misc]
        for overlap in (False, True):
            arms[f"ingest {'overlapping' if overlap else 'sequential'}, {name}"] = (
                lambda d=detector, o=overlap: ingest(options, d, embedder, options.clip, overlap=o)  # type: ignore[misc]
            )
    arms["decoding alone"] = lambda: sum(1 for _ in open_clip(options.clip).frames())
    for detector in detectors.values():
        detector.detect_frames(frames[:AT_ONCE])
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, work in arms.items():
            runs[name].append(timed(work))
            print(name, {key: round(value, 2) for key, value in runs[name][-1].items()}, flush=True)
    found: dict[str, Any] = {name: summary(own, options.cores) for name, own in runs.items()}
    if options.int8 is not None:
        found["int8 agrees with fp32"] = agreement(
            detectors["fp32"], detectors["int8"], [options.clip]
        ).as_dict()
    found["peak_memory_mib"] = round(peak_memory_mib())
    return found


def watch_memory(options: Options) -> dict[str, Any]:
    """Resident memory while the clip is ingested in a loop."""
    if options.clip.suffix not in JOINABLE:
        raise InputError(
            f"'{options.clip}' cannot be joined to itself; give one of {', '.join(JOINABLE)}"
        )
    once = sum(1 for _ in open_clip(options.clip).frames())
    loops = max(2, round(options.hours * 3600 * RATE / once))
    samples: list[tuple[int, float]] = []

    def watch(report: IngestReport) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        samples.append((report.frames, pages * resource.getpagesize() / 2**20))

    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / f"loop{options.clip.suffix}"
        part = options.clip.read_bytes()
        with clip.open("wb") as file:
            for _ in range(loops):
                file.write(part)
        detector = Detector.load(options.int8 or options.detector)
        embedder = Embedder.load(options.model)
        run = timed(lambda: ingest(options, detector, embedder, clip, overlap=True, watch=watch))
    tenths = [
        round(max(mib for _, mib in samples[len(samples) * i // 10 : len(samples) * (i + 1) // 10]))
        for i in range(10)
    ]
    return {
        "loops": loops,
        "video_hours": round(run["frames"] / RATE / 3600, 3),
        "frames": int(run["frames"]),
        "highest_mib_of_each_tenth": tenths,
        "growth_mib_from_second_to_last_tenth": tenths[-1] - tenths[1],
        "processor_seconds_per_video_second": round(run["processor"] / run["frames"] * RATE, 3),
    }


def main(options: Options) -> None:
    """Measure, and write the result."""
    for path in (options.clip, options.detector):
        if not path.exists():
            raise InputError(f"there is no '{path}'; give --clip and --detector")
    result: dict[str, Any] = {"clip": options.clip.name, "detector": options.detector.name}
    if options.hours:  # first, so that nothing else has filled the memory
        result["memory"] = watch_memory(options)
        print(result["memory"], flush=True)
    result |= measure(options)
    write_result(options.out, "ingest", result)
    for name, value in result.items():
        print(f"{name}: {value}")
