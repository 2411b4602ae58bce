"""Data sets on the command line: a path, NAME:PATH, or a simulated set made on first use."""

from pathlib import Path

from passerby.data import CropTable, read_any

DATASETS = Path("datasets")


def resolve(name: str) -> CropTable:
    """The table behind ``name``.

    Args:
        name: A named simulated set (rendered into ``datasets/`` on first use), a path, NAME:PATH.

    Raises:
        InputError: Nothing there that any reader knows.
    """
    from passerby.simulate.options import BENCHMARKS, ensure

    if name in BENCHMARKS and not Path(name).exists():
        return read_any(ensure(name, DATASETS))
    return read_any(name)
