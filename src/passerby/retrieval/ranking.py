"""The ranked answer to a set of queries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError


@dataclass(frozen=True, eq=False)
class Ranking:
    """The nearest gallery rows of each query, nearest first; equal distances by row.

    Attributes:
        indices: (Q, k) int64 rows of the gallery.
        distances: (Q, k) float32, smaller is nearer.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that both arrays belong together."""
        if self.indices.ndim != 2 or self.indices.shape != self.distances.shape:
            raise InputError(
                f"a ranking has indices {self.indices.shape} and distances "
                f"{self.distances.shape}; both must be (Q, k)"
            )

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def k(self) -> int:
        """Number of gallery rows listed for each query."""
        return self.indices.shape[1]

    def head(self, k: int) -> "Ranking":
        """The first ``k`` of each query."""
        return Ranking(self.indices[:, :k], self.distances[:, :k])
