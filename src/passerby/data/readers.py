"""Data sets by name."""

import re
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path

from passerby.data.cuhk03 import is_cuhk03, read_cuhk03, read_cuhk03_old
from passerby.data.dukemtmc import read_dukemtmc
from passerby.data.files import read_csv, read_parquet
from passerby.data.folder import read_folder
from passerby.data.market1501 import is_market_tree, read_market1501
from passerby.data.msmt17 import find_version, read_msmt17
from passerby.data.personx import read_personx, read_personx_456
from passerby.data.published import differences
from passerby.data.simcity import read_simcity
from passerby.data.table import CropTable
from passerby.errors import InputError

READERS: dict[str, Callable[..., CropTable]] = {
    "market1501": read_market1501,
    "dukemtmc-reid": read_dukemtmc,
    "msmt17": read_msmt17,
    "msmt17-train-list": partial(read_msmt17, validation=False),
    "cuhk03-detected": partial(read_cuhk03, boxes="detected"),
    "cuhk03-labeled": partial(read_cuhk03, boxes="labeled"),
    "cuhk03-old-detected": partial(read_cuhk03_old, boxes="detected"),
    "cuhk03-old-labeled": partial(read_cuhk03_old, boxes="labeled"),
    "personx": read_personx,
    "personx-456": read_personx_456,
    "simcity": read_simcity,
    "folder": read_folder,
    "csv": read_csv,
    "parquet": read_parquet,
}

OTHER_FILES = {
    ".txt": "rename a table of text to .csv",
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the spreadsheet as CSV UTF-8"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), "unpack it first"),
}

# sets of several splits: NAME@7 is split 7, NAME alone split 0
SPLITS = ("cuhk03-old-detected", "cuhk03-old-labeled")


def read(name: str, root: str | Path) -> CropTable:
    """Read the data set ``name`` from ``root``.

    Args:
        name: A key of ``READERS``, one of ``SPLITS`` with a split as in
            ``cuhk03-old-labeled@7``, or ``"auto"`` to recognise it by the files.
        root: The set's folder, or the file of a CSV or Parquet table.

    Raises:
        InputError: There is no such reader, or the files are not as published.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> names = "bounding_box_train/0002_c1s1_000451_00.jpg query/0007_c1s1_000151_00.jpg"
        >>> names += " bounding_box_test/0007_c2s1_000176_00.jpg"
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in names.split():
        ...         Path(root, name).parent.mkdir()
        ...         Image.new("RGB", (64, 128)).save(Path(root, name))
        ...     table = read("market1501", root)
        >>> table.query.camera, table.gallery.identity
        (array([1]), array([7]))
    """
    if name == "auto":
        return read_any(root)
    set_name, _, split = name.partition("@")
    if set_name in SPLITS and split.isdecimal():
        return READERS[set_name](Path(root).expanduser(), split=int(split))
    if name not in READERS:
        raise InputError(f"no data set '{name}'; there are: {', '.join(READERS)}, auto")
    return READERS[name](Path(root).expanduser())


def read_any(source: str | Path) -> CropTable:
    """Read a table from a path alone, or from NAME:PATH.

    The kind of a path is recognised by its files. Own pictures in Market-1501's layout get the name
    of their folder. They count as Market-1501 itself where their counts or the name of their folder
    match it.

    Raises:
        InputError: No reader recognises the files.
    """
    name, colon, path = str(source).partition(":")
    if colon and name.partition("@")[0] in READERS:
        return read(name, path)
    root = Path(source).expanduser()
    if not root.exists():
        names = ", ".join(READERS)
        near = f" (is '{close[0]}' meant?)" if (close := get_close_matches(name, READERS)) else ""
        raise InputError(
            f"there is no data at '{source}'{near}; give a path or NAME:PATH with {names}"
        )
    table = READERS[kind_of(root)](root)
    if table.name == "market1501" and differences(table) and not _called_market(table.root):
        return replace(table, name=root.resolve().name)
    return table


def _called_market(root: Path) -> bool:
    return re.sub("[^a-z0-9]", "", root.resolve().name.lower()).startswith("market1501")


def kind_of(root: Path) -> str:
    """Recognise the data set by the files at ``root``; return the reader's name."""
    if root.is_file():
        kinds = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet"}
        if root.suffix.lower() not in kinds:
            what = OTHER_FILES.get(root.suffix.lower(), "give one of these")
            raise InputError(
                f"'{root}' is neither a folder nor a .csv, .tsv or .parquet file; {what}"
            )
        return kinds[root.suffix.lower()]
    if (root / "simulation.json").exists() and is_market_tree(root):
        return "simcity"
    if (root / "DukeMTMC-reID").is_dir() or (root.name == "DukeMTMC-reID" and is_market_tree(root)):
        return "dukemtmc-reid"
    if find_version(root):
        return "msmt17"
    if is_market_tree(root) or (root / "Market-1501-v15.09.15").is_dir():
        return "market1501"
    return "cuhk03-detected" if is_cuhk03(root) else "folder"
