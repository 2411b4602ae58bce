"""Findings about a data set, and those that come from opening every picture."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from passerby.data.table import CropTable, Finding
from passerby.errors import one_line

ABSENT = "no such file"
SMALLEST = 8  # pixels; no person can be seen in a smaller picture


@dataclass(frozen=True)
class Opened:
    """One picture: its size and the hash of its file, or the reason why it cannot be read."""

    width: int = 0
    height: int = 0
    content: bytes = b""
    reason: str = ""


def inspect_pictures(table: CropTable, *, progress: bool = False) -> list[Finding]:
    """Decode every picture of ``table`` and list what is wrong; a damaged one stops nothing."""
    paths = table.paths()
    quiet = None if progress else True  # None: no bar in a log file
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(open_picture, paths)
        opened = list(tqdm(work, "opening pictures", len(paths), leave=False, disable=quiet))
    checks = (_unreadable, _small, _wide, _copies, _contradictions)
    return [found for check in checks if (found := check(table, opened)) is not None]


def open_picture(path: Path) -> Opened:
    """Read and decode one file."""
    try:
        data = path.read_bytes()
        if not data:
            return Opened(reason="empty file")
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            width, height = image.size
    except FileNotFoundError:
        return Opened(reason=ABSENT)
    except Exception as error:  # decoders raise many kinds of errors; no file stops the others
        return Opened(reason=one_line(error) or type(error).__name__)
    return Opened(width, height, blake2b(data, digest_size=16).digest())


def _unreadable(table: CropTable, opened: list[Opened]) -> Finding | None:
    pairs = zip(table.path.tolist(), opened, strict=True)
    items = [f"{path} ({o.reason})" for path, o in pairs if o.reason]
    if not items:
        return None
    text = f"{len(items)} of {len(opened)} pictures cannot be read; replace or remove them"
    if all(one.reason == ABSENT for one in opened):
        text = (
            f"none of the {len(opened)} pictures is there (looked for '{table.paths()[0]}'); paths "
            f"are relative to '{table.root}': correct them, or move the table"
        )
    return Finding(level="error", code="unreadable", text=text, items=tuple(items))


def _small(table: CropTable, opened: list[Opened]) -> Finding | None:
    items = _sizes(table, opened, lambda o: min(o.width, o.height) < SMALLEST)
    if not items:
        return None
    text = f"{len(items)} pictures are under {SMALLEST} pixels wide or high: no person can be seen"
    return Finding(level="warning", code="small", text=text, items=tuple(items))


def _wide(table: CropTable, opened: list[Opened]) -> Finding | None:
    items = _sizes(table, opened, lambda o: o.width > o.height)
    if len(items) <= len(opened) // 10:  # a few boxes of crouching people are normal
        return None
    text = (
        f"{len(items)} of {len(opened)} pictures are wider than high; crops of standing people are "
        "expected: are these whole camera pictures? Detect and cut people first"
    )
    return Finding(level="warning", code="wide", text=text, items=tuple(items))


def _copies(table: CropTable, opened: list[Opened]) -> Finding | None:
    """Find test pictures whose file is the same as that of a training picture."""
    content = np.array([o.content.hex() for o in opened])
    train = table.split == "train"
    copies = ~train & np.isin(content, content[train]) & (content != "")
    if not copies.any():
        return None
    text = f"{copies.sum()} test pictures are copies of training pictures"
    return Finding(
        level="warning", code="copies", text=text, items=tuple(table.path[copies].tolist())
    )


def _contradictions(table: CropTable, opened: list[Opened]) -> Finding | None:
    """Find files of equal content that show different people."""
    seen: dict[bytes, int] = {}
    items = []
    for row, one in enumerate(opened):
        first = seen.setdefault(one.content, row) if one.content else row
        if table.identity[first] != table.identity[row]:
            items.append(
                f"{table.path[first]} (person {table.identity[first]}) = {table.path[row]} "
                f"(person {table.identity[row]})"
            )
    if not items:
        return None
    text = f"{len(items)} pictures are copies of one with another identity ({items[0]})"
    return Finding(level="warning", code="contradictory-copies", text=text, items=tuple(items))


def _sizes(
    table: CropTable, opened: list[Opened], concerned: Callable[[Opened], bool]
) -> list[str]:
    """List the readable pictures that are ``concerned``, with their sizes."""
    return [
        f"{path} ({o.width} x {o.height})"
        for path, o in zip(table.path.tolist(), opened, strict=True)
        if not o.reason and concerned(o)
    ]
