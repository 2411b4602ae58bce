"""Data sets by name: a plain table of functions."""

from collections.abc import Callable
from pathlib import Path

from passerby.data.files import read_csv, read_parquet
from passerby.data.folder import read_folder
from passerby.data.market1501 import is_market_tree, read_market1501, read_simcity
from passerby.data.table import CropTable
from passerby.errors import InputError

READERS: dict[str, Callable[[Path], CropTable]] = {
    "market1501": read_market1501,
    "simcity": read_simcity,
    "folder": read_folder,
    "csv": read_csv,
    "parquet": read_parquet,
}


def read(name: str, root: str | Path) -> CropTable:
    """Read the data set ``name`` from ``root``.

    Args:
        name: A key of ``READERS``, or ``"auto"`` to tell it from the files.
        root: The set's folder, or the file of a CSV or Parquet table.

    Raises:
        InputError: No such reader, or the files are not as published; says what is wrong.
    """
    if name == "auto":
        return read_any(root)
    if name not in READERS:
        raise InputError(f"no data set '{name}'; there are: {', '.join(READERS)}, auto")
    return READERS[name](Path(root).expanduser())


def read_any(source: str | Path) -> CropTable:
    """Read a table from a path alone: its kind is told from the files, or given as NAME:PATH.

    Raises:
        InputError: Nothing there that any reader knows.
    """
    name, colon, path = str(source).partition(":")
    if colon and name in READERS:
        return read(name, path)
    root = Path(source).expanduser()
    if not root.exists():
        names = ", ".join(READERS)
        raise InputError(f"there is no data at '{source}'; give a path or NAME:PATH with {names}")
    return READERS[kind_of(root)](root)


def kind_of(root: Path) -> str:
    """Tell the reader from the files at ``root``."""
    if root.is_file():
        kinds = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
        if root.suffix.lower() not in kinds:
            raise InputError(f"'{root}' is neither a folder nor a .csv, .tsv or .parquet file")
        return kinds[root.suffix.lower()]
    if (root / "simulation.json").exists() and is_market_tree(root):
        return "simcity"
    if is_market_tree(root) or (root / "Market-1501-v15.09.15").is_dir():
        return "market1501"
    return "folder"
