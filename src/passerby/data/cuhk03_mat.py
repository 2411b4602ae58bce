"""CUHK03's release file: MATLAB 7.3, which is HDF5 with references."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import InputError, MissingExtraError


def extract_pictures(mat: Path, boxes: str, folder: Path) -> None:
    """Write the pictures of ``cuhk-03.mat`` as PNG files PAIR_PERSON_VIEW_PICTURE.png.

    Names count from 1; pictures 1 to 5 are of view 1, 6 to 10 of view 2; empty cells are left out.
    The folder appears complete or not at all.

    Args:
        mat: The release file.
        boxes: ``"detected"`` or ``"labeled"``.
        folder: Where to; must not exist.

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
    """The test people of each old split: camera pair and person of the pair (100, 2), from 1.

    Raises:
        InputError: As :func:`extract_pictures`.
    """
    with _opened(mat) as file:
        return [file[r][()].T.astype(np.int64) for r in _cells(file, "testsets", mat)]


def _cells(file: Any, name: str, mat: Path) -> list[Any]:
    """The references of a cell array."""
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
    """A new folder that gets its name when it is complete."""
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
            made = Path(name) / folder.name
            made.mkdir()
            yield made
            os.replace(made, folder)
    except OSError as error:
        raise InputError(f"cuhk03: cannot write '{folder}': {error.strerror}") from None
