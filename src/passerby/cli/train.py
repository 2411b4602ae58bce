"""``passerby check DATA`` and ``passerby train RECIPE``: check a data set, and train on it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from passerby.cli.common import Result, resolve
from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Check(Result):
    """Say before any training what makes training or evaluation on a data set fail.

    The exit status is 0 without errors, 1 with errors, 2 when there is nothing to read.
    """

    data: Annotated[str, tyro.conf.Positional]
    """A folder, a .csv or .parquet table, NAME:PATH with a data set's name, or a simulated set."""
    identities: int = 16
    """People in a training batch."""
    images: int = 4
    """Pictures of each in a training batch."""
    use: Literal["train", "evaluate"] = "train"
    """What the data are for: to train on (with or without a test), or only to evaluate on."""
    labels: bool = True
    """Whether training learns from identities; --no-labels for Cluster Contrast."""
    pictures: bool = True
    """Open every picture."""
    files: int = 10
    """How many files to list for each finding; unreadable ones, and with --json all, are listed."""

    def main(self) -> int:
        """Check, and print the findings."""
        table = resolve(self.data, said=True)  # below, with what is found
        from passerby.data.checks import check

        result = check(
            table,
            identities=self.identities,
            images=self.images,
            use=self.use,
            labelled=self.labels,
            pictures=self.pictures,
            progress=not self.json,
        )
        self.show(result.summary(), result.text(self.files))
        return 0 if result.ok else 1


def main(arguments: Sequence[str]) -> int:
    """Train, evaluate, and print the scores."""
    from passerby.recipes import RECIPES
    from passerby.train import DivergedError, distributed
    from passerby.train.device import find_device

    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if name and name not in RECIPES:
        raise InputError(f"no recipe '{name}'; there are {', '.join(RECIPES)}")
    config = tyro.extras.overridable_config_cli(
        {key: (recipe.title, recipe.options()) for key, recipe in RECIPES.items()},
        args=list(arguments),
        prog="passerby train",
    )
    with distributed.process_group(find_device(config.device)):
        try:
            with distributed.main_first():
                table = resolve(config.data)
            report = RECIPES[name].run(config, table)
        except DivergedError as error:
            print(f"passerby train: {error}", file=sys.stderr)
            return 1
        if distributed.is_main():
            if report is not None:
                print(report.table(config.data))
            print(f"written: {config.out}", file=sys.stderr)
    return 0
