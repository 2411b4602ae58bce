"""``passerby simulate OUT``: render a simulated city."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.arguments import parse
from passerby.simulate.options import SimulationOptions


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Render a simulated city: people, cameras, crops, clips and the truth."""

    out: Annotated[Path, tyro.conf.Positional]
    """The folder to make."""
    options: Annotated[SimulationOptions, tyro.conf.arg(name="")] = field(
        default_factory=SimulationOptions
    )
    workers: int = 2
    """Processes that render; the result does not depend on it."""
    overwrite: bool = False
    """Replace a simulation that is there already."""
    json: bool = False
    """Print the result as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Simulate, and say what was made and how long it took."""
    given = parse(Arguments, arguments, "simulate")
    from passerby.simulate.writer import simulate

    record = simulate(given.out, given.options, workers=given.workers, overwrite=given.overwrite)
    if given.json:
        print(json.dumps({"out": str(given.out), **record}, ensure_ascii=False))
        return 0
    counts, seconds = record["counts"], record["seconds"]
    crops = counts["crops"]
    total = sum(crops.values())
    print(
        f"{given.out}: {total} crops ({crops['train']} train, {crops['query']} query, "
        f"{crops['gallery']} gallery) of {counts['identities']['train']} + "
        f"{counts['identities']['query']} people in {given.options.cameras} cameras"
    )
    rate = total / max(seconds["rendering"], 1e-9)
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    print(f"{parts}; {rate:.0f} crops/s", file=sys.stderr)
    if not crops["query"]:
        print(
            "no test person was seen by two cameras, so there are no queries; "
            "give more people, hours or cameras",
            file=sys.stderr,
        )
    return 0
