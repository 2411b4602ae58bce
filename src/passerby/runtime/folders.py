"""The pictures below a folder, in one order, however many there are."""

import os
from collections.abc import Iterator
from pathlib import Path

from passerby.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def walk_pictures(folder: Path) -> Iterator[str]:
    """Relative paths of the pictures below a folder, "/" between, in the order of these strings.

    What is held in memory is the names of one folder for each level of depth. Links to files are
    followed, links to folders are not: they may go round.

    Raises:
        InputError: no such folder, or one below it that cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'; give one with pictures")
    yield from _walk(folder, "")


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        with os.scandir(folder / prefix) as found:
            # a folder sorts as the prefix that it is: "a.jpg" stands before "a/..."
            names = sorted(_key(entry) for entry in found)
    except OSError as error:
        raise InputError(f"'{folder / prefix}' cannot be read: {error.strerror}") from None
    for name in names:
        if name.endswith("/"):
            yield from _walk(folder, prefix + name)
        elif name.lower().endswith(SUFFIXES):
            yield prefix + name


def _key(entry: os.DirEntry[str]) -> str:
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name


def count_pictures(folder: Path) -> int:
    """How many pictures there are below a folder.

    Raises:
        InputError: no such folder, or none in it.
    """
    number = sum(1 for _ in walk_pictures(folder))
    if not number:
        raise InputError(f"there are no pictures in '{folder}'; give one with JPEG or PNG files")
    return number


def find_pictures(folder: Path) -> list[Path]:
    """Return the pictures below a folder, by suffix, in the order of :func:`walk_pictures`.

    Raises:
        InputError: no such folder, or none in it.
    """
    paths = [folder / name for name in walk_pictures(folder)]
    if not paths:
        raise InputError(f"there are no pictures in '{folder}'; give one with JPEG or PNG files")
    return paths
