"""The conversion of a Pillow image of any mode to RGB, the same in training and in use."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WHITE = (255, 255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: transparent pixels become white, 16-bit grey is scaled to 8 bits.

    Raises:
        OSError: The picture is damaged (and ValueError or SyntaxError, as Pillow raises them).
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_grey_from_deep(image)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
    return image.convert("RGB")


def _grey_from_deep(image: Image.Image) -> NDArray[np.uint8]:
    """Scale 16-bit and float grey; Pillow's own conversion clips at 255, so that all is white."""
    values = np.asarray(image, dtype=np.float64)
    deep = image.mode.startswith("I;16") or values.max(initial=0.0) > 255.0
    top = 65535.0 if deep else 255.0
    return (values * (255.0 / top)).clip(0.0, 255.0).round().astype(np.uint8)
