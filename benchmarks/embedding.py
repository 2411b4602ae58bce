"""From JPEG files to vectors: images a second of a network in every runtime, decoding included.

Each cell embeds the same files in batches for a few seconds, in rounds that go through all runtimes
and torchreid's FeatureExtractor, which has a process of its own, so that other work on the machine
meets them all; the median of the rounds counts. What was asked of the runtimes is judged by pairs
measured right after one another. Cosines are the means over held-out crops with eager PyTorch in
fp32, once plain, once with its mean vector taken away. ``of_peak`` is the network's arithmetic a
second as a part of what a large matrix product reaches in the same library and precision.

Run: ``passerby bench embedding --out benchmarks/results/embedding.json``
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import resolve_data, write_result
from benchmarks.embedders.networks import gigaflops, make_resnet50
from benchmarks.embedders.peaks import peaks
from benchmarks.embedders.peer import FeatureExtractor, OwnProcess
from passerby.data import CropTable
from passerby.errors import InputError
from passerby.models import load
from passerby.models.identity import find_file
from passerby.runtime import Embedder
from passerby.runtime.comparison import centred_cosines, cosines
from passerby.runtime.export import CALIBRATION_CROPS, export
from passerby.runtime.openvino_models import convert_torch, write_openvino
from passerby.runtime.parity import crops_or_samples
from passerby.runtime.quantise import prepare, quantise
from passerby.runtime.torch_backend import UnitVectors

PEER = "torchreid FeatureExtractor"
PEER_LIST = 32
BARS = {"openvino bf16": (4.0, 0.9995), "openvino int8": (8.0, 0.995)}  # times the peer, cosine
NEAR_BEST = 0.95


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is timed on which pictures."""

    models: tuple[str, ...] = ("resnet50", "default")
    """Networks: resnet50 (see the next option), default, or weights files."""
    resnet50: Path | None = None
    """A trained ResNet-50, fitted on the crops at 256 x 128; none: random weights, fitted."""
    data: str = "simcity-s"
    """Data set, or named simulated set: its gallery is embedded, its training crops calibrate."""
    files: int = 256
    """JPEG files of the gallery that are gone through."""
    calibration: int = CALIBRATION_CROPS
    """Crops for the quantisation."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Batch sizes."""
    seconds: float = 2.0
    """Time of a cell in a round."""
    rounds: int = 5
    """Rounds; the median counts."""
    pairs: int = 11
    """Times that two rivals are measured in turns; the median of their ratios is held to a bar."""
    out: Path | None = None
    """JSON file to write."""


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """``count`` paths, evenly out of all."""
    return [paths[index * len(paths) // count] for index in range(min(count, len(paths)))]


def variants(weights: Path, scratch: Path, calibrate: list[Path]) -> dict[str, Any]:
    """The network in every runtime and arithmetic; the first is the reference."""
    made: dict[str, Embedder] = {}
    for runtime in ("torch", "onnx", "openvino"):
        for precision in ("fp32",) if runtime == "onnx" else ("fp32", "bf16"):
            one = Embedder.load(weights, runtime=runtime, precision=precision, device="cpu")
            made[f"{runtime} {precision}"] = one
    made["openvino int8"] = Embedder.load(quantised(weights, scratch, calibrate))
    made["auto"] = Embedder.load(weights, device="cpu")
    return made


def quantised(weights: Path, scratch: Path, calibrate: list[Path]) -> Path:
    """The network in int8, by `passerby export`; where that refuses it, as it tries it first."""
    out = scratch / f"{weights.stem}.xml"
    try:
        print(export(weights, out, precision="int8", calibrate=calibrate))
    except InputError as error:
        print(f"timed nevertheless: {error}")
        network, card = load(weights)
        model = convert_torch(UnitVectors(network, card), card)
        crops = crops_or_samples(calibrate, card)
        write_openvino(quantise(prepare(model, crops), crops), out, card, None)
    return out


Work = Callable[[list[Path]], object]


def images_per_second(work: Work, paths: list[Path], step: int, seconds: float) -> float:
    """Embed ``step`` files a call, over and over for ``seconds``."""
    done, begin = 0, time.perf_counter()
    while (spent := time.perf_counter() - begin) < seconds or not done:
        work([paths[(done + index) % len(paths)] for index in range(step)])
        done += step
    return done / spent


@dataclass(frozen=True)
class Timed:
    """A way to embed, and the files it is given at once."""

    work: Work
    step: int

    @classmethod
    def batches(cls, one: Embedder, batch: int) -> "Timed":
        """One file as a query; or many batches, as an ingest that can read ahead."""
        step = 1 if batch == 1 else max(4 * batch, 64)
        return cls(lambda chunk: one.embed(chunk, batch_size=batch), step)

    def rate(self, paths: list[Path], options: Options) -> float:
        """Images a second."""
        self.work(
            paths[: min(self.step, PEER_LIST)]
        )  # what is made at the first batch does not count
        return images_per_second(self.work, paths, self.step, options.seconds)


def measure(made: dict[str, Embedder], peer: Work, paths: list[Path], options: Options):
    """(name, batch) -> images a second, one for each round."""
    rivals = {(PEER, PEER_LIST): Timed(peer, PEER_LIST)}
    for name, one in made.items():
        for batch in options.batches:
            rivals[name, batch] = Timed.batches(one, batch)
    cells: dict[tuple[str, int], list[float]] = {key: [] for key in rivals}
    for _ in range(options.rounds):
        for key, rival in rivals.items():
            cells[key].append(rival.rate(paths, options))
    return cells


def paired(ours: Timed, theirs: Timed, paths: list[Path], options: Options) -> list[float]:
    """Ratios of our rate to theirs, each from two times right after one another.

    A shared machine's speed drifts by a third within minutes: cells that were measured far apart
    cannot be divided by one another.
    """
    ratios = []
    for _ in range(options.pairs):
        rate = theirs.rate(paths, options)
        ratios.append(round(ours.rate(paths, options) / rate, 3))
    return sorted(ratios)


def rows_of(
    made: dict[str, Embedder],
    cells: dict[tuple[str, int], list[float]],
    sample: list[Path],
    peak: dict[str, float],
    work: float,
) -> list[dict[str, Any]]:
    """The peer's row, and one for each runtime and batch."""
    reference = next(iter(made.values())).embed(sample)
    peer_rate = statistics.median(cells[PEER, PEER_LIST])
    rows = [{"runtime": PEER, "batch": PEER_LIST, "images_per_second": round(peer_rate, 1)}]
    agreement = {}
    for name, one in made.items():
        vectors = one.embed(sample)
        agreement[name] = {
            "runs": one.backend.describe(),
            "cosine": round(float(cosines(vectors, reference).mean()), 6),
            "centred_cosine": round(float(centred_cosines(vectors, reference).mean()), 6),
        }
    for (name, batch), rates in cells.items():
        if name in made:
            rate = statistics.median(rates)
            reachable = peak.get(made[name].backend.precision, float("nan"))
            timed = {
                "images_per_second": round(rate, 1),
                "times_peer": round(rate / peer_rate, 2),
                "of_peak": round(rate * work / reachable, 3),
            }
            rows.append({"runtime": name, "batch": batch, **timed, **agreement[name]})
    return rows


def report(model: str, table: CropTable, scratch: Path, options: Options) -> dict[str, Any]:
    """All rows of one network."""
    paths = spread(table.gallery.paths(), options.files)
    training = table.train.paths()
    weights = scratch / "resnet50.safetensors"
    if model == "resnet50":
        make_resnet50(weights, spread(training, 192), start=options.resnet50)
    else:
        weights = find_file(model)
    network, card = load(weights)
    work = gigaflops(network, card)
    before = peaks()
    made = variants(weights, scratch, spread(training[1:], options.calibration))
    peer = OwnProcess(weights)
    cells = measure(made, peer, paths, options)
    best = {
        name: max(value, after)
        for (name, value), after in zip(before.items(), peaks().values(), strict=True)
    }
    rows = rows_of(made, cells, paths[:128], best, work)
    found = barred(made, peer, rows, paths, options) if card.architecture == "resnet50" else {}
    peer.close()
    within = FeatureExtractor(weights)
    return {
        "model": model,
        "gigaflops_per_image": round(work, 3),
        "peak_gigaflops": {name: round(value) for name, value in best.items()},
        "peer_in_this_process": round(Timed(within, PEER_LIST).rate(paths, options), 1),
        "rows": rows,
        "bars": {**found, **near_best(made, rows, paths, options)},
    }


def barred(
    made: dict[str, Embedder],
    peer: Work,
    rows: list[dict[str, Any]],
    paths: list[Path],
    options: Options,
) -> dict[str, Any]:
    """What was asked of bf16 and int8 on ResNet-50, and what was reached."""
    found = {}
    theirs = Timed(peer, PEER_LIST)
    for name, (times, cosine) in BARS.items():
        ours = Timed.batches(made[name], max(options.batches))
        ratios = paired(ours, theirs, paths, options)
        median = statistics.median(ratios)
        near = next(row["centred_cosine"] for row in rows if row["runtime"] == name)
        found[name] = {
            "times_peer": round(median, 2),
            "pairs": ratios,
            "centred_cosine": near,
            "reached": median >= times and near >= cosine,
        }
    return found


def near_best(
    made: dict[str, Embedder], rows: list[dict[str, Any]], paths: list[Path], options: Options
) -> dict[str, Any]:
    """Measure the speed of `auto` as a share of the fastest fp32 runtime, at each batch."""
    found = {}
    for batch in options.batches:
        others = [
            row for row in rows if row["batch"] == batch and str(row["runtime"]).endswith("fp32")
        ]
        best = max(others, key=lambda row: row["images_per_second"])["runtime"]
        ours, theirs = (Timed.batches(made[one], batch) for one in ("auto", best))
        ratios = paired(ours, theirs, paths, options)
        share = statistics.median(ratios)
        found[f"auto at {batch}"] = {
            "best": best,
            "of_best": round(share, 3),
            "pairs": ratios,
            "reached": share >= NEAR_BEST,
        }
    return found


def main(options: Options) -> None:
    """Measure, print and write."""
    table = resolve_data(options.data)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for model in options.models:
            results.append(report(model, table, Path(scratch), options))
            show(results[-1])
    weights = f"trained, {options.resnet50.parent.name}" if options.resnet50 else "random, fitted"
    result = {"data": options.data, "resnet50": weights, "models": results}
    write_result(options.out, "embedding", result)


def show(result: dict[str, Any]) -> None:
    """Print a network's rows and bars."""
    print(
        f"{result['model']}: {result['gigaflops_per_image']} GFLOP an image, peaks in GFLOP/s "
        f"{result['peak_gigaflops']}"
    )
    print(f"{'runtime':<28}{'batch':>6}{'images/s':>10}{'x peer':>8}{'of peak':>9}{'centred':>10}")
    for row in result["rows"]:
        print(
            f"{row['runtime']:<28}{row['batch']:>6}{row['images_per_second']:>10}"
            f"{row.get('times_peer', 1):>8}{row.get('of_peak', ''):>9}"
            f"{row.get('centred_cosine', ''):>10}"
        )
    for name, bar in result["bars"].items():
        print(f"{name}: {bar}")
