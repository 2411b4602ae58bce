"""Open-set identification, and a table of thresholds.

A closed-set figure such as rank-1 asks which person of a gallery a query shows, and there always is
an answer. An operator of a city also asks about people whom no camera has seen. Every answer is
then a false alarm. The definitions are those of watch-list tests (Phillips, Grother and Micheals,
Handbook of Face Recognition, 2005: detection and identification rate at a false alarm rate; Liao,
Mo, Zhu, Hu and Li, arXiv:1408.0872, for re-identification):

- **Non-mated search**: a query in the gallery without any picture of the query's person. It is a
  false positive at threshold t when any picture has a similarity of t or more. FPIR is the share of
  non-mated searches that are false positives.
- **Mated search**: a query in the gallery under the protocol, with a true match. TPIR at rank 1 is
  the share of mated searches whose nearest picture is a true match with a similarity of t or more
  (the detection and identification rate). TPIR at any rank is the share with any such true match,
  as when an operator looks at all pictures above the threshold.

Every query that shows a person makes a non-mated search. A query with a true match also makes a
mated one.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from passerby.errors import InputError
from passerby.metrics.all_pairs import STEPS, Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.report import wilson

FPIRS = (0.001, 0.01, 0.05, 0.1)
SPACING = 0.05  # of the default thresholds
MOST = 0.1  # of the false pairs; lower thresholds let more through and are useless


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The rates of true positives at one rate of false positives.

    Attributes:
        wanted: The requested FPIR.
        fpir: The FPIR at ``threshold``, the largest that is not above ``wanted``.
        fpir_interval: Its 95 % interval (Wilson).
        threshold: The lowest similarity that passes.
        probability: The probability of the same person at ``threshold``, by the model's
            calibration; None without one.
        rank1: TPIR at rank 1.
        rank1_interval: Its 95 % interval.
        any_rank: TPIR at any rank.
        any_rank_interval: Its 95 % interval.
    """

    wanted: float
    fpir: float
    fpir_interval: tuple[float, float]
    threshold: float
    probability: float | None
    rank1: float
    rank1_interval: tuple[float, float]
    any_rank: float
    any_rank_interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """Rates at several FPIRs.

    Attributes:
        rates: In the requested order.
        mated: Number of mated searches.
        non_mated: Number of non-mated searches.
        protocol: The protocol that says which pictures take part.
    """

    rates: tuple[Rate, ...]
    mated: int
    non_mated: int
    protocol: str

    def summary(self) -> dict[str, Any]:
        """Return everything in a form for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Write the rates as text, in percent."""
        head = f"{'FPIR':>6}  {'TPIR rank 1 (95 %)':>20}  {'TPIR any rank (95 %)':>20}"
        lines = [
            f"open set: {self.mated} mated and {self.non_mated} non-mated searches",
            f"{head}  {'similarity':>10}  {'probability':>11}",
        ]
        for r in self.rates:
            chance = "-" if r.probability is None else f"{r.probability:.3f}"
            lines.append(
                f"{100 * r.wanted:>4g} %  {_percent(r.rank1, r.rank1_interval):>20}  "
                f"{_percent(r.any_rank, r.any_rank_interval):>20}  "
                f"{r.threshold:>10.3f}  {chance:>11}{self._doubt(r)}"
            )
        return "\n".join(lines)

    def _doubt(self, rate: Rate) -> str:
        if rate.wanted * self.non_mated >= 1:
            return ""
        high = 100 * rate.fpir_interval[1]
        return f"  no false alarm in {self.non_mated}: FPIR is under {high:.2g} %"


def open_set(
    found: Survey, *, fpirs: Sequence[float] = FPIRS, calibration: Calibration | None = None
) -> OpenSet:
    """Compute TPIR at given FPIRs, and the threshold of each.

    Args:
        found: :func:`passerby.metrics.survey` of the table.
        fpirs: Rates of false positives, 0..1.
        calibration: The model's calibration, for the probability at each threshold.

    Raises:
        InputError: A rate is not in 0..1.
    """
    if not all(0 <= rate <= 1 for rate in fpirs):
        raise InputError(f"false alarm rates {tuple(fpirs)} are not all shares 0..1")
    worst = np.sort(found.best_other.astype(np.float64))[::-1]
    return OpenSet(
        rates=tuple(_rate(found, worst, rate, calibration) for rate in fpirs),
        mated=int(found.mated.sum()),
        non_mated=len(worst),
        protocol=found.protocol,
    )


def _rate(found: Survey, worst: np.ndarray, wanted: float, calibration: Calibration | None) -> Rate:
    """Compute the rates at the lowest threshold whose FPIR is not above ``wanted``."""
    allowed = int(np.floor(wanted * len(worst) + 1e-9))
    threshold = -1.0
    if allowed < len(worst):
        # just above the first similarity that must not pass; several searches may have it
        threshold = max(-1.0, float(np.nextafter(np.float32(worst[allowed]), np.float32(np.inf))))
    alarms = int((worst >= threshold).sum())
    mated = int(found.mated.sum())
    passes = found.mated & (found.best_true >= threshold)
    hits = int((passes & found.first).sum()), int(passes.sum())
    return Rate(
        wanted=float(wanted),
        fpir=alarms / len(worst),
        fpir_interval=_interval(alarms, len(worst)),
        threshold=threshold,
        probability=_probability(threshold, calibration),
        rank1=hits[0] / mated,
        rank1_interval=_interval(hits[0], mated),
        any_rank=hits[1] / mated,
        any_rank_interval=_interval(hits[1], mated),
    )


def _probability(similarity: float, calibration: Calibration | None) -> float | None:
    """Compute the probability at a similarity; None where it was not measured."""
    if calibration is None or not calibration.measured:
        return None
    return float(calibration.probability(similarity))


def _interval(successes: int, trials: int) -> tuple[float, float]:
    low, high = wilson(successes, trials)
    return float(low), float(high)


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} ({100 * interval[0]:.1f} - {100 * interval[1]:.1f})"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """All pairs of a query and the gallery at one similarity, under the protocol.

    Attributes:
        similarity: The lowest similarity that passes.
        probability: The probability of the same person at it, by the model's calibration; None
            without one.
        recall: Share of the true pairs that pass.
        precision: Share of true pairs among those that pass; None where none does. It depends on
            the number of gallery pictures of the person.
        false_alarms: Pictures of others that pass, per 1,000 such pictures in the gallery. It does
            not depend on the size of the gallery.
        true_pairs: Number of true pairs that pass.
        other_pairs: Number of other pairs that pass.
    """

    similarity: float
    probability: float | None
    recall: float
    precision: float | None
    false_alarms: float
    true_pairs: int
    other_pairs: int

    def summary(self) -> dict[str, Any]:
        """Return everything in a form for JSON."""
        return asdict(self)


def thresholds(
    found: Survey,
    *,
    similarities: Sequence[float] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Threshold, ...]:
    """Compute precision, recall and false alarms at thresholds, over all pairs that take part.

    Args:
        found: :func:`passerby.metrics.survey` of the table. Its histograms have steps of
            1 / STEPS = 0.001.
        similarities: Thresholds. The default is multiples of 0.05: from the highest that any pair
            passes, down to where all true pairs or a tenth of all others pass.
        calibration: The model's calibration, for the probability at each threshold.
    """
    true, other = found.true_pairs.cumsum(), found.other_pairs.cumsum()
    if similarities is None:
        similarities = _default(true, other)
    rows = []
    for similarity in similarities:
        last = min(round((1 - similarity) * STEPS), len(true)) - 1  # bin s holds s .. s + 1 steps
        right, wrong = (int(sums[last]) if last >= 0 else 0 for sums in (true, other))
        rows.append(
            Threshold(
                similarity=float(similarity),
                probability=_probability(similarity, calibration),
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
    """Write the thresholds as text."""
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
