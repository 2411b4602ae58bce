"""The result of an evaluation, and intervals of shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054  # quantile of the normal distribution for a two-sided interval of 95 %


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """The figures of one evaluation; all are fractions in 0..1.

    Attributes:
        mAP: Mean of ``ap``.
        mINP: Mean of ``inp``.
        cmc: Rank -> share of valid queries with a true match at this rank or before.
        ap: (V,) float64 average precision of each valid query.
        inp: (V,) float64 inverse negative penalty: true matches / rank of the last one.
        first: (V,) int64 rank of the first true match, from 1.
        queries: (V,) int64 which queries are valid.
        valid_queries: V, number of queries with a true match.
        skipped_queries: Number of queries without one; no figure counts them.
        protocol: The name of the protocol.
    """

    mAP: float  # noqa: N815 - the field's names
    mINP: float  # noqa: N815
    cmc: Mapping[int, float]
    ap: NDArray[np.float64]
    inp: NDArray[np.float64]
    first: NDArray[np.int64]
    queries: NDArray[np.int64]
    valid_queries: int
    skipped_queries: int
    protocol: str

    def summary(self) -> dict[str, Any]:
        """Return the figures without the arrays, in a form for JSON."""
        return {
            "protocol": self.protocol,
            "mAP": self.mAP,
            "mINP": self.mINP,
            "cmc": {str(rank): value for rank, value in self.cmc.items()},
            "valid_queries": self.valid_queries,
            "skipped_queries": self.skipped_queries,
        }

    def table(self, title: str = "") -> str:
        """Write the figures as text, in percent, with protocol and counts."""
        names = ["mAP", "mINP", *(f"rank-{rank}" for rank in self.cmc)]
        values = [f"{100 * v:.1f}" for v in (self.mAP, self.mINP, *self.cmc.values())]
        widths = [max(len(n), len(v)) for n, v in zip(names, values, strict=True)]
        lines = [
            "  ".join(f"{text:>{w}}" for text, w in zip(row, widths, strict=True))
            for row in (names, values)
        ]
        counts = f"{self.valid_queries} queries, {self.skipped_queries} skipped"
        head = [title] if title else []
        return "\n".join([*head, *lines, f"protocol {self.protocol}; {counts}"])

    def __str__(self) -> str:
        return self.table()


def wilson(
    successes: ArrayLike, trials: ArrayLike, *, z: float = Z_95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's interval of a share (J. of the American Statistical Association, 1927).

    Unlike the plain normal interval it is valid for shares near 0 and 1 and for few trials.

    Args:
        successes: (N,) or one number, 0..trials; it may be fractional.
        trials: (N,) or one number; where it is 0 the interval is 0..1.
        z: Quantile of the normal distribution; the default gives 95 %.

    Returns:
        Lower and upper ends, of the shape of the input.
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    some = np.where(n > 0, n, 1)
    share = np.clip(k / some, 0, 1)
    centre = (share + z**2 / (2 * some)) / (1 + z**2 / some)
    spread = np.sqrt(share * (1 - share) / some + z**2 / (4 * some**2)) / (1 + z**2 / some) * z
    low, high = np.clip(centre - spread, 0, 1), np.clip(centre + spread, 0, 1)
    # rounding must not move the ends off 0 and 1
    low, high = np.where(k <= 0, 0.0, low), np.where(k >= n, 1.0, high)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
