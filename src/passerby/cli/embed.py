"""`passerby embed`: a folder of pictures to a folder of vectors in Parquet."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import tyro
from tqdm import tqdm

from passerby.cli.arguments import parse
from passerby.runtime import Embedder
from passerby.runtime.shards import EmbedReport, embed_folder

SHOWN = 20  # problems printed one by one


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Turn every picture below a folder into a vector.

    A run that was interrupted continues after its last finished shard. Pictures that cannot be
    read are left out and listed in OUT.problems.csv.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of pictures that each show one person; sub-folders too."""
    out: Path
    """Folder to write: Parquet shards part-00000.parquet ..., which are read as one table with the
    columns path and vector, and the model in its metadata."""
    model: str = "default"
    """Embedding network: default (the bundled one), a file (.safetensors, .onnx, .xml), or a pulled
    name of 'passerby models list'."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    runtime: str = "auto"
    """auto, torch, onnx or openvino."""
    precision: str = "auto"
    """auto (fp32), fp32, bf16 or fp16."""
    batch_size: int = 32
    """Pictures a pass."""
    json: bool = False
    """Print the report as JSON."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Embed = parse(Embed, arguments, "embed")
    embedder = Embedder.load(
        options.model,
        device=options.device,
        runtime=options.runtime,
        precision=options.precision,
    )
    begin = perf_counter()
    # speed and remaining time are averages over this run, without the shards of earlier runs
    with tqdm(unit=" pictures", desc="embed", disable=None, smoothing=0) as bar:

        def show(report: EmbedReport) -> None:
            bar.total, bar.initial = report.pictures, report.resumed
            bar.update(report.embedded + report.left_out - bar.n)

        report = embed_folder(
            options.folder,
            options.out,
            embedder=embedder,
            batch_size=options.batch_size,
            on_progress=show,
        )
    rate = (report.pictures - report.resumed) / (perf_counter() - begin)
    _list_problems(report)
    if options.json:
        facts = {"out": str(options.out), "model": embedder.model_id, "images_per_second": rate}
        print(json.dumps({**asdict(report), **facts}, ensure_ascii=False))
    else:
        resumed = f", {report.resumed} from before" if report.resumed else ""
        print(f"{report.embedded} vectors in {options.out}{resumed} ({rate:.0f} pictures/s)")
    return 0


def _list_problems(report: EmbedReport) -> None:
    for why in list(report.problems.values())[:SHOWN]:
        print(f"passerby embed: left out: {why}", file=sys.stderr)
    if report.left_out > SHOWN:
        print(f"passerby embed: left out: {report.left_out - SHOWN} more", file=sys.stderr)
    if report.problems_file:
        print(f"passerby embed: all that were left out: {report.problems_file}", file=sys.stderr)
