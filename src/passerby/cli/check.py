"""``passerby check DATA``: can it be trained and evaluated on, and if not, why?"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from passerby.cli.arguments import parse
from passerby.cli.data import resolve


@dataclass(frozen=True, kw_only=True)
class Options:
    """Say before any training what makes training or evaluation on a data set fail.

    The exit status is 0 without errors, 1 with errors, 2 when there is nothing to read.
    """

    data: Annotated[str, tyro.conf.Positional]
    """A folder, a .csv or .parquet table, NAME:PATH with a data set's name, or a simulated set."""
    identities: int = 16
    """People in a training batch."""
    images: int = 4
    """Pictures of each in a training batch."""
    pictures: bool = True
    """Open every picture."""
    files: int = 10
    """How many files to list for each finding; unreadable ones, and with --json all, are listed."""
    json: bool = False
    """Print the result as JSON."""


def main(arguments: Sequence[str]) -> int:
    """Run the verb."""
    options = parse(Options, arguments, "check")
    table = resolve(options.data)
    from passerby.data.checks import check

    result = check(
        table,
        identities=options.identities,
        images=options.images,
        pictures=options.pictures,
        progress=not options.json,
    )
    if options.json:
        print(json.dumps(result.summary(), ensure_ascii=False))
    else:
        print(result.text(options.files))
    return 0 if result.ok else 1
