"""What learning without labels found before each epoch: clusters, their quality, the score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from passerby.visual.svg import Axis, Chart, Figure, swatch

WIDTH, HEIGHT = 330, 230  # as the training curves
QUALITY = {"purity": "purity", "nmi": "NMI", "ari": "ARI"}
SCORES = {"mAP": "mAP", "rank-1": "rank-1"}


def cluster_curves(events: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Figures of a log's ``begin`` lines; none for a run that does not cluster."""
    begun = [line for line in events if line.get("event") == "begin" and "clusters" in line]
    if not begun:
        return []
    last = max(float(begun[-1]["epoch"]), begun[0]["epoch"] + 1.0)
    across = Axis(low=float(begun[0]["epoch"]), high=last, label="epoch")
    figures = [_counts(begun, across)]
    if any("purity" in line for line in begun):
        figures.append(
            _shares(
                begun,
                across,
                QUALITY,
                title="Clusters against people",
                says="Of clustered pictures of known people. Purity falls when people are mixed; "
                "NMI and ARI also fall when one person is torn apart.",
            )
        )
    if any("mAP" in line for line in begun):
        figures.append(
            _shares(
                begun,
                across,
                SCORES,
                title="Score before the epoch",
                says="On the queries, from time to time. No choice is made by it; it should rise.",
            )
        )
    return figures


def _counts(begun: Sequence[Mapping[str, Any]], across: Axis) -> Figure:
    """Clusters and outliers, with the true number of people where it is known."""
    epochs = [line["epoch"] for line in begun]
    names = ("clusters", "outliers")
    people = begun[-1].get("people")
    top = max(*(float(line[name]) for line in begun for name in names), float(people or 0), 1.0)
    chart = _chart(across, Axis(low=0.0, high=1.08 * top, label="count"))
    for number, name in enumerate(names, start=1):
        chart.line(epochs, [line[name] for line in begun], number)
    if people:
        chart.rule(y=float(people), text=f"{people:,} people")
    return Figure(
        title="Clusters",
        says="Clusters found and pictures left out of all of them, before each epoch. Outliers "
        "should become fewer; clusters should near the number of people.",
        svg=chart.svg(
            f"Clusters and outliers by epoch, at the end {begun[-1]['clusters']} and "
            f"{begun[-1]['outliers']}"
        ),
        legend=tuple((swatch(number), name) for number, name in enumerate(names, start=1)),
    )


def _shares(
    begun: Sequence[Mapping[str, Any]],
    across: Axis,
    names: Mapping[str, str],
    *,
    title: str,
    says: str,
) -> Figure:
    chart = _chart(across, Axis(low=0.0, high=1.0, label="share", percent=True))
    said, legend = [], []
    for number, (key, name) in enumerate(names.items(), start=1):
        known = [line for line in begun if key in line]
        if not known:
            continue
        values = np.array([line[key] for line in known], dtype=np.float64)
        chart.line([line["epoch"] for line in known], values, number)
        for line, value in zip(known, values.tolist(), strict=True):
            chart.dot(line["epoch"], value, number, title=f"epoch {line['epoch']}: {value:.1%}")
        said.append(f"{name} {values[-1]:.1%}")
        legend.append((swatch(number), name))
    return Figure(
        title=title,
        says=says,
        svg=chart.svg(f"{title} by epoch, at the end {', '.join(said)}"),
        legend=tuple(legend),
    )


def _chart(across: Axis, up: Axis) -> Chart:
    return Chart(across, up, width=WIDTH, height=HEIGHT)
