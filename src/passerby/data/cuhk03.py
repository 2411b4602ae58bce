"""CUHK03 (Li et al., CVPR 2014), new protocol (Zhong et al., CVPR 2017) and old one."""

import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerby.data.cuhk03_mat import extract_pictures, read_testsets
from passerby.data.market1501 import is_market_tree, read_market_tree
from passerby.data.table import CropTable
from passerby.errors import InputError

Boxes = Literal["detected", "labeled"]

# camera pair, person of the pair, view, picture: all from 1
NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)\.png")


def read_cuhk03_detected(root: Path) -> CropTable:
    """Read the new protocol with a detector's boxes; see :func:`read_cuhk03`."""
    return read_cuhk03(root, "detected")


def read_cuhk03_labeled(root: Path) -> CropTable:
    """Read the new protocol with boxes by hand; see :func:`read_cuhk03`."""
    return read_cuhk03(root, "labeled")


def read_cuhk03_old_detected(root: Path, split: int = 0) -> CropTable:
    """Read one of the 20 old splits with a detector's boxes; see :func:`read_cuhk03_old`."""
    return read_cuhk03_old(root, "detected", split)


def read_cuhk03_old_labeled(root: Path, split: int = 0) -> CropTable:
    """Read one of the 20 old splits with boxes by hand; see :func:`read_cuhk03_old`."""
    return read_cuhk03_old(root, "labeled", split)


def read_cuhk03(root: Path, boxes: Boxes) -> CropTable:
    """Read the new protocol: 767 people to train, 700 to test, Market-1501's metric.

    Reads any of: the image tree ``images_detected`` / ``images_labeled`` with
    ``cuhk03_new_protocol_config_*.mat``; the original ``cuhk03_release/cuhk-03.mat``, whose
    pictures are first written to that tree (which needs h5py); or a copy in Market-1501's layout in
    ``detected`` / ``labeled``. The camera is the view, 1 or 2, of a camera pair.

    Args:
        root: The folder that holds these.
        boxes: ``"detected"`` or ``"labeled"``.

    Raises:
        InputError: Something of this is missing or has another form.
    """
    root, name = _root(Path(root)), f"cuhk03-{boxes}"
    for folder in (root, root / boxes, root / "cuhk03-np" / boxes):
        if is_market_tree(folder):
            return read_market_tree(folder, name=name)
    config = _load_config(root, boxes)
    pictures = _pictures(root, boxes)
    files = [str(np.ravel(cell)[0]) for cell in config["filelist"].ravel()]
    labels = config["labels"].ravel().astype(np.int64)
    rows, splits = [], []
    for split in ("train", "query", "gallery"):
        index = config[f"{split}_idx"].ravel().astype(np.int64) - 1
        rows.append(index)
        splits.append(np.full(len(index), split))
    chosen = np.concatenate(rows)
    names = [files[row] for row in chosen]
    fields = _fields(names, root)
    return CropTable(
        path=np.array([f"{pictures}/{file}" for file in names]),
        identity=labels[chosen],
        camera=fields[:, 2],
        split=np.concatenate(splits),
        root=root,
        name=name,
    )


def read_cuhk03_old(root: Path, boxes: Boxes, split: int = 0) -> CropTable:
    """Read one of the 20 old splits: 100 people to test, all others to train.

    Every test picture is a query and a gallery picture; evaluate by the protocol ``cuhk03-old``
    and average over the splits. Needs ``cuhk03_release/cuhk-03.mat``, which holds the splits.

    Args:
        root: The folder that holds the release.
        boxes: ``"detected"`` or ``"labeled"``.
        split: 0 to 19.

    Raises:
        InputError: Files are missing, or there is no such split.
    """
    root, name = _root(Path(root)), f"cuhk03-old-{boxes}"
    sets = read_testsets(_mat(root, name))
    if not 0 <= split < len(sets):
        raise InputError(f"{name}: no split {split}; there are 0 to {len(sets) - 1}")
    pictures = _pictures(root, boxes)
    files = sorted(path.name for path in (root / pictures).glob("*.png"))
    fields = _fields(files, root)
    identity = 10_000 * fields[:, 0] + fields[:, 1]
    test = np.isin(identity, 10_000 * sets[split][:, 0] + sets[split][:, 1])
    train_rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    rows = np.concatenate([train_rows, test_rows, test_rows])
    counts = (len(train_rows), len(test_rows), len(test_rows))
    return CropTable(
        path=np.array([f"{pictures}/{file}" for file in files])[rows],
        identity=identity[rows],
        camera=fields[rows, 2],
        split=np.repeat(["train", "query", "gallery"], counts),
        root=root,
        name=name,
    )


def is_cuhk03(root: Path) -> bool:
    """Whether ``root`` looks like CUHK03."""
    inner = _root(root)
    return (inner / "cuhk03_release").is_dir() or any(inner.glob("cuhk03_new_protocol_config_*"))


def _root(root: Path) -> Path:
    return root / "cuhk03" if (root / "cuhk03").is_dir() else root


def _mat(root: Path, name: str) -> Path:
    path = root / "cuhk03_release" / "cuhk-03.mat"
    if not path.is_file():
        raise InputError(f"{name}: there is no '{path}'; unpack CUHK03's release there")
    return path


def _pictures(root: Path, boxes: Boxes) -> str:
    """The folder of pictures, made from the release where it lacks."""
    folder = root / f"images_{boxes}"
    if not folder.is_dir():
        extract_pictures(_mat(root, f"cuhk03-{boxes}"), boxes, folder)
    return folder.name


def _load_config(root: Path, boxes: Boxes) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = root / f"cuhk03_new_protocol_config_{boxes}.mat"
    if not path.is_file():
        raise InputError(
            f"cuhk03-{boxes}: there is no '{path}'; get the new protocol's configuration"
        )
    try:
        config = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise InputError(f"cuhk03-{boxes}: cannot read '{path}': {error}") from None
    missing = {"filelist", "labels", "train_idx", "query_idx", "gallery_idx"} - set(config)
    if missing:
        raise InputError(f"cuhk03-{boxes}: '{path}' has no {', '.join(sorted(missing))}")
    return config


def _fields(names: list[str], root: Path) -> NDArray[np.int64]:
    """Camera pair, person, view, picture of each file name (N, 4)."""
    found = [NAME.fullmatch(name) for name in names]
    wrong = next((n for n, match in zip(names, found, strict=True) if match is None), None)
    if wrong is not None:
        raise InputError(
            f"cuhk03: a picture of '{root}' is named '{wrong}'; expected such as 1_001_1_01.png"
        )
    numbers = [list(map(int, match.groups())) for match in found if match]
    return np.array(numbers, dtype=np.int64).reshape(-1, 4)
