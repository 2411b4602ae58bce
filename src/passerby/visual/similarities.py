"""What similarities mean: of same and different people, and as probabilities."""

import numpy as np

from passerby.metrics import Calibration, Reliability, Survey
from passerby.visual.svg import Axis, Chart, Figure, swatch

BINS = 80
MARGIN = 0.001  # share of the pairs beyond each end of the drawing
LEGEND = (
    (swatch(1, "area"), "same person"),
    (swatch(2, "area"), "different people"),
    (swatch(4, "dashed"), "each query's most similar other person"),
)


def similarity_histogram(found: Survey, calibration: Calibration | None = None) -> Figure:
    """Cosine similarities of true pairs, of pairs of different people, and of the hardest ones.

    Args:
        found: All pairs of queries and gallery.
        calibration: The network's; marks the similarity of probability one half.
    """
    counts = {1: found.true_pairs, 2: found.other_pairs}
    middles = 1 - (np.arange(len(found.true_pairs)) + 0.5) / ((len(found.true_pairs) - 1) / 2)
    low = min(_quantile(middles, c, MARGIN) for c in counts.values())
    edges = np.linspace(np.floor(20 * low) / 20, 1.0, BINS + 1)
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
        says="Blue and orange should hardly overlap. What decides a search is the dashed line: "
        "the one other person in the whole gallery who looks most like the query.",
        svg=chart.svg("Histogram of cosine similarities of same and different pairs"),
        legend=LEGEND,
    )


def reliability_diagram(found: Reliability) -> Figure:
    """Probability against the share that turned out true, with the size of each bin."""
    chart = Chart(
        Axis(low=0.0, high=1.0, label="probability the network's calibration gives", percent=True),
        Axis(low=0.0, high=1.0, label="share that shows the same person", percent=True),
    )
    chart.diagonal()
    for part in found.bins:
        chart.span(part.predicted, part.lowest, part.highest, 1)
        says = f"{part.pairs} pairs: said {part.predicted:.0%}, true {part.observed:.0%}"
        chart.dot(part.predicted, part.observed, 1, title=says)
    chart.line([b.predicted for b in found.bins], [b.observed for b in found.bins], 1)
    return Figure(
        title="Are the probabilities true?",
        says="Each dot is a group of candidates with about the same probability; on the diagonal, "
        "as many are right as it says. Below it the network is too sure, above it too shy. Bars "
        "are 95% intervals. "
        f"Mean error (ECE) {found.ece:.3f} over {found.pairs:,} pairs of a query and one of its "
        f"nearest candidates, of which {found.prior:.1%} show the same person.",
        svg=chart.svg(f"Reliability diagram, expected calibration error {found.ece:.3f}"),
    )


def _quantile(values: np.ndarray, counts: np.ndarray, share: float) -> float:
    """The value below which ``share`` of the counts lie; values fall, as in a survey."""
    above = counts[::-1].cumsum()
    total = max(int(above[-1]), 1)
    return float(values[::-1][min(int(np.searchsorted(above, share * total)), len(values) - 1)])
