"""MSMT17 (Wei et al., CVPR 2018), versions 1 and 2 (faces blurred)."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from passerby.data.market1501 import is_market_tree, read_market_tree
from passerby.data.table import CropTable, concatenate
from passerby.errors import InputError

# version folder -> folders of training and test pictures
VERSIONS = {
    "MSMT17_V1": ("train", "test"),
    "MSMT17_V2": ("mask_train_v2", "mask_test_v2"),
}
LISTS = {
    "list_train.txt": "train",
    "list_val.txt": "train",
    "list_query.txt": "query",
    "list_gallery.txt": "gallery",
}


def read_msmt17(root: Path, *, validation: bool = True) -> CropTable:
    """Read MSMT17; the training data are those of the training and the validation list.

    In the lists identities start at 0, and the same number means different people in training and
    in test. Here they start at 1, and the numbers of test people follow those of the training
    people. The camera is the third field of a file's name, with both digits.

    A copy in Market-1501's layout (``bounding_box_train`` ...) is read too.

    Args:
        root: ``MSMT17_V1`` or ``MSMT17_V2``, or a folder that contains one of them.
        validation: Whether the validation list belongs to the training data (32,621 pictures).
            torchreid and fast-reid take ``list_train.txt`` alone.

    Raises:
        InputError: Folders or lists are missing, or a line of a list has another form.
    """
    root, name = Path(root), "msmt17" if validation else "msmt17-train-list"
    found = find_version(root)
    if found is None and is_market_tree(root) and validation:
        return _apart(read_market_tree(root, name=name))
    if found is None:
        raise InputError(
            f"{name}: '{root}' holds neither MSMT17_V1 (train, test, list_*.txt) nor MSMT17_V2 "
            "(mask_train_v2, mask_test_v2); give the data set's folder"
        )
    folder, train, test = found
    lists = [item for item in LISTS if validation or item != "list_val.txt"]
    parts = [
        _read_list(folder, item, train if LISTS[item] == "train" else test, name) for item in lists
    ]
    return _apart(concatenate(parts, name=name, root=folder))


def find_version(root: Path) -> tuple[Path, str, str] | None:
    """Find the folder with the lists, and its folders of training and test pictures."""
    for folder in (root, *(root / version for version in VERSIONS)):
        for train, test in VERSIONS.values():
            if (folder / "list_train.txt").is_file() and (folder / train).is_dir():
                return folder, train, test
    return None


def _read_list(folder: Path, file: str, pictures: str, name: str) -> CropTable:
    try:
        lines = (folder / file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{name}: cannot read '{folder / file}': {error.strerror}") from None
    paths, identities, cameras = [], [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path, _, identity = line.strip().rpartition(" ")
        fields = path.rpartition("/")[2].split("_")
        if len(fields) < 3 or not fields[2].isdigit() or not identity.isdigit():
            raise InputError(
                f"{name}: '{folder / file}' line {number} is {line!r}; expected such as "
                "0000/0000_000_01_0303morning_0008_0.jpg 0"
            )
        paths.append(f"{pictures}/{path}")
        identities.append(int(identity))
        cameras.append(int(fields[2]))
    return CropTable(
        path=np.array(paths, dtype=np.str_),
        identity=np.array(identities, dtype=np.int64),
        camera=np.array(cameras, dtype=np.int64),
        split=np.full(len(paths), LISTS[file]),
        root=folder,
        name=name,
    )


def _apart(table: CropTable) -> CropTable:
    """Number people from 1, the test people after the training people."""
    train = table.split == "train"
    shift = int(table.identity[train].max(initial=-1)) + 1
    return replace(table, identity=table.identity + np.where(train, 1, 1 + shift))
