"""A folder of own pictures, read as a table."""

import re
from pathlib import Path

import numpy as np

from passerby.data.market1501 import NAME, PICTURES
from passerby.data.table import CropTable
from passerby.errors import InputError

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "bounding_box_train": "train",
    "query": "query",
    "probe": "query",
    "gallery": "gallery",
    "test": "gallery",
    "bounding_box_test": "gallery",
}
CAMERA = re.compile(r"(?:^|[^a-z])c(?:am(?:era)?)?[-_ ]?(\d+)", re.IGNORECASE)


def read_folder(root: Path) -> CropTable:
    """Read ``train/``, ``query/`` and ``gallery/`` with a folder or a file name per person.

    There are two forms, which may be mixed:

    - ``query/0007_c3_anything.jpg``: identity and camera are in the name, as in Market-1501.
    - ``query/PERSON/...c3....jpg`` or ``query/PERSON/cam3/....jpg``: there is one folder for each
      person, with any name. The camera is ``c3``, ``cam3`` or ``camera 3`` in the rest of the path,
      and 0 where there is none.

    Folder names that are whole numbers are the identities. Otherwise all names are numbered from 1
    in alphabetical order, the same in all splits. ``training``, ``probe``, ``test`` and
    ``bounding_box_*`` also name splits. Pictures outside all folders of splits are training data.

    Raises:
        InputError: No folder, no pictures, or a picture that shows no identity.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"there is no folder '{root}'; give a folder of pictures")
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
    if not files:
        raise InputError(f"'{root}' holds no pictures; give a folder of .jpg or .png files")
    relative = [path.relative_to(root).parts for path in files]
    rows = [_row(parts, root) for parts in relative]
    return CropTable(
        path=np.array(["/".join(parts) for parts in relative]),
        identity=_numbered([name for name, _, _ in rows]),
        camera=np.array([camera for _, camera, _ in rows], dtype=np.int64),
        split=np.array([split for _, _, split in rows]),
        root=root,
        name=root.resolve().name,
    )


def _row(parts: tuple[str, ...], root: Path) -> tuple[str, int, str]:
    """Read the person, the camera and the split of one picture from its path."""
    split = SPLIT_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None
    inner = parts[1:] if split else parts
    if len(inner) > 1:
        found = CAMERA.search("/".join(inner[1:]))
        return inner[0], int(found[1]) if found else 0, split or "train"
    named = NAME.match(inner[0])
    if named is None:
        raise InputError(
            f"'{root.joinpath(*parts)}' does not say who it shows; name it IDENTITY_cCAMERA_... "
            "or put it in a folder per person"
        )
    return named[1], int(named[2]), split or "train"


def _numbered(names: list[str]) -> np.ndarray:
    """Return names as numbers; if one is no whole number, number all from 1 in order."""
    if all(re.fullmatch(r"-?\d+", name) for name in names):
        return np.array([int(name) for name in names], dtype=np.int64)
    return np.unique(names, return_inverse=True)[1].astype(np.int64) + 1
