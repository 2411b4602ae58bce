"""Pictures: read from any source as RGB arrays, resized.

simplejpeg decodes plain JPEG files, if it is installed and gives Pillow's pixels. Both packages
contain libjpeg-turbo. With its accurate settings they give the same pixels, and simplejpeg needs a
third to two thirds of Pillow's time (``benchmarks/decoding.py``). Each process checks once, on a
picture made for it, that the pixels are the same. If they differ, and for every file that is not a
plain JPEG, Pillow decodes. So a vector never depends on what is installed.
"""

import io
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from passerby.data.rgb import to_rgb
from passerby.data.store import INTERPOLATIONS
from passerby.errors import InputError

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]

MINIMUM_SIDE = 8  # pixels; a smaller picture shows no person
_ORIENTATION = 0x0112  # the EXIF tag
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive Huffman frames
# Tables, comments and application segments that change no pixel. Left out are 0xE1, because EXIF
# may turn the picture, and Adobe's 0xEE, which may say that the colours are not YCbCr.
JPEG_SKIPPED = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)} - {0xE1, 0xEE}


def read_image(source: Picture) -> NDArray[np.uint8]:
    """Read a picture as RGB from any kind of source.

    EXIF orientation is applied. Transparent pixels are blended with white, as viewers show them.
    Grey, palette, 16-bit and CMYK pictures become RGB. The same picture gives the same pixels as a
    path, as bytes, as a PIL image and as an RGB array.

    Args:
        source: A path, an encoded file's bytes, a PIL image, or a uint8 array (H, W, 3), (H, W, 4)
            or (H, W).

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        InputError: The file is missing, unreadable, truncated or no picture, or the picture is
            smaller than 8 x 8 pixels; the message names the file.
    """
    name = describe(source)
    if isinstance(source, np.ndarray):
        array = _from_array(source, name)
    elif isinstance(source, Image.Image):
        array = _from_pil(source, name)
    elif isinstance(source, (str, Path, bytes)):
        array = _from_file(source, name)
    else:
        raise InputError(
            f"cannot read a picture from {type(source).__name__}; "
            "give a path, a PIL image or an RGB uint8 array (H, W, 3)"
        )
    height, width = array.shape[:2]
    if min(height, width) < MINIMUM_SIDE:
        raise InputError(
            f"{name} is {width} x {height} pixels, too small to show a person; "
            f"give at least {MINIMUM_SIDE} x {MINIMUM_SIDE}"
        )
    return array


def resize(
    image: NDArray[np.uint8], size: tuple[int, int], interpolation: str = "bilinear"
) -> NDArray[np.uint8]:
    """Resize as in training: Pillow's filters, which widen when shrinking (antialias).

    torchvision's ``resize(antialias=True)`` on uint8 tensors is the same arithmetic.

    Args:
        image: (h, w, 3) uint8.
        size: Wanted (H, W).
        interpolation: "bilinear" or "bicubic", as the model card says.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), INTERPOLATIONS[interpolation]))


def describe(source: object) -> str:
    """Name a picture in a message: by its path if it has one, else as "the picture"."""
    if isinstance(source, (str, Path)):
        return f"'{source}'"
    filename = getattr(source, "filename", "")
    return f"'{filename}'" if filename else "the picture"


def _from_file(source: str | Path | bytes, name: str) -> NDArray[np.uint8]:
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except FileNotFoundError:
            raise InputError(f"there is no file {name}") from None
        except IsADirectoryError:
            raise InputError(f"{name} is a folder; give a picture") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{name} cannot be read: {error}") from None
    if not data:
        raise InputError(f"{name} is empty; give a picture")
    plain = decode_plain_jpeg(data)
    if plain is not None:
        return plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture; give a JPEG, PNG, WebP, BMP or TIFF") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(f"{name} has too many pixels; scale it down first") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{name} is a damaged picture: {error}") from None
    return _from_pil(image, name)


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
    if not data.startswith(JPEG_START) or not data.endswith(JPEG_END):
        return False
    place = len(JPEG_START)
    while place + 10 <= len(data):
        if data[place] != 0xFF:
            return False
        marker = data[place + 1]
        if marker in JPEG_FRAMES:
            bits, components = data[place + 4], data[place + 9]
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            width = int.from_bytes(data[place + 7 : place + 9], "big")
            most = Image.MAX_IMAGE_PIXELS or 0
            return bits == 8 and components in (1, 3) and 0 < height * width <= most
        if marker not in JPEG_SKIPPED:
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


def _from_pil(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        image.load()
        # getexif() takes time: it is called only if the file has EXIF data
        may_turn = "exif" in image.info or image.format == "TIFF"
        if may_turn and image.getexif().get(_ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return np.asarray(to_rgb(image))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"{name} is a damaged or truncated picture: {error}") from None


def _from_array(array: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise InputError(
            f"{name} is an array of {array.dtype}; give uint8 RGB values 0..255 (H, W, 3)"
        )
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise InputError(f"{name} has the shape {array.shape}; give an RGB array (H, W, 3)")
    if array.shape[2] == 4:
        return np.asarray(to_rgb(Image.fromarray(np.ascontiguousarray(array))))
    return array
