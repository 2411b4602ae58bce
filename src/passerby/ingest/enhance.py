"""Dark crops, made easier to see and to match: exposure and sensor noise. An option.

What is here was chosen by measurement, on real crops darkened, shrunk and noised, with two
published networks (rank-1 and mAP of finding the other crops of the person): a linear gain with
a mild blur helps dark crops (0.72 -> 0.84 rank-1 at a twelfth of the light with one network,
0.84 -> 0.86 with the other) and harms none. Adaptive histogram equalisation, gamma curves and
the sharpening or smoothing of small crops lower both figures, so they are left out, though they
may look better: the networks know dark and small pictures, not invented contrast.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

DARK = 40.0  # a crop whose mean luma is below it is dark
WHITE = 235.0  # where the brightest hundredth of the pixels is brought
HIGHEST_GAIN = 8.0
BLUR = 0.6  # pixels, standard deviation
BLUR_HEIGHT = 96  # a smaller crop has no pixels to spare


def enhance(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Raise the exposure of a dark crop and calm its noise; others come back as they are.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    luma = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))
    if luma.mean() >= DARK:
        return image
    brightest = float(np.percentile(image.max(axis=2), 99))
    gain = float(np.clip(WHITE / max(brightest, 1.0), 1.0, HIGHEST_GAIN))
    values = image.astype(np.float32) * gain
    if image.shape[0] >= BLUR_HEIGHT:
        values = gaussian_filter(values, (BLUR, BLUR, 0))
    return np.clip(values, 0, 255).round().astype(np.uint8)
