"""``passerby convert CHECKPOINT``: a checkpoint of another toolbox as a Passerby weights file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.arguments import parse
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Turn a checkpoint of another toolbox into a weights file with its card.

    Which toolbox it is follows from the names of its tensors. Nothing in the file is executed.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """The checkpoint (.pth, .pth.tar, .pt, .safetensors)."""
    out: Path
    """The .safetensors file to write."""
    input_size: tuple[int, int] | None = None
    """Height and width in pixels it was trained on, where these are not the published ones."""
    licence: str = ""
    """Licence of the weights, for the card; the file does not say."""
    classifier: bool = False
    """Keep the training identities' classifier as well."""
    force: bool = False
    """Write over an existing file."""
    json: bool = False
    """Print the result as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Convert, write, and say what was taken and what left out."""
    options: Options = parse(Options, arguments, "convert")
    from passerby.models import convert, parameters, save

    if options.out.suffix != ".safetensors":
        raise InputError(f"'{options.out}' must end in .safetensors")
    if options.out.exists() and not options.force:
        raise InputError(f"'{options.out}' exists; choose another --out, or --force to replace it")
    network, card = convert(options.source, input_size=options.input_size)
    card = replace(card, licence=options.licence)
    save(network, card, options.out, classifier=options.classifier)
    left_out = card.training["left_out"]
    answer = {
        "written": str(options.out),
        "source": card.training["source"],
        "architecture": card.architecture,
        "structure": card.structure,
        "dimension": card.dimension,
        "parameters": parameters(network),
        "left_out": left_out,
        "notes": card.notes,
    }
    if options.json:
        print(json.dumps(answer))
        return 0
    print(
        f"{options.out}: {card.architecture} of {card.training['source']}, "
        f"{answer['parameters']:,} parameters, {card.dimension} dimensions"
    )
    print(f"{card.notes}; {len(left_out)} tensors left out on purpose")
    if not options.licence:
        print("the licence of the weights is unknown: set it with --licence before passing it on")
    return 0
