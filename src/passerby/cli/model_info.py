"""``passerby model-info FILE``: what a weights file says of itself."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from passerby.cli.arguments import parse


@dataclass(frozen=True, kw_only=True)
class Options:
    """Print the card of a weights file."""

    file: Annotated[Path, tyro.conf.Positional]
    """A weights file of passerby."""
    json: bool = False
    """Print one JSON object instead of lines."""


def main(arguments: Sequence[str]) -> int:
    """Print the card, field by field."""
    options = parse(Options, arguments, "model-info")
    from passerby.models import load, parameters

    network, card = load(options.file)
    facts = {
        **asdict(card),
        "parameters": parameters(network),
        "bytes": options.file.stat().st_size,
    }
    print(json.dumps(facts) if options.json else "\n".join(_lines(facts)))
    return 0


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        elif value not in ("", None, {}):
            lines.append(f"{indent}{name:<{24 - len(indent)}} {value}")
    return lines
