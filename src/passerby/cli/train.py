"""``passerby train RECIPE``: train a network by a recipe, from its options alone."""

import sys
from collections.abc import Sequence

import tyro

from passerby.cli.data import resolve
from passerby.errors import InputError


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
