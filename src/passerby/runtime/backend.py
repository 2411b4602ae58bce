"""The interface of a runtime: pictures of the network's input size in, features out."""

from concurrent.futures import Future
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
"""(B, H, W, 3) RGB, of the input size in the model card."""
Features = NDArray[np.float32]
"""(B, D); the embedder divides each row by its length."""


class Pending(Protocol):
    """A batch that is being computed; a Future is one."""

    def result(self) -> Features:
        """Wait for the features (B, D)."""
        ...


class Backend:
    """One network, ready to run in one runtime. Subclasses override :meth:`features`."""

    runtime: str
    """"torch", "onnx" or "openvino"."""
    precision: str
    """The arithmetic: "fp32", "bf16", "fp16" or "int8"."""
    dimension: int
    """D, the length of a feature."""

    def features(self, pictures: Pictures) -> Features:
        """Run the network on B pictures and return features (B, D)."""
        raise NotImplementedError

    def submit(self, pictures: Pictures) -> Pending:
        """Start a batch and return at once where the runtime can run several batches together.

        This default runs the batch before it returns.
        """
        done: Future[Features] = Future()
        done.set_result(self.features(pictures))
        return done

    def describe(self) -> str:
        """Return the runtime and the arithmetic, such as "openvino bf16"."""
        return f"{self.runtime} {self.precision}"
