"""What the scores of one network on one data set are worth: the second half of ``evaluate``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from passerby.cli.evaluate import Options, Vectors
from passerby.metrics import (
    Calibrated,
    Calibration,
    Pairs,
    Reliability,
    calibrate,
    candidate_pairs,
    open_set,
    reliability,
    survey,
    thresholds,
)
from passerby.metrics.identification import thresholds_table
from passerby.runtime.sidecars import write_calibration

if TYPE_CHECKING:
    from passerby.data import CropTable
    from passerby.runtime import Embedder


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The same for people and for programs."""

    text: str
    answer: dict[str, Any]


def judge_scores(
    model: str,
    embedder: "Embedder",
    table: "CropTable",
    *,
    queries: Vectors,
    gallery: Vectors,
    options: Options,
) -> Scores:
    """Calibrate where asked; judge the calibration, the open set and the thresholds."""
    marks = table.match_labels()
    found = survey(queries, gallery, *marks, protocol=options.protocol)
    curve = Calibration.from_card(embedder.card.calibration)
    answer: dict[str, Any] = {}
    text = []
    if options.calibrate:
        fitted = calibrate(found, marks[0], marks[1])
        kept = fitted.as_card(table.name)
        file = write_calibration(model, kept, model_id=embedder.model_id)
        curve = fitted.curve
        answer["calibrated"] = {**kept, "file": str(file)}
        text.append(_fitted(fitted, str(file)))
    pairs = candidate_pairs(found, marks[0])
    rates = open_set(found, calibration=curve)
    rows = thresholds(found, calibration=curve)
    answer |= {
        "calibration": _judged(curve, pairs),
        "open_set": rates.summary(),
        "thresholds": [row.summary() for row in rows],
    }
    text += [_curve(curve, pairs, found.gallery.shape[1]), rates.table(), thresholds_table(rows)]
    return Scores(text="\n\n".join(text), answer=answer)


def _judged(curve: Calibration, pairs: Pairs) -> dict[str, Any] | None:
    """The model's calibration on this data; None where it has none."""
    if not curve.measured:
        return None
    moved = _moved(curve, pairs)
    return {
        **curve.as_card(),
        "reliability": reliability(curve, pairs).summary(),
        "with_prior_of_data": None if moved is None else moved.summary(),
    }


def _moved(curve: Calibration, pairs: Pairs) -> Reliability | None:
    """How the curve does when its prior is that of the data, where its own is known."""
    if curve.prior is None or not 0 < pairs.prior < 1:
        return None
    return reliability(curve.with_prior(pairs.prior), pairs)


def _fitted(fitted: Calibrated, file: str) -> str:
    ours, theirs = fitted.fitted, fitted.held_out_figures()
    slopes = " and ".join(f"{half.slope:.2f}" for half in fitted.halves)
    return (
        f"calibrated on {ours.people} people: slope {fitted.curve.slope:.2f}, ECE {ours.ece:.4f}\n"
        f"fitted on one half of them and judged on the other (slopes {slopes}): "
        f"ECE {theirs['ece']:.4f}, Brier {theirs['brier']:.4f}, log loss {theirs['log_loss']:.4f}\n"
        f"written into {file}"
    )


def _curve(curve: Calibration, pairs: Pairs, candidates: int) -> str:
    if not curve.measured:
        return "calibration: this model has none; --calibrate fits one on this data"
    judged, moved = reliability(curve, pairs), _moved(curve, pairs)
    lines = [
        f"calibration: p = 1 / (1 + exp(-({curve.slope:.2f} similarity {curve.intercept:+.2f}))) "
        f"on the {candidates} nearest of each query",
        judged.table(),
        f"ECE {judged.ece:.4f}, Brier {judged.brier:.4f}, log loss {judged.log_loss:.4f}; "
        f"{judged.pairs} pairs, {100 * judged.prior:.1f} % of them true",
    ]
    if moved is not None and curve.prior is not None:
        lines.append(
            f"ECE {moved.ece:.4f} when moved from its own prior of {100 * curve.prior:.1f} %"
        )
    return "\n".join(lines)
