"""``passerby embed`` and ``passerby export``: a network used on a folder, and in other runtimes."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from passerby.cli.common import OfNetwork, Result, advance, resolve, say_left_out
from passerby.data import CropTable
from passerby.data.listing import find_pictures
from passerby.errors import InputError
from passerby.runtime.export import ExportReport, export
from passerby.runtime.parity import labelled_or_none
from passerby.runtime.shards import EmbedReport, embed_folder

SHOWN = 20  # problems printed one by one


@dataclass(frozen=True, kw_only=True)
class Embed(OfNetwork, Result):
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
    batch_size: int = 32
    """Pictures at once."""

    def main(self) -> None:
        """Embed the folder with a progress bar, and list what was left out."""
        embedder = self.load(self.model)
        begin = perf_counter()
        # speed and remaining time are averages over this run, without the shards of earlier runs
        with tqdm(unit=" pictures", desc="embed", disable=None, smoothing=0) as bar:

            def show(report: EmbedReport) -> None:
                bar.initial = report.resumed
                advance(bar, report.embedded + report.left_out, report.pictures)

            report = embed_folder(
                self.folder,
                self.out,
                embedder=embedder,
                batch_size=self.batch_size,
                on_progress=show,
            )
        rate = (report.pictures - report.resumed) / (perf_counter() - begin)
        _list_problems(report)
        say_left_out("embed", report.other_files)
        resumed = f", {report.resumed} from before" if report.resumed else ""
        facts = {"out": str(self.out), "model": embedder.model_id, "images_per_second": rate}
        self.show(
            {**asdict(report), **facts},
            f"{report.embedded} vectors in {self.out}{resumed} ({rate:.0f} pictures/s)",
        )


def _list_problems(report: EmbedReport) -> None:
    for why in list(report.problems.values())[:SHOWN]:
        print(f"passerby embed: left out: {why}", file=sys.stderr)
    if report.left_out > SHOWN:
        print(f"passerby embed: left out: {report.left_out - SHOWN} more", file=sys.stderr)
    if report.problems_file:
        print(f"passerby embed: all that were left out: {report.problems_file}", file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class Export(Result):
    """Write a weights file for other runtimes: uint8 RGB (B, H, W, 3) in, unit vectors (B, D) out.

    Normalisation and L2 are inside, any batch size is taken, and the file is kept only when its
    vectors agree with the original's: cosine 0.9999 of every crop in fp32, 0.995 in the mean in
    int8, and, on labelled crops, rank-1 within half a point.

    A person detector (.xml) is written in int8 from one clip and compared on another. It is kept
    only when its boxes agree with those of fp32: at most 1 % missed, 1 % new, 5 % weaker.
    """

    source: Annotated[str, tyro.conf.Positional]
    """A Passerby .safetensors file, or default (the bundled network); or a detector's .xml."""
    out: Path
    """The .onnx file to write, or the .xml (OpenVINO; its .bin appears beside it)."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Arithmetic of the file; int8 is for OpenVINO and needs --calibrate."""
    calibrate: str | None = None
    """Folder of crops like those the network will see, or a data set (its training crops); of a
    detector, a clip."""
    parity: Annotated[str | None, tyro.conf.arg(aliases=["--crops"])] = None
    """Folder of crops to compare on (64 of them), or a data set with queries and a gallery, on
    which rank-1 is compared too; without it, crops held back from --calibrate, or random ones. Of a
    detector, another clip."""

    def main(self) -> None:
        """Export, and say how near the file is to the original."""
        if self.source.endswith(".xml"):
            self._detector()
            return
        calibrate, _ = crops(self.calibrate, "train")
        pictures, labelled = crops(self.parity, "gallery")
        report = export(
            self.source,
            self.out,
            precision=self.precision,
            calibrate=calibrate,
            pictures=pictures,
            labelled=labelled,
        )
        self.show(asdict(report), sentence(report))

    def _detector(self) -> None:
        """Write a detector in int8."""
        from passerby.ingest.precision import quantise_detector

        if self.precision != "int8" or self.calibrate is None or self.parity is None:
            raise InputError(
                "a detector is written in int8, from one clip and compared on another: "
                "--precision int8 --calibrate CLIP --parity CLIP"
            )
        found = quantise_detector(
            Path(self.source),
            self.out,
            calibrate=[Path(self.calibrate)],
            compare_on=[Path(self.parity)],
        )
        self.show(
            found.as_dict(),
            f"{self.out}: int8, {found.agreeing} of {found.boxes} boxes agree with fp32, "
            f"{found.weaker} weaker, {found.missed} missed, {found.new} new",
        )


def crops(source: str | None, split: str) -> tuple[Sequence[Path], CropTable | None]:
    """Find the crops of a folder or a data set, and the data set itself where it has queries.

    Of a data set those of ``split`` are taken, or all of them when there are none.
    """
    if source is None:
        return [], None
    path = Path(source)
    if path.is_dir() and not (path / "query").is_dir():  # no data set with queries
        return find_pictures(path), None
    table = resolve(source)
    wanted = table.select(table.split == split)
    return (wanted if len(wanted) else table).paths(), labelled_or_none(table)


def sentence(report: ExportReport) -> str:
    """Return the report in words."""
    parity = report.parity
    words = (
        f"{report.path}: {report.model_id}, {report.precision}, cosine to the original at lowest "
        f"{parity.lowest_cosine:.6f}, mean {parity.mean_cosine:.6f} on {parity.pictures} pictures"
    )
    if parity.rank1:
        before, after = parity.rank1
        words += f"; rank-1 {100 * after:.2f} %, before {100 * before:.2f} %"
    return words
