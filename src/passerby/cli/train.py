"""``passerby check DATA`` and ``passerby train RECIPE``: check a data set, and train on it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

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


@dataclass(frozen=True, kw_only=True)
class Split(Result):
    """Divide a data set into people to train on and others to test on; write it as a table.

    No person is in both. Of each camera of a tested person one picture is a query, as in
    Market-1501; the others are gallery. The pictures stay where they are.
    """

    data: Annotated[str, tyro.conf.Positional]
    """A folder, a .csv or .parquet table, NAME:PATH with a data set's name, or a simulated set."""
    out: Path
    """The .csv or .parquet file to write."""
    by: Literal["identities", "cameras", "time"] = "identities"
    """What the test holds back: people alone; or besides them cameras, or the last pictures."""
    test: float = 0.5
    """Share of the people to test on, and of the cameras or pictures held back."""
    seed: int = 0
    """Seed of every choice."""
    camera: str | None = None
    """For a folder: a regular expression that finds the camera in a picture's path; its first group
    is the camera's number, as in _cam([0-9]+)_."""

    def main(self) -> None:
        """Divide, write, and print the counts."""
        from passerby.data.checks import check
        from passerby.data.folder import read_folder
        from passerby.data.splitting import divide, write_divided

        if self.camera is None:
            table = resolve(self.data)
        else:
            table = read_folder(Path(self.data), camera=self.camera)
        divided = divide(table, by=self.by, share=self.test, seed=self.seed)
        write_divided(divided, self.out)
        counts = check(divided, pictures=False).counts
        lines = [
            f"{split}: {count['pictures']} pictures of {count['people']} people in "
            f"{count['cameras']} cameras"
            for split, count in counts.items()
        ]
        left_out = len(table) - len(divided)
        if left_out:
            lines.append(divided.findings[-1].text)
        facts = {"out": str(self.out), "seed": self.seed, "left_out": left_out, **counts}
        self.show(facts, "\n".join([*lines, f"written: {self.out}"]))


def _joined(words: list[str]) -> list[str]:
    """Join the data sets after ``--data`` by commas into one word."""
    if "--data" not in words:
        return words
    start = words.index("--data") + 1
    end = next((n for n in range(start, len(words)) if words[n].startswith("-")), len(words))
    return [*words[:start], ",".join(words[start:end]), *words[end:]]


def _config_of(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``--config FILE`` out of the words; return the rest with the recipe, and the options.

    Raises:
        InputError: The file is no config.json of a run, or is of another recipe.
    """
    from passerby.recipes.run_folder import read_json

    place = next((n for n, word in enumerate(words) if word.split("=")[0] == "--config"), None)
    if place is None:
        return words, {}
    first, _, path = words.pop(place).partition("=")
    if not path:
        if place == len(words):
            raise InputError(f"{first} needs the config.json of a run")
        path = words.pop(place)
    found = read_json(Path(path))
    recipe, options = found.get("recipe"), found.get("options")
    if not isinstance(recipe, str) or not isinstance(options, dict):
        raise InputError(f"'{path}' is no config.json of a run; give one that 'train' has written")
    if words and not words[0].startswith("-"):
        if not words[0].startswith(recipe):
            raise InputError(f"'{path}' is of {recipe}, not of {words[0]}; leave the recipe out")
        return words, options
    return [recipe, *words], options


def main(arguments: Sequence[str]) -> int:
    """Train, evaluate, and print the scores."""
    from passerby.recipes import RECIPES
    from passerby.recipes.run_folder import with_options
    from passerby.train import DivergedError, distributed
    from passerby.train.device import find_device

    words, given = _config_of(_joined(list(arguments)))
    name = words[0] if words and not words[0].startswith("-") else ""
    if name and name not in RECIPES:
        near = f" (is '{close[0]}' meant?)" if (close := get_close_matches(name, RECIPES)) else ""
        raise InputError(f"no recipe '{name}'{near}; there are {', '.join(RECIPES)}")
    config = tyro.extras.overridable_config_cli(
        {
            key: (
                recipe.title,
                with_options(recipe.options(), given) if key == name else recipe.options(),
            )
            for key, recipe in RECIPES.items()
        },
        args=words,
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
