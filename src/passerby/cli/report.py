"""``passerby report MODEL --data DATA``: rank lists, curves and failures in one HTML file."""

import os
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from passerby.cli.common import OfNetwork, Result, resolve
from passerby.cli.evaluate import embed
from passerby.errors import InputError
from passerby.visual import ReportOptions, Results, Subject, collect_results, write_report

if TYPE_CHECKING:
    from torch import nn

    from passerby.data import CropTable
    from passerby.runtime import Embedder

RANKS = (1, 5, 10)  # printed


@dataclass(frozen=True, kw_only=True)
class Report(OfNetwork, Result):
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
    rerank: bool = False
    """Re-rank by k-reciprocal neighbours (k1 20, k2 6, lambda 0.3)."""
    protocol: str = "market1501"
    """Which pictures count; see 'passerby evaluate'."""
    shown: Annotated[ReportOptions, tyro.conf.arg(name="")] = field(default_factory=ReportOptions)

    def main(self) -> None:
        """Embed, rank, draw, write."""
        model, data, out, log = find_parts(self)
        check_out(out)
        embedder = self.load(model)
        table = resolve(data)
        results = rank(embedder, table, self)
        left_out = draw(out, results, subject(embedder, self, model, table.name), self, log)
        size = out.stat().st_size
        report = replace(results.report, cmc={k: results.report.cmc[k] for k in RANKS})
        facts = {
            "out": str(out),
            "bytes": size,
            "model": embedder.model_id,
            "data": table.name,
            "reranked": self.rerank,
            **report.summary(),
            "left_out": list(left_out),
        }
        self.show(facts, report.table(table.name))
        if not self.json:
            print(f"written: {out} ({size / 1e6:.1f} MB)", file=sys.stderr)


def draw(
    out: Path, results: Results, about: Subject, options: Report, log: Path | None
) -> tuple[str, ...]:
    """Write the report with a progress bar; return the sections without content, with reasons."""
    with tqdm(desc="report", unit=" sections", leave=False) as bar:

        def tick(name: str) -> None:
            bar.set_postfix_str(name)
            bar.update()

        return write_report(
            out,
            results,
            about,
            options=options.shown,
            network=network_of(about.model),
            log=log,
            on_section=tick,
        )


def find_parts(options: Report) -> tuple[str, str, Path, Path | None]:
    """Choose model, data, target and log: as given, else the run's, else the defaults.

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
    """Refuse a target that cannot be written, before the work and not after it.

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


def rank(embedder: "Embedder", table: "CropTable", options: Report) -> Results:
    """Embed query and gallery and rank.

    Raises:
        InputError: The table has no query or no gallery rows.
    """
    from passerby.metrics import Reranking
    from passerby.visual.results import DEPTH

    return collect_results(
        table,
        lambda rows: embed(embedder, rows, options.batch_size),
        protocol=options.protocol,
        reranking=Reranking() if options.rerank else None,
        depth=max(DEPTH, 3 * options.shown.top),
    )


def network_of(model: str) -> "nn.Module | None":
    """Load the PyTorch network of a weights file; None for a file of another runtime."""
    from passerby.models import load
    from passerby.models.identity import find_file

    path = find_file(model)
    return load(path)[0] if path.suffix == ".safetensors" else None


def subject(embedder: "Embedder", options: Report, model: str, data: str) -> Subject:
    """Say what is evaluated, where and when."""
    from passerby.recipes.run_folder import commit, machine
    from passerby.train.device import find_device

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
