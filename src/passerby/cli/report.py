"""``passerby report MODEL --data DATA``: rank lists, curves and failures in one HTML file."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tqdm import tqdm

from passerby.cli.arguments import parse
from passerby.cli.data import resolve
from passerby.cli.evaluate import embed
from passerby.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from passerby.data import CropTable
    from passerby.runtime import Embedder
    from passerby.visual import ReportOptions, Results, Subject

RANKS = (1, 5, 10)  # printed


@dataclass(frozen=True, kw_only=True)
class Options:
    """One HTML file on a network and a data set: what it finds, where it fails, and why.

    The file needs nothing else: no script, no request to anywhere.
    """

    model: Annotated[str | None, tyro.conf.Positional] = None
    """A weights file of passerby, an ONNX file, an OpenVINO .xml, or "default"; none: the run's."""
    data: str | None = None
    """A named simulated set, a folder, or NAME:PATH; none: the run's, or simcity-s."""
    run: Path | None = None
    """A training run's folder: adds its curves, and brings model and data."""
    out: Path | None = None
    """The file to write; none: report.html, in the run's folder where there is one."""
    top: int = 10
    """Crops in each rank list."""
    queries: int = 12
    """Number of rank lists."""
    pick: Literal["mixed", "worst", "best", "random"] = "mixed"
    """Queries by average precision, at random, or a third of each."""
    rows: tuple[int, ...] = ()
    """These rows of the query table instead."""
    seed: int = 0
    """Of all random choices."""
    rerank: bool = False
    """Re-rank by k-reciprocal neighbours (k1 20, k2 6, lambda 0.3)."""
    protocol: str = "market1501"
    """Which pictures count; see 'passerby evaluate'."""
    projection: Literal["pca", "tsne"] = "pca"
    """How features are laid on a plane."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runtime: str = "auto"
    """auto, torch, onnx or openvino."""
    precision: str = "auto"
    """auto (fp32), fp32, bf16 or fp16."""
    batch_size: int = 64
    """Pictures at once."""
    json: bool = False
    """Print one JSON object instead of a line."""


def main(arguments: Sequence[str]) -> int:
    """Embed, rank, draw, write."""
    options = parse(Options, arguments, "report")
    model, data, out, log = find_parts(options)
    check_out(out)
    from passerby.runtime import Embedder
    from passerby.visual import ReportOptions

    shown = ReportOptions(
        top=options.top,
        queries=options.queries,
        pick=options.pick,
        rows=options.rows,
        seed=options.seed,
        projection=options.projection,
    )
    embedder = Embedder.load(
        model, device=options.device, runtime=options.runtime, precision=options.precision
    )
    table = resolve(data)
    results = answer(embedder, table, options)
    about = subject(embedder, options, model, table.name)
    left_out = draw(out, results, about, shown, model=model, log=log)
    size = out.stat().st_size
    report = replace(results.report, cmc={rank: results.report.cmc[rank] for rank in RANKS})
    facts: dict[str, Any] = {
        "out": str(out),
        "bytes": size,
        "model": embedder.model_id,
        "data": table.name,
        "reranked": options.rerank,
        **report.summary(),
        "left_out": list(left_out),
    }
    print(json.dumps(facts) if options.json else report.table(table.name))
    if not options.json:
        print(f"written: {out} ({size / 1e6:.1f} MB)", file=sys.stderr)
    return 0


def draw(
    out: Path,
    results: "Results",
    about: "Subject",
    options: "ReportOptions",
    *,
    model: str,
    log: Path | None,
) -> tuple[str, ...]:
    """Write the report with a progress bar; return the sections without content, with reasons."""
    from passerby.visual import write_report

    with tqdm(desc="report", unit=" sections", leave=False) as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        return write_report(
            out,
            results,
            about,
            options=options,
            network=network_of(model),
            log=log,
            on_section=tick,
        )


def find_parts(options: Options) -> tuple[str, str, Path, Path | None]:
    """Model, data, target and log: as given, else the run's, else the defaults.

    Raises:
        InputError: The run's folder holds no finished run.
    """
    if options.run is None:
        out = options.out or Path("report.html")
        return options.model or "default", options.data or "simcity-s", out, None
    from passerby.recipes.run_folder import CONFIG, MODEL, read_json
    from passerby.train.loop import LOG

    run = options.run
    if not (run / CONFIG).is_file():
        raise InputError(f"'{run}' is no folder of a run: it has no {CONFIG}")
    given = read_json(run / CONFIG).get("options")
    data = options.data or (given.get("data") if isinstance(given, dict) else None)
    if not isinstance(data, str):
        raise InputError(f"'{run / CONFIG}' does not say the data; give --data")
    if options.model is None and not (run / MODEL).is_file():
        raise InputError(f"the run '{run}' has no {MODEL} yet; let it finish, or name a model")
    log = run / LOG
    if not log.is_file():
        raise InputError(f"the run '{run}' has no {LOG}; leave --run out")
    return options.model or str(run / MODEL), data, options.out or run / "report.html", log


def check_out(out: Path) -> None:
    """Say before the work, not after it, that the report cannot be written.

    Raises:
        InputError: A folder stands there, or the place cannot be written to.
    """
    if out.is_dir():
        raise InputError(f"--out '{out}' is a folder; give the name of a file, such as report.html")
    place = out.absolute().parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"--out '{out}' cannot be written: '{place}' is no folder to write in")


def answer(embedder: "Embedder", table: "CropTable", options: Options) -> "Results":
    """Embed query and gallery and rank.

    Raises:
        InputError: The table has no query or no gallery rows.
    """
    from passerby.metrics import Reranking
    from passerby.visual import collect_results
    from passerby.visual.results import DEPTH

    return collect_results(
        table,
        lambda rows: embed(embedder, rows, options.batch_size),
        protocol=options.protocol,
        reranking=Reranking() if options.rerank else None,
        depth=max(DEPTH, 3 * options.top),
    )


def network_of(model: str) -> "nn.Module | None":
    """The PyTorch network behind a weights file; None for what other runtimes hold."""
    from passerby.models import load
    from passerby.runtime.files import find_file

    path = find_file(model)
    return load(path)[0] if path.suffix == ".safetensors" else None


def subject(embedder: "Embedder", options: Options, model: str, data: str) -> "Subject":
    """What is judged, where and when."""
    from passerby.recipes.run_folder import commit, machine
    from passerby.train.device import find_device
    from passerby.visual import Subject

    runtime = embedder.backend.runtime
    device = find_device(options.device) if runtime == "torch" else "cpu"
    return Subject(
        card=embedder.card,
        model=model,
        model_id=embedder.model_id,
        runtime=runtime,
        data=data,
        commit=commit(),
        date=datetime.now().astimezone().isoformat(" ", timespec="minutes"),
        machine=machine(device),
    )
