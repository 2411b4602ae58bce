"""``passerby simulate OUT``: render a simulated city."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from passerby.cli.common import Result
from passerby.simulate.options import SimulationOptions


@dataclass(frozen=True, kw_only=True)
class Simulate(Result):
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

    def main(self) -> None:
        """Simulate, and say what was made and how long it took."""
        from passerby.simulate.writer import simulate

        record = simulate(self.out, self.options, workers=self.workers, overwrite=self.overwrite)
        counts, seconds = record["counts"], record["seconds"]
        crops, people = counts["crops"], counts["identities"]
        total = sum(crops.values())
        self.show(
            {"out": str(self.out), **record},
            f"{self.out}: {total} crops ({crops['train']} train, {crops['query']} query, "
            f"{crops['gallery']} gallery) of {people['train']} + {people['query']} people in "
            f"{self.options.cameras} cameras",
        )
        if self.json:
            return
        rate = total / max(seconds["rendering"], 1e-9)
        parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        print(f"{parts}; {rate:.0f} crops/s", file=sys.stderr)
        if not crops["query"]:
            print(
                "no test person was seen by two cameras, so there are no queries; "
                "give more people, hours or cameras",
                file=sys.stderr,
            )
