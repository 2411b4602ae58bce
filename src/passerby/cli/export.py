"""`passerby export`: a weights file to an ONNX file, checked against the original."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.arguments import parse
from passerby.runtime.export import export_onnx
from passerby.runtime.tables import find_pictures

MOST_CROPS = 64


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a weights file as ONNX: uint8 RGB (B, H, W, 3) in, unit vectors (B, D) out.

    Normalisation and L2 are inside, any batch size is taken, and the file is kept only when its
    vectors agree with the original's.
    """

    source: Annotated[str, tyro.conf.Positional]
    """A Passerby .safetensors file, or default (the bundled network)."""
    out: Path
    """The .onnx file to write."""
    crops: Path | None = None
    """Folder of pictures to compare on (the first 64); random ones without it."""
    json: bool = False
    """Print the report as JSON."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options: Export = parse(Export, arguments, "export")
    crops = find_pictures(options.crops)[:MOST_CROPS] if options.crops else []
    report = export_onnx(options.source, options.out, pictures=crops)
    if options.json:
        print(json.dumps(asdict(report)))
    else:
        print(
            f"{report.path}: {report.model_id}, lowest cosine to the original "
            f"{report.lowest_cosine:.6f} on {report.pictures} pictures"
        )
    return 0
