"""Figures of scores and similarities: CMC, average precision, similarities, reliability."""

import numpy as np

from passerby.metrics import Calibration, Reliability, Report, Survey
from passerby.visual.results import RANKS
from passerby.visual.svg import Axis, Chart, Figure, swatch

AP_BINS = 20
SIMILARITY_BINS = 80
MARGIN = 0.001  # share of the pairs below the lower end of the similarity axis


def cmc_curve(report: Report, plain: Report | None = None) -> Figure:
    """Draw the share of queries with a true match at rank k or before, against k.

    Args:
        report: With ranks 1, 2, 3 ... in its CMC.
        plain: The report before re-ranking, drawn dashed.
    """
    ranks = np.array([r for r in RANKS if r in report.cmc])
    curves = [(report, 1, "solid")] + ([(plain, 2, "dashed")] if plain else [])
    lowest = min(min(curve.cmc.values()) for curve, _, _ in curves)
    low = np.floor(10 * max(lowest - 0.02, 0.0)) / 10
    x = Axis(low=1, high=float(ranks[-1]), label="rank k", ticks=(1, 5, 10, 20, 30, 40, 50))
    chart = Chart(x, Axis(low=low, high=1.0, label="queries answered by rank k", percent=True))
    for curve, series, style in curves:
        shares = [curve.cmc[int(rank)] for rank in ranks]
        chart.line(ranks, shares, series, dashed=style == "dashed")
    for rank in (1, 5, 10, 20):
        if rank in report.cmc:
            share = report.cmc[rank]
            chart.dot(rank, share, 1, title=f"rank-{rank}: {share:.1%}")
            lift = -16 if share > low + 0.12 * (1 - low) else 8
            chart.text(rank, share, f"{100 * share:.1f}", lift=lift)
    legend = ((swatch(1), "re-ranked"), (swatch(2, "dashed"), "before re-ranking")) if plain else ()
    values = ", ".join(f"rank-{k} {report.cmc[k]:.1%}" for k in (1, 5, 10) if k in report.cmc)
    return Figure(
        title="Cumulative match curve (CMC)",
        says="How far down the list somebody has to look. A curve that still rises behind rank 10 "
        "means that true matches are found, but late.",
        svg=chart.svg(f"CMC curve: {values}"),
        legend=legend,
    )


def ap_histogram(report: Report) -> Figure:
    """Draw the number of queries against their average precision, in 20 bins."""
    counts, edges = np.histogram(report.ap, bins=AP_BINS, range=(0.0, 1.0))
    chart = Chart(
        Axis(low=0.0, high=1.0, label="average precision of a query", percent=True),
        Axis(low=0.0, high=1.08 * max(float(counts.max()), 1.0), label="queries"),
    )
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        chart.bar(low, high, count, 1, title=f"{low:.0%} to {high:.0%}: {count} queries")
    chart.rule(x=report.mAP, text=f"mean (mAP) {report.mAP:.1%}")
    return Figure(
        title="Average precision, query by query",
        says="The mean does not show for whom the network fails. A peak at the left is a group of "
        "people or cameras worth a look below; a peak at the right are queries already solved.",
        svg=chart.svg(f"Histogram of average precision, mean {report.mAP:.1%}"),
    )


def similarity_histogram(found: Survey, calibration: Calibration | None = None) -> Figure:
    """Draw the cosine similarities of true pairs, of other pairs, and of the hardest other pairs.

    Args:
        found: All pairs of queries and gallery.
        calibration: The network's; marks the similarity with probability one half.
    """
    counts = {1: found.true_pairs, 2: found.other_pairs}
    middles = 1 - (np.arange(len(found.true_pairs)) + 0.5) / ((len(found.true_pairs) - 1) / 2)
    low = min(_quantile(middles, c, MARGIN) for c in counts.values())
    edges = np.linspace(np.floor(20 * low) / 20, 1.0, SIMILARITY_BINS + 1)
    hardest = found.best_other[np.isfinite(found.best_other)]
    heights = {
        series: np.histogram(middles, edges, weights=count / max(count.sum(), 1))[0]
        for series, count in counts.items()
    }
    heights[4] = np.histogram(hardest, edges)[0] / max(len(hardest), 1)
    top = max(float(h.max()) for h in heights.values())
    chart = Chart(
        Axis(low=float(edges[0]), high=1.0, label="cosine similarity"),
        Axis(low=0.0, high=1.12 * top, label="share of the pairs", percent=True),
    )
    chart.area(edges.tolist(), heights[2].tolist(), 2)
    chart.area(edges.tolist(), heights[1].tolist(), 1)
    chart.line((edges[1:] + edges[:-1]) / 2, heights[4], 4, dashed=True)
    if calibration is not None and calibration.measured:
        half = calibration.similarity(0.5)
        if edges[0] < half < 1:
            chart.rule(x=half, text=f"probability ½ at {half:.2f}")
    return Figure(
        title="Similarity of pairs",
        says="Blue and orange should hardly overlap. The dashed line decides a search: the one "
        "other person in the whole gallery who looks most like the query.",
        svg=chart.svg("Histogram of cosine similarities of same and different pairs"),
        legend=(
            (swatch(1, "area"), "same person"),
            (swatch(2, "area"), "different people"),
            (swatch(4, "dashed"), "each query's most similar other person"),
        ),
    )


def reliability_diagram(found: Reliability) -> Figure:
    """Draw predicted probabilities against the observed share of true pairs, bin by bin."""
    chart = Chart(
        Axis(low=0.0, high=1.0, label="probability the network's calibration gives", percent=True),
        Axis(low=0.0, high=1.0, label="share that shows the same person", percent=True),
    )
    chart.diagonal()
    for part in found.bins:
        chart.span(part.predicted, part.lowest, part.highest, 1)
        title = f"{part.pairs} pairs: predicted {part.predicted:.0%}, observed {part.observed:.0%}"
        chart.dot(part.predicted, part.observed, 1, title=title)
    chart.line([b.predicted for b in found.bins], [b.observed for b in found.bins], 1)
    return Figure(
        title="Are the probabilities true?",
        says="Each dot is a group of candidates with about the same probability. On the diagonal, "
        "the observed share equals it. Below the diagonal the network is overconfident, above it "
        "underconfident. Bars are 95% intervals. "
        f"Mean error (ECE) {found.ece:.3f} over {found.pairs:,} pairs of a query and one of its "
        f"nearest candidates, of which {found.prior:.1%} show the same person.",
        svg=chart.svg(f"Reliability diagram, expected calibration error {found.ece:.3f}"),
    )


def _quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """Return the value below which ``share`` of the counts lie; values descend, as in a survey."""
    above = counts[::-1].cumsum()
    total = max(int(above[-1]), 1)
    return float(values[::-1][min(int(np.searchsorted(above, share * total)), len(values) - 1)])
