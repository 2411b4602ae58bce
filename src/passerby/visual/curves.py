"""CMC curve and histogram of average precision."""

import numpy as np

from passerby.metrics import Report
from passerby.visual.results import RANKS
from passerby.visual.svg import Axis, Chart, Figure, swatch

BINS = 20


def cmc_curve(report: Report, plain: Report | None = None) -> Figure:
    """Share of queries with a true match at rank k or before, against k.

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
    said = ", ".join(f"rank-{k} {report.cmc[k]:.1%}" for k in (1, 5, 10) if k in report.cmc)
    return Figure(
        title="Cumulative match curve (CMC)",
        says="How far down the list somebody has to look. A curve that still rises behind rank 10 "
        "means that true matches are found, but late.",
        svg=chart.svg(f"CMC curve: {said}"),
        legend=legend,
    )


def ap_histogram(report: Report) -> Figure:
    """How many queries have which average precision, in 20 bins."""
    counts, edges = np.histogram(report.ap, bins=BINS, range=(0.0, 1.0))
    chart = Chart(
        Axis(low=0.0, high=1.0, label="average precision of a query", percent=True),
        Axis(low=0.0, high=1.08 * max(float(counts.max()), 1.0), label="queries"),
    )
    for low, high, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True):
        chart.bar(low, high, count, 1, title=f"{low:.0%} to {high:.0%}: {count} queries")
    chart.rule(x=report.mAP, text=f"mean (mAP) {report.mAP:.1%}")
    return Figure(
        title="Average precision, query by query",
        says="The mean hides whom the network fails. A heap at the left is a group of people or "
        "cameras worth a look below; a heap at the right are queries already solved.",
        svg=chart.svg(f"Histogram of average precision, mean {report.mAP:.1%}"),
    )
