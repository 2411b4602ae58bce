"""What a runtime must do for the embedder."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Backend(Protocol):
    """One network, ready to run in one runtime."""

    runtime: str
    """"torch", "onnx" or "openvino"."""
    dimension: int
    """D, the length of a feature."""

    def features(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network on pictures of the card's size.

        Args:
            pictures: (B, H, W, 3) uint8 RGB.

        Returns:
            (B, D) float32; the embedder normalises them to unit length.
        """
        ...
