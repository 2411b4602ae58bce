"""Whether probabilities are what they say: the reliability curve and its figures."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.metrics.calibration import Calibration
from passerby.metrics.intervals import wilson
from passerby.metrics.pairs import Pairs

LEAST = 1e-15  # probabilities in the log loss are kept this far from 0 and 1


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Pairs whose probability lies in ``low`` .. ``high``.

    Attributes:
        low: Lower end.
        high: Upper end, which belongs to the next bin.
        pairs: How many.
        predicted: Mean probability.
        observed: Share that does show the same person.
        lowest: Lower end of the 95 % interval of ``observed`` (Wilson).
        highest: Upper end.
    """

    low: float
    high: float
    pairs: int
    predicted: float
    observed: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How a calibration does on labelled pairs.

    Attributes:
        bins: Those that hold pairs, in order.
        ece: Expected calibration error: mean over pairs of the difference between predicted and
            observed share in their bin (Naeini, Cooper and Hauskrecht, AAAI 2015).
        brier: Mean squared difference of probability and truth (Brier, 1950).
        log_loss: Mean negative logarithm of the probability of the truth, in nats.
        pairs: N.
        people: Different people among the queries.
        prior: Share of pairs of the same person.
    """

    bins: tuple[Bin, ...]
    ece: float
    brier: float
    log_loss: float
    pairs: int
    people: int
    prior: float

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def figures(self) -> dict[str, float]:
        """The figures without the curve, for a card."""
        facts = asdict(self)
        return {name: value for name, value in facts.items() if name != "bins"}

    def table(self) -> str:
        """The curve as text."""
        lines = [f"{'probability':>13}  {'pairs':>9}  {'predicted':>9}  {'observed':>8}  95 %"]
        lines += [
            f"{b.low:>5.2f} - {b.high:>5.2f}  {b.pairs:>9}  {b.predicted:>9.3f}  "
            f"{b.observed:>8.3f}  {b.lowest:.3f} - {b.highest:.3f}"
            for b in self.bins
        ]
        return "\n".join(lines)


def reliability(curve: Calibration, pairs: Pairs, *, bins: int = 10) -> Reliability:
    """Compare the probabilities of ``curve`` with the truth, in bins of equal width.

    The intervals take pairs as independent; pairs of one query are not quite, so they are a
    little too narrow. Weighted pairs count as many as (sum w)^2 / sum w^2 plain ones (Kish).

    Args:
        curve: The calibration.
        pairs: Labelled pairs.
        bins: How many bins from 0 to 1.
    """
    p = curve.probability(pairs.similarity)
    y, w = pairs.same.astype(np.float64), pairs.weight
    total = w.sum()
    which = np.minimum((p * bins).astype(np.int64), bins - 1)
    made, gaps = [], 0.0
    for number in np.unique(which).tolist():
        inside = which == number
        one = _bin(p[inside], y[inside], w[inside], number, bins)
        made.append(one)
        gaps += float(w[inside].sum()) * abs(one.predicted - one.observed)
    sure = np.clip(np.where(pairs.same, p, 1 - p), LEAST, 1)
    return Reliability(
        bins=tuple(made),
        ece=gaps / float(total),
        brier=float((w * (p - y) ** 2).sum() / total),
        log_loss=float(-(w * np.log(sure)).sum() / total),
        pairs=len(pairs),
        people=pairs.people,
        prior=pairs.prior,
    )


def _bin(
    p: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64], number: int, bins: int
) -> Bin:
    observed = float(np.average(y, weights=w))
    effective = float(w.sum() ** 2 / (w**2).sum())
    low, high = wilson(observed * effective, effective)
    return Bin(
        low=number / bins,
        high=(number + 1) / bins,
        pairs=len(p),
        predicted=float(np.average(p, weights=w)),
        observed=observed,
        lowest=float(low),
        highest=float(high),
    )
