"""Open-set identification: finding who is there without raising an alarm over who is not.

A closed-set figure such as rank-1 asks "who of these is it?" and always has an answer. A city's
operator also asks about people whom no camera has seen; then every answer is a false alarm. The
definitions are those of watch-list tests (Phillips, Grother and Micheals, Handbook of Face
Recognition, 2005: detection and identification rate at a false alarm rate; Liao, Mo, Zhu, Hu and
Li, arXiv:1408.0872, for re-identification):

- **Non-mated search**: a query against the gallery without any picture of the query's person. It
  is a false positive at threshold t when any picture has a similarity of t or more. FPIR is the
  share of non-mated searches that are.
- **Mated search**: a query against the gallery by the protocol, with a true match in it. TPIR at
  rank 1 is the share of mated searches whose nearest picture is a true match with a similarity of
  t or more (the detection and identification rate); TPIR at any rank the share with any such true
  match, as when an operator looks through all that passes the threshold.

Every query that shows a person is a non-mated probe; those with a true match are mated ones too.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from passerby.errors import InputError
from passerby.metrics.all_pairs import Survey
from passerby.metrics.calibration import Calibration
from passerby.metrics.intervals import wilson

FPIRS = (0.001, 0.01, 0.05, 0.1)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What is found at one rate of false alarms.

    Attributes:
        wanted: The FPIR asked for.
        fpir: The FPIR at ``threshold``: the largest that is not above ``wanted``.
        fpir_interval: Its 95 % interval (Wilson).
        threshold: Lowest similarity that is let through.
        probability: Of the same person at ``threshold``, by the model's calibration; None without.
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
        rates: In the order asked for.
        mated: Number of mated searches.
        non_mated: Number of non-mated searches.
        protocol: By which pictures take part.
    """

    rates: tuple[Rate, ...]
    mated: int
    non_mated: int
    protocol: str

    def summary(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def table(self) -> str:
        """The rates as text, in percent."""
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
    """TPIR at given FPIRs, with the threshold of each.

    Args:
        found: :func:`passerby.metrics.survey` of the table.
        fpirs: Rates of false alarms, 0..1.
        calibration: The model's, to say the probability at each threshold.

    Raises:
        InputError: A rate that is none.
    """
    if not all(0 <= rate <= 1 for rate in fpirs):
        raise InputError(f"false alarm rates {tuple(fpirs)} are not all shares 0..1")
    worst = np.sort(found.best_other.astype(np.float64))[::-1]
    measured = calibration is not None and calibration.measured
    curve = calibration if measured else None
    return OpenSet(
        rates=tuple(_rate(found, worst, rate, curve) for rate in fpirs),
        mated=int(found.mated.sum()),
        non_mated=len(worst),
        protocol=found.protocol,
    )


def _rate(found: Survey, worst: np.ndarray, wanted: float, calibration: Calibration | None) -> Rate:
    """At the lowest threshold whose false alarms are not more than ``wanted`` of all searches."""
    allowed = int(np.floor(wanted * len(worst) + 1e-9))
    threshold = -1.0
    if allowed < len(worst):
        # just above the first similarity that must not pass; it may be that of several searches
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
        probability=float(calibration.probability(threshold)) if calibration else None,
        rank1=hits[0] / mated,
        rank1_interval=_interval(hits[0], mated),
        any_rank=hits[1] / mated,
        any_rank_interval=_interval(hits[1], mated),
    )


def _interval(successes: int, trials: int) -> tuple[float, float]:
    low, high = wilson(successes, trials)
    return float(low), float(high)


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} ({100 * interval[0]:.1f} - {100 * interval[1]:.1f})"
