"""Which threshold? What comes through, and what of it is right, at each similarity."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from passerby.metrics.all_pairs import STEPS, Survey
from passerby.metrics.calibration import Calibration

SPACING = 0.05
MOST = 0.1  # of the false pairs: nobody sets a threshold below that


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """All pairs of a query and the gallery at one similarity, under the protocol.

    Attributes:
        similarity: Lowest that is let through.
        probability: Of the same person just there, by the model's calibration; None without.
        recall: Share of the true pairs that come through.
        precision: Share of what comes through that is true; None where nothing does. It depends on
            how many of the gallery's pictures show the person.
        false_alarms: Pictures of others that come through, per 1,000 such pictures in the gallery;
            it does not depend on the size of the gallery.
        true_pairs: How many come through.
        other_pairs: How many come through.
    """

    similarity: float
    probability: float | None
    recall: float
    precision: float | None
    false_alarms: float
    true_pairs: int
    other_pairs: int

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)


def thresholds(
    found: Survey,
    *,
    similarities: Sequence[float] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Threshold, ...]:
    """Precision, recall and false alarms at similarities, over all pairs that take part.

    Args:
        found: :func:`passerby.metrics.survey` of the table; its histograms give thresholds to
            1 / STEPS = 0.001.
        similarities: Thresholds; by default multiples of 0.05, from the highest that lets
            something through until all true pairs or a tenth of all others come through.
        calibration: The model's, to say the probability at each threshold.
    """
    true, other = found.true_pairs.cumsum(), found.other_pairs.cumsum()
    if similarities is None:
        similarities = _default(true, other)
    measured = calibration is not None and calibration.measured
    rows = []
    for similarity in similarities:
        last = min(round((1 - similarity) * STEPS), len(true)) - 1  # bin s holds s .. s + 1 steps
        right, wrong = (int(sums[last]) if last >= 0 else 0 for sums in (true, other))
        chance = float(calibration.probability(similarity)) if measured and calibration else None
        rows.append(
            Threshold(
                similarity=float(similarity),
                probability=chance,
                recall=right / int(true[-1]),
                precision=right / (right + wrong) if right + wrong else None,
                false_alarms=1000 * wrong / max(int(other[-1]), 1),
                true_pairs=right,
                other_pairs=wrong,
            )
        )
    return tuple(rows)


def _default(true: np.ndarray, other: np.ndarray) -> list[float]:
    both = np.flatnonzero(true + other)
    highest = 1 - int(both[0]) / STEPS if len(both) else 1.0
    many = np.searchsorted(other, MOST * other[-1])
    lowest = 1 - int(min(np.searchsorted(true, true[-1]), many)) / STEPS
    first = int(np.floor(highest / SPACING + 1e-9))
    last = min(first, int(np.floor(lowest / SPACING)))
    return [round(n * SPACING, 6) for n in range(first, last - 1, -1)]


def thresholds_table(rows: Sequence[Threshold]) -> str:
    """The thresholds as text."""
    lines = [
        f"{'similarity':>10}  {'probability':>11}  {'precision':>9}  {'recall':>7}  "
        "false alarms per 1,000"
    ]
    for r in rows:
        chance = "-" if r.probability is None else f"{r.probability:.3f}"
        precision = "-" if r.precision is None else f"{100 * r.precision:.1f} %"
        lines.append(
            f"{r.similarity:>10.2f}  {chance:>11}  {precision:>9}  {100 * r.recall:>5.1f} %  "
            f"{r.false_alarms:>11.3f}"
        )
    return "\n".join(lines)
