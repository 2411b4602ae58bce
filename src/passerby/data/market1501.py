"""Market-1501 and every set in its layout (Zheng et al., ICCV 2015)."""

import re
from pathlib import Path

import numpy as np

from passerby.data.listing import LeftOut, walk_pictures
from passerby.data.table import CropTable, concatenate
from passerby.errors import InputError

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}

# the camera has any number of digits. Much published code reads one digit: cameras 10 to 15 then
# become camera 1, which changes the true matches that count
NAME = re.compile(r"(-?\d{1,18})_c(\d{1,18})")


def read_market1501(root: Path) -> CropTable:
    """Read a tree ``bounding_box_train``, ``query``, ``bounding_box_test``.

    The number before ``_c`` is the identity, the number after it the camera, as in
    ``0002_c1s1_000451_03.jpg``. Identity -1 (junk boxes) and 0000 (distractors) stay in the table,
    as protocols treat them. Rows are in order of file names.

    Args:
        root: The tree, or a folder that holds it in ``Market-1501-v15.09.15``.

    Raises:
        InputError: A folder is missing or empty, or a picture's name has another form.
    """
    return read_market_tree(root, name="market1501", nested=("Market-1501-v15.09.15",))


def read_market_tree(root: Path, *, name: str, nested: tuple[str, ...] = ()) -> CropTable:
    """Read the layout of Market-1501 under ``root`` or one of its folders ``nested``."""
    root = find_tree(Path(root), name, nested)
    parts = [read_split(root, folder, split, name) for split, folder in FOLDERS.items()]
    return concatenate(parts, name=name, root=root)


def is_market_tree(root: Path) -> bool:
    """Whether the three folders of Market-1501 stand under ``root``."""
    return all((root / folder).is_dir() for folder in FOLDERS.values())


def find_tree(root: Path, name: str, nested: tuple[str, ...]) -> Path:
    """Find the tree of pictures: ``root`` itself or ``root``/``nested``."""
    for candidate in (root, *(root / inner for inner in nested)):
        if is_market_tree(candidate):
            return candidate
    if not root.is_dir():
        raise InputError(f"{name}: there is no folder '{root}'; give the data set's folder")
    missing = [folder for folder in FOLDERS.values() if not (root / folder).is_dir()]
    raise InputError(f"{name}: '{root}' has no folder {' and no '.join(missing)}; add what lacks")


def read_split(root: Path, folder: str, split: str, name: str) -> CropTable:
    """Read the pictures directly in one folder."""
    left_out = LeftOut()
    files = []
    for file in walk_pictures(root / folder, left_out):
        if "/" in file:
            left_out.add("in a folder below", file)
        else:
            files.append(file)
    if not files:
        why = f" ({left_out.text(*left_out.examples)})" if left_out.counts else ""
        raise InputError(
            f"{name}: '{root / folder}' has no pictures{why}; unpack the data set again"
        )
    numbers = np.array([_numbers(root / folder / file) for file in files], dtype=np.int64)
    return CropTable(
        path=np.array([f"{folder}/{file}" for file in files]),
        identity=numbers[:, 0],
        camera=numbers[:, 1],
        split=np.full(len(files), split),
        root=root,
        name=name,
        findings=left_out.findings(),
    )


def _numbers(path: Path) -> tuple[int, int]:
    found = NAME.match(path.name)
    if found is None:
        raise InputError(
            f"'{path}' is not named IDENTITY_cCAMERA..., such as 0002_c1s1_000451_03.jpg; "
            "rename it, or describe the data in a CSV table"
        )
    return int(found[1]), int(found[2])
