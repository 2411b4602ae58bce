"""Enhancement of dark crops: which ones need it, and what is done to them.

``benchmarks/enhancement.py`` measures it; docs/ingest.md has the table and what was given up.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Enhance = Literal["auto", "off"]
"""auto: pictures that need it; off: none."""
TARGET = 80.0  # mean luma that a darker crop is brought to, 0..255; chosen on two simulated cities


def brightness(image: NDArray[np.uint8]) -> float:
    """Mean luma of a picture (H, W, 3) uint8 RGB, 0..255."""
    return float(np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L")).mean())


def enhance(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Raise the exposure of a dark crop; a crop that is bright enough is returned as it is.

    A crop is dark when its mean luma is below :data:`TARGET`. One gain for all pixels and channels
    brings it there, so colours keep their hue. There is no step at the threshold.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB; the same object where nothing is done.
    """
    present = brightness(image)
    if present >= TARGET:
        return image
    values = image.astype(np.float32) * (TARGET / max(present, 1.0))
    bright: NDArray[np.uint8] = np.clip(values, 0, 255).round().astype(np.uint8)
    return bright
