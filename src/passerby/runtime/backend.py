"""What a runtime must do for the embedder."""

from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Features = NDArray[np.float32]


class Pending(Protocol):
    """Features that are on their way."""

    def result(self) -> Features:
        """Wait for them: (B, D) float32."""
        ...


class Backend(Protocol):
    """One network, ready to run in one runtime."""

    runtime: str
    """"torch", "compiled", "onnx" or "openvino"."""
    precision: str
    """The arithmetic: "fp32", "bf16", "fp16" or "int8"."""
    dimension: int
    """D, the length of a feature."""

    def features(self, pictures: Pictures) -> Features:
        """Run the network on pictures of the card's size.

        Args:
            pictures: (B, H, W, 3) uint8 RGB.

        Returns:
            (B, D) float32; the embedder normalises them to unit length.
        """
        ...

    def submit(self, pictures: Pictures) -> Pending:
        """Begin what :meth:`features` does; where a runtime can, several batches run at once."""
        ...

    def describe(self) -> str:
        """What runs, in words: "openvino bf16"."""
        ...


class OneAtATime:
    """The part of a backend that is alike where a runtime takes one batch after the other."""

    runtime: str
    precision: str

    def features(self, pictures: Pictures) -> Features:
        """Run the network; see :class:`Backend`."""
        raise NotImplementedError

    def submit(self, pictures: Pictures) -> Pending:
        """Run the network at once."""
        done: Future[Features] = Future()
        done.set_result(self.features(pictures))
        return done

    def describe(self) -> str:
        """Runtime and arithmetic."""
        return f"{self.runtime} {self.precision}"
