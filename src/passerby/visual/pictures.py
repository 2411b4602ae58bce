"""Crops inside a page: small JPEGs as data URIs."""

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.store import read_crop
from passerby.errors import InputError

SIZE = (160, 80)  # H, W of a thumbnail, pixels
QUALITY = 82


def thumbnail(path: Path, size: tuple[int, int] = SIZE) -> str:
    """The crop at ``path`` as a data URI of a JPEG of ``size`` (H, W).

    Raises:
        InputError: The file is missing or no picture.
    """
    try:
        return data_uri(read_crop(path, size))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the crop '{path}' cannot be read: {error}") from error


def data_uri(picture: NDArray[np.uint8]) -> str:
    """RGB uint8 (H, W, 3) as a data URI of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
