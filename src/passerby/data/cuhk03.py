"""CUHK03 (Li et al., CVPR 2014), with the new protocol (Zhong et al., CVPR 2017) and the old one.

The release is a file of MATLAB 7.3, which is HDF5 with references.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.market1501 import is_market_tree, read_market_tree
from passerby.data.table import CropTable
from passerby.errors import InputError, MissingExtraError
from passerby.files import making_folder

Boxes = Literal["detected", "labeled"]

# camera pair, person of the pair, view, picture: all from 1
NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)\.png")


def read_cuhk03(root: Path, boxes: Boxes) -> CropTable:
    """Read the new protocol: 767 people to train, 700 to test, Market-1501's metric.

    It reads any of three forms: the image tree ``images_detected`` or ``images_labeled`` with
    ``cuhk03_new_protocol_config_*.mat``; the original ``cuhk03_release/cuhk-03.mat``, whose
    pictures are first written to that tree (this needs h5py); or a copy in Market-1501's layout in
    ``detected`` or ``labeled``. The camera is the view, 1 or 2, of a camera pair.

    Args:
        root: The folder of the data set.
        boxes: ``"detected"`` (by a detector) or ``"labeled"`` (by hand).

    Raises:
        InputError: A part is missing or has another form.
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

    Every test picture is a query and a gallery picture. Evaluate by the protocol ``cuhk03-old``
    and average over the splits. ``cuhk03_release/cuhk-03.mat`` is needed, as it has the splits.

    Args:
        root: The folder of the release.
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
    """Find the folder of pictures; make it from the release where it is missing."""
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
        config: dict[str, NDArray[Any]] = loadmat(path)
    except (MatReadError, ValueError, TypeError, OSError, NotImplementedError) as error:
        raise InputError(f"cuhk03-{boxes}: cannot read '{path}': {error}") from None
    missing = {"filelist", "labels", "train_idx", "query_idx", "gallery_idx"} - set(config)
    if missing:
        raise InputError(f"cuhk03-{boxes}: '{path}' has no {', '.join(sorted(missing))}")
    return config


def _fields(names: list[str], root: Path) -> NDArray[np.int64]:
    """Read camera pair, person, view and picture of each file name (N, 4)."""
    found = [NAME.fullmatch(name) for name in names]
    wrong = next((n for n, match in zip(names, found, strict=True) if match is None), None)
    if wrong is not None:
        raise InputError(
            f"cuhk03: a picture of '{root}' is named '{wrong}'; expected such as 1_001_1_01.png"
        )
    numbers = [list(map(int, match.groups())) for match in found if match]
    return np.array(numbers, dtype=np.int64).reshape(-1, 4)


def extract_pictures(mat: Path, boxes: str, folder: Path) -> None:
    """Write the pictures of ``cuhk-03.mat`` as PNG files PAIR_PERSON_VIEW_PICTURE.png.

    Numbers count from 1. Pictures 1 to 5 are of view 1, 6 to 10 of view 2. Empty cells are left
    out. The folder appears complete or not at all.

    Args:
        mat: The release file.
        boxes: ``"detected"`` or ``"labeled"``.
        folder: The folder to make; it must not exist.

    Raises:
        InputError: The file has another form, or the folder cannot be written;
            MissingExtraError where h5py is not installed.
    """
    with _opened(mat) as file, _made(folder) as made:
        for pair, cells in enumerate(_cells(file, boxes, mat), start=1):
            people = file[cells][()].T  # (people, 10) references
            for person, pictures in enumerate(people, start=1):
                for number, reference in enumerate(pictures, start=1):
                    pixels = file[reference][()].T  # MATLAB's order is the reverse
                    if pixels.ndim < 3 or pixels.size == 0:
                        continue
                    view = 1 if number <= 5 else 2
                    name = f"{pair}_{person:03d}_{view}_{number:02d}.png"
                    Image.fromarray(np.ascontiguousarray(pixels)).save(made / name)


def read_testsets(mat: Path) -> list[NDArray[np.int64]]:
    """Read the test people of each old split: camera pair and person of the pair (100, 2), from 1.

    Raises:
        InputError: As :func:`extract_pictures`.
    """
    with _opened(mat) as file:
        return [file[r][()].T.astype(np.int64) for r in _cells(file, "testsets", mat)]


def _cells(file: Any, name: str, mat: Path) -> list[Any]:
    """Read the references of a cell array."""
    if name not in file:
        raise InputError(f"cuhk03: '{mat}' has no '{name}'; get the release again")
    return list(np.ravel(file[name][()]))


@contextmanager
def _opened(mat: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "datasets") from None
    try:
        file = h5py.File(mat, "r")
    except OSError as error:
        raise InputError(f"cuhk03: cannot read '{mat}': {error}") from None
    with file:
        yield file


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """Make a folder that gets its name when it is complete."""
    try:
        with making_folder(folder) as made:
            yield made
    except OSError as error:
        raise InputError(f"cuhk03: cannot write '{folder}': {error.strerror}") from None
