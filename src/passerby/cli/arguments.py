"""Options of a verb from a dataclass or a function, by tyro."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass(frozen=True, kw_only=True)
class OfCity:
    """What every verb about one city takes first."""

    city: Annotated[Path, tyro.conf.Positional]
    """Folder of the city."""


def parse(target: Callable[..., Any], arguments: Sequence[str], verb: str) -> Any:
    """Call ``target`` (a dataclass or a function) with options read from ``arguments``.

    Unknown or malformed options end the program with status 2, as everywhere.
    """
    return tyro.cli(target, args=list(arguments), prog=f"passerby {verb}")


def parse_choice(
    targets: Mapping[str, Callable[..., Any]], arguments: Sequence[str], verb: str
) -> Any:
    """As :func:`parse`, with a first word that picks one of several targets."""
    return tyro.extras.subcommand_cli_from_dict(
        dict(targets), args=list(arguments), prog=f"passerby {verb}"
    )
