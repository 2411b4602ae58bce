"""Data sets by name: a plain table of functions."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from passerby.data.cuhk03 import (
    is_cuhk03,
    read_cuhk03_detected,
    read_cuhk03_labeled,
    read_cuhk03_old_detected,
    read_cuhk03_old_labeled,
)
from passerby.data.dukemtmc import read_dukemtmc
from passerby.data.files import read_csv, read_parquet
from passerby.data.folder import read_folder
from passerby.data.market1501 import is_market_tree, read_market1501
from passerby.data.msmt17 import is_msmt17, read_msmt17, read_msmt17_train_list
from passerby.data.personx import read_personx, read_personx_456
from passerby.data.published import differences
from passerby.data.simcity import read_simcity
from passerby.data.table import CropTable
from passerby.errors import InputError

READERS: dict[str, Callable[[Path], CropTable]] = {
    "market1501": read_market1501,
    "dukemtmc-reid": read_dukemtmc,
    "msmt17": read_msmt17,
    "msmt17-train-list": read_msmt17_train_list,
    "cuhk03-detected": read_cuhk03_detected,
    "cuhk03-labeled": read_cuhk03_labeled,
    "cuhk03-old-detected": read_cuhk03_old_detected,
    "cuhk03-old-labeled": read_cuhk03_old_labeled,
    "personx": read_personx,
    "personx-456": read_personx_456,
    "simcity": read_simcity,
    "folder": read_folder,
    "csv": read_csv,
    "parquet": read_parquet,
}

# sets of several splits; NAME@7 is split 7, NAME alone split 0
SPLIT_READERS: dict[str, Callable[[Path, int], CropTable]] = {
    "cuhk03-old-detected": read_cuhk03_old_detected,
    "cuhk03-old-labeled": read_cuhk03_old_labeled,
}


def read(name: str, root: str | Path) -> CropTable:
    """Read the data set ``name`` from ``root``.

    Args:
        name: A key of ``READERS``, one of ``SPLIT_READERS`` with a split as in
            ``cuhk03-old-labeled@7``, or ``"auto"`` to tell it from the files.
        root: The set's folder, or the file of a CSV or Parquet table.

    Raises:
        InputError: No such reader, or the files are not as published; says what is wrong.
    """
    if name == "auto":
        return read_any(root)
    set_name, _, split = name.partition("@")
    if set_name in SPLIT_READERS and split.isdecimal():
        return SPLIT_READERS[set_name](Path(root).expanduser(), int(split))
    if name not in READERS:
        raise InputError(f"no data set '{name}'; there are: {', '.join(READERS)}, auto")
    return READERS[name](Path(root).expanduser())


def read_any(source: str | Path) -> CropTable:
    """Read a table from a path alone: its kind is told from the files, or given as NAME:PATH.

    Own pictures in Market-1501's layout get the name of their folder; they are taken for
    Market-1501 itself where their counts or their folder's name say so.

    Raises:
        InputError: Nothing there that any reader knows.
    """
    name, colon, path = str(source).partition(":")
    if colon and name.partition("@")[0] in READERS:
        return read(name, path)
    root = Path(source).expanduser()
    if not root.exists():
        names = ", ".join(READERS)
        raise InputError(f"there is no data at '{source}'; give a path or NAME:PATH with {names}")
    table = READERS[kind_of(root)](root)
    if table.name == "market1501" and differences(table) and not _called_market(table.root):
        return replace(table, name=root.resolve().name)
    return table


def _called_market(root: Path) -> bool:
    return re.sub("[^a-z0-9]", "", root.resolve().name.lower()).startswith("market1501")


def kind_of(root: Path) -> str:
    """Tell the reader from the files at ``root``."""
    if root.is_file():
        kinds = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
        if root.suffix.lower() not in kinds:
            raise InputError(f"'{root}' is neither a folder nor a .csv, .tsv or .parquet file")
        return kinds[root.suffix.lower()]
    if (root / "simulation.json").exists() and is_market_tree(root):
        return "simcity"
    if (root / "DukeMTMC-reID").is_dir() or (root.name == "DukeMTMC-reID" and is_market_tree(root)):
        return "dukemtmc-reid"
    if is_msmt17(root):
        return "msmt17"
    if is_market_tree(root) or (root / "Market-1501-v15.09.15").is_dir():
        return "market1501"
    return "cuhk03-detected" if is_cuhk03(root) else "folder"
