"""The pictures below a folder, and the count of every file that is left out."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

from PIL import features

from passerby.data.table import Finding
from passerby.errors import InputError

_READ = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib"),
    *(".tif", ".tiff", ".gif", ".jp2", ".j2k", ".mpo", ".ppm", ".pgm", ".pnm"),
)
# pictures that Pillow does not read, or reads as something else
UNREAD = (
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3"),
    *(".nef", ".arw", ".orf", ".rw2", ".raf", ".eps"),
)
# folders and files that file managers, archives and network disks leave behind
_LITTER_FOLDERS = re.compile(
    r"@eadir|@__thumb|@recycle|@recently-snapshot|#recycle|#snapshot|__macosx|\$recycle\.bin|"
    r"system volume information|lost\+found|found\.\d+|thumbnails|thumbs",
    re.IGNORECASE,
)
_LITTER_FILES = re.compile(
    r"(eh)?thumbs(_\w+)?\.db|synophoto_thumb.*|synofile_thumb.*", re.IGNORECASE
)

HIDDEN = "hidden or of a file manager"
UNREADABLE = "pictures of a kind that cannot be read"
OTHER = "no pictures"
LINK = "links that lead nowhere or in a circle"


@dataclass
class LeftOut:
    """Files that are not taken as pictures, counted.

    Attributes:
        counts: (reason, suffix) -> files.
        examples: Reason -> the first such file.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one file, given by its relative path."""
        suffix = PurePosixPath(name).suffix.lower() or "no suffix"
        self.counts[reason, suffix] += 1
        self.examples.setdefault(reason, name)

    def by_reason(self) -> dict[str, int]:
        """Return the counts as ``{"no pictures (.txt)": 2, ...}``, for reports in JSON."""
        return {f"{reason} ({suffix})": n for (reason, suffix), n in sorted(self.counts.items())}

    def findings(self) -> tuple[Finding, ...]:
        """Return a warning for pictures that are left out, and a note for other files."""
        found = []
        if text := self.text(UNREADABLE):
            text += "; convert them to JPEG or PNG"
            found.append(Finding(level="warning", code="left-out-pictures", text=text))
        if text := self.text(*(why for why in self.examples if why != UNREADABLE)):
            found.append(Finding(level="note", code="left-out", text=text))
        return tuple(found)

    def text(self, *reasons: str) -> str:
        """Say how many files are left out for ``reasons``, by suffix; empty without any."""
        parts = []
        for reason, example in sorted(self.examples.items()):
            if reason not in reasons:
                continue
            kinds = {s: n for (why, s), n in sorted(self.counts.items()) if why == reason}
            shown = ", ".join(f"{n} {suffix}" for suffix, n in kinds.items())
            parts.append(f"{sum(kinds.values())} {reason} ({shown}; the first is '{example}')")
        return f"left out: {'; '.join(parts)}" if parts else ""


@cache
def suffixes() -> tuple[str, ...]:
    """Return the suffixes, in lower case, of the pictures that can be read here."""
    return (*_READ, ".avif") if features.check("avif") else _READ


def walk_pictures(folder: Path, left_out: LeftOut | None = None) -> Iterator[str]:
    """Iterate over the relative paths of the pictures below a folder, in the order of the strings.

    Hidden files and folders, and what file managers and network disks leave behind (``._*``,
    ``@eaDir``, ``__MACOSX``, thumbnails), are left out. Parts of a path are separated by "/".
    Memory holds the names of one folder for each level of depth. Links are followed, except those
    that lead back into a folder above them.

    Args:
        folder: The folder.
        left_out: Counts every file that is left out.

    Raises:
        InputError: The folder does not exist, or a folder below it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'; give one with pictures")
    yield from _walk(folder, "", left_out or LeftOut(), (os.path.realpath(folder),))


def find_pictures(folder: Path, left_out: LeftOut | None = None) -> list[Path]:
    """List the pictures below a folder, in the order of :func:`walk_pictures`.

    Raises:
        InputError: The folder does not exist, or there is no picture in it.
    """
    left_out = left_out or LeftOut()
    paths = [folder / name for name in walk_pictures(folder, left_out)]
    if not paths:
        raise InputError(no_pictures(folder, left_out))
    return paths


def no_pictures(folder: Path, left_out: LeftOut) -> str:
    """Say that a folder holds no pictures, and what it holds instead."""
    why = left_out.text(*left_out.examples) or "it is empty"
    return f"'{folder}' holds no pictures ({why}); give a folder of .jpg or .png files"


def _walk(folder: Path, prefix: str, left_out: LeftOut, above: tuple[str, ...]) -> Iterator[str]:
    for name in _names(folder / prefix):
        whole = prefix + name
        if name.endswith("/"):
            if name.startswith(".") or _LITTER_FOLDERS.fullmatch(name[:-1]):
                _count_all(folder / whole, whole, left_out)
                continue
            real = os.path.realpath(folder / whole)
            if real in above:
                left_out.add(LINK, whole[:-1])
            else:
                yield from _walk(folder, whole, left_out, (*above, real))
        elif reason := _reason(folder / whole, name):
            left_out.add(reason, whole)
        else:
            yield whole


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; a folder's name ends with its separator."""
    try:
        with os.scandir(folder) as found:
            # a folder sorts with its separator: "a.jpg" comes before "a/..."
            return sorted(entry.name + "/" * entry.is_dir() for entry in found)
    except OSError as error:
        raise InputError(f"'{folder}' cannot be read: {error.strerror}; allow it") from None


def _reason(path: Path, name: str) -> str | None:
    """Say why a file is not taken; None for a picture."""
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith(".") or _LITTER_FILES.fullmatch(name):
        return HIDDEN
    if suffix in suffixes():
        return None if path.is_file() else LINK
    return UNREADABLE if suffix in UNREAD else OTHER


def _count_all(folder: Path, prefix: str, left_out: LeftOut) -> None:
    for _, folders, files in os.walk(folder):
        for name in files:
            left_out.add(HIDDEN, prefix + name)
        folders.sort()
