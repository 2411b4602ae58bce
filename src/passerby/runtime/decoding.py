"""Decoding of plain JPEG files by simplejpeg, if it is installed and gives Pillow's pixels.

Both packages contain libjpeg-turbo. With its accurate settings they give the same pixels, and
simplejpeg needs a third to two thirds of Pillow's time (``benchmarks/decoding.py``). Each process
checks once, on a picture made for it, that the pixels are the same. If they differ, and for every
file that is not a plain JPEG, Pillow decodes. So a vector never depends on what is installed.
"""

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

START, END = b"\xff\xd8", b"\xff\xd9"
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive Huffman frames
# Tables, comments and application segments that change no pixel. Left out are 0xE1, because EXIF
# may turn the picture, and Adobe's 0xEE, which may say that the colours are not YCbCr.
SKIPPED = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)} - {0xE1, 0xEE}


def decode_plain_jpeg(data: bytes) -> NDArray[np.uint8] | None:
    """Decode a JPEG of one or three components, without EXIF; return None for anything else.

    None does not mean that a picture is damaged: Pillow reads it, or reports what is wrong.

    Returns:
        (H, W, 3) uint8, RGB, as Pillow decodes it.
    """
    return _decode(data) if _is_plain(data) and _agrees_with_pillow() else None


def _decode(data: bytes) -> NDArray[np.uint8] | None:
    decode = _simplejpeg()
    if decode is None:
        return None
    try:
        pixels: NDArray[np.uint8] = decode(data, "RGB", fastdct=False, fastupsample=False)
    except ValueError:  # damaged, or unusual: simplejpeg is stricter than Pillow
        return None
    return pixels


@cache
def _simplejpeg() -> Callable[..., Any] | None:
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    found: Callable[..., Any] = decode_jpeg
    return found


def _is_plain(data: bytes) -> bool:
    """Check for 8-bit grey or YCbCr, a size within Pillow's limit, and a complete end."""
    if not data.startswith(START) or not data.endswith(END):
        return False
    place = len(START)
    while place + 10 <= len(data):
        if data[place] != 0xFF:
            return False
        marker = data[place + 1]
        if marker in FRAMES:
            bits, components = data[place + 4], data[place + 9]
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            width = int.from_bytes(data[place + 7 : place + 9], "big")
            most = Image.MAX_IMAGE_PIXELS or 0
            return bits == 8 and components in (1, 3) and 0 < height * width <= most
        if marker not in SKIPPED:
            return False
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return False


@cache
def _agrees_with_pillow() -> bool:
    """Decode a test picture with both packages: odd sides, all samplings, fine detail."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (9, 6, 3)).astype(np.uint8)
    fine = rng.integers(0, 64, (61, 37, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((37, 61), Image.Resampling.BICUBIC))
    picture = Image.fromarray(np.maximum(image, fine))
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=80, subsampling=sampling)
        decoded = _decode(file.getvalue())
        if decoded is None or not np.array_equal(decoded, np.asarray(Image.open(file))):
            return False
    return True
