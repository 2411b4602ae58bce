"""Pictures and clips: what is damaged or hostile ends in one clear line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fuzzing import (
    BYTES,
    FEW,
    MANY,
    Format,
    check_reader,
    make_world,
    read,
    try_format,
    write_clip,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("fuzz"))


def write_picture(kind: str, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        exif = picture.getexif()
        exif[306] = exif[36867] = "2026:05:01 08:00:00"
        if kind in ("JPEG", "PNG", "WEBP", "TIFF"):
            options["exif"] = exif
        picture.save(path, kind, **options)

    return write


def read_frames(path: Path, _world: Path) -> int:
    from passerby.ingest.video import open_clip

    return check_reader(lambda one: sum(1 for _ in open_clip(one).frames(0)), path)


def folder(path: Path, world: Path) -> int:
    """A folder with the picture, whose kind and time are looked at."""
    from passerby.ingest.picture_files import sort_pictures

    root = world / "pictures"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    shutil.copy(path, root)
    Image.new("RGB", (64, 128), (90, 30, 30)).save(root / "beside.png")
    return check_reader(lambda _: sort_pictures(root, "auto"), path)


PICTURES = {
    "jpg": write_picture("JPEG", quality=80), "png": write_picture("PNG"),
    "tiff": write_picture("TIFF", compression="tiff_lzw"), "webp": write_picture("WEBP"),
    "bmp": write_picture("BMP"), "gif": write_picture("GIF"),
}  # fmt: skip
FORMATS: dict[str, Format] = {
    "clip": Format(make=write_clip, suffix=".mp4", ways=BYTES, read=read_frames),
    "clip: avi": Format(make=write_clip, suffix=".avi", ways=BYTES, read=read_frames),
    "clip: ts": Format(make=write_clip, suffix=".ts", ways=BYTES, read=read_frames),
    **{
        f"picture: {kind}": Format(
            make=make, suffix=f".{kind}", ways=BYTES, read=read("passerby.runtime:read_image")
        )
        for kind, make in PICTURES.items()
    },
    **{
        f"folder: {kind}": Format(make=make, suffix=f".{kind}", ways=BYTES, read=folder)
        for kind, make in PICTURES.items()
    },
}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_few_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, FEW)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_many_mutations_of_every_format(world: Path, name: str) -> None:
    try_format(name, FORMATS[name], world, MANY)
