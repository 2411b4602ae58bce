"""Open every picture of a table and say what is wrong with which."""

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

from passerby.data.findings import Finding
from passerby.data.table import CropTable

SMALLEST = 8  # pixels; below it there is no person to see


@dataclass(frozen=True)
class Opened:
    """One picture: its size and the hash of its file, or why it cannot be read."""

    width: int = 0
    height: int = 0
    content: bytes = b""
    reason: str = ""


def inspect_pictures(table: CropTable, *, progress: bool = False) -> list[Finding]:
    """Decode every picture; nothing that is wrong with one stops the others."""
    paths = table.paths()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pool.map(open_picture, paths)
        opened = list(tqdm(work, "opening pictures", len(paths), leave=False, disable=not progress))
    return [
        found
        for found in (
            _unreadable(table, opened),
            _small(table, opened),
            _wide(table, opened),
            _copies(table, opened),
        )
        if found is not None
    ]


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
        return Opened(reason="no such file")
    except Exception as error:  # decoders raise all sorts of things; no file stops the others
        return Opened(reason=" ".join(str(error).split()) or type(error).__name__)
    return Opened(width, height, blake2b(data, digest_size=16).digest())


def _unreadable(table: CropTable, opened: list[Opened]) -> Finding | None:
    items = [f"{path} ({o.reason})" for path, o in _zip(table, opened) if o.reason]
    if not items:
        return None
    text = f"{len(items)} of {len(opened)} pictures cannot be read; replace or remove them"
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
    """The same file as a training and as a test picture."""
    content = np.array([o.content.hex() for o in opened])
    train = set(content[table.split == "train"].tolist()) - {""}
    rows = [
        path
        for path, split, text in zip(
            table.path.tolist(), table.split.tolist(), content.tolist(), strict=True
        )
        if split != "train" and text in train
    ]
    if not rows:
        return None
    text = f"{len(rows)} test pictures are copies of training pictures"
    return Finding(level="warning", code="copies", text=text, items=tuple(rows))


def _sizes(
    table: CropTable, opened: list[Opened], concerned: Callable[[Opened], bool]
) -> list[str]:
    """The readable pictures that are concerned, with their sizes."""
    return [
        f"{path} ({o.width} x {o.height})"
        for path, o in _zip(table, opened)
        if not o.reason and concerned(o)
    ]


def _zip(table: CropTable, opened: list[Opened]) -> list[tuple[str, Opened]]:
    return list(zip(table.path.tolist(), opened, strict=True))
