"""``passerby train RECIPE``: train a network by a recipe, from its options alone."""

import sys
from collections.abc import Sequence

import tyro

from passerby.cli.data import resolve
from passerby.errors import InputError


def main(arguments: Sequence[str]) -> int:
    """Train, evaluate, and print the scores."""
    from passerby.recipes import bag_of_tricks
    from passerby.train import DivergedError

    variants = {name: (text, make()) for name, (text, make) in bag_of_tricks.VARIANTS.items()}
    if arguments and not arguments[0].startswith("-") and arguments[0] not in variants:
        raise InputError(f"no recipe '{arguments[0]}'; there are {', '.join(variants)}")
    config = tyro.extras.overridable_config_cli(
        variants, args=list(arguments), prog="passerby train"
    )
    try:
        report = bag_of_tricks.run(config, resolve(config.data))
    except DivergedError as error:
        print(f"passerby train: {error}", file=sys.stderr)
        return 1
    print(report.table(config.data))
    print(f"written: {config.out}", file=sys.stderr)
    return 0
