"""`passerby export`: a weights file to an ONNX or OpenVINO file, checked against the original."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from passerby.cli.arguments import parse
from passerby.cli.data import resolve
from passerby.data import CropTable
from passerby.runtime.export import ExportReport, export
from passerby.runtime.parity import labelled_or_none
from passerby.runtime.pictures import find_pictures


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a weights file for other runtimes: uint8 RGB (B, H, W, 3) in, unit vectors (B, D) out.

    Normalisation and L2 are inside, any batch size is taken, and the file is kept only when its
    vectors agree with the original's: cosine 0.9999 of every crop in fp32, 0.995 in the mean in
    int8, and, on labelled crops, rank-1 within half a point.
    """

    source: Annotated[str, tyro.conf.Positional]
    """A Passerby .safetensors file, or default (the bundled network)."""
    out: Path
    """The .onnx file to write, or the .xml (OpenVINO; its .bin appears beside it)."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Arithmetic of the file; int8 is for OpenVINO and needs --calibrate."""
    calibrate: str | None = None
    """Folder of crops like those the network will see, or a data set (its training crops)."""
    parity: Annotated[str | None, tyro.conf.arg(aliases=["--crops"])] = None
    """Folder of crops to compare on (64 of them), or a data set with queries and a gallery, on
    which rank-1 is compared too; without it, crops held back from --calibrate, or random ones."""
    json: bool = False
    """Print the report as JSON."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Export = parse(Export, arguments, "export")
    calibrate, _ = crops(options.calibrate, "train")
    pictures, labelled = crops(options.parity, "gallery")
    report = export(
        options.source,
        options.out,
        precision=options.precision,
        calibrate=calibrate,
        pictures=pictures,
        labelled=labelled,
    )
    print(json.dumps(asdict(report)) if options.json else sentence(report))
    return 0


def crops(source: str | None, split: str) -> tuple[Sequence[Path], CropTable | None]:
    """Crops of a folder or a data set, and the data set itself where it has queries.

    Of a data set those of ``split`` are taken, or all of them when there are none.
    """
    if source is None:
        return [], None
    path = Path(source)
    if path.is_dir() and not _is_data_set(path):
        return find_pictures(path), None
    table = resolve(source)
    wanted = table.select(table.split == split)
    return (wanted if len(wanted) else table).paths(), labelled_or_none(table)


def _is_data_set(folder: Path) -> bool:
    """Whether a folder is laid out as a data set with queries."""
    return (folder / "query").is_dir()


def sentence(report: ExportReport) -> str:
    """The report in words."""
    parity = report.parity
    words = (
        f"{report.path}: {report.model_id}, {report.precision}, cosine to the original at lowest "
        f"{parity.lowest_cosine:.6f}, mean {parity.mean_cosine:.6f} on {parity.pictures} pictures"
    )
    if parity.rank1:
        before, after = parity.rank1
        words += f"; rank-1 {100 * after:.2f} %, before {100 * before:.2f} %"
    return words
