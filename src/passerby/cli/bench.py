"""``passerby bench NAME``: run one benchmark of the source tree."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro

from passerby.errors import InputError

SOURCE_TREE = Path(__file__).resolve().parents[3]
NOT_BENCHMARKS = {"__init__", "common", "tracking_clips"}


def names() -> list[str]:
    """The benchmarks of the source tree; empty in an installed package without one."""
    folder = SOURCE_TREE / "benchmarks"
    return sorted(p.stem for p in folder.glob("*.py") if p.stem not in NOT_BENCHMARKS)


def main(arguments: Sequence[str]) -> int:
    """Run ``benchmarks/NAME.py``: its ``Options`` are the command line of its ``main``."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: passerby bench NAME [options]     passerby bench NAME --help\n")
        print("\n".join(f"  {name}" for name in names()))
        return 0
    name, rest = arguments[0].replace("-", "_"), list(arguments[1:])
    if name not in names():
        known = ", ".join(names()) or "none here: benchmarks stand in the source tree"
        raise InputError(f"no benchmark '{arguments[0]}'; there are: {known}")
    sys.path.insert(0, str(SOURCE_TREE))
    module = importlib.import_module(f"benchmarks.{name}")
    module.main(tyro.cli(module.Options, args=rest, prog=f"passerby bench {arguments[0]}"))
    return 0
