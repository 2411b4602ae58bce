"""``passerby model-info MODEL``: what a weights file says of itself, or what a network weighs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from passerby.cli.arguments import parse
from passerby.errors import InputError

if TYPE_CHECKING:
    from passerby.models.structure import Structure


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print the card of a weights file, or the size of an architecture."""

    model: Annotated[str, tyro.conf.Positional]
    """A network file, default, or a pulled name; or an architecture: resnet50, fpb, timm:..."""
    structure: dict[str, str] = field(default_factory=dict)
    """Options of an architecture given by name: --structure non_local agw convolution dwsep."""
    json: bool = False
    """Print one JSON object instead of lines."""


def main(arguments: Sequence[str]) -> int:
    """Print the card field by field, and the parameters."""
    options = parse(Options, arguments, "model-info")
    path = _file(options.model)
    facts = _of_file(path, options) if path else _of_name(options.model, options.structure)
    print(json.dumps(facts) if options.json else "\n".join(_lines(facts)))
    return 0


def _file(model: str) -> Path | None:
    """The file that is meant, or None when an architecture is."""
    from passerby.models import zoo
    from passerby.models.identity import find_file

    path = Path(model)
    named = model == "default" or model in zoo.entries()
    if named or path.exists() or path.suffix == ".safetensors" or len(path.parts) > 1:
        return find_file(model)
    return None


def _of_file(path: Path, options: Options) -> dict[str, Any]:
    from passerby.models import load, parameters

    if options.structure:
        raise InputError(f"'{path}' knows its own structure; leave --structure out")
    if path.suffix in (".xml", ".onnx"):
        return {**_foreign(path), "bytes": path.stat().st_size}
    network, card = load(path)
    return {
        **asdict(card),
        "parameters": parameters(network),
        **_accounting(card.architecture, card.structure),
        "bytes": path.stat().st_size,
    }


def _foreign(path: Path) -> dict[str, Any]:
    """The card of a network of ONNX or OpenVINO: beside it, known by its name, or inside it."""
    from passerby.runtime.files import read_network
    from passerby.runtime.sidecars import find_card, require_card

    if card := find_card(path):
        return asdict(card)
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        return asdict(require_card(path))
    return asdict(read_network(path).card)


def _of_name(architecture: str, structure: Mapping[str, str]) -> dict[str, Any]:
    import torch

    from passerby.models import build, parameters

    with torch.device("meta"):
        network = build(architecture, structure=structure)
    return {
        "architecture": architecture,
        "dimension": network.dimension,
        "structure": dict(structure),
        "parameters": parameters(network),
        **_accounting(architecture, structure),
    }


def _accounting(architecture: str, structure: "Structure") -> dict[str, Any]:
    """What a network adds to the residual network it stands on, in both ways of counting."""
    from passerby.models import parameter_counts

    counted = parameter_counts(architecture, structure)
    if counted is None or not counted.over_trunk:
        return {}
    over = {"over_trunk": counted.over_trunk, "over_imagenet": counted.over_imagenet}
    return {"accounting": {**asdict(counted), **over}}


def _accounting_lines(counted: Mapping[str, int]) -> list[str]:
    return [
        f"without a classifier of identities {counted['total']:,}:",
        f"  {counted['over_trunk']:+,} on its trunk with BNNeck, {counted['trunk']:,}",
        f"  {counted['over_imagenet']:+,} on that network with ImageNet's classifier, "
        f"{counted['imagenet']:,}",
    ]


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if name == "accounting":
            lines += _accounting_lines(value)
        elif isinstance(value, dict) and value:
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        elif value not in ("", None, {}):
            lines.append(f"{indent}{name:<{24 - len(indent)}} {value}")
    return lines
