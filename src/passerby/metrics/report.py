"""The result of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Figures of one evaluation; all are fractions in 0..1.

    Attributes:
        mAP: Mean of ``ap``.
        mINP: Mean of ``inp``.
        cmc: Rank -> share of valid queries with a true match at this rank or before.
        ap: (V,) float64 average precision of each valid query.
        inp: (V,) float64 inverse negative penalty: true matches / rank of the last one.
        first: (V,) int64 rank of the first true match, from 1.
        queries: (V,) int64 which queries are valid.
        valid_queries: V, number of queries with a true match.
        skipped_queries: Number of queries without one; they count nowhere.
        protocol: Name of the protocol.
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
        """The figures without the arrays, ready for JSON."""
        return {
            "protocol": self.protocol,
            "mAP": self.mAP,
            "mINP": self.mINP,
            "cmc": {str(rank): value for rank, value in self.cmc.items()},
            "valid_queries": self.valid_queries,
            "skipped_queries": self.skipped_queries,
        }

    def table(self, title: str = "") -> str:
        """The figures as text, in percent, with protocol and counts."""
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
