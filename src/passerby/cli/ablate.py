"""``passerby ablate GRID``: a paper's ablation table on a data set, beside the printed figures."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from passerby.cli.common import resolve
from passerby.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Run what is missing of the grid, write table.json and table.md, and print the latter."""
    from passerby.recipes.ablation import SMALL, Ablation, ablate, grids, markdown
    from passerby.train import DivergedError

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "an ablation runs in one process; start it without torchrun, or train its rows by "
            "'torchrun -m passerby train'"
        )
    given = list(arguments)
    as_json = "--json" in given
    if as_json:
        given.remove("--json")
    name = given[0] if given and not given[0].startswith("-") else ""
    if name and name not in grids():
        large = [key for key in grids() if not key.endswith(SMALL)]
        raise InputError(
            f"no grid '{name}'; there are {', '.join(large)}, each also with '{SMALL}' behind it "
            "for a small network on a CPU"
        )
    choices = {
        key: (
            f"{grid.title}; small network" if key.endswith(SMALL) else grid.title,
            Ablation(options=grid.options, out=Path("runs/ablations") / key),
        )
        for key, grid in grids().items()
    }
    ablation = tyro.extras.overridable_config_cli(choices, args=given, prog="passerby ablate")
    grid = grids()[name]
    try:
        table = ablate(name, grid, ablation, resolve)
    except DivergedError as error:
        print(f"passerby ablate: {error}", file=sys.stderr)
        return 1
    print(json.dumps(table) if as_json else markdown(table))
    print(f"written: {ablation.out}", file=sys.stderr)
    return 0
