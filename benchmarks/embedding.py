"""From JPEG files to vectors: images a second of a network in every runtime, decoding included.

Each cell embeds the same files in batches for a few seconds, in rounds that go through all
runtimes, so that other work on the machine meets them all; the median of the rounds counts. The
cosine is the lowest to eager PyTorch (or to the file's own runtime) in fp32.

Run: ``passerby bench embedding --model default --out benchmarks/results/embedding.json``
"""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import write_result
from passerby.errors import InputError
from passerby.runtime import Embedder
from passerby.runtime.export import export_onnx
from passerby.runtime.tables import find_pictures


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is timed on which pictures."""

    model: str = "default"
    """Embedding network: default or a file."""
    folder: Path | None = None
    """Folder of crops (the first 256); pictures of smooth noise, 256 x 128, without it."""
    batches: tuple[int, ...] = (1, 8, 32)
    """Batch sizes."""
    seconds: float = 2.0
    """Time of a cell in a round."""
    rounds: int = 3
    """Rounds; the median counts."""
    out: Path | None = None
    """JSON file to write."""


def variants(model: str, scratch: Path) -> dict[str, Embedder]:
    """The network in every runtime and precision it can run in here."""
    if model.endswith(".xml"):
        return {f"openvino {p}": Embedder.load(model, precision=p) for p in ("fp32", "bf16")}
    if model.endswith(".onnx"):
        return {f"{r} fp32": Embedder.load(model, runtime=r) for r in ("onnx", "openvino")}
    export_onnx(model, scratch / "net.onnx")
    return {
        "torch fp32": Embedder.load(model, runtime="torch", device="cpu"),
        "torch bf16": Embedder.load(model, runtime="torch", device="cpu", precision="bf16"),
        "onnx fp32": Embedder.load(scratch / "net.onnx", runtime="onnx", device="cpu"),
        "openvino fp32": Embedder.load(model, runtime="openvino"),
        "openvino bf16": Embedder.load(model, runtime="openvino", precision="bf16"),
    }


def files(folder: Path | None, scratch: Path) -> list[Path]:
    """JPEG files to embed."""
    if folder is not None:
        return find_pictures(folder)[:256]
    rng = np.random.default_rng(0)
    for index in range(64):
        coarse = Image.fromarray(rng.integers(0, 256, (32, 16, 3)).astype(np.uint8))
        coarse.resize((128, 256), Image.Resampling.BICUBIC).save(scratch / f"{index:03d}.jpg")
    return sorted(scratch.glob("*.jpg"))


def images_per_second(one: Embedder, paths: list[Path], batch: int, seconds: float) -> float:
    """Embed files over and over for ``seconds``; at a batch of one, one call a picture."""
    done, begin, place = 0, time.perf_counter(), 0
    step = 1 if batch == 1 else 4 * batch  # as a query, or as an ingest that can read ahead
    while (spent := time.perf_counter() - begin) < seconds or not done:
        chunk = [paths[(place + i) % len(paths)] for i in range(step)]
        one.embed(chunk, batch_size=batch)
        done, place = done + step, place + step
    return done / spent


def measure(options: Options, scratch: Path) -> list[dict[str, Any]]:
    """All cells."""
    paths = files(options.folder, scratch)
    if not paths:
        raise InputError("there are no pictures to embed")
    made = variants(options.model, scratch)
    sample = paths[:64]
    reference = next(iter(made.values())).embed(sample)
    cells: dict[tuple[str, int], list[float]] = {}
    for _ in range(options.rounds):
        for name, one in made.items():
            for batch in options.batches:
                one.embed(paths[:batch], batch_size=batch)
                rate = images_per_second(one, paths, batch, options.seconds)
                cells.setdefault((name, batch), []).append(rate)
    rows = []
    for name, one in made.items():
        cosine = float(np.sum(one.embed(sample) * reference, axis=1).min())
        for batch in options.batches:
            rates = cells[name, batch]
            rows.append(
                {
                    "runtime": name,
                    "batch": batch,
                    "images_per_second": round(statistics.median(rates), 1),
                    "best": round(max(rates), 1),
                    "lowest_cosine": round(cosine, 6),
                }
            )
    return rows


def main(options: Options) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(options, Path(scratch))
    print(f"{'runtime':<16}{'batch':>6}{'images/s':>10}{'best':>10}{'cosine':>10}")
    for row in rows:
        print(
            f"{row['runtime']:<16}{row['batch']:>6}{row['images_per_second']:>10}"
            f"{row['best']:>10}{row['lowest_cosine']:>10}"
        )
    write_result(options.out, "embedding", {"model": str(options.model), "rows": rows})
